"""What the comparison says in numbers."""

from __future__ import annotations

from napari_phaset3m.analyse.fsc_curve import FscCurve
from napari_phaset3m.analyse.resolution import Criterion
from napari_phaset3m.gui.compare.measure import Measured
from napari_phaset3m.gui.compare.set import Item

#: FSC criteria that are reported.
CRITERIA: tuple[Criterion, ...] = ("0.5", "0.143")


def number_lines(items: list[Item], numbers: dict[str, Measured]) -> list[str]:
    """One line per volume that was compared with the reference."""
    if len(items) < 2:
        return []
    lines = []
    for letter, item in zip("BCD", items[1:], strict=False):
        found = numbers.get(item.candidate.key)
        lines.append(f"{letter} against A:  {'measuring …' if found is None else sentence(found)}")
    return lines


def sentence(measured: Measured) -> str:
    """Correlation, SSIM, FSC, alignment and difference of one volume against the reference."""
    c = measured.comparison
    shift = sum(s**2 for s in c.shift_angstrom) ** 0.5
    parts = [f"correlation {c.correlation:.3f}"]
    if c.ssim is not None:
        parts.append(f"SSIM {c.ssim:.3f}")
    parts.append(resolutions(c.fsc))
    parts += rotation(measured)
    parts.append(f"aligned by {shift:.2f} Å" if shift else "not shifted")
    parts.append(f"scaled by {c.scale:.3g}")
    parts.append(f"difference {100 * c.relative_difference:.3g} % (rms, of A's standard deviation)")
    return "  ·  ".join([*parts, *c.notes])


def rotation(measured: Measured) -> list[str]:
    """By how many degrees the volume was rotated; nothing when that was not asked for."""
    if measured.postponed:
        return ["rotation: when the run has ended"]
    if measured.turning == "none":
        return []
    about_x, tilt, about_z = measured.comparison.turn_deg
    if measured.turning == "tilt":
        return [f"rotated by {tilt:.2f}° about the tilt axis" if tilt else "no rotation about the tilt axis"]
    if not any(measured.comparison.turn_deg):
        return ["no rotation"]
    return [f"rotated by {about_x:.2f}°, {tilt:.2f}°, {about_z:.2f}° about x, y, z"]


def resolutions(curve: FscCurve) -> str:
    """Where the FSC falls below each criterion, with the mask."""
    found = []
    for criterion in CRITERIA:
        resolution = curve.resolution(criterion)
        if resolution.angstrom is None:
            text = "at no frequency"
        else:
            better = " or better" if resolution.status == "nyquist" else ""
            text = f"{resolution.angstrom:.2f} Å{better}"
        found.append(f"{criterion}: {text}")
    return f"FSC {', '.join(found)} (mask: {curve.mask_name})"


def difference_title(measured: Measured | None) -> str:
    """Title of the difference's column."""
    if measured is None:
        return "A − B  measuring …"
    turned = any(measured.comparison.turn_deg)
    return f"A − B  {'rotated, shifted' if turned else 'shifted'} and scaled"
