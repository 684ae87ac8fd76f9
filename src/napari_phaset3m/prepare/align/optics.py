"""Spherical aberration and astigmatism that all images share, found along with their alignment.

A wrong Cs or an unknown astigmatism makes fine details of the prediction wrong, so that they
neither place an image nor tell its defocus. Both act alike on all images, which makes them easy to
find: one Gauss-Newton step per round from the images that the reference has not seen, each tilt's
defocus and shifts free, with Gaussian priors about what the series states.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from napari_phaset3m.core.optics import Microscope
from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.prepare.align.likelihood import Rings
from napari_phaset3m.prepare.align.reference import Reference

#: Largest changes in one round, and steps of the finite differences, angstrom: Cs, C12 (two components).
LARGEST = np.array([2e6, 40.0, 40.0])
STEPS = np.array([3e4, 5.0, 5.0])
DEFOCUS_STEP = 5.0
#: Further damping, as a fraction of the diagonal.
DAMPING = 0.02


@dataclass(frozen=True, slots=True)
class Shared:
    """Cs and the two components of the twofold astigmatism, angstrom.

    With magnitude C12 and azimuth phi12: ``a = C12 cos 2 phi12``, ``b = C12 sin 2 phi12``.
    """

    values: np.ndarray

    @classmethod
    def of(cls, series: TiltFocalSeries) -> Shared:
        """What a series states."""
        c12, angle = series.aberrations.get("C12", 0.0), series.aberrations.get("phi12", 0.0)
        cs = series.spherical_aberration_angstrom or 0.0
        return cls(np.array([cs, c12 * np.cos(2 * angle), c12 * np.sin(2 * angle)]))

    @classmethod
    def seen(cls, microscope: Microscope) -> Shared:
        """Those of a microscope."""
        c12, angle = (microscope.aberrations.get(name, 0.0) for name in ("C12", "phi12"))
        cs = microscope.spherical_aberration_angstrom
        return cls(np.array([cs, c12 * np.cos(2 * angle), c12 * np.sin(2 * angle)]))

    @property
    def magnitude(self) -> float:
        """C12, angstrom."""
        return float(np.hypot(*self.values[1:]))

    @property
    def azimuth(self) -> float:
        """phi12, radians."""
        return float(0.5 * np.arctan2(self.values[2], self.values[1]))

    def told(self) -> dict[str, float]:
        """Plain numbers for a record."""
        return {
            "spherical_aberration_angstrom": float(self.values[0]),
            "astigmatism_angstrom": self.magnitude,
            "astigmatism_azimuth_deg": float(np.degrees(self.azimuth)),
        }

    def changed(self, change: np.ndarray) -> Shared:
        """With a change of (Cs, a, b)."""
        return Shared(self.values + change)

    def put(self, series: TiltFocalSeries) -> TiltFocalSeries:
        """The series with these."""
        aberrations = {k: v for k, v in series.aberrations.items() if k not in ("C12", "phi12")}
        if self.magnitude:
            aberrations |= {"C12": self.magnitude, "phi12": self.azimuth}
        return series.replace(spherical_aberration_angstrom=float(self.values[0]), aberrations=aberrations)

    def microscope(self, like: Microscope) -> Microscope:
        """A microscope with these."""
        aberrations = {k: v for k, v in like.aberrations.items() if k not in ("C12", "phi12")}
        aberrations |= {"C12": self.magnitude, "phi12": self.azimuth}
        return replace(like, spherical_aberration_angstrom=float(self.values[0]), aberrations=aberrations)


class SharedEquations:
    """Gathers normal equations: shifts of each image, defocus of each tilt, and what all share.

    Parameters
    ----------
    shape : tuple of int
        (n_tilt, n_focus).
    now : Shared
        What the references are made with.
    """

    def __init__(self, shape: tuple[int, int], now: Shared) -> None:
        self.now = now
        n_tilt, n_focus = shape
        size = 2 * n_focus + 1 + len(now.values)
        self._local = 2 * n_focus + 1
        self.matrix = np.zeros((n_tilt, size, size))
        self.right = np.zeros((n_tilt, size))
        self._variants: tuple[int, list[tuple[Microscope, float]]] | None = None

    def add(self, reference: Reference, tilt: int, foci: np.ndarray, rings: Rings) -> None:
        """Take in images that the reference has not seen."""
        predicted = reference.predicted_with(tilt, self._trials(reference))[:, foci]
        # In pixels of the series, so that all references speak of the same.
        steps = np.concatenate([[DEFOCUS_STEP], STEPS])
        pairs = predicted[1:].reshape(len(steps), 2, *predicted.shape[1:])
        slopes = (pairs[:, 0] - pairs[:, 1]) / (2 * steps)[:, None, None, None]
        gain, noise = rings.gain[rings.index], rings.noise[rings.index]
        rest = reference.measured(tilt)[foci] - gain * predicted[0]
        pixel, grid = reference.series.pixel_size_angstrom, reference.grid
        ramps = (-2j * np.pi * pixel * grid.ky[None, :], -2j * np.pi * pixel * grid.kx[:, None])
        for i, focus in enumerate(foci):
            columns = np.stack([ramp * predicted[0, i] for ramp in ramps] + list(slopes[:, i])) * gain
            where = np.array([2 * focus, 2 * focus + 1, *range(self._local - 1, self.right.shape[1])])
            weighted = columns / noise
            self.matrix[tilt][np.ix_(where, where)] += np.einsum("pxy,qxy->pq", weighted.conj(), columns).real
            self.right[tilt, where] += np.einsum("pxy,xy->p", weighted.conj(), rest[i]).real

    def _trials(self, reference: Reference) -> list[tuple[Microscope, float]]:
        # One set for each reference, as its transfer functions are kept by microscope.
        if self._variants is None or self._variants[0] != id(reference):
            here = reference.microscope
            variants = [(here, 0.0), (here, DEFOCUS_STEP), (here, -DEFOCUS_STEP)]
            for p, step in enumerate(STEPS):
                for sign in (1, -1):
                    change = np.zeros(len(STEPS))
                    change[p] = sign * step
                    variants.append((self.now.changed(change).microscope(here), 0.0))
            self._variants = (id(reference), variants)
        return self._variants[1]

    def solve(
        self, stated: Shared, spread: np.ndarray, defocus_sigma: float
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The step of what is shared.

        Parameters
        ----------
        stated : Shared
            What the priors are about.
        spread : ndarray
            `(3,)` their standard deviations.
        defocus_sigma : float
            Of the prior of a tilt's defocus, angstrom; 0: defocus does not change.

        Returns
        -------
        change : ndarray
            `(3,)` of Cs and both components of the astigmatism.
        defocus : ndarray
            `(n_tilt,)` what it makes of the tilts' defoci, angstrom.
        sigma : ndarray
            `(3,)` standard deviations.
        """
        n = self._local
        total = np.diag(1 / spread**2)
        right = (stated.values - self.now.values) / spread**2
        follow = np.zeros((len(self.right), len(spread)))
        for tilt, (matrix, b) in enumerate(zip(self.matrix, self.right, strict=True)):
            if not matrix.any():
                continue
            local = matrix[:n, :n].copy()
            local[n - 1, n - 1] += 1 / defocus_sigma**2 if defocus_sigma else 1e30
            local[np.diag_indices(n)] += 1e-9 * max(float(np.diag(local)[: n - 1].max()), 1e-30)
            inverse = np.linalg.inv(local)
            coupling = matrix[:n, n:]
            total += matrix[n:, n:] - coupling.T @ inverse @ coupling
            right = right + b[n:] - coupling.T @ inverse @ b[:n]
            follow[tilt] = -(inverse @ coupling)[n - 1]
        sigma = np.sqrt(np.diag(np.linalg.inv(total)))
        damped = total + DAMPING * np.diag(np.diag(total))
        change = np.clip(np.linalg.solve(damped, right), -LARGEST, LARGEST)
        return change, np.asarray(follow @ change), sigma
