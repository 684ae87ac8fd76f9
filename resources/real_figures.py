"""Slices of volumes side by side, with scale bars: the figures that resources/real_data.py makes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Look:
    """Length of the scale bar, where it is cut (z, y, x as fractions), and how grey goes."""

    bar_nm: float
    at: tuple[float, float, float] = (0.5, 0.5, 0.5)
    dense_is_dark: bool = False


def cut(volume: np.ndarray, plane: str, at: tuple[int, ...]) -> np.ndarray:
    """Mean of three slices through ``at`` (z, y, x); y or, in xz, z downwards."""
    axis = {"xy": 0, "xz": 1, "yz": 2}[plane]
    low = int(np.clip(at[axis] - 1, 0, volume.shape[axis] - 3))
    view = volume.take(range(low, low + 3), axis).mean(axis)
    return view.T if plane == "yz" else view


def scale_bar(axis: Any, view: np.ndarray, voxel: float, length_nm: float) -> None:
    """A labelled white bar on a dark plate, lower left."""
    from matplotlib.patches import Rectangle

    long, (rows, columns) = length_nm * 10 / voxel, view.shape
    left, foot, unit = 0.03 * columns, rows - 0.03 * columns, 0.03 * columns
    low = foot - 3.6 * unit
    axis.add_patch(Rectangle((left, low), long + 2 * unit, foot - low, color="black", alpha=0.65, lw=0))
    axis.add_patch(Rectangle((left + unit, foot - 1.1 * unit), long, 0.6 * unit, color="white", lw=0))
    axis.text(left + unit + long / 2, foot - 1.4 * unit, f"{length_nm:g} nm", color="white",
              ha="center", va="bottom", fontsize=8)  # fmt: skip


def draw(volumes: dict[str, tuple[np.ndarray, str]], voxel: float, look: Look, path: Path) -> None:
    """Views through one point, 0.5th to 99.7th percentile; columns are methods, or planes if there is one."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    stacked, first = len(volumes) > 1, next(iter(volumes.values()))[0]
    at = tuple(round(f * (n - 1)) for f, n in zip(look.at, first.shape, strict=True))
    grid = [
        [(name, plane) for name in volumes] for plane in (("xy", "xz") if stacked else ("xy", "xz", "yz"))
    ]
    if not stacked:
        grid = [[row[0] for row in grid]]
    shapes = [[cut(first, plane, at).shape for _, plane in row] for row in grid]
    heights = [row[0][0] / row[0][1] * 3.4 for row in shapes]
    figure, axes = plt.subplots(
        len(grid), len(grid[0]), squeeze=False, layout="constrained",
        figsize=(3.4 * len(grid[0]), sum(heights) + 0.45 * len(grid)),
        gridspec_kw={"height_ratios": heights},
    )  # fmt: skip
    for line, cells in zip(axes, grid, strict=True):
        for axis, (name, plane) in zip(line, cells, strict=True):
            volume, unit = volumes[name]
            view = cut(volume, plane, at)
            low, high = np.percentile(view, [0.5, 99.7])
            colours = "gray_r" if look.dense_is_dark else "gray"
            axis.imshow(view, cmap=colours, vmin=low, vmax=high, interpolation="nearest")
            axis.set_title(f"{name}, {plane}\n{low:.2g} to {high:.2g} {unit}", fontsize=9)
            axis.set(xticks=[], yticks=[])
            if plane == "xy":  # where xz is cut
                for edge, marker in ((0, ">"), (view.shape[1] - 1, "<")):
                    axis.plot(edge, at[1], marker=marker, color="tab:orange", clip_on=False)
            scale_bar(axis, view, voxel, look.bar_nm)
    figure.savefig(path, dpi=110)
    plt.close(figure)
