"""Images of one tilt at several defoci from one phase object, and how they change with the optics.

The exit wave is ``exp(i p(x, y))`` in the plane of the rotation centre, with a real projected phase p: a
general complex wave could be propagated to any plane and would fit any common defocus, a phase object only
fits at its own (the argument behind focal series reconstruction of weak phase objects: Schiske 1968; Saxton,
Optik 49 (1977) 81). The images are formed nonlinearly, which matters for atom columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import fft

from napari_phaset3m.core.aberrations import aberration_phase
from napari_phaset3m.core.optics import Microscope, temporal_envelope


@dataclass(frozen=True, slots=True)
class Shared:
    """What all tilts have in common: astigmatism components (angstrom) and a change of Cs (angstrom)."""

    c12_cos: float = 0.0
    c12_sin: float = 0.0
    cs_change: float = 0.0


class WaveModel:
    """Transfer and derivatives on one grid.

    Parameters
    ----------
    shape : (int, int)
        `(ny, nx)`.
    pixel_angstrom : float
    microscope : Microscope
        Its C12 is left out: :class:`Shared` has it.
    """

    def __init__(self, shape: tuple[int, int], pixel_angstrom: float, microscope: Microscope) -> None:
        self.shape, self.pixel = shape, pixel_angstrom
        wavelength = microscope.wavelength_angstrom
        self.ky = fft.fftfreq(shape[0], pixel_angstrom)[:, None]
        self.kx = fft.fftfreq(shape[1], pixel_angstrom)[None, :]
        self.k2 = self.kx**2 + self.ky**2
        self.k = np.sqrt(self.k2)
        twice = 2 * np.arctan2(self.ky, self.kx)
        rest = {k: v for k, v in microscope.coefficients().items() if k not in ("C10", "C12", "phi12")}
        # A phase plate: what was scattered goes ahead of the unscattered beam.
        plate = np.where(self.k2 > 0, microscope.phase_shift_rad, 0.0)
        self._fixed = plate - aberration_phase(self.kx, self.ky, wavelength, rest)
        self.focus = np.pi * wavelength * self.k2
        self._cos, self._sin = self.focus * np.cos(twice), self.focus * np.sin(twice)
        self._cs = -0.5 * np.pi * wavelength**3 * self.k2**2
        self.envelope = temporal_envelope(self.k2, wavelength, microscope.focal_spread_angstrom)

    def gamma(self, defocus_angstrom: float, shared: Shared) -> np.ndarray:
        """``phi - chi`` at a defocus, rad; phi: phase plate, 0 at k = 0."""
        gamma = self._fixed + self.focus * defocus_angstrom
        if shared.c12_cos or shared.c12_sin:
            gamma = gamma - shared.c12_cos * self._cos - shared.c12_sin * self._sin
        if shared.cs_change:
            gamma = gamma + shared.cs_change * self._cs
        return np.asarray(gamma)

    def lowpass(self, limit_per_angstrom: float) -> np.ndarray:
        """1 inside, 0 outside, with an edge of 5 % of the limit; 0 at the origin, the mean."""
        mask = 1 / (1 + np.exp(np.clip((self.k / limit_per_angstrom - 1) / 0.02, -50, 50)))
        mask[0, 0] = 0
        return np.asarray(mask)

    def weak(self, gamma: np.ndarray) -> np.ndarray:
        """Transfer of a weak phase to ``I - 1``: ``-2 sin gamma`` with the envelope."""
        return np.asarray(-2 * np.sin(gamma) * self.envelope)

    def derivatives(self, names: Sequence[str]) -> list[np.ndarray]:
        """``d gamma / d name`` of defocus (``"focus"``) and of fields of :class:`Shared`."""
        every = {"focus": self.focus, "c12_cos": -self._cos, "c12_sin": -self._sin, "cs_change": self._cs}
        return [every[name] for name in names]

    def image(self, wave: np.ndarray, gamma: np.ndarray, slopes: Sequence[np.ndarray]) -> np.ndarray:
        """Transforms of the intensity (first) and of its derivatives, `(1 + n, ny, nx)`.

        Parameters
        ----------
        wave : ndarray
            `(ny, nx)` transform of the exit wave.
        gamma : ndarray
        slopes : sequence of ndarray
            ``d gamma / d parameter``.
        """
        passed = wave * (np.exp(1j * gamma) * self.envelope)
        stack = np.empty((1 + len(slopes), *self.shape), np.complex128)
        stack[0] = passed
        for number, slope in enumerate(slopes, 1):
            np.multiply(passed, slope, out=stack[number])
        fields = fft.ifft2(stack)
        real = np.empty(fields.shape)
        real[0] = np.abs(fields[0]) ** 2
        # 2 Re(conj(w) i u) = 2 (im(w) re(u) - re(w) im(u))
        real[1:] = 2 * (fields[0].imag * fields[1:].real - fields[0].real * fields[1:].imag)
        return np.asarray(fft.fft2(real))

    def shift_factors(self) -> tuple[np.ndarray, np.ndarray]:
        """What the derivative by a shift in y and in x (pixels) multiplies an image's transform with."""
        each = -2j * np.pi * self.pixel
        return each * self.ky + 0 * self.kx, each * self.kx + 0 * self.ky
