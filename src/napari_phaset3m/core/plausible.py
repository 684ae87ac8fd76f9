"""Values that are hardly meant in the unit they are read in; each check gives None or one line on it."""

from __future__ import annotations

#: Usual accelerating voltages, volts, and spherical aberrations but 0, angstrom.
USUAL_ENERGY_EV, USUAL_CS_ANGSTROM = (10e3, 3e6), (1e4, 1e8)
#: Voltages that are likely meant when another unit was typed.
_COMMON_EV = (40e3, 1.5e6)
_MM, _KV = 1e7, 1e3
_READ_IN = "; it is read in "


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


def doubtful_units(energy_ev: float, spherical_aberration_angstrom: float | None) -> tuple[str, ...]:
    """The same in the units that files and flags have: one line for each value that is doubtful.

    Parameters
    ----------
    energy_ev : float
        Accelerating voltage, volts.
    spherical_aberration_angstrom : float or None
        Zero and None are no reason to doubt.
    """
    lines = []
    if doubtful_energy(energy_ev):
        lines.append(f"warning: energy is {energy_ev:g} V{_READ_IN}volts (300 kV = 300e3 V)")
    cs = spherical_aberration_angstrom
    if doubtful_cs(cs):
        lines.append(f"warning: spherical_aberration is {cs:g} Å{_READ_IN}angstrom (1 mm = 1e7 Å)")
    return tuple(lines)


def is_unit_warning(line: str) -> bool:
    """Whether a line is one of :func:`doubtful_units`."""
    return line.startswith("warning: ") and _READ_IN in line
