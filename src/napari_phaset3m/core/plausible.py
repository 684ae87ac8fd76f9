"""Values that are hardly meant in the unit they are read in."""

from __future__ import annotations

#: Below these a value was likely typed in kV and in mm.
LEAST_ENERGY_EV, LEAST_CS_ANGSTROM = 10e3, 1e4


def doubtful_units(energy_ev: float, spherical_aberration_angstrom: float | None) -> tuple[str, ...]:
    """One line for each value that looks like one of another unit.

    Parameters
    ----------
    energy_ev : float
        Accelerating voltage, volts.
    spherical_aberration_angstrom : float or None
        Zero and None are no reason to doubt.
    """
    lines = []
    if energy_ev < LEAST_ENERGY_EV:
        lines.append(f"warning: energy is {energy_ev:g} V; it is read in volts (300 kV = 300e3 V)")
    cs = spherical_aberration_angstrom
    if cs and abs(cs) < LEAST_CS_ANGSTROM:
        lines.append(f"warning: spherical_aberration is {cs:g} Å; it is read in angstrom (1 mm = 1e7 Å)")
    return tuple(lines)
