"""The one place that draws slices of volumes and their Fourier transforms."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from napari_phaset3m.analyse.figures.style import DARK, LIGHT, SKY
from napari_phaset3m.core.precision import Array

#: Resolutions that make a readable label, angstrom per decade.
_NICE = (1.0, 1.2, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0)


def round_length(wanted: float) -> float:
    """The largest of 1, 2, 5 times a power of ten that is not more than ``wanted``."""
    power = float(10 ** np.floor(np.log10(wanted)))
    return max(step * power for step in (1.0, 2.0, 5.0) if step * power <= wanted * (1 + 1e-9))


def length_text(angstrom: float) -> str:
    """``15 Å``; from 100 Å on in nm, from 10 000 Å on in µm."""
    for limit, unit in ((1e4, "µm"), (1e2, "nm")):
        if angstrom >= limit:
            return f"{angstrom / limit * (10 if unit == 'nm' else 1):g} {unit}"
    return f"{angstrom:g} Å"


def shells(limit_per_angstrom: float, count: int = 3) -> list[tuple[float, str]]:
    """Radii (1/angstrom) and labels of well-spaced resolution shells inside a frequency limit."""
    decades = [10.0**e for e in range(-2, 6)]
    radii = sorted({1 / (nice * decade) for nice in _NICE for decade in decades})
    chosen: list[float] = []
    for part in np.arange(count, 0, -1) / count:
        # the last one keeps clear of the border
        wanted = 0.93 * limit_per_angstrom * part
        best = min(radii, key=lambda k: abs(np.log(k / wanted)) + 10 * (k > 0.97 * limit_per_angstrom))
        if all(abs(best - k) > 0.45 * limit_per_angstrom / count for k in chosen):
            chosen.append(best)
    return [(k, length_text(round(1 / k, 6))) for k in sorted(chosen)]


def bare(axes: Any) -> None:
    """No ticks, no frame."""
    axes.set_xticks([])
    axes.set_yticks([])
    axes.grid(False)
    for spine in axes.spines.values():
        spine.set_visible(False)


def write_on(axes: Any, text: str, *, light: bool = False) -> None:
    """A label in the upper left corner of a (dark, or ``light``) picture."""
    ink, paper = (DARK, LIGHT) if light else (LIGHT, DARK)
    box = {"facecolor": paper, "alpha": 0.6, "edgecolor": "none", "pad": 3}
    axes.text(0.03, 0.96, text, transform=axes.transAxes, color=ink, va="top", bbox=box)


def levels(planes: Sequence[np.ndarray], low: float = 0.0, high: float = 99.9) -> tuple[float, float]:
    """Common black and white of pictures: percentiles over all of them (0 where all is flat: 0, 1)."""
    values = np.concatenate([np.ravel(plane) for plane in planes])
    bottom, top = (float(v) for v in np.percentile(values, (low, high)))
    return (bottom, top) if top > bottom else (bottom, bottom + 1.0)


def draw_slice(
    axes: Any,
    plane: Array,
    voxel_size_angstrom: float,
    *,
    label: str = "",
    limits: tuple[float, float] | None = None,
    cmap: str = "gray",
    light: bool = False,
) -> Any:
    """Draw a slice with a scale bar.

    Parameters
    ----------
    axes : matplotlib Axes
    plane : Array
        `(rows, columns)`; rows run downward.
    voxel_size_angstrom : float
    label : str
        Written in the corner.
    limits : (float, float), optional
        Black and white; from 0 to the 99.9th percentile when omitted.
    cmap : str
    light : bool
        The picture is mostly light: write on it in dark.

    Returns
    -------
    AxesImage
        For a colour bar.
    """
    height, width = (n * voxel_size_angstrom for n in plane.shape)
    low, high = limits or (0.0, float(np.percentile(plane, 99.9)) or 1.0)
    extent = (0, width, height, 0)
    image = axes.imshow(plane, cmap=cmap, vmin=low, vmax=high, extent=extent, interpolation="bicubic")
    bare(axes)
    scale_bar(axes, round_length(width / 4), (0.05 * width, 0.94 * height), light=light)
    if label:
        write_on(axes, label, light=light)
    return image


def scale_bar(
    axes: Any, length: float, corner: tuple[float, float], *, light: bool = False, text: str = ""
) -> None:
    """A bar of this length (the axes' unit) whose left end is at ``corner``; above it ``text``, or its Å."""
    import matplotlib
    from matplotlib.patheffects import withStroke

    left, bottom = corner
    ink, paper = (DARK, LIGHT) if light else (LIGHT, DARK)
    thick = 0.42 * matplotlib.rcParams["font.size"]
    bar = axes.plot(
        [left, left + length], [bottom, bottom], color=ink, lw=thick, ls="-", solid_capstyle="butt"
    )
    bar[0].set_path_effects([withStroke(linewidth=1.5 * thick, foreground=paper)])
    axes.annotate(
        text or length_text(length), (left + length / 2, bottom), (0, 4), textcoords="offset points",
        color=ink, ha="center", va="bottom", path_effects=[withStroke(linewidth=2.5, foreground=paper)],
    )  # fmt: skip


def draw_transform(
    axes: Any,
    power: Array,
    voxel_size_angstrom: float,
    *,
    label: str = "",
    rings: Sequence[tuple[float, str]] | None = None,
    limit_per_angstrom: float | None = None,
) -> Any:
    """Draw a shifted log-power transform with resolution shells.

    Parameters
    ----------
    axes : matplotlib Axes
    power : Array
        `(rows, columns)` log10 power, fftshifted, as :func:`analyse.fourier.log_power` gives it.
    voxel_size_angstrom : float
    label : str
    rings : sequence of (float, str), optional
        Radius in 1/angstrom and text; three shells of a round resolution when omitted.
    limit_per_angstrom : float, optional
        Highest frequency shown; Nyquist when omitted.

    Returns
    -------
    AxesImage
    """
    edges = []
    for n in power.shape:
        step = 1 / (n * voxel_size_angstrom)
        edges += [(-(n // 2) - 0.5) * step, (n - n // 2 - 0.5) * step]
    low, high = (float(value) for value in np.percentile(power, (40, 99.7)))
    extent = (edges[2], edges[3], edges[1], edges[0])
    high = max(high, low + 0.1)  # an empty plane is black, not an error
    image = axes.imshow(power, cmap="magma", vmin=low, vmax=high, extent=extent, interpolation="bilinear")
    limit = min(limit_per_angstrom or 0.5 / voxel_size_angstrom, 0.5 / voxel_size_angstrom)
    _rings(axes, shells(limit) if rings is None else rings, limit)
    axes.set_xlim(-limit, limit)
    axes.set_ylim(limit, -limit)
    bare(axes)
    if label:
        write_on(axes, label)
    return image


def _rings(axes: Any, rings: Sequence[tuple[float, str]], limit: float) -> None:
    from matplotlib.patheffects import withStroke

    angle = np.linspace(0, 2 * np.pi, 181)
    for k, text in rings:
        if k < limit:
            axes.plot(k * np.cos(angle), k * np.sin(angle), color=LIGHT, lw=0.9, alpha=0.75, ls=(0, (4, 4)))
            axes.annotate(
                text, (0, k), (0, 2), textcoords="offset points", color=LIGHT, ha="center", va="bottom",
                path_effects=[withStroke(linewidth=2.5, foreground=DARK)],
            )  # fmt: skip


def draw_wedge(axes: Any, tilt_range_deg: tuple[float, float], limit_per_angstrom: float) -> None:
    """Outline the missing wedge on a kx kz section (kx to the right, kz downward).

    At tilt θ the measured plane cuts this section along (cos θ, −sin θ): positive tilt has
    x' = x cos θ − z sin θ (DESIGN section 2).
    """
    from matplotlib.patheffects import withStroke

    reach = 1.5 * limit_per_angstrom
    low, high = (np.array([np.cos(t), -np.sin(t)]) * reach for t in np.radians(tilt_range_deg))
    for end in (low, high):
        axes.plot([-end[0], end[0]], [-end[1], end[1]], color=SKY, lw=1.4, ls=(0, (6, 3)))
    # What lies between the highest tilt and the lowest one half a turn later was not measured.
    for sign in (1, -1):
        corners = np.array([(0, 0), sign * high, -sign * low])
        axes.fill(*corners.T, color=SKY, alpha=0.16, lw=0)
    middle = np.radians((tilt_range_deg[0] + 180 + tilt_range_deg[1]) / 2)
    where = np.array([np.cos(middle), -np.sin(middle)]) * 0.72 * limit_per_angstrom
    axes.text(
        where[0], where[1], "missing\nwedge", color=LIGHT, ha="center", va="center", fontsize="small",
        path_effects=[withStroke(linewidth=2.5, foreground=DARK)],
    )  # fmt: skip
