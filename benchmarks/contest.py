"""PhaseT3M against every linear method on co3o4_dev, at three doses: the tables of docs/methods.md.

    python benchmarks/contest.py defaults constraints alone tuned --threads 2   # what contest.csv lacks
    python benchmarks/contest.py --tables                                   # contest.csv as markdown

Needs ../shared/data/co3o4. Methods are written as ``phaset3m compare --methods`` takes them, and scored as
it does (``--truth --model --mask auto --cell '8.084 F' --rotate none``). Rows of results/contest.csv are
kept: delete those to be measured anew. Of the grid ``tuned`` only the FSC is measured, and everything of each
method's best.
"""

from __future__ import annotations

import argparse
import csv
import datetime
import io
import time
from collections.abc import Iterable, Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Any

from napari_phaset3m import load_series
from napari_phaset3m.analyse.bragg_table import BraggReport
from napari_phaset3m.analyse.cell import Cell
from napari_phaset3m.cli.compare_methods import plans
from napari_phaset3m.cli.subjects import load_subject
from napari_phaset3m.io.atomic import write_text
from napari_phaset3m.reconstruct.api import Reconstruction, reconstruct
from napari_phaset3m.report.comparison import contest
from napari_phaset3m.report.mean_fsc import mean_fsc
from napari_phaset3m.report.quality import judge
from napari_phaset3m.report.scores import Score
from napari_phaset3m.report.subject import Subject
from napari_phaset3m.simulate.specimens import read_xyz

DATA = Path(__file__).resolve().parents[2] / "shared/data/co3o4"
TABLE = Path(__file__).parent / "results" / "contest.csv"
#: Dose per image, e/Å², and its series.
SERIES = {
    "200": "co3o4_dev_dose200",
    "21.5": "co3o4_dev_dose21p5",
    "noiseless": "co3o4_dev",
}
NOISY = ("200", "21.5")
WIENER = "ctf_correction=wiener"
LINEAR = ("sirt", "sart", "art", "fbp", "wbp", "resire", "cgls", "tv")
#: Positivity is all that linear methods have; the rest is what priors do to multislice.
ALONE = "multislice:sparsity=0:atomic_basis_sigma_angstrom=none"
NEITHER = "multislice:positivity=false:sparsity=0"
DEFAULTS = ("multislice", *(f"{name}:{WIENER}" for name in LINEAR), ALONE, "singleslice", "sirt")
CONSTRAINTS = (NEITHER, "multislice:sparsity=0", "multislice:positivity=false")
#: Where held-out images do not stop it: sweeps by truth, as for the linear methods.
ALONE_LONGER = tuple(f"{ALONE}:iterations={sweeps}" for sweeps in (15, 45))
SNR = ("1", "3", "10", "30")
#: Settings tried by truth for the linear methods that lead somewhere, at the doses with noise.
GRID: dict[str, dict[str, tuple[str, ...]]] = {
    "tv": {"wiener_snr": SNR, "tv_strength": ("0.002", "0.006", "0.02")},
    "sirt": {"wiener_snr": SNR, "iterations": ("10", "30", "60", "120")},
    "fbp": {"wiener_snr": SNR, "filter_lowpass_angstrom": ("none", "1.3", "1.6", "2")},
    "cgls": {"wiener_snr": SNR, "iterations": ("4", "8", "15")},
    "resire": {"wiener_snr": SNR, "iterations": ("30", "100", "200")},
}
#: Where the best of the grid lay at its edge: further settings, by dose and method.
EDGE: dict[tuple[str, str], tuple[str, ...]] = {
    ("200", "tv"): ("wiener_snr=100", "wiener_snr=100:tv_strength=0.02"),
    ("200", "sirt"): ("wiener_snr=30:iterations=240", "wiener_snr=100:iterations=240"),
    ("200", "resire"): ("wiener_snr=100:iterations=200", "wiener_snr=30:iterations=400"),
    ("21.5", "tv"): ("wiener_snr=0.3",),
    ("21.5", "sirt"): ("wiener_snr=0.3:iterations=120", "wiener_snr=1:iterations=240"),
    ("21.5", "resire"): ("wiener_snr=0.3:iterations=200",),
    ("21.5", "fbp"): ("wiener_snr=0.3:filter_lowpass_angstrom=1.6",),
    ("21.5", "cgls"): ("wiener_snr=0.3:iterations=8",),
}
#: Column: (first words of the score's quality, its last words, what a perfect volume has).
SCORES = {
    "fsc_mean": ("FSC with the truth, plain mean", "", None),
    "co_atoms": ("Co atoms of the model found", "", 323),
    "rmsd_angstrom": ("RMSD of those Co atoms", "", None),
    "pairs": ("Bragg pairs of the truth", "with its phase", 137),
    "pairs_in_wedge": ("Bragg pairs of the truth", ", in the missing wedge", 42),
    "false_pairs": ("Bragg pairs over SNR 5 where the truth has none", "", None),
    "phase_error_deg": ("Mean phase error", "", None),
    "intensity_correlation": ("Correlation of the intensities", "", None),
}
FIELDS = ("dose", "method", "sweeps", *SCORES, "agree_off_lattice", "seconds", "date")
Row = dict[str, str]


