"""The contrast transfer that Thon rings are compared with.

A weak phase object with amplitude contrast A gives the contrast ``sin(gamma)`` with
``gamma = -chi + phase shift + arcsin A`` (:mod:`napari_phaset3m.core.contrast` has the same c), so the power
spectrum is ``B(k) + E(k) sin^2 gamma``. In a direction phi the defocus is ``Df - C12 cos 2(phi - phi12)``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from napari_phaset3m.core.aberrations import KRIVANEK, aberration_phase
from napari_phaset3m.core.optics import Microscope


@dataclass(frozen=True, slots=True)
class CtfValues:
    """What is fitted.

    Attributes
    ----------
    defocus_angstrom : float
        Underfocus positive, at the rotation centre.
    c12_cos, c12_sin : float
        ``C12 cos 2 phi12`` and ``C12 sin 2 phi12``, angstrom: no pole at C12 = 0.
    phase_shift_rad : float
    step_scale : float
        Factor on the stated steps between foci.
    """

    defocus_angstrom: float
    c12_cos: float = 0.0
    c12_sin: float = 0.0
    phase_shift_rad: float = 0.0
    step_scale: float = 1.0

    @property
    def c12_angstrom(self) -> float:
        return float(np.hypot(self.c12_cos, self.c12_sin))

    @property
    def phi12_rad(self) -> float:
        """Azimuth of C12 from +x towards +y, 0..pi."""
        return float(np.mod(0.5 * np.arctan2(self.c12_sin, self.c12_cos), np.pi))

    def with_(self, **changes: float) -> CtfValues:
        return replace(self, **changes)


def phi12_of(aberrations: dict[str, float]) -> tuple[float, float]:
    """``C12 cos 2 phi12`` and ``C12 sin 2 phi12`` of Krivanek coefficients."""
    magnitude, angle = aberrations.get("C12", 0.0), 2 * aberrations.get("phi12", 0.0)
    return float(magnitude * np.cos(angle)), float(magnitude * np.sin(angle))


class RingModel:
    """``gamma`` at fixed places in reciprocal space, quickly for many parameters.

    Parameters
    ----------
    microscope : Microscope
    k, azimuth : ndarray
        Spatial frequencies (1/angstrom) and azimuths (rad, from +x towards +y), of one shape.
    amplitude_contrast : float
    """

    def __init__(
        self, microscope: Microscope, k: np.ndarray, azimuth: np.ndarray, amplitude_contrast: float
    ) -> None:
        wavelength = microscope.wavelength_angstrom
        # Aberrations of odd symmetry move phases of the image's transform, not its modulus.
        rest = {
            name: value
            for name, value in microscope.coefficients().items()
            if name not in ("C10", "C12", "phi12") and KRIVANEK.get(name, (1, 0))[0] % 2 == 1
        }
        kx, ky = k * np.cos(azimuth), k * np.sin(azimuth)
        self.fixed = np.arcsin(amplitude_contrast) - aberration_phase(kx, ky, wavelength, rest)
        self.slope = np.pi * wavelength * k**2
        #: What the series states of a phase plate, rad: holds where no phase shift is fitted.
        self.stated_shift_rad = microscope.phase_shift_rad
        self._cos, self._sin = np.cos(2 * azimuth), np.sin(2 * azimuth)

    def gamma(self, values: CtfValues, step_angstrom: float = 0.0) -> np.ndarray:
        """Phase, rad, at ``values`` with the defocus changed by ``step_angstrom``."""
        local = values.defocus_angstrom + step_angstrom
        if values.c12_cos or values.c12_sin:
            defocus = local - values.c12_cos * self._cos - values.c12_sin * self._sin
        else:
            defocus = local
        return np.asarray(self.fixed + values.phase_shift_rad + self.slope * defocus)
