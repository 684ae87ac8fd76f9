"""The demo's picture: orthoslices, their Fourier transforms and the error curve."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from napari_phaset3m.analyse.figures.pictures import bare, draw_slice, draw_transform
from napari_phaset3m.analyse.zone import view_along, zone_axis

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
        draw_slice(figure.add_subplot(grid[0, column]), plane, voxel, label=label)
        power = log_power(plane, window=True)
        limit = 1.15 * RINGS[-1]
        rings = [(k, f"{k:g} Å⁻¹") for k in RINGS]
        axes = figure.add_subplot(grid[1, column])
        draw_transform(axes, power, voxel, label=names, rings=rings, limit_per_angstrom=limit)
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
    bare(axes)
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
