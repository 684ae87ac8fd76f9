"""The optimiser on data of known truth: scans through it, search against random points, the whole pipeline.

Needs ../shared/data (co3o4_perturbed_dev: made with abTEM, stated with wrong metadata).

    python benchmarks/bench_optimise.py scans --figure docs/images/optimise_scans.png
    python benchmarks/bench_optimise.py contest
    python benchmarks/bench_optimise.py auto --figures docs/images
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from common import RESULTS, machine, print_table, write
from napari_phaset3m import ReconstructionConfig, TiltFocalSeries, load_series
from napari_phaset3m.optimise.auto import iterate_auto
from napari_phaset3m.optimise.config import OptimiseConfig, Range, TrialConfig
from napari_phaset3m.optimise.objective import Objective
from napari_phaset3m.optimise.parameters import PARAMETERS
from napari_phaset3m.optimise.search import iterate_search
from napari_phaset3m.prepare.events import drain

DATA = Path(__file__).resolve().parents[2] / "shared/data/co3o4"
NAME = "co3o4_perturbed_dev"
#: Nothing is refined inside a trial: the score is of the parameter alone.
FIXED = TrialConfig(refine_shifts=False, refine_defocus="off", refine_optics=(), sweeps=8)
#: Long enough that the volume is as sharp as the images (what damps them all is told only then).
LONG = FIXED.model_copy(update={"sweeps": 80, "padding_px": "auto"})
#: Scan: parameter, half width around the truth in its unit, points, trials.
SCANS: dict[str, tuple[str, float, int, TrialConfig]] = {
    **{
        name: (name, width, 9, FIXED)
        for name, width in {
            "cs_angstrom": 5e6, "c12_cos_angstrom": 80.0, "c12_sin_angstrom": 80.0,
            "defocus_offset_angstrom": 80.0, "tilt_axis_angle_deg": 2.0, "tilt_axis_offset_px": 2.0,
            "magnification": 0.03, "intensity_scale": 0.04,
        }.items()
    },
    **{f"{name}_{part}_angstrom": (f"{name}_{part}_angstrom", 4e3, 5, FIXED)
       for name in ("c21", "c23") for part in ("cos", "sin")},
    "convergence_semiangle_mrad": ("convergence_semiangle_mrad", 0.4, 5, FIXED),
    "focal_spread_angstrom, 8 sweeps": ("focal_spread_angstrom", 40.0, 9, FIXED),
    "focal_spread_angstrom, 80 sweeps": ("focal_spread_angstrom", 12.5, 3, LONG),
    "b_factor_angstrom2, 80 sweeps": ("b_factor_angstrom2", 1.0, 2, LONG),
}  # fmt: skip
CALLS, SEEDS = (14, 25), 5
#: What the contest searches for, and who takes part.
CONTEST = (
    Range(name="cs_angstrom", low=1.7e7, high=3.2e7),
    Range(name="c12_cos_angstrom", low=-150, high=150),
    Range(name="c12_sin_angstrom", low=-150, high=150),
)
METHODS: dict[str, dict[str, Any]] = {
    "process": {"method": "bayes"},
    "parzen": {"method": "bayes", "backend": "optuna"},
    "random": {"method": "random"},
}


def truth() -> dict[str, Any]:
    """What was injected."""
    found: dict[str, Any] = json.loads((DATA / f"{NAME}_truth.json").read_text())
    return found


def true_series(dose: str = "") -> TiltFocalSeries:
    """The perturbed series with what was injected stated."""
    known = truth()
    return load_series(DATA / f"{NAME}{dose}.h5").replace(
        shifts_px=known["shift_px_YX"],
        defocus_angstrom=known["defocus_center_A"],
        spherical_aberration_angstrom=known["Cs_A"],
        # abTEM's spread is sqrt(2) standard deviations; its azimuth runs from +y to +x.
        focal_spread_angstrom=known["focal_spread_A"] / np.sqrt(2),
        aberrations={"C12": known["C12_A"], "phi12": np.radians(90 - known["phi12_deg"])},
        tilt_deg=known["tilts_deg"],
    )


def scans(figure: Path | None, only: list[str]) -> list[dict[str, Any]]:
    """Held-out error along each parameter, through the truth; with ``only``, others as they were measured."""
    series, config = true_series(), ReconstructionConfig()
    rows = {row["name"]: row for row in _measured()} if only else {}
    for scan in only or list(SCANS):
        name, width, points, trial = SCANS[scan]
        parameter = PARAMETERS[name]
        middle = parameter.get(series, config)
        x = np.linspace(max(middle - width, parameter.least), middle + width, points)
        objective = Objective(series, config, trial.model_copy(update={"bin": 1, "coarser": (2,)}))
        y = np.array([objective({name: value}).score for value in x])
        rows[scan] = {"name": scan, "truth": middle, "lowest_at": _minimum(x, y)}
        rows[scan] |= {"values": x.tolist(), "scores": y.tolist()}
        print(f"{scan}: truth {middle:g}, lowest at {rows[scan]['lowest_at']:g}", flush=True)
    found = [rows[scan] for scan in SCANS if scan in rows]
    if figure is not None:
        _draw_scans(found, figure)
    return found


def _measured() -> list[dict[str, Any]]:
    """The rows of the newest file of scans."""
    files = sorted(RESULTS.glob("optimise-scans-*.json"))
    rows: list[dict[str, Any]] = json.loads(files[-1].read_text())["rows"] if files else []
    return rows


def _minimum(x: np.ndarray, y: np.ndarray) -> float:
    i = int(np.argmin(y))
    if not 0 < i < len(x) - 1:
        return float(x[i])
    a, b, _ = np.polyfit(x[i - 1 : i + 2], y[i - 1 : i + 2], 2)
    return float(-b / (2 * a))


def _draw_scans(rows: list[dict[str, Any]], path: Path) -> None:
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(4, 4, figsize=(13, 11), layout="constrained")
    for row, ax in zip(rows, axes.flat, strict=False):
        name, _, sweeps = row["name"].partition(", ")
        parameter = PARAMETERS[name]
        scale, unit = {"Å": (0.1, "nm")}.get(parameter.unit, (1.0, parameter.unit))
        scale, unit = (1e-7, "mm") if name == "cs_angstrom" else (scale, unit)
        ax.plot(np.array(row["values"]) * scale, row["scores"], "o-", color="#0072B2", ms=4)
        ax.axvline(row["truth"] * scale, color="#D55E00", ls="--", lw=1.2, label="truth")
        ax.set_xlabel(f"{parameter.label} ({unit})" if unit else parameter.label)
        ax.set_title(sweeps, fontsize=10)
    for ax in axes.flat[len(rows) :]:
        ax.axis("off")
    for ax in axes[:, 0]:
        ax.set_ylabel("held-out error")
    axes.flat[0].legend(frameon=False)
    figure.savefig(path, dpi=110)


def contest() -> list[dict[str, Any]]:
    """Proposers against random points of equal number, on three shared parameters.

    Every search makes the same number of trials in the same ranges; that of the process gives one of them
    to the point where its model is lowest. Told are the lowest held-out error, and how far that trial lies
    from the truth in units of the ranges (largest of the three).
    """
    series, rows = true_series(), []
    true = {item.name: _true_value(series, item.name) for item in CONTEST}
    objective = Objective(series, ReconstructionConfig(), FIXED)
    row: dict[str, Any] = {"name": "the truth itself", "calls": 1}
    least = objective({}).score
    rows.append(row | {f"{m} error": least for m in METHODS} | {f"{m} distance": 0.0 for m in METHODS})
    for calls in CALLS:
        found = []
        for seed in range(SEEDS):
            row = {"name": f"seed {seed}", "calls": calls}
            for method, how in METHODS.items():
                last = method == "process"
                wanted = OptimiseConfig(
                    ranges=CONTEST, calls=calls - last, initial=6, stop_gain=0, seed=seed, trial=FIXED, **how
                )
                trials = drain(iterate_search(series, wanted)).result.trials
                assert len(trials) == calls
                best = min((t for t in trials if t.score is not None), key=lambda t: t.score)
                row[f"{method} error"] = best.score
                row[f"{method} distance"] = max(
                    abs(best.values[i.name] - true[i.name]) / (i.high - i.low) for i in CONTEST
                )
            found.append(row)
            print(row, flush=True)
        keys = [key for key in found[0] if key not in ("name", "calls")]
        rows += found
        means = {key: float(np.mean([row[key] for row in found])) for key in keys}
        rows.append({"name": "mean", "calls": calls, **means})
    return rows


def _true_value(series: TiltFocalSeries, name: str) -> float:
    return PARAMETERS[name].get(series, ReconstructionConfig())


def auto(doses: list[str]) -> list[dict[str, Any]]:
    """From nominal metadata to the end, judged by score_align.py."""
    sys.path.insert(0, str(DATA))
    import score_align

    rows = []
    for dose in doses:
        begun, cpu = time.perf_counter(), time.process_time()
        done = drain(iterate_auto(load_series(DATA / f"{NAME}{dose}.h5")))
        found = done.series
        score = score_align.align(
            {
                "shift_px_YX": found.shifts_px.tolist(),
                "defocus_center_A": found.defocus_angstrom.tolist(),
                "Cs_A": found.spherical_aberration_angstrom,
                "C12_A": found.aberrations.get("C12", 0.0),
                "phi12_deg": 90 - np.degrees(found.aberrations.get("phi12", 0.0)),
            }
        )
        shifts = [score[f"shift_resid_rms_px_{axis}"] for axis in "YX"]
        rows.append(
            {
                "name": dose.removeprefix("_") or "noiseless",
                "cs_error_mm": score["Cs_A"]["error"] * 1e-7,
                "c12_error_angstrom": score["C12_A"]["error"],
                "phi12_error_deg": score["phi12_deg"]["error"],
                "defocus_rms_angstrom": score["defocus_resid_rms_A_gauge_removed"],
                "shift_rms_px": float(np.sqrt(np.mean(np.square(shifts)))),
                "minutes": (time.perf_counter() - begun) / 60,
                "cpu_minutes": (time.process_time() - cpu) / 60,
            }
        )
        print(rows[-1], flush=True)
    return rows


def main() -> None:
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    parser.add_argument("what", nargs="*", help="of scans, contest, auto (all when none is named)")
    parser.add_argument("--figure", type=Path, help="of the scans")
    parser.add_argument("--only", action="append", default=[], help="scan to make anew (repeatable)")
    parser.add_argument("--doses", default=",_dose200,_dose21p5", help="suffixes, separated by commas")
    given = parser.parse_args()
    if not DATA.exists():
        print(f"{DATA}: is not there, nothing to measure")
        return
    for what in given.what or ("scans", "contest", "auto"):
        found = machine()
        if what == "scans":
            rows = scans(given.figure, given.only)
        else:
            rows = contest() if what == "contest" else auto(given.doses.split(","))
        names = [key for key, value in rows[0].items() if not isinstance(value, list)]
        print_table([tuple(names), *(tuple(_text(row[name]) for name in names) for row in rows)])
        print(write(f"optimise-{what}", {"machine": found, "rows": rows}))


def _text(value: object) -> str:
    return f"{value:.5g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    main()
