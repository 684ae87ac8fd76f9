"""What the fit of an image's contrast transfer says, in words."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from napari_phaset3m.prepare.ctf.result import CtfResult, ImageCtf

_OF_DEFOCUS = re.compile(r"(the fit, |give about |noise leaves |Typical error )(-?\d+) Å")
_METHODS = {
    "thon": "Thon rings", "exit wave": "exit-wave consistency", "edited": "set by hand",
    "stated": "as the series states", "neighbours": "median of the nearest tilts", "none": "nothing found",
}  # fmt: skip


def words(image: ImageCtf) -> str:
    """What was found for one image, with units and errors."""
    parts = [f"Defocus {_with(image.defocus_angstrom / 10, image.defocus_error_angstrom / 10, 1)} nm"]
    if image.c12_angstrom:
        angle = f"{np.degrees(image.phi12_rad):.0f}°"
        parts.append(f"C12 {_with(image.c12_angstrom / 10, image.c12_error_angstrom / 10, 1)} nm at {angle}")
    if image.phase_shift_deg:
        parts.append(f"phase shift {_with(image.phase_shift_deg, image.phase_shift_error_deg, 0)}°")
    if image.method in ("thon", "exit wave"):
        parts.append(f"confidence {image.confidence:.2f}")
        if np.isfinite(image.resolution_angstrom):
            parts.append(f"fitted to {image.resolution_angstrom:.2f} Å")
    parts.append(_METHODS[image.method])
    return "  ·  ".join(parts).replace("-", "−", 1) if image.defocus_angstrom < 0 else "  ·  ".join(parts)


def stand_in_words(before: CtfResult, after: CtfResult) -> str:
    """How many other images a defocus that was set by hand stands in for now; empty when none."""
    count = int((after.known & ~before.known).sum()) - 1
    text = f"{count} images whose fits cannot be trusted take the defocus of their nearest tilts"
    return text if count > 0 else ""


def why_unsupported(result: CtfResult) -> str:
    """Why a table cannot be applied: at some focus nothing is known; empty when it can."""
    missing = np.flatnonzero(~result.known.all(axis=0)) + 1
    if not missing.size:
        return ""
    where = f" at focus {', '.join(map(str, missing))}" if result.known.shape[1] > 1 else ""
    return f"No fit{where} can be trusted, and no defocus is stated: widen the search, or set one by hand"


def in_nm(text: str) -> str:
    """What a fit tells of defoci (in Å, as everywhere in the engine) in the unit of the window."""
    return _OF_DEFOCUS.sub(lambda found: f"{found[1]}{int(found[2]) / 10:.1f} nm", text)


def _with(value: float, error: float, digits: int) -> str:
    if not np.isfinite(value):
        return "–"
    return f"{value:.{digits}f}" + (f" ± {error:.{digits}f}" if np.isfinite(error) else "")
