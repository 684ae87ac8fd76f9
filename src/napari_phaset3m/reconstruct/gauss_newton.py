"""One damped Gauss-Newton step per sweep for shifts, defoci and the optics that all images share.

Derivatives are those of the predicted amplitudes, ``J = Re(conj(F)/|F| IFFT(q T W))`` with
q the derivative of the logarithm of the transfer T (joint refinement of alignment and
optics as in Lee et al. 2025; Ren et al., Ultramicroscopy 208 (2020) 112860). A tilt's own
unknowns (shifts, defocus) meet those of other tilts only through the shared optics, so
the normal equations have the shape of an arrow: each tilt's block is eliminated, the few
shared unknowns are solved for, and the tilts follow (Schur complement, as in bundle
adjustment: Triggs et al., LNCS 1883 (2000) 298).

What belongs to an image alone (its shift; with ``refine_defocus: image`` its defocus) is
found from that image, also where it is held out: left as it was, it would be judged ever
more wrongly while the volume follows the other images, and would end the run too soon.
These few numbers follow the held-out image; the volume and the shared optics do not. A
tilt's common defocus is found from the images that drive the volume, and moves the
held-out ones of the tilt along; only a tilt that is held out altogether gives its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from napari_phaset3m.config import RefineConfig
from napari_phaset3m.core.precision import REAL, Array
from napari_phaset3m.reconstruct.methods.base import Equations
from napari_phaset3m.reconstruct.problem import Problem
from napari_phaset3m.reconstruct.refine import remove_specimen_shift
from napari_phaset3m.reconstruct.shared_optics import all_factors, changed, count, distance, largest_change

#: Levenberg's damping, as a fraction of the diagonal; largest change per sweep.
DAMPING, MAX_SHIFT_PX, MAX_DEFOCUS_ANGSTROM = 0.02, 1.0, 100.0


@dataclass(frozen=True, slots=True)
class Spread:
    """Standard deviations of what is refined around what the series states; inf: not known at all.

    Attributes
    ----------
    shift_angstrom, defocus_angstrom : float
        Of an image's shift along each axis, and of a tilt's (or an image's) defocus.
    optics_angstrom : mapping of str to float
        By the names of ``refine_optics``.
    """

    shift_angstrom: float = np.inf
    defocus_angstrom: float = np.inf
    optics_angstrom: Mapping[str, float] = field(default_factory=dict)


class GaussNewton:
    """Refines what a config says (see :class:`.refine.Hook`).

    Parameters
    ----------
    config : RefineConfig
    spread : Spread, optional
        How far things may be from what the series states. It keeps noise, and coarse samplings,
        from running away with what the images hardly show.
    anchored : bool
        The specimen stays where the stated shifts have put it; else the shifts hold no translation of it
        from the first step on.
    """

    def __init__(self, config: RefineConfig, spread: Spread | None = None, *, anchored: bool = True) -> None:
        self.config, self.spread, self._anchored = config, spread or Spread(), anchored

    def active(self, sweep: int) -> bool:
        """By the schedule."""
        return self.config.refine_schedule.active(sweep)

    def refine(self, method: Any, problem: Problem, volume: Array) -> None:
        """See :class:`.refine.Hook`; ``method`` is a multislice method on either device."""
        assert problem.microscope is not None
        weights = seen_weights(problem)
        tilts = np.flatnonzero(weights.any(1))
        factors = all_factors(problem.grid, problem.microscope, self.config.refine_optics)
        equations = list(method.equations(volume, tilts.tolist(), weights, factors))
        noise = unexplained(equations, problem)
        found = [_Tilt(part, problem, self, noise) for part in equations]
        shared = self._shared_step(found, problem, noise)
        self._move_optics(problem, shared)
        change = np.zeros((*problem.weight.shape, 3))
        for tilt in found:
            change[tilt.number] = tilt.step(shared)
        if self.config.refine_shifts:
            step = problem.gains.taken("shifts", change[..., :2])
            problem.shifts_px[...] += np.clip(step, -MAX_SHIFT_PX, MAX_SHIFT_PX)
            remove_specimen_shift(problem, problem.stated.shifts_px if self._anchored else 0.0)
        if self.config.refine_defocus != "off":
            assert problem.defocus_angstrom is not None
            step, limit = problem.gains.taken("defocus", change[..., 2]), MAX_DEFOCUS_ANGSTROM
            problem.defocus_angstrom[...] += np.clip(step, -limit, limit)

    def _shared_step(self, tilts: list[_Tilt], problem: Problem, noise: float) -> np.ndarray:
        optics = self.config.refine_optics
        if not optics:
            return np.zeros(0)
        n = sum(map(count, optics))
        matrix, right = np.zeros((n, n)), np.zeros(n)
        for tilt in tilts:
            if tilt.drives:
                part, side = tilt.reduced()
                matrix, right = matrix + part, right + side
        assert problem.microscope is not None and problem.stated.microscope is not None
        spreads = [np.full(count(name), self.spread.optics_angstrom.get(name, np.inf)) for name in optics]
        stiffness = noise / np.concatenate(spreads) ** 2
        away = distance(problem.microscope, problem.stated.microscope, optics)
        matrix = _damped(matrix + np.diag(stiffness))
        return np.asarray(-np.linalg.solve(matrix, right + stiffness * away))

    def _move_optics(self, problem: Problem, step: np.ndarray) -> None:
        first = 0
        for name in self.config.refine_optics:
            assert problem.microscope is not None
            change = step[first : first + count(name)]
            most = largest_change(problem.grid, problem.microscope, name)
            change = change * min(1.0, most / max(float(np.linalg.norm(change)), 1e-30))
            problem.microscope = changed(problem.microscope, name, change)
            first += count(name)


def unexplained(equations: Sequence[Equations], problem: Problem) -> float:
    """Variance of an amplitude that the volume does not explain yet, times an image's mean weight.

    It counts as noise: early, what is stated leads; later the data do.
    """
    drives = problem.weight > 0
    loss = sum(part.loss for part in equations if drives[part.tilt].any())
    weight = seen_weights(problem)[drives.any(1)]
    variance = 2 * loss / (float(problem.pixel_weight.sum()) * float(weight.sum()))
    return float(variance * weight[weight > 0].mean())


def seen_weights(problem: Problem) -> np.ndarray:
    """`(n_tilt, n_focus)` weights with which images are refined, held-out ones among them."""
    drives = problem.weight > 0
    # A held-out image weighs as an image of its tilt does on average.
    share = problem.weight.sum(1) / np.maximum(1, drives.sum(1))
    own = np.where(share > 0, share, 1.0)[:, None]
    return np.asarray(np.where(problem.held_out, own, problem.weight), REAL)


class _Tilt:
    """One tilt's unknowns: those of the images that lead, then those of the images that follow."""

    def __init__(self, found: Equations, problem: Problem, owner: GaussNewton, noise: float) -> None:
        self.number, _, gradient, self._normal = found
        self._config = config = owner.config
        drives, held = problem.weight[self.number] > 0, problem.held_out[self.number]
        self.drives = bool(drives.any())
        self._leads = drives if self.drives else held
        self._follows = held & ~self._leads
        self._columns = self._free(self._leads, defocus=True)
        pixel, spread = problem.grid.pixel_size_angstrom, owner.spread
        stiffness = (
            noise
            / np.array(
                [spread.shift_angstrom / pixel, spread.shift_angstrom / pixel, spread.defocus_angstrom]
            )
            ** 2
        )
        if config.refine_defocus == "tilt":
            stiffness[2] /= self._leads.sum()  # one unknown, counted by each image
        self._stiffness = stiffness
        self._gradient = gradient.copy()
        self._gradient[:, :3] += stiffness * self._away(problem)

    def _away(self, problem: Problem) -> np.ndarray:
        """`(n_focus, 3)` how far shifts (pixels) and defocus are from what is stated."""
        away = np.zeros((len(self._leads), 3))
        away[:, :2] = problem.shifts_px[self.number] - problem.stated.shifts_px[self.number]
        if problem.defocus_angstrom is not None and problem.stated.defocus_angstrom is not None:
            stated = problem.stated.defocus_angstrom[self.number]
            away[:, 2] = problem.defocus_angstrom[self.number] - stated
        return away

    def _free(self, images: np.ndarray, *, defocus: bool) -> np.ndarray:
        """`(3 n, n_free)`: how free unknowns change shift y, shift x and defocus of some images."""
        n, which = len(images), np.flatnonzero(images)
        unit = np.eye(3 * n).reshape(3 * n, n, 3)[:, which]
        found = [np.zeros((3 * n, 0))]
        if self._config.refine_shifts:
            found.append(unit[:, :, :2].reshape(3 * n, -1))
        if defocus and self._config.refine_defocus == "image":
            found.append(unit[:, :, 2])
        elif defocus and self._config.refine_defocus == "tilt":
            found.append(unit[:, :, 2].sum(1, keepdims=True))
        return np.concatenate(found, axis=1)

    def _matrix(self, columns: np.ndarray) -> np.ndarray:
        n = len(self._gradient)
        full = np.zeros((3 * n, 3 * n))
        for f in range(n):
            own = self._normal[f, :3, :3] + np.diag(self._stiffness)
            full[3 * f : 3 * f + 3, 3 * f : 3 * f + 3] = own
        return _damped(columns.T @ full @ columns)

    def reduced(self) -> tuple[np.ndarray, np.ndarray]:
        """Its part of the shared unknowns' equations, its own unknowns eliminated."""
        leads = self._leads
        matrix, right = self._normal[leads][:, 3:, 3:].sum(0), self._gradient[leads, 3:].sum(0)
        columns = self._columns
        if not columns.shape[1]:
            return matrix, right
        coupling = columns.T @ self._normal[:, :3, 3:].reshape(columns.shape[0], -1)
        own = columns.T @ self._gradient[:, :3].ravel()
        solved = np.linalg.solve(self._matrix(columns), np.column_stack([coupling, own]))
        return matrix - coupling.T @ solved[:, :-1], right - coupling.T @ solved[:, -1]

    def step(self, shared: np.ndarray) -> np.ndarray:
        """`(n_focus, 3)` change of shifts (y, x) and defocus, given that of the shared unknowns."""
        gradient = self._gradient[:, :3] + self._normal[:, :3, 3:] @ shared
        change = self._solve(self._columns, gradient)
        if not self._follows.any():
            return change
        common = self._config.refine_defocus == "tilt"
        if common:
            change[self._follows, 2] = change[self._leads][0, 2]
            gradient = gradient + self._normal[:, :3, 2] * change[:, 2:]
        return np.asarray(change + self._solve(self._free(self._follows, defocus=not common), gradient))

    def _solve(self, columns: np.ndarray, gradient: np.ndarray) -> np.ndarray:
        if not columns.shape[1]:
            return np.zeros(gradient.shape)
        step = -np.linalg.solve(self._matrix(columns), columns.T @ gradient.ravel())
        return np.asarray((columns @ step).reshape(gradient.shape))


def _damped(matrix: np.ndarray) -> np.ndarray:
    diagonal = np.diag(matrix)
    return np.asarray(matrix + np.diag(DAMPING * diagonal + 1e-12 * max(float(diagonal.max()), 1e-30)))
