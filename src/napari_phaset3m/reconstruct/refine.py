"""Refinement inside the reconstruction: what may change about the images between sweeps.

A hook is called after every accepted sweep with the stage and the volume, and may change
``problem.shifts_px`` and ``problem.defocus_angstrom`` in place, and replace
``problem.microscope``. :class:`.gauss_newton.GaussNewton` is the one that the parameters
switch on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Protocol

import numpy as np

from napari_phaset3m.config import ReconstructionConfig
from napari_phaset3m.core.aberrations import AZIMUTHS, KRIVANEK
from napari_phaset3m.core.optics import Microscope
from napari_phaset3m.core.precision import Array
from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.errors import ConfigError
from napari_phaset3m.reconstruct.problem import Problem, is_linear

#: Order of the coefficients in a checkpoint.
_COEFFICIENTS = (*(name for name in KRIVANEK if name not in ("C10", "C30")), *sorted(AZIMUTHS))


class Hook(Protocol):
    """Something that refines the problem between sweeps."""

    def active(self, sweep: int) -> bool:
        """Whether it acts after this sweep (counted from 0)."""
        ...

    def refine(self, method: Any, problem: Problem, volume: Array) -> None:
        """Change the problem's shifts or defoci in place.

        Parameters
        ----------
        method : Method
        problem : Problem
        volume : Array
            `(n_channel, nz, nx, ny)` float32 on the device, in the method's unit.
        """
        ...


def remove_specimen_shift(problem: Problem, place_px: np.ndarray | float) -> None:
    """Take out of the shifts what a translation of the specimen explains.

    It moves every image by ``y`` along the tilt axis and by ``x cos - z sin`` across it.

    Parameters
    ----------
    problem : Problem
    place_px : ndarray or float
        `(n_tilt, n_focus, 2)` (y, x) shifts whose own part of it stays: the volume so far, and a mask, lie
        where the shifts that they were begun with have put the specimen. 0: nothing of it stays.
    """
    radians = np.radians(np.asarray(problem.geometry.tilt_deg, np.float64))
    used = problem.weight > 0
    moved = problem.shifts_px - place_px
    model = np.stack([np.cos(radians), -np.sin(radians)], axis=1)
    tilt = np.nonzero(used)[0]
    fit = np.linalg.lstsq(model[tilt], moved[..., 1][used], rcond=None)[0]
    problem.shifts_px[..., 0] -= moved[..., 0][used].mean()
    problem.shifts_px[..., 1] -= (model @ fit)[:, None]


def adopt_optics(problem: Problem, other: Problem) -> None:
    """Take over the optics that were refined on another sampling; the detector's curve is of each."""
    if problem.microscope is not None and other.microscope is not None:
        problem.microscope = replace(
            problem.microscope,
            spherical_aberration_angstrom=other.microscope.spherical_aberration_angstrom,
            focal_spread_angstrom=other.microscope.focal_spread_angstrom,
            aberrations=other.microscope.aberrations,
        )


def remember(problem: Problem, memory: dict[str, Array]) -> None:
    """Put what refiners change where a checkpoint saves it."""
    memory["refined_shifts_px"] = problem.shifts_px.copy()
    if problem.defocus_angstrom is not None:
        memory["refined_defocus_angstrom"] = problem.defocus_angstrom.copy()
    if problem.microscope is not None:
        memory["refined_optics"] = _optics_array(problem.microscope)
    problem.gains.remember(memory)


def recall(problem: Problem, memory: dict[str, Array]) -> None:
    """Take back what :func:`remember` put there."""
    shifts, defocus = memory.pop("refined_shifts_px", None), memory.pop("refined_defocus_angstrom", None)
    optics = memory.pop("refined_optics", None)
    problem.gains.recall(memory)
    if shifts is not None:
        problem.shifts_px[...] = shifts
    if defocus is not None and problem.defocus_angstrom is not None:
        problem.defocus_angstrom[...] = defocus
    if optics is not None and problem.microscope is not None:
        values = np.asarray(optics, np.float64)
        names = [name for name in _COEFFICIENTS if not np.isnan(values[2 + _COEFFICIENTS.index(name)])]
        problem.microscope = replace(
            problem.microscope,
            spherical_aberration_angstrom=float(values[0]),
            focal_spread_angstrom=float(values[1]),
            aberrations={name: float(values[2 + _COEFFICIENTS.index(name)]) for name in names},
        )


def _optics_array(microscope: Microscope) -> np.ndarray:
    """Cs, focal spread and coefficients in a fixed order, NaN where one is not stated."""
    known = microscope.aberrations
    shared = [microscope.spherical_aberration_angstrom, microscope.focal_spread_angstrom]
    return np.array(shared + [known.get(name, np.nan) for name in _COEFFICIENTS])


def refined(problem: Problem, series: TiltFocalSeries) -> dict[str, Any]:
    """Shifts in pixels of the series, defoci and optics, as plain data."""
    scale = problem.grid.pixel_size_angstrom / series.pixel_size_angstrom
    found: dict[str, Any] = {"shifts_px": np.round(problem.shifts_px * scale, 4).tolist()}
    if problem.defocus_angstrom is not None:
        found["defocus_angstrom"] = np.round(problem.defocus_angstrom, 2).tolist()
    if problem.microscope is not None:
        found["spherical_aberration_angstrom"] = problem.microscope.spherical_aberration_angstrom
        found["focal_spread_angstrom"] = problem.microscope.focal_spread_angstrom
        found["aberrations"] = dict(problem.microscope.aberrations)
    return found


def hooks_for(config: ReconstructionConfig, method: Any) -> Sequence[Hook]:
    """The hooks that the parameters switch on.

    Raises
    ------
    ConfigError
        Refinement of what the method does not use, or where it cannot run.
    """
    if not config.refine.on:
        return ()
    if is_linear(config):
        raise ConfigError("refine: linear methods use neither shifts' derivatives nor defocus; switch it off")
    from napari_phaset3m.reconstruct.gauss_newton import GaussNewton

    return (GaussNewton(config.refine),)
