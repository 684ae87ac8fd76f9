"""Refinement inside the reconstruction: what may change about the images between sweeps.

A hook is called after every accepted sweep with the stage and the volume, and may change
``problem.shifts_px`` and ``problem.defocus_angstrom`` in place. :class:`GaussNewton` is the
one that the parameters switch on: one damped Gauss-Newton step per sweep from analytic
derivatives of the predicted amplitudes (joint refinement of alignment and optics as in
Lee et al. 2025; Ren et al., Ultramicroscopy 208 (2020) 112860).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Protocol

import numpy as np

from napari_phaset3m.config import ReconstructionConfig, RefineConfig
from napari_phaset3m.core.aberrations import AZIMUTHS, KRIVANEK
from napari_phaset3m.core.backend import asnumpy
from napari_phaset3m.core.optics import Microscope
from napari_phaset3m.core.precision import Array
from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.errors import ConfigError
from napari_phaset3m.reconstruct.methods.multislice import MultisliceMethod
from napari_phaset3m.reconstruct.problem import Problem, is_linear

#: Order of the coefficients in a checkpoint.
_COEFFICIENTS = (*(name for name in KRIVANEK if name not in ("C10", "C30")), *sorted(AZIMUTHS))
#: Levenberg's damping, as a fraction of the diagonal; largest change per sweep.
DAMPING, MAX_SHIFT_PX, MAX_DEFOCUS_ANGSTROM = 0.02, 1.0, 100.0


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


class GaussNewton:
    """One damped step per sweep for image shifts and defoci.

    Parameters
    ----------
    config : RefineConfig
    """

    def __init__(self, config: RefineConfig) -> None:
        self.config = config

    def active(self, sweep: int) -> bool:
        """By the schedule."""
        return self.config.refine_schedule.active(sweep)

    def refine(self, method: MultisliceMethod, problem: Problem, volume: Array) -> None:
        """See :class:`Hook`."""
        host = asnumpy(volume)
        change = np.zeros((*problem.weight.shape, 3))
        for tilt in problem.tilts:
            used = problem.weight[tilt] > 0
            change[tilt] = self._step(*method.optics_equations(host, int(tilt)), used)
        if self.config.refine_shifts:
            problem.shifts_px[...] += np.clip(change[..., :2], -MAX_SHIFT_PX, MAX_SHIFT_PX)
            remove_specimen_shift(problem)
        if self.config.refine_defocus != "off":
            assert problem.defocus_angstrom is not None
            limit = MAX_DEFOCUS_ANGSTROM
            problem.defocus_angstrom[...] += np.clip(change[..., 2], -limit, limit)

    def _step(self, gradient: np.ndarray, normal: np.ndarray, used: np.ndarray) -> np.ndarray:
        """`(n_focus, 3)` change of one tilt's shifts and defoci."""
        n = len(gradient)
        columns = self._columns(n)
        full = np.zeros((3 * n, 3 * n))
        for f in range(n):
            full[3 * f : 3 * f + 3, 3 * f : 3 * f + 3] = normal[f] * used[f]
        matrix = columns.T @ full @ columns
        right = columns.T @ (gradient * used[:, None]).ravel()
        diagonal = np.diag(matrix)
        matrix = matrix + np.diag(DAMPING * diagonal + 1e-12 * max(diagonal.max(), 1e-30))
        return np.asarray((columns @ -np.linalg.solve(matrix, right)).reshape(n, 3) * used[:, None])

    def _columns(self, n: int) -> np.ndarray:
        """`(3 n, n_free)`: how the free parameters change shift y, shift x and defocus of each image."""
        unit = np.eye(3 * n).reshape(3 * n, n, 3)
        found = [unit[:, :, :2].reshape(3 * n, -1)] if self.config.refine_shifts else []
        if self.config.refine_defocus == "image":
            found.append(unit[:, :, 2])
        elif self.config.refine_defocus == "tilt":
            found.append(unit[:, :, 2].sum(1, keepdims=True))
        return np.concatenate(found, axis=1)


def remove_specimen_shift(problem: Problem) -> None:
    """Take out of the shifts what a translation of the specimen explains.

    It moves every image by ``y`` along the tilt axis and by ``x cos - z sin`` across it.
    """
    radians = np.radians(np.asarray(problem.geometry.tilt_deg, np.float64))
    used = problem.weight > 0
    shifts = problem.shifts_px
    shifts[..., 0] -= shifts[..., 0][used].mean()
    model = np.stack([np.cos(radians), -np.sin(radians)], axis=1)
    tilt = np.nonzero(used)[0]
    fit = np.linalg.lstsq(model[tilt], shifts[..., 1][used], rcond=None)[0]
    shifts[..., 1] -= (model @ fit)[:, None]


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


def recall(problem: Problem, memory: dict[str, Array]) -> None:
    """Take back what :func:`remember` put there."""
    shifts, defocus = memory.pop("refined_shifts_px", None), memory.pop("refined_defocus_angstrom", None)
    optics = memory.pop("refined_optics", None)
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
    assert isinstance(method, MultisliceMethod)  # a GPU is refused before (reconstruct/device.py)
    return (GaussNewton(config.refine),)
