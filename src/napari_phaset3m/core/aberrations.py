"""Aberration phase in Krivanek notation, to fifth order.

With the scattering angle ``a = lambda k`` and azimuth ``phi`` (from +x, columns,
towards +y, rows)::

    chi(k) = (2 pi / lambda) sum_{n,m} a^(n+1) / (n+1) C_nm cos(m (phi - phi_nm))

so ``C10 = -defocus`` and ``C30 = Cs``, and the transfer is ``exp(-i chi)``
(Krivanek, Dellby & Lupini, Ultramicroscopy 78 (1999) 1; DESIGN section 2).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from napari_phaset3m.errors import ConfigError

#: Name -> (order n, symmetry m).
KRIVANEK: dict[str, tuple[int, int]] = {
    "C10": (1, 0), "C12": (1, 2),
    "C21": (2, 1), "C23": (2, 3),
    "C30": (3, 0), "C32": (3, 2), "C34": (3, 4),
    "C41": (4, 1), "C43": (4, 3), "C45": (4, 5),
    "C50": (5, 0), "C52": (5, 2), "C54": (5, 4), "C56": (5, 6),
}  # fmt: skip
AZIMUTHS = frozenset("phi" + name[1:] for name, (_, m) in KRIVANEK.items() if m)


def check_coefficients(coefficients: Mapping[str, float], name: str = "aberrations") -> None:
    """Refuse names that are not Krivanek's and values that are not finite.

    Parameters
    ----------
    coefficients : mapping
    name : str
        What the error calls them.

    Raises
    ------
    ConfigError
    """
    unknown = [key for key in coefficients if key not in KRIVANEK and key not in AZIMUTHS]
    if unknown:
        raise ConfigError(
            f"{name}: {', '.join(unknown)} unknown; give {', '.join(KRIVANEK)}, azimuths phi12 ... phi56"
        )
    for key, value in coefficients.items():
        if not np.isfinite(value):
            raise ConfigError(f"{name}: {key} is {value}")


def aberration_phase(
    kx: np.ndarray, ky: np.ndarray, wavelength_angstrom: float, coefficients: Mapping[str, float]
) -> np.ndarray:
    """Aberration phase chi.

    Parameters
    ----------
    kx, ky : ndarray
        Broadcastable spatial frequencies, 1/angstrom.
    wavelength_angstrom : float
    coefficients : mapping
        Magnitudes ``C..`` in angstrom, azimuths ``phi..`` in radians.

    Returns
    -------
    ndarray
        Float64 phase, radians.

    Raises
    ------
    ConfigError
        Unknown or non-finite coefficient.
    """
    check_coefficients(coefficients)
    angle = wavelength_angstrom * np.hypot(kx, ky)
    azimuth = np.arctan2(ky, kx)
    total = np.zeros(np.broadcast(kx, ky).shape)
    for name, value in coefficients.items():
        if name not in KRIVANEK or value == 0:
            continue
        n, m = KRIVANEK[name]
        phi = coefficients.get("phi" + name[1:], 0.0)
        total += value * angle ** (n + 1) / (n + 1) * np.cos(m * (azimuth - phi))
    return np.asarray(2 * np.pi / wavelength_angstrom * total)


def aberration_gradient(
    kx: np.ndarray, ky: np.ndarray, wavelength_angstrom: float, coefficients: Mapping[str, float]
) -> tuple[np.ndarray, np.ndarray]:
    """Differentiate chi by kx and ky, rad angstrom (for spatial coherence).

    Parameters and errors as :func:`aberration_phase`.
    """
    check_coefficients(coefficients)
    wavelength = wavelength_angstrom
    k = np.hypot(kx, ky)
    azimuth = np.arctan2(ky, kx)
    radial, tangential = np.zeros_like(k), np.zeros_like(k)
    for name, value in coefficients.items():
        if name not in KRIVANEK or value == 0:
            continue
        n, m = KRIVANEK[name]
        phi = coefficients.get("phi" + name[1:], 0.0)
        common = 2 * np.pi * value * (wavelength * k) ** n
        radial += common * np.cos(m * (azimuth - phi))
        tangential += -common * m / (n + 1) * np.sin(m * (azimuth - phi))
    cos, sin = np.cos(azimuth), np.sin(azimuth)
    return radial * cos - tangential * sin, radial * sin + tangential * cos
