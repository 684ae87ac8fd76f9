"""Volumes beside each other: slices on one grey scale, their transforms, and what differs."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import wrap
from typing import Any

import numpy as np

from napari_phaset3m.analyse.figures.overview import PLANES, slices_of
from napari_phaset3m.analyse.figures.pictures import draw_slice, draw_transform, draw_wedge, levels
from napari_phaset3m.analyse.figures.style import INK, new_figure
from napari_phaset3m.analyse.fourier import central_sections
from napari_phaset3m.core.precision import Array

#: Edge of one picture, inches.
_EDGE = 2.6
#: Characters to a line of a name.
NAME_WIDTH = 30


def figure_side_by_side(
    volumes: Sequence[tuple[str, Array]], voxel_size_angstrom: float, thickness_angstrom: float
) -> Any:
    """Central slices, a row per plane and a column per volume, all on a common percentile scale.

    Parameters
    ----------
    volumes : sequence of (name, Array)
        `(nz, ny, nx)` on one grid. Each goes from black to white over its own 0.5 to 99.9 percentile,
        so that volumes in different units, or of weaker contrast, can be looked at together.
    voxel_size_angstrom, thickness_angstrom : float
    """
    figure, grid = _grid(3, len(volumes))
    for column, (name, volume) in enumerate(volumes):
        planes = slices_of(volume, voxel_size_angstrom, thickness_angstrom)
        limits = levels(planes, 0.5)
        grid[0, column].set_title(_short(name))
        for row, plane in enumerate(planes):
            label = f"{PLANES[row][0]} →  {PLANES[row][1]} ↓" if column == 0 else ""
            draw_slice(grid[row, column], plane, voxel_size_angstrom, label=label, limits=limits)
    return figure


def figure_difference(
    volumes: Sequence[tuple[str, Array]], voxel_size_angstrom: float, thickness_angstrom: float, unit: str
) -> Any:
    """Slices of differences from the reference; blue: the reference is higher, red: lower.

    Parameters
    ----------
    volumes : sequence of (name, Array)
        `(nz, ny, nx)` reference minus volume.
    voxel_size_angstrom, thickness_angstrom : float
    unit : str
    """
    planes = [slices_of(volume, voxel_size_angstrom, thickness_angstrom) for _, volume in volumes]
    reach = max(float(np.percentile(np.abs(p), 99.8)) for one in planes for p in one) or 1.0
    figure, grid = _grid(3, len(volumes))
    for column, (name, _) in enumerate(volumes):
        grid[0, column].set_title(_short(name))
        for row, plane in enumerate(planes[column]):
            label = f"{PLANES[row][0]} →  {PLANES[row][1]} ↓" if column == 0 else ""
            axes = grid[row, column]
            image = draw_slice(
                axes,
                plane,
                voxel_size_angstrom,
                label=label,
                limits=(-reach, reach),
                cmap="RdBu",
                light=True,
            )
    bar = figure.colorbar(image, ax=grid, fraction=0.02, pad=0.01, shrink=0.9)
    bar.set_label(f"reference − volume ({unit})" if unit else "reference − volume")
    return figure


def figure_transforms(
    volumes: Sequence[tuple[str, Array]],
    voxel_size_angstrom: float,
    tilt_range_deg: tuple[float, float] | None = None,
) -> Any:
    """Central sections kx ky and kx kz of each volume's 3D transform, with the missing wedge."""
    limit = 0.5 / voxel_size_angstrom
    figure, grid = _grid(2, len(volumes))
    for column, (name, volume) in enumerate(volumes):
        grid[0, column].set_title(_short(name))
        sections = central_sections(volume)[:2]
        for row, (section, label) in enumerate(zip(sections, ("kx → ky ↓", "kx → kz ↓"), strict=True)):
            shown = label if column == 0 else ""
            image = draw_transform(grid[row, column], section, voxel_size_angstrom, label=shown)
        if tilt_range_deg is not None:
            draw_wedge(grid[1, column], tilt_range_deg, limit)
    bar = figure.colorbar(image, ax=grid, fraction=0.02, pad=0.01, shrink=0.9, ticks=[])
    bar.set_label("log power (own scale each)")
    return figure


def plot_scores(
    axes: Any,
    names: Sequence[str],
    scores: Sequence[float],
    *,
    xlabel: str,
    texts: Sequence[str],
    total: float | None = None,
    full_if_none: bool = False,
) -> None:
    """One bar per volume with a text behind it.

    Parameters
    ----------
    axes : matplotlib Axes
    names, texts : sequence of str
        One per volume; the text says its value.
    scores : sequence of float
        NaN: no value.
    xlabel : str
    total : float, optional
        Drawn as the length that a full bar would have.
    full_if_none : bool
        Less is better: a volume without a value gets hatching all along, not the shortest bar.
    """
    place = np.arange(len(names))[::-1]
    shown = [0.0 if not np.isfinite(score) else score for score in scores]
    longest = max(len(line) for text in texts for line in text.splitlines())
    room = max(1.25, 1 / (1 - min(0.7, 0.028 * longest)))
    limit = room * max([*shown, total or 0, 1e-9])
    if total:
        axes.barh(place, total, height=0.6, facecolor="none", edgecolor=INK, lw=0.8, ls=(0, (3, 2)))
    axes.barh(place, shown, height=0.6, color=_bars(len(names)))
    for y, score, text in zip(place, scores, texts, strict=True):
        end = max(score, total or 0) if np.isfinite(score) else total or 0
        box = None
        if full_if_none and not np.isfinite(score):
            axes.barh(y, limit, height=0.6, facecolor="0.93", edgecolor="0.6", hatch="////", lw=0)
            box = {"facecolor": "white", "edgecolor": "none", "pad": 1.5}
        axes.annotate(text, (end, y), (4, 0), textcoords="offset points", va="center", fontsize=8.5, bbox=box)
    axes.set_yticks(place, labels=[_short(name) for name in names])
    axes.set_xlabel(xlabel)
    axes.set_xlim(0, limit)
    axes.grid(False, axis="y")


def _bars(count: int) -> list[str]:
    from napari_phaset3m.analyse.figures.style import COLOURS

    return [COLOURS[n % len(COLOURS)] for n in range(count)]


def _short(name: str, limit: int = NAME_WIDTH) -> str:
    """The name on lines of at most ``limit`` characters; three at most, for more the end is kept."""
    lines = wrap(name, limit)
    return name if not lines else "\n".join(lines if len(lines) <= 3 else [f"…{lines[-3][1:]}", *lines[-2:]])


def _grid(rows: int, columns: int) -> tuple[Any, np.ndarray]:
    figure = new_figure(_EDGE * columns + 0.8, _EDGE * rows + 0.3)
    return figure, figure.subplots(rows, columns, squeeze=False)
