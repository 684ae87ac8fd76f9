"""One Gauss-Newton step per sweep for shifts, defoci and the optics that all images share.

The unknowns of a tilt (shift of each image, defocus) meet those of other tilts only
through the shared optics (Cs, astigmatism, coma ...), so the normal equations have the
shape of an arrow: each tilt's block is eliminated, the few shared unknowns are solved
for, and the tilts follow (Schur complement, as in bundle adjustment: Triggs et al.,
LNCS 1883 (2000) 298). Derivatives are those of the predicted amplitudes,
``J = Re(conj(F)/|F| IFFT(q T W))`` with q the derivative of the logarithm of the
transfer T (joint refinement of alignment and optics as in Lee et al. 2025).

Held-out images are aligned as well (their own shifts, the defocus of their tilt), else
a better model could not be told from a better alignment; they drive neither the volume
nor the shared optics.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from napari_phaset3m.config import Schedule
from napari_phaset3m.core.aberrations import KRIVANEK
from napari_phaset3m.core.backend import asnumpy
from napari_phaset3m.core.grid import Grid
from napari_phaset3m.core.optics import Microscope
from napari_phaset3m.core.precision import Array
from napari_phaset3m.core.transfer import (
    aberration_factors,
    defocus_factor,
    focal_spread_factor,
    shift_factors,
)
from napari_phaset3m.reconstruct.problem import Problem
from napari_phaset3m.reconstruct.refine import remove_specimen_shift

#: Levenberg's damping, as a fraction of the diagonal.
DAMPING = 0.02
#: Largest change in one sweep: shift (pixels of the run's grid), defocus (angstrom).
MAX_SHIFT_PX, MAX_DEFOCUS_ANGSTROM = 1.0, 100.0
#: Largest change of a shared coefficient in one sweep, as phase at half Nyquist (radians).
MAX_PHASE = 0.5


@dataclass(frozen=True, slots=True)
class Free:
    """What is refined.

    Attributes
    ----------
    shifts : bool
    defocus : {"off", "tilt", "image"}
    optics : tuple of str
        Krivanek names (``C30`` is Cs) and ``focal_spread``.
    schedule : Schedule
    """

    shifts: bool = True
    defocus: Literal["off", "tilt", "image"] = "tilt"
    optics: tuple[str, ...] = ()
    prior_angstrom: Mapping[str, float] = field(default_factory=dict)
    schedule: Schedule = field(default_factory=lambda: Schedule(start=2))


class JointGaussNewton:
    """A :class:`..reconstruct.refine.Hook`; keeps the last equations for :meth:`covariance`.

    Parameters
    ----------
    free : Free
    """

    def __init__(self, free: Free) -> None:
        self.free = free
        self.schur: np.ndarray | None = None
        self._stated: Microscope | None = None

    def active(self, sweep: int) -> bool:
        """By the schedule."""
        return self.free.schedule.active(sweep)

    def refine(self, method: Any, problem: Problem, volume: Array) -> None:
        """See :class:`..reconstruct.refine.Hook`."""
        assert problem.microscope is not None
        host = asnumpy(volume)
        factors = all_factors(problem.grid, problem.microscope, self.free.optics)
        seen = np.flatnonzero(((problem.weight > 0) | problem.held_out).any(1))
        self._stated = self._stated or problem.microscope
        local = self._columns(problem.images.shape[1])
        blocks = [_Block(*self._equations(method, problem, host, int(tilt), factors), local) for tilt in seen]
        shared = self._shared_step(blocks, problem)
        self._apply_optics(problem, shared)
        for tilt, block in zip(seen, blocks, strict=True):
            self._apply_tilt(problem, int(tilt), block.step(shared))
        if self.free.shifts:
            remove_specimen_shift(problem)

    def _equations(
        self, method: Any, problem: Problem, volume: np.ndarray, tilt: int, factors: np.ndarray
    ) -> tuple[tuple[float, np.ndarray, np.ndarray], np.ndarray]:
        held, used = problem.held_out[tilt], problem.weight[tilt] > 0
        mean = problem.weight[problem.weight > 0].mean()
        weights = np.where(held, mean, problem.weight[tilt])
        return method.transfer_equations(volume, tilt, factors, weights), used

    def _columns(self, n: int) -> np.ndarray:
        """`(3 n, n_free)`: how a tilt's free unknowns change shift y, shift x and defocus of each image."""
        unit = np.eye(3 * n).reshape(3 * n, n, 3)
        found = [unit[:, :, :2].reshape(3 * n, -1)] if self.free.shifts else []
        if self.free.defocus == "image":
            found.append(unit[:, :, 2])
        elif self.free.defocus == "tilt":
            found.append(unit[:, :, 2].sum(1, keepdims=True))
        return np.concatenate(found, axis=1) if found else np.zeros((3 * n, 0))

    def _shared_step(self, blocks: list[_Block], problem: Problem) -> np.ndarray:
        if not self.free.optics:
            return np.zeros(0)
        matrix = sum((block.reduced()[0] for block in blocks), np.zeros(1))
        right = sum((block.reduced()[1] for block in blocks), np.zeros(1))
        assert problem.microscope is not None and self._stated is not None
        # What the images do not yet explain counts as their noise: the prior leads, then the data.
        n_pixel = problem.pixel_weight.sum() * problem.weight.sum()
        variance = 2 * sum(block.loss for block in blocks) / n_pixel
        away = distance(problem.microscope, self._stated, self.free.optics)
        stiffness = np.concatenate(
            [
                np.full(count(name), variance / self.free.prior_angstrom.get(name, np.inf) ** 2)
                for name in self.free.optics
            ]
        )
        self.schur = matrix + np.diag(stiffness)
        return np.asarray(-np.linalg.solve(damped(self.schur), right + stiffness * away))

    def _apply_optics(self, problem: Problem, step: np.ndarray) -> None:
        assert problem.microscope is not None
        first = 0
        for name in self.free.optics:
            change = step[first : first + count(name)]
            largest = largest_change(problem.grid, problem.microscope, name)
            change = change * min(1.0, largest / max(float(np.linalg.norm(change)), 1e-30))
            problem.microscope = changed(problem.microscope, name, change)
            first += count(name)

    def _apply_tilt(self, problem: Problem, tilt: int, step: np.ndarray) -> None:
        seen = (problem.weight[tilt] > 0) | problem.held_out[tilt]
        if self.free.shifts:
            move = np.clip(step[:, :2], -MAX_SHIFT_PX, MAX_SHIFT_PX)
            problem.shifts_px[tilt] += move * seen[:, None]
        if self.free.defocus != "off":
            assert problem.defocus_angstrom is not None
            problem.defocus_angstrom[tilt] += np.clip(step[:, 2], -MAX_DEFOCUS_ANGSTROM, MAX_DEFOCUS_ANGSTROM)


