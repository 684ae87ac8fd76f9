"""Drift that is applied to movies of noise alone and to weak movies, over 20 noises each.

    python benchmarks/motion_noises.py

Specimen and drift are those of the tests (`tests/prepare/_movies.py`: settling drift, 15 % rms). Told are
how many of the movies were moved, the largest shift that was applied, the error of the shifts (rms over used
frames and axes, median and worst movie; one that is left as it is counts with its whole drift), and seconds.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "prepare"))
from _movies import movie, settling

from napari_phaset3m.prepare.motion.config import MotionConfig
from napari_phaset3m.prepare.motion.correct import iterate_motion
from napari_phaset3m.prepare.motion.movie import ArrayMovie

NOISES = 20
#: (pixels, frames, e/px/frame)
NOISE = ((128, 6, 1.0), (128, 6, 10.0), (128, 20, 1.0), (256, 8, 1.0))
WEAK = ((128, 6, 0.2), (128, 6, 0.5), (128, 6, 1.0), (256, 20, 0.2), (256, 20, 0.5), (256, 20, 1.0),
        (512, 20, 0.2))  # fmt: skip


def measured(frames: np.ndarray, truth: np.ndarray) -> tuple[float, float, float, float]:
    """Moved or not, largest shift, error and seconds of one movie."""
    begin = time.perf_counter()
    *_, result = iterate_motion(ArrayMovie(frames), MotionConfig(patches=1))
    used = result.used
    gap = (result.shifts_px - truth)[used]
    error = float(np.sqrt(((gap - gap.mean(axis=0)) ** 2).mean()))
    moved = float(np.isfinite(result.error_px).any())
    return moved, float(np.abs(result.shifts_px[used]).max()), error, time.perf_counter() - begin


def main() -> None:
    """Print a row for each kind of movie."""
    print("| movies | moved | largest shift, px | error, px: median, worst | s |\n|---|---|---|---|---|")
    for kind, rows in (("noise", NOISE), ("specimen", WEAK)):
        for n, count, dose in rows:
            truth = settling(count) if kind == "specimen" else np.zeros((count, 2))
            found = []
            for seed in range(NOISES):
                if kind == "specimen":
                    frames = movie(n=n, drift=truth, dose=dose, seed=10 * seed)
                else:
                    frames = np.random.default_rng(seed).poisson(dose, (count, n, n)).astype(np.uint8)
                found.append(measured(frames, truth))
            moved, most, error, seconds = np.array(found).T
            print(
                f"| {kind}, {n}² x {count}, {dose:g} e/px | {moved.sum():.0f} of {NOISES} | {most.max():.1f} "
                f"| {np.median(error):.3f}, {error.max():.3f} | {seconds.mean():.2f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
