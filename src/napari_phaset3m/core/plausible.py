"""Values that are hardly meant in the unit they are read in; each check gives None or one line on it."""

from __future__ import annotations

from collections.abc import Sequence

#: Usual accelerating voltages, volts, and spherical aberrations but 0, angstrom.
USUAL_ENERGY_EV, USUAL_CS_ANGSTROM = (10e3, 3e6), (1e4, 1e8)
#: Voltages that are likely meant when another unit was typed.
_COMMON_EV = (40e3, 1.5e6)
#: Usual pixels, angstrom, from aberration-corrected images to those of whole cells.
USUAL_PIXEL_ANGSTROM = (0.01, 1e3)
_MM, _KV = 1e7, 1e3
_READ_IN = "; it is read in "
_RADIANS = ". Are they in radians"
#: Tilts of so many images lie farther apart than this, in degrees; in radians none does.
_TILTS, _LEAST_TILT_DEG, _RAD = 5, 1.6, 0.2


def doubtful_energy(energy_ev: float) -> str | None:
    """Doubt an accelerating voltage (volts) that no transmission microscope has; the line is in kV."""
    low, high = USUAL_ENERGY_EV
    if low <= energy_ev <= high:
        return None
    least, most = _COMMON_EV
    guess = next((v for v in (energy_ev / 1e3, energy_ev * 1e3) if least <= v <= most), None)
    meant = "" if guess is None else f" Is {guess / _KV:g} kV meant?"
    return f"Voltage is {energy_ev / _KV:g} kV; microscopes have {low / _KV:g} to {high / _KV:g} kV.{meant}"


def doubtful_cs(cs_angstrom: float | None) -> str | None:
    """Doubt an unusual spherical aberration (angstrom; None and 0: no reason to); the line is in mm."""
    low, high = USUAL_CS_ANGSTROM
    if not cs_angstrom or low <= abs(cs_angstrom) <= high:
        return None
    guess = next((v for v in (cs_angstrom / 1e3, cs_angstrom * 1e3) if low <= abs(v) <= high), None)
    meant = "" if guess is None else f" Is {guess / _MM:g} mm meant?"
    return f"Cs is {cs_angstrom / _MM:g} mm; usual are {low / _MM:g} to {high / _MM:g} mm.{meant}"


def doubtful_pixel(pixel_size_angstrom: float) -> str | None:
    """Doubt a pixel size (angstrom) that no microscope has."""
    low, high = USUAL_PIXEL_ANGSTROM
    if low <= pixel_size_angstrom <= high:
        return None
    guess = next((v for v in (pixel_size_angstrom * f for f in (1e10, 1e-2)) if low <= v <= high), None)
    meant = "" if guess is None else f" Is {guess:g} Å meant?"
    return f"Pixel size is {pixel_size_angstrom:g} Å; usual are {low:g} to {high:g} Å.{meant}"


def doubtful_tilts(tilt_deg: Sequence[float]) -> str | None:
    """Doubt tilts (degrees) of a series that all lie close to 0, as they do in radians."""
    most = max((abs(tilt) for tilt in tilt_deg), default=0.0)
    if len(tilt_deg) < _TILTS or not _RAD <= most <= _LEAST_TILT_DEG:
        return None
    return f"warning: tilt_angles are within ±{most:g} degrees{_RADIANS} (1 rad = 57.3 degrees)?"


def doubtful_units(
    energy_ev: float, spherical_aberration_angstrom: float | None, pixel_size_angstrom: float | None = None
) -> tuple[str, ...]:
    """The same in the units that files and flags have: one line for each value that is doubtful.

    Parameters
    ----------
    energy_ev : float
        Accelerating voltage, volts.
    spherical_aberration_angstrom : float or None
        Zero and None are no reason to doubt.
    pixel_size_angstrom : float or None
        None is none either.
    """
    lines = []
    if doubtful_energy(energy_ev):
        lines.append(f"warning: energy is {energy_ev:g} V{_READ_IN}volts (300 kV = 300e3 V)")
    cs = spherical_aberration_angstrom
    if doubtful_cs(cs):
        lines.append(f"warning: spherical_aberration is {cs:g} Å{_READ_IN}angstrom (1 mm = 1e7 Å)")
    if pixel_size_angstrom is not None and doubtful_pixel(pixel_size_angstrom):
        lines.append(f"warning: pixel_size is {pixel_size_angstrom:g} Å{_READ_IN}angstrom (1 nm = 10 Å)")
    return tuple(lines)


def doubtful_geometry(
    energy_ev: float, cs_angstrom: float | None, pixel_size_angstrom: float, tilt_deg: Sequence[float]
) -> tuple[str, ...]:
    """All doubts about a series: units of its optics and pixel, and its tilts; one line each."""
    tilts = doubtful_tilts(tilt_deg)
    units = doubtful_units(energy_ev, cs_angstrom, pixel_size_angstrom)
    return units if tilts is None else (*units, tilts)


def is_doubt(line: str) -> bool:
    """Whether a line is one of :func:`doubtful_geometry`."""
    return is_unit_warning(line) or (line.startswith("warning: ") and _RADIANS in line)


def is_unit_warning(line: str) -> bool:
    """Whether a line is one of :func:`doubtful_units`."""
    return line.startswith("warning: ") and _READ_IN in line
