"""The demo's picture: orthoslices, their Fourier transforms and the error curve."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from napari_phaset3m.cli.zone import view_along, zone_axis

#: Thickness of the slices shown: thin against an atom's distance, thick against noise.
SLICE_ANGSTROM = 1.5
#: Thickness of the view along a lattice direction, where atoms stand behind each other.
ZONE_ANGSTROM = 12.0
#: Rings drawn on the Fourier transforms, 1/Å.
RINGS = (0.25, 0.5, 0.75)
_PLANES = ("xy", "xz", "yz")
_INK, _PAPER, _ACCENT = "#e8eaed", "#15181c", "#4fc3f7"


def draw(done: Any, title: str, path: Path) -> None:
    """Draw a finished run.

    Parameters
    ----------
    done : Finished
    title : str
    path : Path
        PNG, or another suffix that matplotlib knows.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from napari_phaset3m.analyse.fourier import log_power

    voxel = done.voxel_size_angstrom
    figure = Figure(figsize=(17, 7.4), facecolor=_PAPER)
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(
        2, 6, width_ratios=(1, 1, 1, 1, 0.12, 0.9), left=0.015, right=0.985, top=0.9, bottom=0.04,
        wspace=0.04, hspace=0.06,
    )  # fmt: skip
    views = _views(done.volume, voxel)
    for column, (plane, label, names) in enumerate(views):
        _slice(figure.add_subplot(grid[0, column]), plane, voxel, label)
        _transform(figure.add_subplot(grid[1, column]), log_power(plane, window=True), voxel, names)
    _error(figure.add_subplot(grid[0, 5]), done)
    _facts(figure.add_subplot(grid[1, 5]), done)
    head = f"{title}: central slices, {SLICE_ANGSTROM:g} Å thick, and the log power of their transforms"
    figure.text(0.02, 0.95, head, color=_INK, fontsize=15, va="center")
    figure.savefig(path, dpi=100, facecolor=_PAPER, format=path.suffix.lstrip("."))


def _views(volume: np.ndarray, voxel: float) -> list[tuple[np.ndarray, str, str]]:
    """Picture, label and name of its transform: three orthoslices and one along a lattice direction."""
    from napari_phaset3m.analyse.fourier import central_slices

    slices = central_slices(volume, max(1, round(SLICE_ANGSTROM / voxel)))
    views = [(plane, name, f"k{name[0]} k{name[1]}") for plane, name in zip(slices, _PLANES, strict=True)]
    axes = zone_axis(volume, voxel)
    if axes is not None:
        depth = max(1, round(ZONE_ANGSTROM / voxel))
        label = f"along a zone axis, {ZONE_ANGSTROM:g} Å thick"
        views.append((view_along(volume, axes, depth), label, "its transform"))
    return views


def _bare(axes: Any) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)


def _label(axes: Any, text: str) -> None:
    box = {"facecolor": _PAPER, "alpha": 0.6, "edgecolor": "none", "pad": 3}
    axes.text(0.03, 0.96, text, transform=axes.transAxes, color=_INK, va="top", fontsize=11, bbox=box)


def _slice(axes: Any, plane: np.ndarray, voxel: float, label: str) -> None:
    height, width = (n * voxel for n in plane.shape)
    extent = (0, width, height, 0)
    high = float(np.percentile(plane, 99.9)) or 1.0
    axes.imshow(plane, cmap="gray", vmin=0, vmax=high, extent=extent, interpolation="bicubic")
    _bare(axes)
    length = _round_length(width / 4)
    left, bottom = 0.05 * width, 0.94 * height
    axes.plot([left, left + length], [bottom, bottom], color=_INK, lw=4, solid_capstyle="butt")
    axes.text(
        left + length / 2, bottom - 0.02 * height, f"{length:g} Å", color=_INK, ha="center", va="bottom"
    )
    _label(axes, label)


def _round_length(wanted: float) -> float:
    power = float(10 ** np.floor(np.log10(wanted)))
    return max(step * power for step in (1.0, 2.0, 5.0) if step * power <= wanted)


def _transform(axes: Any, power: np.ndarray, voxel: float, label: str) -> None:
    steps = [1 / (n * voxel) for n in power.shape]
    edges = []
    for n, step in zip(power.shape, steps, strict=True):
        edges += [(-(n // 2) - 0.5) * step, (n - n // 2 - 0.5) * step]
    low, high = (float(value) for value in np.percentile(power, (40, 99.7)))
    extent = (edges[2], edges[3], edges[1], edges[0])
    axes.imshow(power, cmap="magma", vmin=low, vmax=high, extent=extent, interpolation="bilinear")
    angle = np.linspace(0, 2 * np.pi, 181)
    limit = min(0.5 / voxel, 1.15 * RINGS[-1])
    for k in RINGS:
        if k < limit:
            axes.plot(k * np.cos(angle), k * np.sin(angle), color=_INK, lw=0.8, alpha=0.6, ls=(0, (4, 4)))
            axes.text(0, 0.98 * k, f"{k:g} Å⁻¹", color=_INK, fontsize=9, ha="center", va="top")
    axes.set_xlim(-limit, limit)
    axes.set_ylim(limit, -limit)
    _bare(axes)
    _label(axes, label)


def _error(axes: Any, done: Any) -> None:
    axes.set_facecolor(_PAPER)
    sweeps = np.arange(1, len(done.sweeps) + 1)
    axes.plot(sweeps, [s.error for s in done.sweeps], "o-", color=_ACCENT, ms=4, label="images in use")
    held_out = [s.held_out_error for s in done.sweeps]
    if any(value is not None for value in held_out):
        shown = np.array([np.nan if value is None else value for value in held_out])
        axes.plot(sweeps, shown, "s--", color="#ffb74d", ms=4, label="held-out images")
        axes.legend(frameon=False, labelcolor=_INK)
    axes.set_title("Relative error against sweep", color=_INK, fontsize=12)
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.tick_params(colors=_INK, which="both")
    axes.grid(alpha=0.15, which="both")
    for spine in axes.spines.values():
        spine.set_color("#5f6368")


def _facts(axes: Any, done: Any) -> None:
    axes.patch.set_visible(False)  # it would cover the numbers of the plot above
    _bare(axes)
    resolved = done.settings.get("resolved", {})
    nz, ny, nx = done.volume.shape
    seconds = sum(s.seconds for s in done.sweeps)
    lines = [
        f"method   {done.settings.get('method')}",
        f"volume   {nx} x {ny} x {nz}, {done.voxel_size_angstrom:g} Å",
        f"slices   {resolved.get('slices')}",
        f"loss     {resolved.get('loss', 'least squares')}",
        f"sweeps   {len(done.sweeps)} in {seconds:.0f} s",
        f"ended    {done.reason}",
        f"maximum  {float(done.volume.max()):.1f} {done.unit}",
    ]
    text = "\n".join(lines)
    axes.text(0, 0.8, text, color=_INK, family="monospace", fontsize=11, va="top", linespacing=1.6)
