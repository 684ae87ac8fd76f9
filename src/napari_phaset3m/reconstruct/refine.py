"""Refinement inside the reconstruction: what may change about the images between sweeps.

A hook is called after every accepted sweep with the stage and the volume, and may change
``problem.shifts_px`` and ``problem.defocus_angstrom`` in place. :class:`GaussNewton` is the
one that the parameters switch on: one damped Gauss-Newton step per sweep from analytic
derivatives of the predicted amplitudes (joint refinement of alignment and optics as in
Lee et al. 2025; Ren et al., Ultramicroscopy 208 (2020) 112860).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np

from napari_phaset3m.config import ReconstructionConfig, RefineConfig
from napari_phaset3m.core.precision import REAL, Array
from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.errors import ConfigError
from napari_phaset3m.reconstruct.methods.multislice import MultisliceMethod
from napari_phaset3m.reconstruct.methods.multislice_cuda import CudaMultisliceMethod
from napari_phaset3m.reconstruct.problem import Problem, is_linear

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


Scattering = MultisliceMethod | CudaMultisliceMethod


def _equations(
    method: Scattering, volume: Array, weights: np.ndarray
) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Tilt, gradient and normal matrix of every tilt that has a weight."""
    tilts = [int(t) for t in np.flatnonzero(weights.any(1))]
    if isinstance(method, CudaMultisliceMethod):
        yield from method.optics_equations_of(volume, tilts, weights)
        return
    for tilt in tilts:
        yield tilt, *method.optics_equations(volume, tilt, weights=weights[tilt])


class GaussNewton:
    """One damped step per sweep for image shifts and defoci.

    What belongs to an image alone (its shift; with ``refine_defocus: image`` its defocus) is
    found from that image, also where it is held out: left as it was, it would be judged ever
    more wrongly while the volume follows the other images, and would end the run too soon.
    These few numbers follow the held-out image; the volume does not. A tilt's common
    defocus is found from the images that drive the volume, and moves the held-out ones of the
    tilt along; only a tilt that is held out altogether gives its own.

    Parameters
    ----------
    config : RefineConfig
    """

    def __init__(self, config: RefineConfig) -> None:
        self.config = config

    def active(self, sweep: int) -> bool:
        """By the schedule."""
        return self.config.refine_schedule.active(sweep)

    def refine(self, method: Scattering, problem: Problem, volume: Array) -> None:
        """See :class:`Hook`."""
        drives, held = problem.weight > 0, problem.held_out
        # A held-out image weighs as an image of its tilt does on average.
        share = problem.weight.sum(1) / np.maximum(1, drives.sum(1))
        own = np.where(share > 0, share, 1.0)[:, None]
        weights = np.asarray(np.where(held, own, problem.weight), REAL)
        change = np.zeros((*problem.weight.shape, 3))
        for tilt, gradient, normal in _equations(method, volume, weights):
            change[tilt] = self._change(gradient, normal, drives[tilt], held[tilt])
        if self.config.refine_shifts:
            problem.shifts_px[...] += np.clip(change[..., :2], -MAX_SHIFT_PX, MAX_SHIFT_PX)
            remove_specimen_shift(problem)
        if self.config.refine_defocus != "off":
            assert problem.defocus_angstrom is not None
            limit = MAX_DEFOCUS_ANGSTROM
            problem.defocus_angstrom[...] += np.clip(change[..., 2], -limit, limit)

    def _change(
        self, gradient: np.ndarray, normal: np.ndarray, drives: np.ndarray, held: np.ndarray
    ) -> np.ndarray:
        """`(n_focus, 3)` change of one tilt's shifts and defoci."""
        if not (drives.any() and held.any()):
            return self._step(gradient, normal, drives | held)
        change = self._step(gradient, normal, drives)
        common = self.config.refine_defocus == "tilt"
        if common:
            change[held, 2] = change[drives][0, 2]
            gradient = gradient + normal[..., 2] * change[:, 2:]
        return np.asarray(change + self._step(gradient, normal, held, defocus=not common))

    def _step(
        self, gradient: np.ndarray, normal: np.ndarray, used: np.ndarray, *, defocus: bool = True
    ) -> np.ndarray:
        """`(n_focus, 3)` change of the used images' shifts and, unless told not to, defoci."""
        n = len(gradient)
        columns = self._columns(n, defocus)
        if not columns.shape[1]:
            return np.zeros((n, 3))
        full = np.zeros((3 * n, 3 * n))
        for f in range(n):
            full[3 * f : 3 * f + 3, 3 * f : 3 * f + 3] = normal[f] * used[f]
        matrix = columns.T @ full @ columns
        right = columns.T @ (gradient * used[:, None]).ravel()
        diagonal = np.diag(matrix)
        matrix = matrix + np.diag(DAMPING * diagonal + 1e-12 * max(diagonal.max(), 1e-30))
        return np.asarray((columns @ -np.linalg.solve(matrix, right)).reshape(n, 3) * used[:, None])

    def _columns(self, n: int, defocus: bool) -> np.ndarray:
        """`(3 n, n_free)`: how the free parameters change shift y, shift x and defocus of each image."""
        unit = np.eye(3 * n).reshape(3 * n, n, 3)
        found = [np.zeros((3 * n, 0))]
        if self.config.refine_shifts:
            found.append(unit[:, :, :2].reshape(3 * n, -1))
        if defocus and self.config.refine_defocus == "image":
            found.append(unit[:, :, 2])
        elif defocus and self.config.refine_defocus == "tilt":
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


def remember(problem: Problem, memory: dict[str, Array]) -> None:
    """Put what refiners change where a checkpoint saves it."""
    memory["refined_shifts_px"] = problem.shifts_px.copy()
    if problem.defocus_angstrom is not None:
        memory["refined_defocus_angstrom"] = problem.defocus_angstrom.copy()


def recall(problem: Problem, memory: dict[str, Array]) -> None:
    """Take back what :func:`remember` put there."""
    shifts, defocus = memory.pop("refined_shifts_px", None), memory.pop("refined_defocus_angstrom", None)
    if shifts is not None:
        problem.shifts_px[...] = shifts
    if defocus is not None and problem.defocus_angstrom is not None:
        problem.defocus_angstrom[...] = defocus


def refined(problem: Problem, series: TiltFocalSeries) -> dict[str, Any]:
    """Shifts in pixels of the series, and defoci, as plain data."""
    scale = problem.grid.pixel_size_angstrom / series.pixel_size_angstrom
    found: dict[str, Any] = {"shifts_px": np.round(problem.shifts_px * scale, 4).tolist()}
    if problem.defocus_angstrom is not None:
        found["defocus_angstrom"] = np.round(problem.defocus_angstrom, 2).tolist()
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
    return (GaussNewton(config.refine),)
