"""Surfaces of equal value, seen from a corner: of a volume, and of its 3D power with Bragg peaks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_phaset3m.analyse.figures.pictures import length_text, round_length, shells
from napari_phaset3m.analyse.figures.rays import VIEW_DEG, Shaded, shaded, view_matrix
from napari_phaset3m.analyse.figures.style import BLUE, GREEN, INK, ORANGE, VERMILLION, new_figure
from napari_phaset3m.analyse.fourier import log_power
from napari_phaset3m.core.precision import REAL

if TYPE_CHECKING:
    from napari_phaset3m.analyse.bragg_table import BraggReport

#: Of the power before its surface is taken, grid points: a peak is only a few of them wide.
_POWER_SMOOTHING = 0.6
#: A surface of power stands this many robust deviations of its logarithm over the median at its frequency: of
#: exponentially distributed power, as noise has, 6 in a million points do.
POWER_DEVIATIONS = 2.5


def surface_level(volume: np.ndarray, mask: np.ndarray | None = None) -> float:
    """Otsu's threshold of the positive values (in the mask): between the atoms and what is around them."""
    from skimage.filters import threshold_otsu

    inside = volume if mask is None else volume[mask >= 0.5]
    positive = inside[inside > 0]
    chosen = positive if positive.size > 100 else inside.ravel()
    return float(threshold_otsu(np.asarray(chosen, REAL)))


def figure_surface(volume: np.ndarray, voxel_size_angstrom: float, *, mask: np.ndarray | None = None) -> Any:
    """A volume's surface from two sides; what lies outside the mask is left out.

    Returns
    -------
    matplotlib Figure
    """
    level = surface_level(volume, mask)
    shown = volume if mask is None else np.where(mask >= 0.5, volume, volume.min())
    shown = _cropped(np.asarray(shown, REAL), level)
    figure = new_figure(9.0, 4.5)
    for axes, view in zip(figure.subplots(1, 2), (VIEW_DEG, (VIEW_DEG[0] + 90, VIEW_DEG[1])), strict=True):
        _surface(axes, shown, level, voxel_size_angstrom, view)
    return figure


def draw_surface(axes: Any, volume: np.ndarray, voxel_size_angstrom: float) -> float:
    """Draw a volume's surface from a corner, with a scale bar and its axes; returns its level."""
    level = surface_level(volume)
    _surface(axes, _cropped(np.asarray(volume, REAL), level), level, voxel_size_angstrom, VIEW_DEG)
    return level


def _surface(axes: Any, shown: np.ndarray, level: float, voxel: float, view: tuple[float, float]) -> None:
    found = shaded(shown, level, view)
    half = found.half_width * voxel
    _paint(axes, found, half, BLUE)
    length = round_length(half / 2)
    axes.plot([-0.95 * half, -0.95 * half + length], [0.93 * half] * 2, color=INK, lw=3)
    axes.text(-0.95 * half, 0.9 * half, length_text(length), color=INK, va="bottom")
    _triad(axes, view, half, ("x", "y", "z"))


