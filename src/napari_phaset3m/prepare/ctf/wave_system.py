"""The Gauss-Newton system of exit-wave consistency: phase, defocus, shared optics and shifts together."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from scipy import fft

if TYPE_CHECKING:
    from napari_phaset3m.prepare.ctf.exit_wave import ExitWaveFit

#: The images say nothing about a phase where their transfer (squared, summed) is below this.
FLOOR = 0.05
#: Most that one step may change a defocus, angstrom.
MOST_STEP = 60.0


@dataclass(eq=False)
class Tilt:
    """The images of one tilt while they are fitted.

    Attributes
    ----------
    number : int
    foci : list of int
    data : ndarray
        `(n, ny, nx)` complex transforms of ``I - 1``, moved to their stated places.
    steps : ndarray
        `(n,)` stated defocus.
    offset, error : float
        Found change of the stated defocus, and one standard deviation.
    shifts : ndarray
        `(n, 2)` (y, x) pixels left between the foci; the first is 0.
    phase : ndarray
        `(ny, nx)` rad.
    confidence : float
        Near 1 for an error of the scan well below :data:`.exit_wave.TOO_UNSURE`, 1/2 where it equals it.
    """

    number: int
    foci: list[int]
    data: np.ndarray
    steps: np.ndarray
    offset: float
    shifts: np.ndarray
    phase: np.ndarray
    error: float = float("nan")
    confidence: float = 0.0


class System:
    """The Gauss-Newton system of one step for all tilts.

    Unknowns: for each tilt its defocus and the shifts of all foci but the first, then what is shared.
    """

    def __init__(self, owner: ExitWaveFit, limit: float) -> None:
        mask = owner.model.lowpass(limit)
        # Only these frequencies are compared: a twentieth to a fifth of all.
        self.where = np.flatnonzero(mask.ravel() > 1e-3)
        self.owner, self.mask = owner, mask.ravel()[self.where]
        self.first: list[int] = []
        place = 0
        for tilt in owner.tilts:
            self.first.append(place)
            place += 1 + 2 * (len(tilt.foci) - 1)
        self.size, self.shared = place + len(owner.names), place
        self.normal = np.zeros((self.size, self.size))
        self.right = np.zeros(self.size)
        self.rest, self.number = 0.0, 0
        self._next = 0

    def add(self, tilt: Tilt) -> None:
        """Linearise a tilt around its present state, improve its phase, and add what it says of the rest."""
        owner, model = self.owner, self.owner.model
        wave = fft.fft2(np.exp(1j * tilt.phase))
        slopes = model.derivatives(["focus", *owner.names])
        count, fixed = len(tilt.foci), 1 + len(owner.names)
        changes = np.zeros((fixed + 2 * (count - 1), count, self.where.size), np.complex128)
        residual = np.empty((count, self.where.size), np.complex128)
        transfer = np.empty((count, self.where.size))
        for i in range(count):
            gamma = model.gamma(tilt.steps[i] + tilt.offset, owner.shared)
            every = [self._cut(item) for item in model.image(wave, gamma, slopes)]
            # Images are moved back, so that all foci see one phase in one place.
            back = self._cut(owner.back(tilt.shifts[i]))
            residual[i] = (self._cut(tilt.data[i]) * back - every[0]) * self.mask
            changes[:fixed, i] = np.array(every[1:]) * self.mask
            if i > 0:
                for axis, factor in enumerate(model.shift_factors()):
                    changes[fixed + 2 * (i - 1) + axis, i] = self._cut(factor) * every[0] * self.mask
            transfer[i] = self._cut(model.weak(gamma))
        strength = (transfer**2).sum(0) + FLOOR
        gain = (transfer * residual).sum(0) / strength
        whole = np.zeros(model.k2.size, np.complex128)
        whole[self.where] = gain
        tilt.phase += fft.ifft2(whole.reshape(owner.shape)).real
        clean = changes - transfer * ((transfer * changes).sum(1, keepdims=True) / strength)
        first = self.first[self._next]
        places = [first, *range(self.shared, self.size), *range(first + 1, first + 1 + 2 * (count - 1))]
        flat, other = clean.reshape(len(places), -1), changes.reshape(len(places), -1)
        self.right[places] += (flat.conj() @ residual.ravel()).real
        self.normal[np.ix_(places, places)] += (flat.conj() @ other.T).real
        self.rest += float(np.sum(np.abs(residual - transfer * gain) ** 2))
        self.number += int((self.mask > 0.5).sum()) * (count - 1)
        self._next += 1

    def _cut(self, item: np.ndarray) -> np.ndarray:
        return item.ravel()[self.where]

    def _prior(self) -> tuple[np.ndarray, np.ndarray]:
        """What is known of the unknowns besides the images, added to the diagonal and to the right side."""
        owner, weight, pull = self.owner, np.zeros(self.size), np.zeros(self.size)
        variance = self.rest / max(self.number, 1)
        for first, tilt in zip(self.first, owner.tilts, strict=True):
            weight[first] = variance / owner.spread**2
            pull[first] = weight[first] * (owner.centre - tilt.offset)
            # Foci of an aligned series are within a pixel or so of each other.
            shifts = slice(first + 1, first + 1 + 2 * (len(tilt.foci) - 1))
            weight[shifts] = variance
            pull[shifts] = -variance * tilt.shifts[1:].ravel()
        return weight, pull

    def solve(self) -> None:
        """One damped step of all unknowns."""
        owner = self.owner
        weight, pull = self._prior()
        matrix = self.normal + np.diag(weight + 1e-3 * np.diag(self.normal) + 1e-12)
        step = np.linalg.solve(matrix, self.right + pull)
        for first, tilt in zip(self.first, owner.tilts, strict=True):
            reach = owner.config.nominal_error_angstrom
            moved = tilt.offset + float(np.clip(step[first], -MOST_STEP, MOST_STEP))
            tilt.offset = float(np.clip(moved, -reach, reach))
            shifts = step[first + 1 : first + 1 + 2 * (len(tilt.foci) - 1)].reshape(-1, 2)
            tilt.shifts[1:] += np.clip(shifts, -0.5, 0.5)
        most = {"cs_change": 2e6}
        for name, change in zip(owner.names, step[self.shared :], strict=True):
            bound = most.get(name, MOST_STEP)
            value = getattr(owner.shared, name) + float(np.clip(change, -bound, bound))
            owner.shared = replace(owner.shared, **{name: value})

    def errors(self, before: np.ndarray) -> None:
        """One standard deviation of each tilt's defocus.

        Curvature and what is left over tell of noise; how much the tilts moved against each other since
        coarser detail was fitted tells of what the model lacks (thickness, a wrong Cs).
        """
        variance = self.rest / max(self.number, 1)
        covariance = np.linalg.pinv(self.normal + np.diag(self._prior()[0])) * variance
        moved = float(np.std([tilt.offset for tilt in self.owner.tilts] - before))
        for first, tilt in zip(self.first, self.owner.tilts, strict=True):
            tilt.error = float(np.hypot(np.sqrt(max(covariance[first, first], 0.0)), moved))
