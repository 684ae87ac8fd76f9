"""The rows of the GPU check's tables: what is run on both devices, timed and compared."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from napari_phaset3m.config import ReconstructionConfig
from napari_phaset3m.core.backend import asnumpy
from napari_phaset3m.core.cuda.detector import CudaDetector
from napari_phaset3m.core.cuda.rotation import make_device_rotator
from napari_phaset3m.core.cuda.runtime import NULL, cuda_runtime
from napari_phaset3m.core.optics import Microscope, detector_mtf
from napari_phaset3m.core.rotation import make_rotator
from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.reconstruct.api import reconstruct
from napari_phaset3m.reconstruct.constraints import AtomicBasis, tv_prox
from napari_phaset3m.reconstruct.methods.multislice import MultisliceMethod
from napari_phaset3m.reconstruct.methods.multislice_cuda import CudaMultisliceMethod
from napari_phaset3m.reconstruct.methods.registry import METHODS
from napari_phaset3m.reconstruct.problem import Problem, build_problem
from napari_phaset3m.reconstruct.shared_optics import all_factors
from napari_phaset3m.reconstruct.update import Limit

FOCI = 3
#: Largest edge at which the CPU computes everything too: at 512 its Fourier shears take minutes.
COMPARED_EDGE = 256
#: Floats of the copy that measures the bandwidth.
COPY_FLOATS = 1 << 29
MTF = ((0.0, 1.0), (0.5, 0.7), (1.0, 0.3))
#: Name, settings, whether the detector blurs.
VARIANTS: tuple[tuple[str, dict[str, Any], bool], ...] = (
    ("linear", {}, False), ("cubic", {"rotation": "cubic"}, False),
    ("fourier", {"rotation": "fourier"}, False), ("detector", {}, True),
    ("absorption", {"absorption": True}, False),
)  # fmt: skip

Row = dict[str, Any]


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
    """Bytes per second, read plus written, of a device copy."""
    source = xp.random.random(COPY_FLOATS, dtype=np.float32)
    target = xp.empty_like(source)
    return float(2 * source.nbytes / seconds(xp, lambda: xp.copyto(target, source)))


def sizes_of(text: str) -> tuple[int, int, int]:
    """Edge, tilts and slices of ``"256x66x64"``."""
    edge, tilts, slices = (int(part) for part in text.split("x"))
    return edge, tilts, slices


def make_series(n: int, n_tilt: int, blurred: bool = False) -> TiltFocalSeries:
    """Build random images."""
    rng = np.random.default_rng(0)
    return TiltFocalSeries(
        images=1 + 0.1 * rng.standard_normal((n_tilt, FOCI, n, n), dtype=np.float32),
        tilt_deg=np.linspace(-65, 65, n_tilt),
        pixel_size_angstrom=0.5,
        energy_ev=300e3,
        defocus_angstrom=np.array([100.0, 200.0, 300.0]),
        spherical_aberration_angstrom=1.2e7,
        focal_spread_angstrom=20.0,
        mtf=MTF if blurred else None,
    )


def make_config(n_slice: int, **changes: Any) -> ReconstructionConfig:
    """Plain sweeps: nothing held out, no basis."""
    plain = {
        "slices": n_slice, "iterations": 2, "loss": "amplitude", "holdout_fraction": 0.0, "padding_px": 0,
        "step": 0.3,
        "constraints": {"atomic_basis_sigma_angstrom": None, "sparsity": 0.0},
    }  # fmt: skip
    return ReconstructionConfig(**{**plain, **changes})


def difference(found: Any, expected: Any) -> float:
    """``|found - expected| / |expected|``."""
    one, other = asnumpy(found).astype(np.float64), asnumpy(expected).astype(np.float64)
    return float(np.linalg.norm(one - other) / np.linalg.norm(other))


def sweep_bytes(method: CudaMultisliceMethod) -> float:
    """Count the fewest bytes one sweep must move (linear rotation, no detector)."""
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


def rotation_rows(problem: Problem, bandwidth: float, batch: int) -> Iterator[Row]:
    """Every rotation, its derivative and its adjoint: a batch is timed, two tilts are compared."""
    runtime, geometry = cuda_runtime(), problem.geometry
    xp, n_slice = runtime.xp, len(geometry.edges(0)) - 1
    tilts = [t for t in range(min(batch, geometry.n_tilt)) if len(geometry.edges(t)) - 1 == n_slice]
    volume = xp.random.random(geometry.volume_shape, dtype=np.float32)
    out = xp.random.random((n_slice, len(tilts), geometry.nx, geometry.ny), dtype=np.float32)
    gradient, few = xp.zeros(volume.shape, np.float32), tilts[:2]
    for kind in ("linear", "cubic", "fourier"):
        gpu = make_device_rotator(runtime, geometry, kind)
        cpu = make_rotator(kind, geometry) if geometry.nx <= COMPARED_EDGE else None
        took = seconds(xp, partial(gpu.backproject, out, tilts, gradient), 5)
        found = None if cpu is None else _adjoint_difference(cpu, gpu, out[:, : len(few)], few)
        yield _row(f"backproject {kind}", took, out.nbytes + 2 * volume.nbytes, bandwidth, found)
        for name in ("project", "project_derivative"):
            took = seconds(xp, partial(getattr(gpu, name), volume, tilts, out), 5)
            found = None
            if cpu is not None:
                one = np.empty((n_slice, geometry.nx, geometry.ny), np.float32)
                getattr(cpu, name)(asnumpy(volume), few[-1], one)
                found = difference(out[:, len(few) - 1], one)
            yield _row(f"{name} {kind}", took, volume.nbytes + out.nbytes, bandwidth, found)


def _adjoint_difference(cpu: Any, gpu: Any, slices: Any, tilts: list[int]) -> float:
    xp = gpu.runtime.xp
    slices = xp.ascontiguousarray(slices)
    found = xp.zeros(gpu.geometry.volume_shape, np.float32)
    expected = np.zeros(gpu.geometry.volume_shape, np.float32)
    gpu.backproject(slices, tilts, found)
    for b, tilt in enumerate(tilts):
        cpu.backproject(np.ascontiguousarray(asnumpy(slices[:, b])), tilt, expected)
    return difference(found, expected)


def _row(name: str, took: float, moved: float, bandwidth: float, found: float | None) -> Row:
    return {"name": name, "ms": took * 1e3, "roofline": moved / bandwidth / took, "difference": found}


def kernel_rows(method: CudaMultisliceMethod, bandwidth: float) -> Iterator[Row]:
    """Time what a slice and an image cost, one batch at a time; the tests compare the results."""
    runtime, xp, model = method.runtime, method.runtime.xp, method.model
    group = next(iter(method.batches(range(method.n_tilt))))
    heights, transfers = np.stack([method._heights[t] for t in group]), [method.transfer(t) for t in group]
    wave = (xp.random.random((len(group), *method.problem.grid.shape)) + 0.5j).astype(np.complex64)
    other, phase, n = wave.copy(), xp.random.random(wave.shape, dtype=np.float32), np.int64(wave.size)
    n_slice = heights.shape[1]
    which = model._leading(heights)[n_slice - 1]
    volume = xp.asarray(1e-2 * np.random.default_rng(3).random(method.volume_shape, np.float32))
    method._forward(volume, group)  # fills the fields that the image kernels read
    factors = xp.asarray(np.ones((3, *method.problem.grid.shape), np.complex64))
    weight = method._image_weight(group, method.problem.weight)
    fields, images = model._fields.nbytes, model.intensity_of(len(group)).nbytes
    amplitude = method._amplitude[group]
    blurred = xp.random.random(model.intensity_of(len(group)).shape, dtype=np.float32)
    detector = _detector(method)

    loss = partial(model.loss, "amplitude", amplitude, weight, method._pixel_weight)
    loss()
    adjoint = partial(runtime.launch, "transmit_adjoint", wave.size, wave, other, phase, NULL, n)
    work: dict[str, tuple[float, Callable[[], object]]] = {
        "fft2": (2 * wave.nbytes, lambda: runtime.fft2(wave)),
        "next slice": (6.5 * wave.nbytes, lambda: model._propagate(other, wave, which, adjoint=False)),
        "transmit": (
            2.5 * wave.nbytes, partial(runtime.launch, "transmit", wave.size, wave, phase, NULL, other, n)
        ),
        "transmit_adjoint": (4 * wave.nbytes, adjoint),
        "images": (2 * wave.nbytes + 4 * fields + images, lambda: model.images(n_slice, transfers)),
        "loss": (5 * images, loss),
        "detector": (10 * images, lambda: detector.apply(blurred)),
        "optics equations": (
            3 * (4 * fields + images) + 18 * images,
            lambda: model.transfer_equations(factors, weight, method._pixel_weight),
        ),
    }  # fmt: skip
    for name, (moved, call) in work.items():
        # In-place FFTs are not normalised: start each from numbers that cannot overflow.
        wave[...] = 1e-6
        yield _row(name, seconds(xp, call, 5), moved, bandwidth, None)


def volume_rows(problem: Problem, bandwidth: float) -> Iterator[Row]:
    """Passes over whole volumes: the atomic basis, total variation, the update."""
    runtime = cuda_runtime()
    xp, shape = runtime.xp, problem.geometry.volume_shape
    host = np.random.default_rng(4).random(shape, np.float32)
    volume, other = xp.asarray(host), xp.empty(shape, np.float32)
    one, compared, n = host.nbytes, problem.geometry.nx <= COMPARED_EDGE, np.int64(host.size)
    basis = AtomicBasis(0.47, 0.5)
    took = seconds(xp, partial(basis.synthesize, volume, other), 5)
    found = difference(other, basis.synthesize(host)) if compared else None
    yield _row("atomic basis", took, 6 * one, bandwidth, found)
    if compared:
        tv_prox(volume, 0.1)
        tv_prox(host, 0.1)
        found = difference(volume, host)
    yield _row(
        "TV, 20 iterations", seconds(xp, partial(tv_prox, volume, 0.1), 3), 362 * one, bandwidth, found
    )
    steps = np.float32(1e-3), np.float32(0), np.float32(0), n
    update = partial(runtime.launch, "descend", volume.size, volume, other, NULL, *steps)
    yield _row("descend", seconds(xp, update), 4 * one, bandwidth, None)
    ahead = partial(runtime.launch, "extrapolate", volume.size, volume, other, np.float32(0.5), n)
    yield _row("extrapolate", seconds(xp, ahead), 4 * one, bandwidth, None)


def _detector(method: CudaMultisliceMethod) -> CudaDetector:
    grid, sensor = method.problem.grid, Microscope(300e3, mtf=tuple(zip(*MTF, strict=True)))
    return CudaDetector(method.runtime, grid, detector_mtf(grid, sensor))


def variant_row(name: str, changes: dict[str, Any], blurred: bool, size: tuple[int, int, int]) -> Row:
    """Time and memory of a sweep; gradient, optics equations and tilt derivative of a tilt compared."""
    n, n_tilt, n_slice = size
    config = make_config(n_slice, **changes)
    problem = build_problem(make_series(n, n_tilt, blurred), config)
    gpu = CudaMultisliceMethod(problem, config)
    xp = gpu.runtime.xp
    host = 1e-2 * np.random.default_rng(1).random(gpu.volume_shape, np.float32)
    volume, gradient = xp.asarray(host), xp.zeros(host.shape, np.float32)

    def sweep() -> None:
        gpu.accumulate_batch(volume, range(n_tilt), gradient)
        for part, slope in zip(volume, gradient, strict=True):
            gpu.descend(part, slope, 1e-6, Limit(low=0.0))

    row = {"name": name, "batch": gpu.batch, "seconds_per_sweep": seconds(xp, sweep, 3)}
    row |= {"peak_gib": gpu.runtime.used_bytes() / 2**30, "bytes": sweep_bytes(gpu), "difference": None}
    if name == "linear" or n <= COMPARED_EDGE:
        row |= _compared(gpu, MultisliceMethod(problem, config, 1), host)
        row["over_one_cpu_thread"] = row["cpu_seconds_per_tilt"] * n_tilt / row["seconds_per_sweep"]
    return row


def _compared(gpu: CudaMultisliceMethod, cpu: MultisliceMethod, host: np.ndarray) -> Row:
    xp, tilt, expected = gpu.runtime.xp, gpu.n_tilt - 1, np.zeros_like(host)
    volume, gradient = xp.asarray(host), xp.zeros(host.shape, np.float32)
    gpu.accumulate(volume, tilt, gradient)
    cpu.accumulate(host, tilt, expected, 0)  # compiles and plans
    expected[...] = 0
    begun = time.perf_counter()
    cpu.accumulate(host, tilt, expected, 0)
    took = time.perf_counter() - begun
    problem = cpu.problem
    factors = all_factors(problem.grid, problem.microscope, ("C30", "C12"))
    optics = []
    for method, at in ((gpu, volume), (cpu, host)):
        (found,) = method.equations(at, [tilt], problem.weight, factors)
        # Angstroms of Cs and pixels of shift differ by many orders: each by its own size.
        size = np.sqrt(np.einsum("fpp->fp", found.normal))
        optics.append(found.normal / (size[:, :, None] * size[:, None, :]))
    angle = [m.tilt_derivative(v, tilt) for m, v in ((gpu, volume), (cpu, host))]
    return {
        "difference": difference(gradient, expected),
        "optics_difference": difference(*optics),
        "angle_difference": abs(angle[0] - angle[1]) / abs(angle[1]),
        "cpu_seconds_per_tilt": took,
    }


def method_rows(size: tuple[int, int, int]) -> Iterator[Row]:
    """Whole runs of every method on both devices."""
    n, n_tilt, n_slice = size
    series = make_series(n, n_tilt)
    for name, entry in METHODS.items():
        changes = {} if not entry.linear else {"slices": "auto", "step": "auto"}
        config = make_config(n_slice, **{"method": name, **changes})
        gpu, cpu = (reconstruct(series, config, device=device) for device in ("cuda", "cpu"))
        last = gpu.sweeps[-1].seconds, cpu.sweeps[-1].seconds
        yield {
            "name": name, "seconds_per_sweep": last[0], "cpu_seconds_per_sweep": last[1],
            "difference": difference(gpu.volume, cpu.volume),
        }  # fmt: skip
