"""Surfaces of equal value, shaded and seen from a corner: of a volume, and of its 3D power with Bragg peaks.

Each pixel looks along its ray for the first voxel over the level (first-hit ray casting, Levoy, IEEE Comput.
Graph. Appl. 8(3) (1988) 29); the surface is lit from the upper left and darkens with depth.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_phaset3m.analyse.figures.pictures import length_text, round_length, shells
from napari_phaset3m.analyse.figures.style import BLUE, GREEN, INK, ORANGE, VERMILLION, new_figure
from napari_phaset3m.analyse.fourier import log_power
from napari_phaset3m.core.precision import REAL

if TYPE_CHECKING:
    from napari_phaset3m.analyse.bragg_table import BraggReport

#: Angles about the tilt axis y, then about x, by which the specimen is turned to be seen from a corner.
VIEW_DEG = (30.0, -22.0)
#: Pixels along an edge of a picture, at most.
_PIXELS = 240
#: Voxels to a pixel, at least: finer shows the interpolation only.
_FINEST = 0.3
#: Towards the light, in (right, down, away from the viewer).
_LIGHT = np.array([-0.5, -0.6, -0.63])
#: Of the power before its surface is taken, grid points: a peak is only a few of them wide.
_POWER_SMOOTHING = 0.6
_AMBIENT, _DEPTH_CUE = 0.3, 0.5
#: A surface of power stands this many robust deviations of its logarithm over the median at its frequency: of
#: exponentially distributed power, as noise has, 6 in a million points do.
POWER_DEVIATIONS = 2.5


def view_matrix(view_deg: tuple[float, float] = VIEW_DEG) -> np.ndarray:
    """`(3, 3)` from (x, y, z) of the sample to (right, down, away from the viewer).

    Without turning x is right, y down and z, the beam, goes away from the viewer, as in the images.
    """
    a, b = np.deg2rad(view_deg)
    about_y = np.array([[np.cos(a), 0, np.sin(a)], [0, 1, 0], [-np.sin(a), 0, np.cos(a)]])
    about_x = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    return np.asarray(about_x @ about_y)


@dataclass(frozen=True, slots=True, eq=False)
class Shaded:
    """A surface as a picture.

    Parameters
    ----------
    brightness : ndarray
        `(n, n)` float32 in 0..1; NaN where no ray meets the surface.
    depth : ndarray
        `(n, n)` float32, voxels away from the plane through the middle; NaN likewise.
    half_width : float
        Of the picture, voxels.
    """

    brightness: np.ndarray
    depth: np.ndarray
    half_width: float


def along_rays(
    volume: np.ndarray, view_deg: tuple[float, float] = VIEW_DEG, half_width: float | None = None
) -> tuple[np.ndarray, float]:
    """A volume turned into the axes of a view, with its lowest value around it.

    Parameters
    ----------
    volume : ndarray
        `(nz, ny, nx)`.
    view_deg : (float, float)
        See :data:`VIEW_DEG`.
    half_width : float, optional
        Of what is seen, voxels; all of the box when omitted.

    Returns
    -------
    seen : ndarray
        `(n, n, n)` float32: away from the viewer, down, right.
    step : float
        Voxels from one point to the next.
    """
    from scipy import ndimage

    half = 0.5 * float(np.linalg.norm(volume.shape)) if half_width is None else half_width
    step = max(_FINEST, 2 * half / _PIXELS)
    n = int(2 * half / step) + 1
    # (z, y, x) of the sample from (away, down, right) of the view
    matrix = view_matrix(view_deg).T[::-1, ::-1] * step
    middle = (np.array(volume.shape) - 1) / 2
    offset = middle - matrix @ np.full(3, (n - 1) / 2)
    data = np.asarray(volume, REAL)
    if step > 1.5:
        data = ndimage.gaussian_filter(data, 0.4 * step)
    low = float(data.min())
    seen = ndimage.affine_transform(data, matrix, offset, (n, n, n), order=1, cval=low, output=REAL)
    return np.asarray(seen, REAL), step


def shaded(
    volume: np.ndarray,
    level: float,
    view_deg: tuple[float, float] = VIEW_DEG,
    *,
    half_width: float | None = None,
) -> Shaded:
    """Surface of a volume at a level, seen along a direction.

    Parameters
    ----------
    volume : ndarray
        `(nz, ny, nx)`.
    level : float
    view_deg : (float, float)
        See :data:`VIEW_DEG`.
    half_width : float, optional
        Of what is seen, voxels; all of the box when omitted.
    """
    seen, step = along_rays(volume, view_deg, half_width)
    n = len(seen)
    half = 0.5 * float(np.linalg.norm(volume.shape)) if half_width is None else half_width
    over = seen >= level
    hit, first = over.any(axis=0), over.argmax(axis=0)
    v, u = np.nonzero(hit)
    w = first[v, u]
    here, before = seen[w, v, u], seen[np.maximum(w - 1, 0), v, u]
    part = np.where(here > before, (here - level) / np.maximum(here - before, 1e-30), 0.0)
    slope = np.stack([_slope(seen, axis, w, v, u) for axis in (2, 1, 0)], axis=1)
    normal = -slope / np.maximum(np.linalg.norm(slope, axis=1, keepdims=True), 1e-30)
    lit = np.clip(normal @ (_LIGHT / np.linalg.norm(_LIGHT)), 0, 1)
    away = (w - part - (n - 1) / 2) * step
    fade = 1 - _DEPTH_CUE * np.clip(0.5 + away / (1.2 * half), 0, 1)
    brightness, depth = np.full((2, n, n), np.nan, REAL)
    brightness[v, u] = (_AMBIENT + (1 - _AMBIENT) * lit) * fade
    depth[v, u] = away
    return Shaded(brightness, depth, n * step / 2)


def _slope(volume: np.ndarray, axis: int, w: np.ndarray, v: np.ndarray, u: np.ndarray) -> np.ndarray:
    """Central difference along an axis at places."""
    place, n = [w, v, u], volume.shape[axis]
    ahead, behind = list(place), list(place)
    ahead[axis] = np.minimum(place[axis] + 1, n - 1)
    behind[axis] = np.maximum(place[axis] - 1, 0)
    return np.asarray(volume[tuple(ahead)] - volume[tuple(behind)], float)


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
