"""What was found, as rows and sentences: values with errors, stages, before and after."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_phaset3m.gui.optimise.units import number, shown, shown_unit, with_error
from napari_phaset3m.optimise.auto import AutoResult, Stage
from napari_phaset3m.optimise.axes import at_bounds, bounded
from napari_phaset3m.optimise.jackknife import SIGMA_MEANS
from napari_phaset3m.optimise.parameters import PARAMETERS
from napari_phaset3m.optimise.posterior import interval
from napari_phaset3m.optimise.search import SearchResult
from napari_phaset3m.optimise.stages import FREEDOM
from napari_phaset3m.optimise.trials import UNEXPLAINED
from napari_phaset3m.optimise.uncertainty import Determined, values_of

if TYPE_CHECKING:
    from napari_phaset3m.core.series import TiltFocalSeries
    from napari_phaset3m.gui.optimise.rounds import Round

#: Of a name in :class:`Determined`: what to call it, unit, that unit in angstrom.
_SHARED = {
    "defocus": ("Defocus, all", "nm", 10.0), "C30": ("Cs", "mm", 1e7),
    "focal_spread": ("Focal spread", "nm", 10.0), "C12": ("Astigmatism", "nm", 10.0),
    "C21": ("Coma", "nm", 10.0), "C23": ("Three-fold", "nm", 10.0),
}  # fmt: skip
Rows = list[tuple[str, ...]]
#: What the error bars hold.
_BARS = f"± is {SIGMA_MEANS}."


def shared_label(name: str) -> str:
    """``Astigmatism cos`` for ``C12 cos``."""
    head, _, part = name.partition(" ")
    return f"{_SHARED.get(head, (head, 'Å', 1.0))[0]} {part}".strip()


def best_rows(now: Round) -> Rows:
    """(parameter with unit, best value with error) of the searched ones."""
    best = now.best
    rows: Rows = []
    if best is None:
        return []
    for axis, name in enumerate(now.names):
        unit, factor = shown_unit(name)
        sigma = half_width(now, axis)
        text = with_error(best.values[name] / factor, None if sigma is None else sigma / factor)
        rows.append((PARAMETERS[name].label, f"{text} {unit}".strip()))
    return rows


def half_width(now: Round, axis: int) -> float | None:
    """Half of where the posterior mean is within a standard deviation of its minimum; None: no model."""
    part = next((part for part in now.slices if part.axes == (axis,)), None)
    if part is None:
        return None
    low, high = now.limits[now.names[axis]]
    left, right = interval(part)
    return 0.5 * (right - left) * (high - low)


def determined_rows(found: Determined, series: TiltFocalSeries) -> Rows:
    """(what, value with error) of the shared optics that the gradient refined."""
    rows: Rows = []
    values = values_of(series, found.names)
    for name, value, sigma in zip(found.names, values, found.sigma_angstrom, strict=True):
        head = name.partition(" ")[0]
        _, unit, factor = _SHARED.get(head, (head, "Å", 1.0))
        text = with_error(float(value) / factor, float(sigma) / factor)
        rows.append((shared_label(name), f"{text} {unit}"))
    return rows


def exchange_words(found: Determined | None) -> str:
    """Sentences on what the images cannot tell apart; empty when nothing is exchangeable."""
    if found is None:
        return ""
    lines = []
    for one, other, value in found.exchangeable():
        both = "rise" if value > 0 else "trade"
        lines.append(
            f"{shared_label(one)} and {shared_label(other)} {both} together "
            f"(correlation {number(value, 2)}): the images tell their combination better than either."
        )
    return "\n".join(lines)


def found_words(found: Determined | None, result: AutoResult | SearchResult | None) -> str:
    """What to know when reading the values and their errors; empty without a result."""
    if result is None:
        return ""
    last = result if isinstance(result, SearchResult) else next(reversed(result.searches), None)
    bounds, own = ("", ()) if last is None else (bound_words(last), at_bounds(last.best, last.axes))
    if found is None:
        notes = (f"{note[0].upper()}{note[1:]}." for note in result.notes if note not in own)
        return "\n".join(filter(None, (*notes, bounds)))
    freedom = f"{FREEDOM[0].upper()}{FREEDOM[1:]}."
    doubt = f"{UNEXPLAINED[0].upper()}{UNEXPLAINED[1:]}." if UNEXPLAINED in result.notes else ""
    return "\n".join(filter(None, (doubt, bounds, exchange_words(found), _BARS, freedom)))


def bound_words(search: SearchResult) -> str:
    """A line for each parameter whose best value lies at a bound of its range."""
    return "\n".join(
        f"{PARAMETERS[name].label}: the best value, {shown(name, search.best.values[name])} "
        f"{shown_unit(name)[0]}".rstrip()
        + ", lies at a bound of its range; widen it"
        for name in bounded(search.best, search.axes)
    )


def stage_rows(stages: tuple[Stage, ...]) -> Rows:
    """(stage, held-out before → after, kept or undone) of each."""
    rows: Rows = []
    for stage in stages:
        after = "not judged" if stage.after is None else f"{stage.after:.4f}"
        before = "–" if stage.before is None else f"{stage.before:.4f}"
        rows.append((stage.name.capitalize(), f"{before} → {after}", "kept" if stage.kept else "undone"))
    return rows


_FURTHER = {
    "tilt_rms_deg": "tilts by {}° (RMS)", "rotation_rms_deg": "rotations by {}° (RMS)",
    "magnification_rms_percent": "magnifications by {} % (RMS)", "dose_rms_percent": "doses by {} % (RMS)",
}  # fmt: skip


def stage_tip(stage: Stage) -> str:
    """What a stage changed, and how long it took."""
    change = stage.changed
    parts = []
    if "cs_change_angstrom" in change:
        parts.append(f"Cs by {number(change['cs_change_angstrom'] / 1e7, 3)} mm")
    if "defocus_rms_angstrom" in change:
        parts.append(f"defocus by {number(change['defocus_rms_angstrom'] / 10, 3)} nm (RMS)")
    if "shift_rms_px" in change:
        parts.append(f"shifts by {number(change['shift_rms_px'], 3)} px (RMS)")
    if "C12_angstrom" in change:
        parts.append(f"astigmatism to {number(change['C12_angstrom'] / 10, 3)} nm")
    for name, words in _FURTHER.items():
        if name in change:
            parts.append(words.format(number(change[name], 3)))
    undone = "" if stage.kept else "; undone: held-out images were explained worse"
    radius = change.get("ball_radius_angstrom")
    ball = "" if radius is None else f"; volumes within a ball {number(radius / 5, 2)} nm across"
    return f"Changed {', '.join(parts) or 'nothing'}{ball}; {stage.seconds:.0f} s{undone}"


def comparison_rows(before: TiltFocalSeries, after: TiltFocalSeries) -> Rows:
    """(what, before, after) of everything that differs."""
    rows: Rows = []
    for name in ("spherical_aberration_angstrom", "focal_spread_angstrom", "convergence_semiangle_mrad",
                 "tilt_axis_angle_deg", "pixel_size_angstrom"):  # fmt: skip
        pair = [getattr(series, name) for series in (before, after)]
        label, unit, factor = _PLAIN[name]
        told = ["–" if value is None else number(value / factor) for value in pair]
        if told[0] != told[1]:
            rows.append((f"{label} ({unit})", *told))
    rows += _aberrations(before, after)
    pair = [series.defocus_angstrom for series in (before, after)]
    if pair[0] is not None and pair[1] is not None and not np.array_equal(*pair):
        rows.append(("Defocus (nm)", *(number(a[before.used].mean() / 10) for a in pair)))
        moved = (pair[1] - pair[0])[before.used] / 10
        rows.append(("  changed by", "", f"{number(np.sqrt((moved**2).mean()), 3)} RMS"))
    pair = [series.shifts_px for series in (before, after)]
    if pair[0] is not None and pair[1] is not None and not np.array_equal(*pair):
        moved = (pair[1] - pair[0])[before.used]
        rows.append(("Shifts (px) by", "", f"{number(np.sqrt((moved**2).mean()), 3)} RMS"))
    return rows


_PLAIN = {
    "spherical_aberration_angstrom": ("Cs", "mm", 1e7), "focal_spread_angstrom": ("Focal spread", "nm", 10.0),
    "convergence_semiangle_mrad": ("Convergence", "mrad", 1.0), "pixel_size_angstrom": ("Pixel", "Å", 1.0),
    "tilt_axis_angle_deg": ("Tilt axis", "°", 1.0),
}  # fmt: skip


def _aberrations(before: TiltFocalSeries, after: TiltFocalSeries) -> Rows:
    rows: Rows = []
    for name in ("C12", "C21", "C23"):
        values = [series.aberrations.get(name, 0.0) for series in (before, after)]
        angles = [np.degrees(s.aberrations.get("phi" + name[1:], 0.0)) for s in (before, after)]
        told = [
            f"{number(v / 10, 3)} at {number(a, 3)}°" if v else "0"
            for v, a in zip(values, angles, strict=True)
        ]
        if told[0] != told[1]:
            rows.append((f"{_SHARED[name][0].replace('Astigmatism', 'Astigm.')} (nm)", *told))
    return rows


def determined_of(result: object) -> Determined | None:
    """Correlations of a pipeline's result; None for a search."""
    return result.determined if isinstance(result, AutoResult) else None
