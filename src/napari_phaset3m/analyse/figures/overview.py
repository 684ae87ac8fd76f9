"""Whole figures of a volume: central slices with their transforms, central sections of the 3D transform."""

from __future__ import annotations

from typing import Any

import numpy as np

from napari_phaset3m.analyse.figures.pictures import (
    draw_slice,
    draw_transform,
    draw_wedge,
    levels,
    shells,
)
from napari_phaset3m.analyse.figures.style import SKY, new_figure
from napari_phaset3m.analyse.fourier import central_sections, central_slices, log_power
from napari_phaset3m.core.precision import Array

PLANES = ("xy", "xz", "yz")


def slices_of(volume: Array, voxel_size_angstrom: float, thickness_angstrom: float) -> list[np.ndarray]:
    """Central slices xy, xz, yz of (about) this thickness, at least one voxel."""
    count = max(1, round(thickness_angstrom / voxel_size_angstrom))
    return [np.asarray(plane) for plane in central_slices(volume, count)]


def figure_slices(volume: Array, voxel_size_angstrom: float, thickness_angstrom: float, unit: str) -> Any:
    """Central slices along the three axes, and below each its 2D transform.

    Parameters
    ----------
    volume : Array
        `(nz, ny, nx)`.
    voxel_size_angstrom : float
    thickness_angstrom : float
    unit : str
        Of the volume's values; may be empty.

    Returns
    -------
    matplotlib Figure
    """
    planes = slices_of(volume, voxel_size_angstrom, thickness_angstrom)
    limits = levels(planes, 0.5)
    figure = new_figure(10.2, 6.75)
    axes = figure.subplots(2, 3)
    for column, (plane, name) in enumerate(zip(planes, PLANES, strict=True)):
        label = f"{name[0]} →  {name[1]} ↓"
        image = draw_slice(axes[0, column], plane, voxel_size_angstrom, label=label, limits=limits)
        power = log_power(plane, window=True)
        label = f"k{name[0]} k{name[1]} of this slice"
        spectrum = draw_transform(axes[1, column], power, voxel_size_angstrom, label=label)
    bar = figure.colorbar(image, ax=axes[0, :], fraction=0.025, pad=0.01, shrink=0.9)
    bar.set_label(f"potential ({unit})" if unit == "V" else f"value ({unit or 'no unit in the file'})")
    bar = figure.colorbar(spectrum, ax=axes[1, :], fraction=0.025, pad=0.01, shrink=0.9, ticks=[])
    bar.set_label("log power: low → high (own scale each)")
    return figure


def figure_sections(
    volume: Array,
    voxel_size_angstrom: float,
    tilt_range_deg: tuple[float, float] | None = None,
) -> Any:
    """Three orthogonal central sections of the 3D log-power transform.

    Parameters
    ----------
    volume : Array
        `(nz, ny, nx)`.
    voxel_size_angstrom : float
    tilt_range_deg : (float, float), optional
        Lowest and highest tilt about y: the missing wedge is outlined.

    Returns
    -------
    matplotlib Figure
    """
    figure = new_figure(10.2, 3.45)
    limit = 0.5 / voxel_size_angstrom
    sections = central_sections(volume)
    names = ["kx → ky ↓ at kz = 0", "kx → kz ↓ at ky = 0", "ky → kz ↓ at kx = 0"]
    if tilt_range_deg is not None:
        names[2] += "\nmissing, but for the dashed line"
    grid = figure.subplots(1, 3)
    for axes, power, name in zip(grid, sections, names, strict=True):
        image = draw_transform(
            axes, power, voxel_size_angstrom, label=name, rings=shells(limit), limit_per_angstrom=limit
        )
    if tilt_range_deg is not None:
        draw_wedge(grid[1], tilt_range_deg, limit)
        grid[2].axhline(0, color=SKY, lw=1.4, ls=(0, (6, 3)))
    bar = figure.colorbar(image, ax=grid, fraction=0.025, pad=0.01, shrink=0.9, ticks=[])
    bar.set_label("log power (own scale each)")
    return figure