class _Block:
    """Normal equations of one tilt: its own unknowns, and their coupling to the shared ones."""

    def __init__(
        self, equations: tuple[float, np.ndarray, np.ndarray], used: np.ndarray, columns: np.ndarray
    ) -> None:
        self.loss, gradient, normal = equations
        n, n_all = gradient.shape
        full = np.zeros((3 * n, 3 * n))
        for f in range(n):
            full[3 * f : 3 * f + 3, 3 * f : 3 * f + 3] = normal[f, :3, :3]
        self.columns, self.n = columns, n
        self.local = damped(columns.T @ full @ columns)
        self.right = columns.T @ gradient[:, :3].ravel()
        # Only used images drive what all images share.
        share = used[:, None]
        self.coupling = columns.T @ (normal[:, :3, 3:] * share[:, :, None]).reshape(3 * n, n_all - 3)
        self.shared = (normal[:, 3:, 3:] * share[:, :, None]).sum(0)
        self.shared_right = (gradient[:, 3:] * share).sum(0)

    def reduced(self) -> tuple[np.ndarray, np.ndarray]:
        """Its part of the shared unknowns' equations, its own unknowns eliminated."""
        if not self.local.size:
            return self.shared, self.shared_right
        solved = np.linalg.solve(self.local, np.column_stack([self.coupling, self.right]))
        return (
            self.shared - self.coupling.T @ solved[:, :-1],
            self.shared_right - self.coupling.T @ solved[:, -1],
        )

    def step(self, shared: np.ndarray) -> np.ndarray:
        """`(n_focus, 3)` change of shifts (y, x) and defocus, given that of the shared unknowns."""
        if not self.local.size:
            return np.zeros((self.n, 3))
        step = -np.linalg.solve(self.local, self.right + self.coupling @ shared)
        return np.asarray((self.columns @ step).reshape(self.n, 3))


