"""The paper's figures 1d, 1e and 1f from simulated data (co3o4_perturbed_dev, its wrong metadata the start).

    python benchmarks/optimise_figures.py docs/images/optimise_paper.png
    python benchmarks/optimise_figures.py FIGURE.png --found FOUND.h5 --trials TRIALS.jsonl

1d: defocus of each tilt, injected and found. 1e: error map of the 2D shift of one image, put off by a known
amount, with the minimum of its parabola. 1f: held-out error of the trials, and against Cs, with the process.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from bench_optimise import DATA, NAME, true_series, truth
from napari_phaset3m import TiltFocalSeries, load_series, save_series
from napari_phaset3m.optimise.auto import iterate_auto
from napari_phaset3m.optimise.config import OptimiseConfig, Range
from napari_phaset3m.optimise.posterior import slice_through
from napari_phaset3m.optimise.proposers import make_proposer
from napari_phaset3m.prepare.align.api import iterate_align
from napari_phaset3m.prepare.align.config import AlignConfig
from napari_phaset3m.prepare.align.grid import least
from napari_phaset3m.prepare.events import Progress, drain

BLUE, RED, GREY = "#0072B2", "#D55E00", "#777777"
#: Image whose shift is mapped, and how far it is put off (y, x), pixels.
IMAGE, PUT_OFF = (13, 1), (0.7, -1.1)


def found_and_trials(
    found: Path | None, trials: Path | None
) -> tuple[TiltFocalSeries, list[list[dict[str, Any]]]]:
    """What the pipeline found, and the trials of its searches."""
    if found is None or trials is None:
        trials = Path(tempfile.mkdtemp()) / "t.jsonl"
        found = trials.with_name("found.h5")
        save_series(drain(iterate_auto(load_series(DATA / f"{NAME}.h5"), journal=trials)).series, found)
    paths = sorted(trials.parent.glob(f"{trials.stem}*.jsonl"), key=lambda path: len(path.name))
    searches = [[json.loads(line) for line in path.read_text().splitlines()[1:]] for path in paths]
    return load_series(found), searches


def defocus(ax: Any, series: TiltFocalSeries) -> None:
    """1d."""
    known = truth()
    true = np.array(known["defocus_error_per_tilt_A"])
    nominal = load_series(DATA / f"{NAME}.h5").defocus_angstrom
    angle = np.radians(series.tilt_deg)
    got = (series.defocus_angstrom - nominal).mean(1)
    # Where the specimen lies along the beam is free (score_align.py): taken out.
    free = np.column_stack([np.cos(angle), np.sin(angle)])
    got = got - free @ np.linalg.lstsq(free, got - true, rcond=None)[0]
    ax.plot(series.tilt_deg, true, "o", color=GREY, ms=6, mfc="none", label="injected")
    ax.plot(series.tilt_deg, got, ".-", color=BLUE, lw=1, label=f"found, {np.std(got - true):.1f} Å RMS off")
    ax.set(xlabel="tilt (°)", ylabel="defocus less nominal (Å)", title="1d")
    ax.legend(frameon=False, fontsize=8)


def shift_map(ax: Any) -> None:
    """1e, and how far the parabolas of all images are off."""
    series = true_series()
    shifts = np.array(series.shifts_px)
    shifts[IMAGE] += PUT_OFF
    steps = AlignConfig.parse(stages=("grid",), grid={"grid_rounds": 1})
    events = list(iterate_align(series.replace(shifts_px=shifts), steps))
    # The maps that were made, also where the stage is undone because one image of 81 moved.
    maps = [e.detail["error_map"] for e in events if isinstance(e, Progress) and "error_map" in e.detail][-1]
    points = (np.arange(maps.shape[-1]) - (maps.shape[-1] - 1) / 2) * steps.grid.grid_step_px
    places = np.array([[least(seen, points, 1)[0] for seen in tilt] for tilt in maps])
    off = places.copy()
    off[IMAGE] += PUT_OFF
    at, left = places[IMAGE], without_place(off, series.tilt_deg)
    rms = np.sqrt((left**2).mean((0, 1)))
    print(f"1e: image off by {np.round(off[IMAGE], 3)} px (y, x)")
    print(f"without the specimen's place {np.round(left[IMAGE], 3)}, all images {np.round(rms, 3)} RMS")
    edge = points[[0, -1]] + np.array([-0.5, 0.5]) * (points[1] - points[0])
    shown = ax.imshow(maps[IMAGE], origin="lower", extent=(*edge, *edge), cmap="viridis")
    ax.plot(-PUT_OFF[1], -PUT_OFF[0], "o", mfc="none", mec=RED, ms=13, label="true")
    ax.plot(at[1], at[0], "+", color="white", ms=11, label=f"parabola ({at[0]:.2f}, {at[1]:.2f}) px")
    title = f"1e (all images: {rms[0]:.2f}, {rms[1]:.2f} px RMS off)"
    ax.set(xlabel="shift x (px)", ylabel="shift y (px)", title=title)
    ax.legend(fontsize=8, labelcolor="white", facecolor="#333333", framealpha=0.7)
    ax.figure.colorbar(shown, ax=ax, label="reconstruction error", shrink=0.8)


def without_place(shifts: np.ndarray, tilt_deg: np.ndarray) -> np.ndarray:
    """`(n_tilt, n_focus, 2)` errors of shifts less what only moves the specimen (score_align.py)."""
    angle, left = np.radians(tilt_deg)[:, None] + 0 * shifts[..., 0], np.array(shifts)
    left[..., 0] -= left[..., 0].mean()
    free = np.column_stack([np.cos(angle).ravel(), np.sin(angle).ravel()])
    fitted = free @ np.linalg.lstsq(free, left[..., 1].ravel(), rcond=None)[0]
    left[..., 1] -= fitted.reshape(angle.shape)
    return left


def convergence(ax: Any, searches: list[list[dict[str, Any]]]) -> None:
    """1f, left."""
    start = 1
    for number, (trials, colour) in enumerate(zip(searches, (BLUE, RED), strict=False)):
        scores = np.array([trial["score"] for trial in trials], float)
        x = np.arange(start, start + len(scores))
        start += len(scores)
        ax.plot(x, scores, "o", ms=4, color=colour, label=f"search {number + 1}")
        ax.step(x, np.fmin.accumulate(scores), where="post", color=colour, lw=1)
    ax.set(xlabel="trial", ylabel="held-out error", yscale="log", title="1f: convergence")
    ax.legend(frameon=False, fontsize=8)


def against_cs(ax: Any, searches: list[list[dict[str, Any]]]) -> None:
    """1f, right."""
    for trials, colour in zip(searches, (BLUE, RED), strict=False):
        told = [(tuple(trial["point"]), trial["score"]) for trial in trials]
        cs = np.array([trial["values"]["cs_angstrom"] for trial in trials]) * 1e-7
        proposer = make_proposer(OptimiseConfig(ranges=(Range(name="cs_angstrom"),), initial=3), told)
        best = trials[int(np.argmin([score for _, score in told]))]
        part = slice_through(proposer, tuple(best["point"]), (0,))
        assert part is not None
        slope, first = np.polyfit([point[0] for point, _ in told], cs, 1)
        x = first + slope * part.grid
        ax.plot(cs, [score for _, score in told], "o", ms=4, color=colour)
        ax.plot(x, part.mean, color=colour, lw=1)
        ax.fill_between(x, part.mean - part.sigma, part.mean + part.sigma, color=colour, alpha=0.2)
    ax.axvline(truth()["Cs_A"] * 1e-7, color=GREY, ls="--", lw=1, label="true")
    ax.set(xlabel="Cs (mm)", ylabel="held-out error", title="1f: process, ± 1 σ")
    ax.legend(frameon=False, fontsize=8)


def main() -> None:
    import matplotlib.pyplot as plt

    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    parser.add_argument("figure", type=Path)
    parser.add_argument("--found", type=Path, help="output of phaset3m optimise")
    parser.add_argument("--trials", type=Path, help="its --trials")
    given = parser.parse_args()
    if not DATA.exists():
        print(f"{DATA}: is not there, nothing to draw")
        return
    series, searches = found_and_trials(given.found, given.trials)
    figure, axes = plt.subplots(2, 2, figsize=(11, 8), layout="constrained")
    defocus(axes[0, 0], series)
    shift_map(axes[0, 1])
    convergence(axes[1, 0], searches)
    against_cs(axes[1, 1], searches)
    figure.savefig(given.figure, dpi=110)
    print(given.figure)


if __name__ == "__main__":
    main()
