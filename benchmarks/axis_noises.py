"""Errors of the axis that `coarse` finds in the vesicles at 20 e/Å², over noises other than the table's.

``python benchmarks/axis_noises.py`` prints them for both tilt ranges, and their root mean square, to be
compared with the bounds of axis_bound.py.
"""

from __future__ import annotations

import numpy as np

import bench_alignment as bench
from napari_phaset3m.prepare.align.coarse import iterate_coarse
from napari_phaset3m.prepare.events import drain

DOSE, NOISES = 20.0, range(301, 309)


def main() -> None:
    """Run it."""
    for reach in bench.RANGES:
        series, _ = bench.simulated("vesicles", reach)
        given = (bench.injected(series, DOSE, noise)[0] for noise in NOISES)
        found = [drain(iterate_coarse(one)).result for one in given]
        error = np.array([one.axis_angle_deg for one in found]) - bench.AXIS_DEG
        told = np.array([one.axis_error_deg for one in found])
        print(
            f"vesicles, {reach:g} degrees: RMS {np.sqrt((error**2).mean()):.3f}",
            error.round(2),
            told.round(2),
        )


if __name__ == "__main__":
    main()
