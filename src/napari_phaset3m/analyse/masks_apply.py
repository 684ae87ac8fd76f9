"""What each step of a recipe does to a mask."""

from __future__ import annotations

from typing import Any

import numpy as np

from napari_phaset3m.analyse import masks_ops as ops
from napari_phaset3m.analyse import masks_shapes as shapes
from napari_phaset3m.analyse.masks import (
    Box,
    Dilate,
    Erode,
    Fill,
    How,
    Invert,
    Largest,
    Painted,
    Soft,
    Sphere,
)
from napari_phaset3m.analyse.masks_shapes import Zyx
from napari_phaset3m.errors import ConfigError


def combined(mask: np.ndarray | None, other: np.ndarray, how: How) -> np.ndarray:
    """Join two masks; soft ones by the larger weight, the smaller one, or the smaller of a and 1 - b."""
    if mask is None:
        return other
    if mask.dtype != other.dtype:
        mask, other = mask.astype(np.float32), other.astype(np.float32)
    if how == "union":
        return np.asarray(np.maximum(mask, other))
    if how == "intersection":
        return np.asarray(np.minimum(mask, other))
    return np.asarray(np.minimum(mask, inverted(other)))


def inverted(mask: np.ndarray) -> np.ndarray:
    """Inside becomes outside; a weight w becomes 1 - w."""
    return ~mask if mask.dtype == bool else np.asarray(1 - mask, np.float32)


def shape_mask(step: Any, shape: Zyx, voxel: ops.Voxel) -> np.ndarray:
    """The bool mask of a sphere, ellipsoid or box."""
    if isinstance(step, Box):
        return shapes.box(shape, voxel, step.edges_angstrom, step.center_angstrom)
    diameters = (step.diameter_angstrom,) * 3 if isinstance(step, Sphere) else step.diameters_angstrom
    return shapes.ellipsoid(shape, voxel, diameters, step.center_angstrom)


def painted(mask: np.ndarray | None, step: Painted, shape: Zyx) -> np.ndarray:
    """The mask with its corrections; those of another sampling go to the nearest voxels."""
    inside = np.zeros(shape, bool) if mask is None else ops.as_inside(mask).copy()
    for patch, value in ((step.added, True), (step.erased, False)):
        if patch is not None:
            inside[shapes.nearest(patch.voxels(step.shape), shape)] = value
    return inside


def hard_step(mask: np.ndarray, step: Any, voxel: ops.Voxel) -> np.ndarray:
    """What a step without a source makes of a mask."""
    match step:
        case Largest():
            return ops.largest_components(mask, step.count)
        case Fill():
            return ops.fill_holes(mask)
        case Dilate():
            return ops.dilate(mask, step.distance_angstrom, voxel)
        case Erode():
            return ops.erode(mask, step.distance_angstrom, voxel)
        case Soft():
            return ops.soft_edge(mask, step.width_angstrom, voxel)
        case Invert():
            return inverted(mask)
    raise ConfigError(f"steps: {step.kind} is no step of a mask")
