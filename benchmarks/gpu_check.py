"""GPU against CPU at sizes of real use: results, speed, roofline and memory.

For every kernel, operator and method: the GPU's result beside the CPU's, the time of both, and the
share of the roofline that was reached. The roofline counts the fewest bytes that each stage must
move through device memory (every input read once, every output written once; an FFT is one read
and one write) over a copy bandwidth measured on the same card. Random data throughout: zeros run
faster than real volumes. Ends with 1 when a result differs.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from gpu_rows import (
    FOCI,
    VARIANTS,
    copy_bandwidth,
    kernel_rows,
    make_config,
    make_series,
    method_rows,
    rotation_rows,
    sizes_of,
    variant_row,
    volume_rows,
)
from napari_phaset3m.core.backend import Device, device_module, release_memory
from napari_phaset3m.reconstruct.methods.multislice_cuda import CudaMultisliceMethod
from napari_phaset3m.reconstruct.problem import build_problem

#: Edge, tilts, slices: 512 runs a part of a series, enough to fill the card.
SIZES = ("256x66x64", "512x16x128")
#: Of the comparison of whole methods, which runs on the CPU as well.
METHOD_SIZE = "128x33x32"
#: Largest relative difference, GPU to CPU: of one tilt's gradient, of a volume after a sweep.
GRADIENT_LIMIT, VOLUME_LIMIT = 2e-4, 2e-3


def measure(size: tuple[int, int, int], bandwidth: float) -> dict[str, Any]:
    """Measure one problem size."""
    n, n_tilt, n_slice = size
    run: dict[str, Any] = {"edge": n, "tilts": n_tilt, "slices": n_slice, "foci": FOCI, "variants": []}
    for name, changes, blurred in VARIANTS:
        release_memory(Device("cuda", ""))
        row = variant_row(name, changes, blurred, size)
        row["roofline_share"] = row["bytes"] / bandwidth / row["seconds_per_sweep"]
        run["variants"].append(row)
        print(
            f"  {name:12s} {row['seconds_per_sweep']:8.3f} s/sweep {100 * row['roofline_share']:4.0f} % "
            f"{row['peak_gib']:6.1f} GiB{_compared(row)}"
        )
    release_memory(Device("cuda", ""))
    config = make_config(n_slice)
    problem = build_problem(make_series(n, n_tilt), config)
    method = CudaMultisliceMethod(problem, config)
    run["kernels"] = [
        *kernel_rows(method, bandwidth),
        *rotation_rows(problem, bandwidth, method.batch),
        *volume_rows(problem, bandwidth),
    ]
    for row in run["kernels"]:
        compared = "" if row["difference"] is None else f"  difference {row['difference']:.0e}"
        print(f"  {row['name']:26s} {row['ms']:9.3f} ms {100 * row['roofline']:5.0f} %{compared}")
    return run


def _compared(row: dict[str, Any]) -> str:
    if row["difference"] is None:
        return ""
    return (
        f"  {row['over_one_cpu_thread']:5.0f} x one CPU thread; difference {row['difference']:.0e}, "
        f"optics {row['optics_difference']:.0e}, angle {row['angle_difference']:.0e}"
    )


def failures(result: dict[str, Any]) -> list[str]:
    """Name what differs by more than rounding."""
    found = []
    for run in result["runs"]:
        for row in (r for r in (*run["variants"], *run["kernels"]) if r["difference"] is not None):
            # Sums over pixels with cancellation: they keep fewer digits.
            optics, angle = row.get("optics_difference", 0) / 5, row.get("angle_difference", 0) / 50
            worst = max(row["difference"], optics, angle)
            if not worst <= GRADIENT_LIMIT:
                found.append(f"{run['edge']}: {row['name']}")
    found += [f"method {r['name']}" for r in result["methods"] if not r["difference"] <= VOLUME_LIMIT]
    return found


def main(arguments: list[str] | None = None) -> int:
    """Run and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("gpu_check.json"))
    parser.add_argument("--sizes", nargs="*", default=list(SIZES), help="EDGExTILTSxSLICES ...")
    parser.add_argument("--methods", default=METHOD_SIZE, help="the same, of the whole runs")
    asked = parser.parse_args(arguments)
    xp = device_module(Device("cuda", "CUDA"))
    name = xp.cuda.runtime.getDeviceProperties(0)["name"].decode()
    bandwidth = copy_bandwidth(xp)
    result: dict[str, Any] = {"device": name, "copy_gb_per_s": bandwidth / 1e9, "methods": [], "runs": []}
    print(f"{name}: copy {bandwidth / 1e9:.0f} GB/s\nwhole runs, {asked.methods}:")
    for row in method_rows(sizes_of(asked.methods)):
        result["methods"].append(row)
        print(
            f"  {row['name']:12s} {row['seconds_per_sweep']:8.4f} s/sweep, CPU "
            f"{row['cpu_seconds_per_sweep']:8.4f} s, difference {row['difference']:.0e}"
        )
    for text in asked.sizes:
        print(f"{text} (edge x tilts x slices), {FOCI} foci:")
        result["runs"].append(measure(sizes_of(text), bandwidth))
        asked.output.write_text(json.dumps(result, indent=2), encoding="utf-8")
    wrong = failures(result)
    result["failures"] = wrong
    asked.output.write_text(json.dumps(result, indent=2), encoding="utf-8")
    print("GPU = CPU" if not wrong else f"GPU differs from the CPU: {', '.join(wrong)}")
    return int(bool(wrong))


if __name__ == "__main__":
    raise SystemExit(main())
