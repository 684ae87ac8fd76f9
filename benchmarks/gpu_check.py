"""Speed, roofline and memory of the GPU multislice sweep.

Counts the fewest bytes each stage must move through device memory (every input
read once, every output written once; an FFT as one read and one write), divides by
a copy bandwidth measured on the same card, and prints the share of that roofline
which was reached. Random data throughout: zeros run faster than real volumes.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from napari_phaset3m.config import ReconstructionConfig
from napari_phaset3m.core.backend import Device, device_module
from napari_phaset3m.core.cuda.runtime import NULL, cuda_runtime
from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.reconstruct.methods.multislice import MultisliceMethod
from napari_phaset3m.reconstruct.methods.multislice_cuda import CudaMultisliceMethod
from napari_phaset3m.reconstruct.problem import Problem, build_problem
from napari_phaset3m.reconstruct.update import Limit

FOCI = 3
#: Edge, tilts, slices: 512 runs a part of a series, enough to fill the card.
SIZES = ((256, 66, 64), (512, 16, 128))


def seconds(xp: Any, work: Callable[[], object], repeat: int = 7) -> float:
    """Median device time of ``work`` after two warm-up calls."""
    times = []
    for number in range(repeat + 2):
        start, stop = xp.cuda.Event(), xp.cuda.Event()
        start.record()
        work()
        stop.record()
        stop.synchronize()
        if number >= 2:
            times.append(xp.cuda.get_elapsed_time(start, stop) / 1e3)
    return statistics.median(times)


def copy_bandwidth(xp: Any) -> float:
    """Bytes per second, read plus written, of a 2 GiB device copy."""
    source = xp.random.random(1 << 29, dtype=np.float32)
    target = xp.empty_like(source)
    return 2 * source.nbytes / seconds(xp, lambda: xp.copyto(target, source))


def problem_of(n: int, n_tilt: int, n_slice: int) -> tuple[Problem, ReconstructionConfig]:
    """Build a random problem of edge ``n``."""
    rng = np.random.default_rng(0)
    images = 1 + 0.1 * rng.standard_normal((n_tilt, FOCI, n, n), dtype=np.float32)
    series = TiltFocalSeries(
        images=images,
        tilt_deg=np.linspace(-65, 65, n_tilt),
        pixel_size_angstrom=0.5,
        energy_ev=300e3,
        defocus_angstrom=np.array([100.0, 200.0, 300.0]),
        spherical_aberration_angstrom=1.2e7,
        focal_spread_angstrom=20.0,
    )
    config = ReconstructionConfig(slices=n_slice, iterations=1, loss="amplitude", holdout_fraction=0.0)
    return build_problem(series, config), config


def sweep_bytes(method: CudaMultisliceMethod) -> float:
    """Count the fewest bytes one sweep must move."""
    p = method.problem
    pixels = p.grid.nx * p.grid.ny
    volume = 4 * int(np.prod(method.volume_shape))
    total = 0.0
    for group in method.batches(range(method.n_tilt)):
        slices = len(group) * len(method._heights[group[0]]) * pixels
        # Forward: two FFTs, propagator, transmission. Backward: the same, and the gradient.
        total += slices * ((32 + 16 + 20) + (32 + 16 + 32))
        # Transfer, FFT, intensity, loss, scaling, FFT, adjoint: per image.
        total += len(group) * FOCI * pixels * (8 + 16 + 12 + 16 + 20 + 16 + 8)
        # Slices written and read once by the rotations; the volume read, the gradient updated.
        total += slices * 8 + volume * (1 + 2)
        total += volume * 4  # the step: volume and gradient, read and written
    return total


def kernel_table(method: CudaMultisliceMethod, volume: Any, bandwidth: float) -> dict[str, Any]:
    """Time the rotations, an FFT pair and the fused kernels of one batch."""
    runtime, xp = method.runtime, method.runtime.xp
    group = next(iter(method.batches(range(method.n_tilt))))
    shape = (len(method._heights[group[0]]), len(group), *method.problem.grid.shape)
    slices = xp.random.random(shape, dtype=np.float32)
    gradient = xp.zeros(volume.shape[1:], np.float32)
    wave = (xp.random.random(shape[1:]) + 0.5j).astype(np.complex64)
    other, n = wave.copy(), np.int64(wave.size)
    phase = slices[0].copy()
    work: dict[str, tuple[float, Callable[[], object]]] = {
        "project": (volume.nbytes + slices.nbytes, lambda: method.rotator.project(volume[0], group, slices)),
        "backproject": (
            slices.nbytes + 2 * gradient.nbytes,
            lambda: method.rotator.backproject(slices, group, gradient),
        ),
        "fft2": (2 * wave.nbytes, lambda: runtime.fft2(wave)),
        "transmit": (
            2.5 * wave.nbytes,
            lambda: runtime.launch("transmit", wave.size, wave, phase, NULL, other, n),
        ),
        "transmit_adjoint": (
            4 * wave.nbytes,
            lambda: runtime.launch("transmit_adjoint", wave.size, wave, other, phase, NULL, n),
        ),
    }
    table = {}
    for name, (moved, call) in work.items():
        # In-place FFTs are not normalised: start each from numbers that cannot overflow.
        wave[...] = 1e-6
        took = seconds(xp, call, 5)
        table[name] = {"ms": took * 1e3, "roofline": moved / bandwidth / took}
    return table


def cpu_seconds(problem: Problem, config: ReconstructionConfig, volume: np.ndarray) -> float:
    """Time one tilt on one CPU thread, after a warm-up call."""
    method = MultisliceMethod(problem, config, 1)
    gradient = np.zeros_like(volume)
    method.accumulate(volume, 0, gradient, 0)
    start = time.perf_counter()
    method.accumulate(volume, 0, gradient, 0)
    return time.perf_counter() - start


def measure(size: tuple[int, int, int], bandwidth: float) -> dict[str, Any]:
    """Measure one problem size."""
    problem, config = problem_of(*size)
    runtime = cuda_runtime()
    xp = runtime.xp
    xp.get_default_memory_pool().free_all_blocks()
    method = CudaMultisliceMethod(problem, config)
    host = (1e-2 * np.random.default_rng(1).random(method.volume_shape, np.float32)).astype(np.float32)
    volume, gradient = xp.asarray(host), xp.zeros(host.shape, np.float32)

    def sweep() -> None:
        method.accumulate_batch(volume, range(method.n_tilt), gradient)
        for part, slope in zip(volume, gradient, strict=True):
            method.descend(part, slope, 1e-6, Limit(low=0.0))

    took = seconds(xp, sweep, 5)
    moved = sweep_bytes(method)
    one_cpu = cpu_seconds(problem, config, host)
    return {
        "edge": size[0], "tilts": size[1], "slices": size[2], "foci": FOCI, "batch": method.batch,
        "seconds_per_sweep": took, "bytes": moved, "roofline_share": moved / bandwidth / took,
        "peak_gib": runtime.used_bytes() / 2**30,
        "cpu_one_thread_seconds_per_sweep": one_cpu * size[1],
        "speed_up_over_one_thread": one_cpu * size[1] / took,
        "kernels": kernel_table(method, volume, bandwidth),
    }  # fmt: skip


def main() -> None:
    """Run and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("gpu_check.json"))
    parser.add_argument("--sizes", type=int, nargs="*", default=[s[0] for s in SIZES])
    arguments = parser.parse_args()
    xp = device_module(Device("cuda", "CUDA"))
    name = xp.cuda.runtime.getDeviceProperties(0)["name"].decode()
    bandwidth = copy_bandwidth(xp)
    result: dict[str, Any] = {"device": name, "copy_gb_per_s": bandwidth / 1e9, "runs": []}
    print(f"{name}: copy {bandwidth / 1e9:.0f} GB/s")
    for size in (s for s in SIZES if s[0] in arguments.sizes):
        run = measure(size, bandwidth)
        result["runs"].append(run)
        arguments.output.write_text(json.dumps(result, indent=2), encoding="utf-8")
        print(
            f"{size[0]}^3, {size[1]} tilts, {size[2]} slices: {run['seconds_per_sweep']:.3f} s, "
            f"{100 * run['roofline_share']:.0f} % of the roofline, {run['peak_gib']:.1f} GiB, "
            f"{run['speed_up_over_one_thread']:.0f} x one CPU thread"
        )
        for kernel, row in run["kernels"].items():
            print(f"  {kernel:18s} {row['ms']:8.3f} ms  {100 * row['roofline']:5.0f} %")


if __name__ == "__main__":
    main()