class Judge:
    """Scores volumes against the truth, whose own peaks are measured once."""

    def __init__(self) -> None:
        self.known: dict[str, Any] = {
            "model": read_xyz(DATA / "co3o4_dev_truth_atoms.xyz"),
            "series": load_series(DATA / "co3o4_dev.h5"),  # only its tilts are used
            "cell": Cell.cubic(8.084, "F"),
        }
        self.truth = load_subject(DATA / "co3o4_dev_truth_V.mrc", name="truth", mask="auto", **self.known)
        self._peaks: BraggReport | None = None

    def score(self, found: Reconstruction, *, fsc_only: bool = False) -> dict[str, float]:
        """Figures of one volume, by column."""
        voxel = found.voxel_size_angstrom
        one = Subject(name="volume", volume=found.volume, voxel_size_angstrom=voxel, **self.known)
        match = contest([one], self.truth)
        if fsc_only:
            return {"fsc_mean": mean_fsc(match.comparisons[0].fsc)}
        judged = judge(match, truth=self._peaks)
        peaks = judged.bragg[0]
        assert isinstance(judged.truth, BraggReport) and isinstance(peaks, BraggReport), judged.notes
        self._peaks = judged.truth
        values = {column: _value(judged.scores(), column) for column in SCORES}
        return values | {"agree_off_lattice": peaks.false_alarms.phase_rate or 0.0}


def _value(scores: Sequence[Score], column: str) -> float:
    first, last, total = SCORES[column]
    score = next(s for s in scores if s.quality.startswith(first) and s.quality.endswith(last))
    assert total is None or score.total == total, f"{column}: {score.total} in the truth"
    value = score.values[0]
    return float("nan") if value is None else value


def measure(judge: Judge, dose: str, method: str, *, threads: int, fsc_only: bool = False) -> Row:
    """Reconstruct and score; ``method`` as ``--methods`` takes it."""
    (plan,) = plans(method, None)
    series = load_series(DATA / f"{SERIES[dose]}.h5")
    start = time.perf_counter()
    found = reconstruct(series, plan.config.model_copy(update={"threads": threads}), device="cpu")
    seconds = time.perf_counter() - start
    scores = {name: f"{value:.5g}" for name, value in judge.score(found, fsc_only=fsc_only).items()}
    date = datetime.datetime.now(datetime.UTC).isoformat(timespec="minutes")
    sweeps = str(len(found.sweeps))
    row = {"dose": dose, "method": method, "sweeps": sweeps, "seconds": f"{seconds:.0f}", "date": date}
    return dict.fromkeys(FIELDS, "") | row | scores


def grid(name: str) -> list[str]:
    """Every combination of a method's settings; those at their defaults are left out."""
    default = {"wiener_snr": "10", "filter_lowpass_angstrom": "none", "tv_strength": "0.002"}
    default["iterations"] = {"sirt": "30", "cgls": "15", "resire": "100"}.get(name, "")
    found = []
    for values in product(*GRID[name].values()):
        given = zip(GRID[name], values, strict=True)
        found.append(":".join([name, WIENER, *(f"{k}={v}" for k, v in given if v != default[k])]))
    return found


def best(rows: Iterable[Row], dose: str, name: str) -> Row | None:
    """Of a linear method with any settings, the row of the highest FSC."""
    own = [row for row in rows if row["dose"] == dose and row["method"].startswith(f"{name}:")]
    return max(own, key=lambda row: float(row["fsc_mean"]), default=None)


class Results:
    """The rows of a CSV file, written after every one."""

    def __init__(self, path: Path = TABLE) -> None:
        self.path, self.rows = path, []
        if path.exists():
            with path.open(encoding="utf-8", newline="") as file:
                self.rows: list[Row] = list(csv.DictReader(file))

    def row(self, dose: str, method: str) -> Row | None:
        """What was measured, if it was."""
        return next((r for r in self.rows if (r["dose"], r["method"]) == (dose, method)), None)

    def ensure(self, judge: Judge, dose: str, method: str, *, threads: int, fsc_only: bool = False) -> None:
        """Measure what is missing."""
        old = self.row(dose, method)
        if old is not None and (fsc_only or old["co_atoms"]):
            return
        row = measure(judge, dose, method, threads=threads, fsc_only=fsc_only)
        self.rows = [r for r in self.rows if r is not old] + [row]
        text = io.StringIO()
        writer = csv.DictWriter(text, FIELDS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        write_text(self.path, text.getvalue())
        print(", ".join(f"{k} {v}" for k, v in row.items() if v), flush=True)


def jobs(stage: str, results: Results) -> Iterator[tuple[str, str, bool]]:
    """(dose, method, FSC only) of a stage; the best of a grid is asked for when the grid is done."""
    plain = {
        "defaults": (SERIES, DEFAULTS),
        "constraints": (SERIES, CONSTRAINTS),
        "alone": (NOISY, ALONE_LONGER),  # without noise all sweeps are made anyway
    }
    if stage in plain:
        yield from ((dose, method, False) for dose, method in product(*plain[stage]))
        return
    for dose, name in product(NOISY, GRID):
        further = [f"{name}:{WIENER}:{given}" for given in EDGE.get((dose, name), ())]
        yield from ((dose, method, True) for method in (*grid(name), *further))
        top = best(results.rows, dose, name)
        assert top is not None
        yield dose, top["method"], False


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("stages", nargs="*", help="defaults, constraints, alone, tuned")
    parser.add_argument("--dose", choices=SERIES, help="only this one")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--tables", action="store_true", help="print contest.csv as markdown")
    given = parser.parse_args()
    results = Results()
    judge = Judge() if given.stages else None
    for stage in given.stages:
        for dose, method, fsc_only in jobs(stage, results):
            if judge is not None and given.dose in (None, dose):
                results.ensure(judge, dose, method, threads=given.threads, fsc_only=fsc_only)
    if given.tables:
        from contest_tables import tables

        print(tables(results.rows))


if __name__ == "__main__":
    main()
