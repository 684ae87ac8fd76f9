"""What the benchmarks share: series of the budget's sizes, and where results go."""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from napari_phaset3m import ReconstructionConfig, TiltFocalSeries

RESULTS = Path(__file__).parent / "results"
#: name: (voxels of an edge, tilts, foci, slices), the cases of DESIGN section 7.
CASES = {"tiny": (32, 9, 2, 8), "small": (96, 27, 3, 24), "large": (192, 66, 3, 48)}


def make_series(case: str) -> TiltFocalSeries:
    """Weak random images: time does not depend on what they show."""
    n, n_tilt, n_focus, _ = CASES[case]
    rng = np.random.default_rng(0)
    images = 1 + 0.02 * rng.standard_normal((n_tilt, n_focus, n, n), dtype=np.float32)
    return TiltFocalSeries(
        images=images,
        tilt_deg=np.linspace(-65, 65, n_tilt),
        pixel_size_angstrom=0.52,
        energy_ev=300e3,
        defocus_angstrom=np.linspace(900, 2700, n_focus),
        spherical_aberration_angstrom=2.3e7,
        focal_spread_angstrom=30.0,
    )


def make_config(case: str, method: str = "multislice", **changes: Any) -> ReconstructionConfig:
    """Configure the plain sweep: linear rotation, fixed step, positivity, nothing held out."""
    constraints = {"atomic_basis_sigma_angstrom": None}
    settings: dict[str, Any] = {
        "method": method,
        "slices": CASES[case][3] if method == "multislice" else "auto",
        "holdout_fraction": 0.0,
        "padding_px": 0,  # what is measured is the cost for a grid of this size
        "tolerance": 0.0,
        "loss": "amplitude",
        "constraints": constraints,
    }
    if method == "multislice":
        settings["step"] = 0.5
    return ReconstructionConfig(**(settings | changes))


def machine() -> dict[str, Any]:
    """Describe what the figures were taken on."""
    model = platform.processor()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [
            line.split(":")[1].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line
        ]
        model = names[0] if names else model
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "cpu": model,
        "cores": len(os.sched_getaffinity(0)),
        "load_before": os.getloadavg()[0],
        "python": platform.python_version(),
    }


def write(name: str, result: dict[str, Any]) -> Path:
    """Write ``results/NAME-DATE.json``."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}-{datetime.date.today().isoformat()}.json"
    path.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    return path


def print_table(rows: list[tuple[str, ...]]) -> None:
    """Print rows in aligned columns; the first is the header."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def rows(results: dict[str, dict], ratios: dict[str, tuple]) -> Iterator[tuple[str, ...]]:
    """Yield the table: header, medians, ratios with their limits (one for all cases, or one for each)."""
    yield ("case", "what", "value", "must")
    for case, result in results.items():
        for name, value in result["medians"].items():
            yield (case, f"{name}, s", f"{value:.4f}", "")
        for name, value in result["ratios"].items():
            limit = ratios[name][2]
            limit = limit.get(case) if isinstance(limit, dict) else limit
            yield (case, name, f"{value:.3f}", f"<= {limit}" if limit else "")


def run_cases(
    title: str, name: str, measure: Callable[[str, int], dict[str, object]], ratios: dict[str, tuple]
) -> None:
    """Command line of a benchmark by cases: measure, print the table and write the JSON."""
    parser = argparse.ArgumentParser(description=title)
    parser.add_argument("cases", nargs="*", default=["small", "large"], help=f"of {', '.join(CASES)}")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    found = machine()
    results = {case: measure(case, options.rounds) for case in options.cases}
    print_table(list(rows(results, ratios)))
    print(write(name, {"machine": found, "cases": results}))
