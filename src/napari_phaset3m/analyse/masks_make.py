"""From a recipe and a volume to the mask."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from napari_phaset3m.analyse import masks_ops as ops
from napari_phaset3m.analyse.masks import (
    Combine,
    Painted,
    Reader,
    Recipe,
    Threshold,
    describe,
)
from napari_phaset3m.analyse.masks_apply import combined, hard_step, painted, shape_mask
from napari_phaset3m.analyse.masks_shapes import Zyx
from napari_phaset3m.core.precision import ACCUMULATE, REAL
from napari_phaset3m.errors import CancelledError, ConfigError

Key = tuple[Any, ...]
Kept = tuple[np.ndarray, tuple[float, ...]]


@dataclass(frozen=True, eq=False)
class MaskResult:
    """A mask, and what became of its recipe.

    Attributes
    ----------
    mask : ndarray
        `(nz, ny, nx)` float32 in 0..1, read-only.
    voxel_size_angstrom : tuple of float
        (z, y, x).
    recipe : Recipe
    levels : tuple of float
        The level of each threshold step, in the volume's unit.
    volume_nm3 : float
        Sum of the weights times a voxel's volume.
    fraction : float
        Mean weight.
    """

    mask: np.ndarray
    voxel_size_angstrom: tuple[float, float, float]
    recipe: Recipe
    levels: tuple[float, ...]
    volume_nm3: float
    fraction: float

    def as_dict(self) -> dict[str, Any]:
        """Plain data without the array."""
        return {
            "shape_zyx": list(self.mask.shape),
            "voxel_size_angstrom_zyx": list(self.voxel_size_angstrom),
            "recipe": self.recipe.model_dump(mode="json"),
            "steps": [describe(step) for step in self.recipe.steps],
            "threshold_levels": list(self.levels),
            "volume_nm3": self.volume_nm3,
            "fraction": self.fraction,
        }


class StepCache:
    """Results of earlier steps, so that moving the last slider does not repeat the first steps.

    Parameters
    ----------
    max_bytes : int
        The oldest results are forgotten beyond this.
    """

    def __init__(self, max_bytes: int = 1 << 30) -> None:
        self.max_bytes = max_bytes
        self._kept: OrderedDict[Key, Kept] = OrderedDict()

    def get(self, key: Key) -> Kept | None:
        """The array and the threshold levels kept under a key, None without."""
        found = self._kept.get(key)
        if found is not None:
            self._kept.move_to_end(key)
        return found

    def put(self, key: Key, array: np.ndarray, levels: tuple[float, ...] = ()) -> None:
        """Keep an array that nobody will change."""
        self._kept[key] = array, levels
        while len(self._kept) > 1 and sum(a.nbytes for a, _ in self._kept.values()) > self.max_bytes:
            self._kept.popitem(last=False)

    def clear(self) -> None:
        """Forget everything: the volume is another one."""
        self._kept.clear()


@dataclass
class _Making:
    volume: np.ndarray | None
    voxel: ops.Voxel
    shape: Zyx
    read: Reader | None
    cache: StepCache | None
    levels: list[float] = field(default_factory=list)

    def smoothed(self, lowpass: float | None) -> np.ndarray:
        assert self.volume is not None
        if lowpass is None:
            return self.volume
        key = ("low-pass", lowpass)
        kept = self.cache.get(key) if self.cache is not None else None
        if kept is not None:
            return kept[0]
        smooth = ops.low_pass(self.volume, lowpass, self.voxel)
        if self.cache is not None:
            self.cache.put(key, smooth)
        return smooth

    def threshold(self, step: Threshold) -> np.ndarray:
        if self.volume is None:
            raise ConfigError("threshold: needs a volume. Give one, or use only shapes and files")
        values = self.smoothed(step.lowpass_angstrom)
        level = ops.otsu_threshold(values) if step.value == "otsu" else step.value
        inside = np.asarray(values > level)
        if not inside.any():
            low, high = float(values.min()), float(values.max())
            where = " after the low-pass" if step.lowpass_angstrom else ""
            raise ConfigError(
                f"threshold: nothing lies above {level:g}; the values{where} run from {low:.4g} to {high:.4g}"
            )
        self.levels.append(float(level))
        return inside

    def from_file(self, step: Combine) -> np.ndarray:
        if self.read is None:
            raise ConfigError(f"combine: {step.path} cannot be read here. Give a reader")
        other = np.asarray(self.read(step.path))
        if other.shape != self.shape:
            raise ConfigError(
                f"combine: {step.path} has shape {other.shape} (z, y, x), but the mask has {self.shape}. "
                "Use a mask made on the same volume"
            )
        hard = other.dtype == bool or bool(((other == 0) | (other == 1)).all())
        return other.astype(bool) if hard else np.asarray(other, REAL)

    def step(self, mask: np.ndarray | None, step: Any) -> np.ndarray:
        if isinstance(step, Painted):
            return painted(mask, step, self.shape)
        if isinstance(step, Threshold):
            return combined(mask, self.threshold(step), step.how)
        if isinstance(step, Combine):
            return combined(mask, self.from_file(step), step.how)
        if hasattr(step, "how"):
            return combined(mask, shape_mask(step, self.shape, self.voxel), step.how)
        assert mask is not None  # the recipe makes sure of it
        return hard_step(mask, step, self.voxel)


def make_mask(
    recipe: Recipe,
    volume: np.ndarray | None,
    voxel_size_angstrom: ops.Voxel,
    *,
    shape: Zyx | None = None,
    read: Reader | None = None,
    cache: StepCache | None = None,
    stopped: Callable[[], bool] | None = None,
) -> MaskResult:
    """Carry out a recipe.

    Parameters
    ----------
    recipe : Recipe
    volume : ndarray or None
        `(nz, ny, nx)`; may be None when no step looks at values.
    voxel_size_angstrom : float or tuple of float
        One, or (z, y, x).
    shape : tuple of int, optional
        Of the mask, when there is no volume.
    read : callable, optional
        Reads the file of a ``combine`` step.
    cache : StepCache, optional
        Of this volume; makes repeated calls with a changed end of the recipe fast.
    stopped : callable, optional
        Asked between steps whether to give up.

    Returns
    -------
    MaskResult

    Raises
    ------
    ConfigError
        Steps are missing or wrong, or the mask would be empty.
    CancelledError
        ``stopped`` said so.
    """
    size = shape if volume is None else volume.shape
    if size is None or len(size) != 3:
        raise ConfigError(f"volume: needs shape (nz, ny, nx), not {size}")
    if not recipe.steps:
        raise ConfigError("steps: there are none. Add one that makes a mask, e.g. otsu or a sphere")
    whole: Zyx = (int(size[0]), int(size[1]), int(size[2]))
    making = _Making(volume, ops.voxel_zyx(voxel_size_angstrom), whole, read, cache)
    mask = _carry_out(recipe, making, stopped)
    weights = np.array(mask, REAL)
    weights.flags.writeable = False
    return MaskResult(
        weights,
        ops.voxel_zyx(voxel_size_angstrom),
        recipe,
        tuple(making.levels),
        ops.volume_nm3(mask, voxel_size_angstrom),
        float(np.sum(mask, dtype=ACCUMULATE)) / mask.size,
    )


def _carry_out(recipe: Recipe, making: _Making, stopped: Callable[[], bool] | None) -> np.ndarray:
    mask: np.ndarray | None = None
    for number, step in enumerate(recipe.steps):
        if stopped is not None and stopped():
            raise CancelledError("the mask was not finished")
        done = recipe.steps[: number + 1]
        # A file may change under its name.
        cache = None if any(isinstance(s, Combine) for s in done) else making.cache
        kept = cache.get(("steps", *done)) if cache is not None else None
        if kept is None:
            mask = making.step(mask, step)
            if cache is not None:
                cache.put(("steps", *done), mask, tuple(making.levels))
        else:
            mask, making.levels = kept[0], list(kept[1])
        if not mask.any():
            raise ConfigError(f"step {number + 1} ({describe(step)}): nothing is left of the mask")
    assert mask is not None
    return mask