def power_excess(volume: np.ndarray) -> np.ndarray:
    """Log power over its median at the same frequency, in robust deviations; zero frequency in the middle."""
    power = np.asarray(log_power(volume, window=True), float)
    axes = [(np.arange(n) - n // 2) / n for n in volume.shape]
    k = np.sqrt(axes[0][:, None, None] ** 2 + axes[1][None, :, None] ** 2 + axes[2][None, None] ** 2)
    shell = np.minimum((k * max(volume.shape)).astype(int), max(volume.shape) // 2)
    order = np.argsort(shell, axis=None, kind="stable")
    ends = np.cumsum(np.bincount(shell.ravel()))[:-1]
    flat, excess = power.ravel(), np.zeros(power.size, REAL)
    for part in np.split(order, ends):
        middle = np.median(flat[part])
        spread = 1.4826 * np.median(np.abs(flat[part] - middle))
        excess[part] = (flat[part] - middle) / max(spread, 1e-9)
    # without what lies beyond Nyquist, and without the specimen's shape
    inside = (k <= 0.5) & (k * min(volume.shape) >= 4)
    return np.asarray(np.where(inside, excess.reshape(power.shape), REAL(0)), REAL)


def figure_power(
    volume: np.ndarray,
    voxel_size_angstrom: float,
    *,
    report: BraggReport | None = None,
    tilt_range_deg: tuple[float, float] | None = None,
) -> Any:
    """Surface of the 3D power with resolution shells, the border of the wedge and the peaks that were found.

    Returns
    -------
    matplotlib Figure
    """
    from scipy import ndimage

    excess = power_excess(volume)
    figure = new_figure(6.4, 6.6)
    axes = figure.subplots()
    # on one scale along all axes: the box may not be a cube
    longest = max(volume.shape)
    even = excess
    if len(set(volume.shape)) > 1:
        even = ndimage.zoom(excess, [longest / n for n in volume.shape], order=1)
    even = ndimage.gaussian_filter(even, _POWER_SMOOTHING)
    found = shaded(even, POWER_DEVIATIONS, half_width=0.53 * longest)
    limit = 0.5 / voxel_size_angstrom
    half = found.half_width / (longest * voxel_size_angstrom)
    _paint(axes, found, half, ORANGE)
    _spheres(axes, limit)
    if tilt_range_deg is not None:
        _wedge(axes, tilt_range_deg, limit)
    if report is not None and report.lattice is not None:
        _peaks(axes, report)
    _triad(axes, VIEW_DEG, 1.12 * limit, ("kx", "ky", "kz"))
    axes.set_xlim(-1.12 * limit, 1.12 * limit)
    axes.set_ylim(1.12 * limit, -1.12 * limit)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.01), ncols=2)
    return figure


def _cropped(volume: np.ndarray, level: float) -> np.ndarray:
    """The part that holds nearly all of the surface: single voxels of noise may be far away."""
    over = np.nonzero(volume >= level)
    if len(over[0]) == 0:
        return volume
    cut = []
    for n, place in zip(volume.shape, over, strict=True):
        first, last = np.quantile(place, (0.005, 0.995)).astype(int)
        cut.append(slice(max(0, first - 3), min(n, last + 4)))
    return volume[tuple(cut)]


def _paint(axes: Any, found: Shaded, half: float, colour: str) -> None:
    from matplotlib.colors import to_rgb

    bright = np.nan_to_num(found.brightness)[..., None]
    base = np.array(to_rgb(colour))
    # towards white where it shines
    rgb = np.clip(bright * (0.35 + 0.65 * base) * 1.25, 0, 1)
    rgba = np.concatenate([rgb, np.isfinite(found.brightness)[..., None]], axis=2)
    axes.imshow(rgba, extent=(-half, half, half, -half), interpolation="antialiased")
    axes.set_axis_off()
    axes.set_aspect("equal")


def _triad(axes: Any, view_deg: tuple[float, float], half: float, names: tuple[str, str, str]) -> None:
    """Where x, y and z point."""
    turn, at, length = view_matrix(view_deg), np.array([0.78, 0.78]) * half, 0.17 * half
    for column, name in enumerate(names):
        tip = at + length * turn[:2, column]
        axes.annotate("", tip, at, arrowprops={"arrowstyle": "->", "color": INK, "lw": 1.4})
        x, y = at + 1.3 * length * turn[:2, column]
        axes.text(x, y, name, color=INK, ha="center", va="center")


def _spheres(axes: Any, limit: float) -> None:
    angle = np.linspace(0, 2 * np.pi, 181)
    drawn = shells(limit)
    for number, (k, _) in enumerate(drawn):
        told = f"shells of {', '.join(text for _, text in drawn)}" if number == 0 else None
        axes.plot(k * np.cos(angle), k * np.sin(angle), color=INK, lw=0.8, ls=(0, (4, 3)), label=told)


def _wedge(axes: Any, tilt_range_deg: tuple[float, float], limit: float) -> None:
    """Great circles of the lowest and highest tilt: between them, around z, nothing was measured."""
    angle = np.linspace(0, 2 * np.pi, 361)
    for number, tilt in enumerate(np.deg2rad(tilt_range_deg)):
        # a measured plane at tilt t holds (cos t, 0, -sin t) and the tilt axis
        across = [np.cos(tilt), 0, -np.sin(tilt)]
        circle = np.outer(np.cos(angle), across) + np.outer(np.sin(angle), [0, 1, 0])
        right, down, away = view_matrix() @ circle.T * limit
        name = f"tilts {tilt_range_deg[0]:g} and {tilt_range_deg[1]:g}°: the wedge's border"
        front = np.where(away <= 0, right, np.nan)
        axes.plot(front, down, color=GREEN, lw=1.8, label=name if number == 0 else None)
        axes.plot(np.where(away > 0, right, np.nan), down, color=GREEN, lw=0.8, ls=(0, (2, 2)))


def _peaks(axes: Any, report: BraggReport) -> None:
    """Rings around the peaks that were found, on the half that is seen."""
    wedge = np.zeros(len(report.hkl), bool) if report.in_wedge is None else report.in_wedge
    seen = report.q_per_angstrom @ view_matrix().T
    seen = np.where(seen[:, 2:] > 0, -seen, seen)  # the one of each Friedel pair that is in front
    parts = [(~wedge, BLUE, "o", "found" if report.in_wedge is None else "found, measured region")]
    parts.append((wedge, VERMILLION, "s", "found, missing wedge"))
    for region, colour, marker, name in parts:
        chosen = region & report.found
        if chosen.any():
            axes.plot(*seen[chosen, :2].T, marker, ls="none", mfc="none", mec=colour, mew=1.3, ms=9,
                      label=f"{name} ({int(chosen.sum())} pairs)")  # fmt: skip
