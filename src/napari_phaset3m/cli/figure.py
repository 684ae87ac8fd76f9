"""The demo's picture: orthoslices, their Fourier transforms and the error curve."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

#: Thickness of the slices shown: thin against an atom's distance, thick against noise.
SLICE_ANGSTROM = 1.5
#: Rings drawn on the Fourier transforms, 1/Å.
RINGS = (0.25, 0.5, 0.75)
_PLANES = (("x", "y"), ("x", "z"), ("y", "z"))
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

    from napari_phaset3m.analyse.fourier import central_slices, log_power

    voxel = done.voxel_size_angstrom
    figure = Figure(figsize=(14.4, 7.2), facecolor=_PAPER)
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(
        2, 5, width_ratios=(1, 1, 1, 0.16, 1.0), left=0.02, right=0.98, top=0.88, bottom=0.09, wspace=0.07,
        hspace=0.1,
    )  # fmt: skip
    slices = central_slices(done.volume, max(1, round(SLICE_ANGSTROM / voxel)))
    high = max(float(np.percentile(plane, 99.9)) for plane in slices)
    for column, (plane, names) in enumerate(zip(slices, _PLANES, strict=True)):
        _slice(figure.add_subplot(grid[0, column]), plane, voxel, names, high or 1.0)
        _transform(figure.add_subplot(grid[1, column]), log_power(plane, window=True), voxel, names)
    _error(figure.add_subplot(grid[0, 4]), done)
    _facts(figure.add_subplot(grid[1, 4]), done)
    head = f"{title}: {SLICE_ANGSTROM:g} Å thick central slices, and the log power of their transforms"
    figure.text(0.02, 0.94, head, color=_INK, fontsize=15, va="center")
    figure.savefig(path, dpi=110, facecolor=_PAPER, format=path.suffix.lstrip("."))


def _bare(axes: Any) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)


def _label(axes: Any, text: str) -> None:
    box = {"facecolor": _PAPER, "alpha": 0.6, "edgecolor": "none", "pad": 3}
    axes.text(0.03, 0.96, text, transform=axes.transAxes, color=_INK, va="top", fontsize=11, bbox=box)


def _slice(axes: Any, plane: np.ndarray, voxel: float, names: tuple[str, str], high: float) -> None:
    height, width = (n * voxel for n in plane.shape)
    extent = (0, width, height, 0)
    axes.imshow(plane, cmap="gray", vmin=0, vmax=high, extent=extent, interpolation="bicubic")
    _bare(axes)
    length = _round_length(width / 4)
    left, bottom = 0.05 * width, 0.94 * height
    axes.plot([left, left + length], [bottom, bottom], color=_INK, lw=4, solid_capstyle="butt")
    axes.text(
        left + length / 2, bottom - 0.02 * height, f"{length:g} Å", color=_INK, ha="center", va="bottom"
    )
    _label(axes, f"{names[0]}{names[1]}")


def _round_length(wanted: float) -> float:
    power = float(10 ** np.floor(np.log10(wanted)))
    return max(step * power for step in (1.0, 2.0, 5.0) if step * power <= wanted)


def _transform(axes: Any, power: np.ndarray, voxel: float, names: tuple[str, str]) -> None:
    steps = [1 / (n * voxel) for n in power.shape]
    edges = []
    for n, step in zip(power.shape, steps, strict=True):
        edges += [(-(n // 2) - 0.5) * step, (n - n // 2 - 0.5) * step]
    low = float(np.percentile(power, 30))
    extent = (edges[2], edges[3], edges[1], edges[0])
    axes.imshow(power, cmap="magma", vmin=low, vmax=0, extent=extent)
    angle = np.linspace(0, 2 * np.pi, 181)
    # The widest ring that fits is drawn; slices of one voxel size share their rings.
    limit = min(0.5 / voxel, 1.15 * RINGS[-1])
    for k in RINGS:
        if k < limit:
            axes.plot(k * np.cos(angle), k * np.sin(angle), color=_INK, lw=0.8, alpha=0.6, ls=(0, (4, 4)))
            axes.text(0.71 * k, 0.71 * k, f"{k:g} Å⁻¹", color=_INK, fontsize=9, ha="left", va="top")
    axes.set_xlim(-limit, limit)
    axes.set_ylim(limit, -limit)
    _bare(axes)
    _label(axes, f"k{names[0]} k{names[1]}")


def _error(axes: Any, done: Any) -> None:
    axes.set_facecolor(_PAPER)
    sweeps = np.arange(1, len(done.sweeps) + 1)
    axes.plot(sweeps, [s.error for s in done.sweeps], "o-", color=_ACCENT, ms=4, label="images in use")
    held_out = [s.held_out_error for s in done.sweeps]
    if any(value is not None for value in held_out):
        shown = np.array([np.nan if value is None else value for value in held_out])
        axes.plot(sweeps, shown, "s--", color="#ffb74d", ms=4, label="held-out images")
        axes.legend(frameon=False, labelcolor=_INK)
    axes.set_yscale("log")
    axes.set_title("Relative error", color=_INK, fontsize=12)
    axes.set_xlabel("sweep", color=_INK)
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.tick_params(colors=_INK, which="both")
    axes.grid(alpha=0.15, which="both")
    for spine in axes.spines.values():
        spine.set_color("#5f6368")


def _facts(axes: Any, done: Any) -> None:
    axes.set_facecolor(_PAPER)
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
