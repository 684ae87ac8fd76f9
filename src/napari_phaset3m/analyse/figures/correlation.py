"""Fourier shell correlations: curves with their criteria, and a map over directions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_phaset3m.analyse.figures.curves import frequency_axis
from napari_phaset3m.analyse.figures.style import (
    BLUE,
    GREEN,
    INK,
    ORANGE,
    PURPLE,
    SKY,
    VERMILLION,
    legend_columns,
    line,
)

if TYPE_CHECKING:
    from napari_phaset3m.analyse.fsc import ConicalFsc, FscCurve
    from napari_phaset3m.analyse.resolution import Criterion


def plot_fsc(axes: Any, curve: FscCurve, *, mark: Criterion = "0.143", free: FscCurve | None = None) -> None:
    """One FSC with all that belongs to it: unmasked, masked, randomised, corrected, criteria, noise bound.

    Parameters
    ----------
    axes : matplotlib Axes
    curve : FscCurve
    mark : {"0.143", "0.5", "half-bit"}
        Criterion whose resolution is marked.
    free : FscCurve, optional
        Of the same halves without priors, drawn as a control.
    """
    k = curve.frequency_per_angstrom
    if curve.corrected is None:
        axes.plot(k, curve.fsc, color=BLUE, lw=2.2, label=f"FSC (mask: {_short(curve.mask_name)})")
    else:
        if curve.unmasked is not None:
            axes.plot(k, curve.unmasked, color=GREEN, ls=(0, (6, 2)), label="no mask")
        axes.plot(k, curve.fsc, color=ORANGE, ls=(0, (6, 2, 1, 2)), label="masked")
        if curve.randomised is not None:
            axes.plot(
                k, curve.randomised, color=VERMILLION, ls=(0, (1.5, 1.5)), label="masked, phases randomised"
            )
        axes.plot(k, curve.corrected, color=BLUE, lw=2.4, label="masked, corrected")
    if free is not None:
        axes.plot(
            free.frequency_per_angstrom, free.best, color=PURPLE, lw=2, ls=(0, (3, 1.5)),
            label="control without priors",
        )  # fmt: skip
    criteria(axes, curve)
    _mark(axes, curve, mark)
    _frame(axes, float(k[-1]))


def plot_fsc_set(axes: Any, curves: Sequence[tuple[str, FscCurve]], *, noise: bool = True) -> None:
    """The curves that resolutions are read from, of several pairs of volumes or regions."""
    for number, (label, curve) in enumerate(curves):
        style = line(number)
        axes.plot(curve.frequency_per_angstrom, curve.best, label=label, **style)
        if noise and len(curves) <= 2:
            bound = curve.noise_bound
            axes.plot(
                curve.frequency_per_angstrom, bound, color=style["color"], lw=0.8, alpha=0.8,
                label=f"noise bound, {label}",
            )  # fmt: skip
    criteria(axes, curves[0][1], curve_free=True)
    _frame(axes, float(max(curve.frequency_per_angstrom[-1] for _, curve in curves)))


def criteria(axes: Any, curve: FscCurve, *, curve_free: bool = False) -> None:
    """Lines of 0.143 and 0.5; with ``curve_free=False`` also the half-bit curve and the noise bound."""
    k = curve.frequency_per_angstrom
    for level, style in ((0.5, (0, (4, 3))), (0.143, (0, (1, 2)))):
        axes.axhline(level, color=INK, lw=1, ls=style)
        axes.annotate(f"{level:g}", (1, level), (3, 0), xycoords=("axes fraction", "data"),
                      textcoords="offset points", va="center", fontsize="small")  # fmt: skip
    if not curve_free:
        axes.plot(
            k, curve.threshold("half-bit"), color=INK, lw=1, ls=(0, (7, 2, 1, 2, 1, 2)), label="half-bit"
        )
        axes.fill_between(k, -curve.noise_bound, curve.noise_bound, color=INK, alpha=0.12, lw=0,
                          label="within the noise bound")  # fmt: skip


def _short(text: str, limit: int = 28) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _mark(axes: Any, curve: FscCurve, criterion: Criterion) -> None:
    found = curve.resolution(criterion)
    if found.angstrom is None:
        return
    k = 1 / found.angstrom
    level = float(np.interp(k, curve.frequency_per_angstrom, curve.threshold(criterion)))
    axes.plot([k, k], [level, -0.12], color=BLUE, lw=1, ls=(0, (2, 2)))
    more = " or better" if found.at_least else ""
    name = f"{found.angstrom:.3g} Å{more} at {criterion}"
    axes.plot([k], [level], "o", color=BLUE, ms=6, ls=(0, (2, 2)), lw=1, label=name)


def below(axes: Any, ncols: int = 3) -> None:
    """The legend under the axes, where it hides nothing."""
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.17), ncols=legend_columns(axes, ncols))


def _frame(axes: Any, limit: float) -> None:
    frequency_axis(axes, limit)
    axes.set_ylim(-0.12, 1.03)
    axes.axhline(0, color=INK, lw=0.8)
    axes.set_ylabel("Fourier shell correlation")
    below(axes)


def plot_conical(axes: Any, conical: ConicalFsc, *, criterion: Criterion = "0.143") -> Any:
    """Resolution over directions: the half sphere seen along the beam, equal areas.

    The beam (z) is in the middle, x to the right, the tilt axis y downward; where the tilts are
    known the missing wedge is shaded.

    Returns
    -------
    PathCollection or None
        For a colour bar; None when no direction has a resolution.
    """
    found = conical.resolutions(criterion)
    place = _project(conical.directions)
    angle = np.linspace(0, 2 * np.pi, 181)
    axes.plot(np.cos(angle), np.sin(angle), color=INK, lw=1)
    if conical.tilt_range_deg is not None:
        _wedge_lens(axes, conical.tilt_range_deg)
    some = np.isfinite(found)
    image = None
    if some.any():
        image = axes.scatter(
            *place[some].T, c=found[some], cmap="cividis_r", s=110, edgecolors=INK, linewidths=0.8, zorder=3
        )
    if not some.all():
        axes.plot(*place[~some].T, "x", color=VERMILLION, ms=8, mew=2, label="no resolution", zorder=3)
        axes.legend(loc="lower right")
    for text, spot, ha in (
        ("z (beam)", (0.03, -0.06), "left"),
        ("x", (1.03, 0), "left"),
        ("y", (0.03, 1.03), "left"),
    ):
        axes.annotate(text, spot, ha=ha, va="center", fontweight="bold", zorder=4)
    axes.set_xlim(-1.15, 1.2)
    axes.set_ylim(1.15, -1.1)
    axes.set_aspect("equal")
    axes.set_axis_off()
    return image


def _project(directions: np.ndarray) -> np.ndarray:
    """Lambert's azimuthal equal-area projection of directions (x, y, z) taken to z >= 0, unit disc."""
    d = np.where(directions[:, 2:] < 0, -directions, directions)
    return np.asarray(d[:, :2] / np.sqrt(1 + d[:, 2:]))


def _wedge_lens(axes: Any, tilt_range_deg: tuple[float, float]) -> None:
    """Between the great circles of the lowest and highest tilt, through the tilt axis."""
    turn = np.linspace(-np.pi / 2, np.pi / 2, 91)[:, None]
    edges = []
    for tilt in np.radians(tilt_range_deg):
        plane = np.array([np.cos(tilt), 0, -np.sin(tilt)])
        plane = plane if plane[2] >= 0 else -plane
        edges.append(_project(np.cos(turn) * plane + np.sin(turn) * np.array([0.0, 1.0, 0.0])))
        axes.plot(*edges[-1].T, color=SKY, lw=1.2, ls=(0, (6, 3)))
    outline = np.concatenate([edges[0], edges[1][::-1]])
    axes.fill(*outline.T, color=SKY, alpha=0.2, lw=0, label="missing wedge")
    axes.legend(loc="lower right")
