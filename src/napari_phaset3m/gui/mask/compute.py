"""What the Mask panel computes in a worker thread: previews, masks, corrections."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from napari_phaset3m.analyse.masks import Painted, Recipe, Soft
from napari_phaset3m.analyse.masks_make import MaskResult, StepCache, make_mask
from napari_phaset3m.gui.mask.layer import INSIDE, labels_of
from napari_phaset3m.gui.mask.sources import MaskSource
from napari_phaset3m.reconstruct.volumes import binned

#: A volume with a longer edge is shown binned to this first, voxels.
PREVIEW_VOXELS = 112
Steps = tuple[Any, ...]


@dataclass(frozen=True, eq=False)
class Outcome:
    """A mask that was worked out, ready to be shown.

    Attributes
    ----------
    token : int
        Which request it answers.
    preview : bool
        Made of a binned volume; the full one follows.
    labels : ndarray
        uint8, see :func:`.layer.labels_of`.
    voxel, origin : tuple of float
        Of the labels, (z, y, x), angstrom.
    """

    token: int
    preview: bool
    result: MaskResult
    labels: np.ndarray
    voxel: tuple[float, ...]
    origin: tuple[float, ...]


def work_out(
    token: int, source: MaskSource, steps: Steps, cache: StepCache, stopped: Callable[[], bool], preview: bool
) -> Outcome:
    """Make the mask of a source, or of its binned copy."""
    data, voxel, origin = source.data, source.voxel, source.origin
    if preview:
        data, voxel, origin = _binned(source)
    result = make_mask(Recipe(steps=steps), data, voxel, read=_read, cache=cache, stopped=stopped)
    return Outcome(token, preview, result, labels_of(result.mask), voxel, origin)


def needs_preview(source: MaskSource) -> bool:
    """Whether the whole volume takes too long to follow a slider."""
    return max(source.data.shape) > PREVIEW_VOXELS


@lru_cache(maxsize=1)
def _binned(source: MaskSource) -> tuple[np.ndarray, tuple[float, float, float], tuple[float, float, float]]:
    small, factor = binned(np.asarray(source.data), PREVIEW_VOXELS)
    # A short axis is averaged as a whole: its voxel is as long as itself.
    sizes = [min(factor, n) for n in source.data.shape]
    dz, dy, dx = (v * n for v, n in zip(source.voxel, sizes, strict=True))
    half = (np.asarray(small.shape) - 1) / 2 * (dz, dy, dx)
    z, y, x = (float(v) for v in source.centre() - half)
    return small, (dz, dy, dx), (z, y, x)


def _read(path: str) -> np.ndarray:
    from napari_phaset3m.io.mask import load_mask

    return load_mask(path).mask


def painted_steps(steps: Steps) -> tuple[Steps, Steps]:
    """The steps before and after the place of the corrections: ahead of the soft edge."""
    rest = tuple(step for step in steps if not isinstance(step, Painted))
    where = next((i for i, step in enumerate(rest) if isinstance(step, Soft)), len(rest))
    return rest[:where], rest[where:]


def why_not_paint(steps: Steps) -> str:
    """Why a correction by hand has no place in these steps; empty when it has."""
    _, after = painted_steps(steps)
    if any(step.kind in ("invert", "combine") for step in after):
        return "Painting cannot come before a step after the soft edge: remove that step first"
    return ""


def correction_of(source: MaskSource, steps: Steps, labels: np.ndarray, cache: StepCache) -> Painted | None:
    """The corrections that lead from the steps to what was painted; None without a difference."""
    before, _ = painted_steps(steps)
    wanted = labels == INSIDE
    base = np.zeros(wanted.shape, bool)
    if before:
        base = make_mask(Recipe(steps=before), source.data, source.voxel, read=_read, cache=cache).mask
    correction = Painted.between(base, wanted)
    return None if correction.added is None and correction.erased is None else correction


def with_correction(steps: Steps, correction: Painted | None) -> Steps:
    """The steps with these corrections in place of earlier ones."""
    before, after = painted_steps(steps)
    return before + after if correction is None else (*before, correction, *after)


def fitting(result: MaskResult, centred: bool, shape: tuple[int, int, int], voxel: float) -> np.ndarray:
    """The mask on the grid of a run.

    Raises
    ------
    DataError
        It is of another box.
    """
    from pathlib import Path

    from napari_phaset3m.analyse.masks_shapes import linear, placed
    from napari_phaset3m.io.mask import MaskFile, check_box
    from napari_phaset3m.jobs.control import check_mask

    nz, ny, nx = (n * voxel for n in shape)
    if centred:  # a preview: its bins may leave some voxels out at the edges
        mask = placed(result.mask, result.voxel_size_angstrom, shape, voxel)
    else:
        edge = result.voxel_size_angstrom[0]
        found = MaskFile(
            mask=result.mask, voxel_size_angstrom=edge, origin=(0, 0, 0), recipe=None,
            path=Path("mask"), sha256="",
        )  # fmt: skip
        check_box(found, (nz, ny, nx))
        mask = linear(result.mask, shape)
    check_mask(mask, shape)
    return mask