def damped(matrix: np.ndarray) -> np.ndarray:
    """With Levenberg's damping: a fraction of the diagonal, and a floor."""
    diagonal = np.diag(matrix)
    largest = float(diagonal.max()) if diagonal.size else 0.0
    return np.asarray(matrix + np.diag(DAMPING * diagonal + 1e-12 * max(largest, 1e-30)))


def all_factors(grid: Grid, microscope: Microscope, optics: tuple[str, ...]) -> np.ndarray:
    """`(3 + n, nx, ny)` factors of shift y, shift x, defocus and the shared unknowns."""
    return np.concatenate(
        [
            shift_factors(grid),
            defocus_factor(grid, microscope.wavelength_angstrom),
            *(shared_factors(grid, microscope, name) for name in optics),
        ]
    )


def shared_factors(grid: Grid, microscope: Microscope, name: str) -> np.ndarray:
    """`(1 or 2, nx, ny)`: how the logarithm of the transfer changes with a shared unknown."""
    if name == "focal_spread":
        return focal_spread_factor(grid, microscope)
    return aberration_factors(grid, microscope.wavelength_angstrom, name)


def count(name: str) -> int:
    """How many numbers a shared unknown is: two with an azimuth (cosine and sine part)."""
    return 2 if name in KRIVANEK and KRIVANEK[name][1] else 1


def parts(microscope: Microscope, name: str) -> np.ndarray:
    """`(1 or 2,)` value of a shared unknown, angstrom (cosine and sine part with an azimuth)."""
    if name == "focal_spread":
        return np.array([microscope.focal_spread_angstrom])
    if name == "C30":
        return np.array([microscope.spherical_aberration_angstrom])
    value, m = microscope.aberrations.get(name, 0.0), KRIVANEK[name][1]
    if not m:
        return np.array([value])
    phase = m * microscope.aberrations.get("phi" + name[1:], 0.0)
    return np.array([value * np.cos(phase), value * np.sin(phase)])


def distance(microscope: Microscope, stated: Microscope, names: tuple[str, ...]) -> np.ndarray:
    """How far shared unknowns are from where they began, angstrom."""
    return np.concatenate([parts(microscope, name) - parts(stated, name) for name in names])


def largest_change(grid: Grid, microscope: Microscope, name: str) -> float:
    """Trust region of a shared unknown, angstrom: :data:`MAX_PHASE` at half Nyquist."""
    angle = microscope.wavelength_angstrom * grid.nyquist / 2
    if name == "focal_spread":
        return 0.2 * max(microscope.focal_spread_angstrom, 5.0)
    n = KRIVANEK[name][0]
    return MAX_PHASE * microscope.wavelength_angstrom * (n + 1) / (2 * np.pi * angle ** (n + 1))


def changed(microscope: Microscope, name: str, change: np.ndarray) -> Microscope:
    """The microscope with one shared unknown changed (angstrom; cosine and sine part with an azimuth)."""
    if name == "focal_spread":
        return replace(
            microscope, focal_spread_angstrom=max(0.0, microscope.focal_spread_angstrom + change[0])
        )
    if name == "C30":
        cs = microscope.spherical_aberration_angstrom + float(change[0])
        return replace(microscope, spherical_aberration_angstrom=cs)
    new, m = parts(microscope, name) + change, KRIVANEK[name][1]
    known = dict(microscope.aberrations)
    if not m:
        known[name] = float(new[0])
    else:
        known[name], known["phi" + name[1:]] = float(np.hypot(*new)), float(np.arctan2(new[1], new[0]) / m)
    return replace(microscope, aberrations=known)
