"""Units in which microscopists give the parameters of a search."""

from __future__ import annotations

import math

from napari_phaset3m.optimise.parameters import PARAMETERS, Parameter

#: Shown unit, and that unit in the parameter's own.
_MM, _NM = ("mm", 1e7), ("nm", 10.0)
_IN_NM = ("defocus_offset_angstrom", "focal_spread_angstrom", "c12_", "c21_", "c23_")
#: Long words of names, and what stands for them where there is little room.
_BRIEF = (
    ("Three-fold astigmatism,", "3-fold"), ("Astigmatism,", "Astigm."), ("Coma,", "Coma"),
    ("Convergence", "Converg."), ("Magnification", "Magnif."), ("Tilt, all images", "All tilts"),
)  # fmt: skip


def shown_unit(name: str) -> tuple[str, float]:
    """(unit, that unit in the parameter's own) of a parameter, e.g. ``("mm", 1e7)`` for Cs."""
    if name == "cs_angstrom":
        return _MM
    return _NM if name.startswith(_IN_NM) else (PARAMETERS[name].unit, 1.0)


def title(parameter: Parameter, *, short: bool = False) -> str:
    """Name with the shown unit in brackets; ``short`` fits into a narrow column."""
    unit, name = shown_unit(parameter.name)[0], parameter.label
    if short:
        for long, brief in _BRIEF:
            name = name.replace(long, brief)
    return f"{name} ({unit})" if unit else name


def shown(name: str, value: float, digits: int = 4) -> str:
    """A value in the shown unit, without the unit."""
    return number(value / shown_unit(name)[1], digits)


def number(value: float, digits: int = 4) -> str:
    """A number as a person would write it: no exponent, no trailing zeros, a minus sign."""
    if not math.isfinite(value):
        return "–"
    power = math.floor(math.log10(abs(value))) if value else 0
    text = f"{value:.{min(8, max(0, digits - 1 - power))}f}"
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text.replace("-", "−")


def parsed(name: str, text: str) -> float | None:
    """What was typed, in the parameter's own unit; the shown unit may stand behind it. None: no number."""
    unit, factor = shown_unit(name)
    text = text.strip().replace("−", "-").removesuffix(unit).strip()
    if text.count(",") == 1 and "." not in text:
        text = text.replace(",", ".")
    try:
        value = float(text)
    except ValueError:
        return None
    return value * factor if math.isfinite(value) else None


def with_error(value: float, sigma: float | None) -> str:
    """``2.31 ± 0.04``: as many digits as the error has two of; what would be 0 keeps its first one."""
    if sigma is None or not math.isfinite(sigma) or sigma <= 0:
        return number(value)
    digits = min(8, max(0, 1 - math.floor(math.log10(sigma))))
    text = f"{value:.{digits}f}" if round(value, digits) or not value else number(value, 1)
    return f"{text} ± {sigma:.{digits}f}".replace("-", "−")
