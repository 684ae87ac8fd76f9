"""Errors of the axis over noises other than the table's, of its series or of larger ones.

``python benchmarks/axis_noises.py SPECIMEN [--usual] [--dose D] [--range R] [--noises FIRST COUNT]`` prints
error and told error of `coarse`, and of `axis` after it where the pixels call for the multislice model, to be
compared with the bounds of axis_bound.py. ``--usual``: wider specimens, 96² px, three foci, tilts every 2°.
"""

from __future__ import annotations

import argparse

import numpy as np

import bench_alignment as bench
from napari_phaset3m.prepare.align.api import align
from napari_phaset3m.prepare.align.coarse import iterate_coarse
from napari_phaset3m.prepare.align.config import AlignConfig
from napari_phaset3m.prepare.events import drain
from napari_phaset3m.simulate.config import CarbonConfig, SpecimenConfig

#: Of larger series, what differs from the table's.
FINER = {"size": 96, "step": 2.0}
THREE = (1500.0, 1900.0, 2300.0)
GOLD = {**FINER, "foci": THREE, "specimen": SpecimenConfig(kind="gold", diameter_angstrom=44)}
USUAL = {
    "Co3O4 sphere": {**FINER, "foci": THREE, "specimen": SpecimenConfig(diameter_angstrom=62)},
    "gold in carbon": {**GOLD, "carbon": CarbonConfig(thickness_angstrom=36, radius_angstrom=30)},
    "gold": GOLD,
    "vesicles": {
        **FINER,
        "foci": (20000.0, 25000.0, 30000.0),
        "vesicles": bench.SPECIMENS["vesicles"]["vesicles"].model_copy(update={"n_vesicle": 12}),
    },
}


def specimen(name: str, usual: bool) -> str:
    """The key in the table's specimens of the one asked for, put there if it is new."""
    bare = {k: v for k, v in bench.SPECIMENS["gold in carbon"].items() if k != "carbon"}
    known = {**bench.SPECIMENS, "gold": bare}[name]
    bench.SPECIMENS["asked"] = {**known, **USUAL[name]} if usual else known
    return "asked"


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("specimen", choices=tuple(USUAL))
    parser.add_argument("--usual", action="store_true", help="a larger series")
    parser.add_argument("--dose", type=float, default=20.0, help="e/Å² in each image")
    parser.add_argument("--range", type=float, default=50.0, help="largest tilt, degrees")
    parser.add_argument("--noises", type=int, nargs=2, default=(301, 8), help="first, and how many")
    asked = parser.parse_args()
    series, _ = bench.simulated(specimen(asked.specimen, asked.usual), asked.range)
    frame, errors = FINER["size"] if asked.usual else bench.FRAME, []
    for noise in range(asked.noises[0], sum(asked.noises)):
        given, shifts = bench.injected(series, asked.dose, noise, int(frame))
        coarse = drain(iterate_coarse(given)).result
        angle, told = coarse.axis_angle_deg, coarse.axis_error_deg
        line = f"{noise}: coarse {angle - bench.AXIS_DEG:+.2f} ± {told:.2f}"
        line += " ({:.3f}, {:.3f} px)".format(*bench.shift_errors(coarse.alignment, shifts))
        if asked.specimen != "vesicles":
            axis = align(given, AlignConfig(stages=("axis",)), start=coarse.alignment).result.axis
            angle, told = axis.angle_deg, axis.angle_error_deg or told
            line += f", axis {angle - bench.AXIS_DEG:+.3f} ± {told:.2f}"
        print(line, flush=True)
        errors.append(angle - bench.AXIS_DEG)
    rms = float(np.sqrt(np.square(errors).mean()))
    print(f"{asked.specimen}, {series.images.shape}, ±{asked.range:g}°, {asked.dose:g} e/Å²: RMS {rms:.3f}°")


if __name__ == "__main__":
    main()
