"""All foci of a tilt added to one image, where they are one image seen several times."""

from __future__ import annotations

from collections.abc import Generator

import numpy as np

from napari_phaset3m.core.precision import REAL
from napari_phaset3m.core.resample import fourier_resample
from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.prepare.align.coarse_config import CoarseConfig
from napari_phaset3m.prepare.align.correlate import correlate
from napari_phaset3m.prepare.align.model import Alignment
from napari_phaset3m.prepare.align.signal import TiltImages, filtered, filters, flipped, levelled
from napari_phaset3m.prepare.events import Finish, Progress

#: Farthest that foci may lie apart (median over pairs) to be added, pixels of the given images.
TOGETHER_PX = 0.5
#: That is judged at about this size: at the working size nothing may be left of a weak phase, whose
#: contrast begins at high frequencies.
_JUDGED_PX = 512
#: Tilts that are asked, evenly spread: enough for a median.
_ASKED = 32


def working_factor(shape: tuple[int, int], config: CoarseConfig) -> int:
    """By how much images (ny, nx) are binned for the search."""
    return max(1, int(min(shape) // config.work_size_px))


def may_add_up(series: TiltFocalSeries, alignment: Alignment) -> bool:
    """Whether there are foci to add, in bright field, with stated optics."""
    stated = alignment.defocus_angstrom is not None and series.spherical_aberration_angstrom is not None
    return stated and not series.is_dark_field and bool((alignment.used.sum(1) > 1).any())


def added_foci(
    series: TiltFocalSeries, alignment: Alignment, config: CoarseConfig, finish: Finish | None = None
) -> Generator[Progress, None, TiltImages | None]:
    """Working images: the foci of each tilt, signs of their transfer undone, as one; None where they differ.

    They are one image seen several times in bright field where optics are stated and the foci lie on each
    other: the median of the shifts between them is at most :data:`TOGETHER_PX`. (The low-pass leaves out
    what is finer than a depth of field.) Each image is transformed once at full size, and cut to the working
    size before its signs are undone; where they are compared, to a larger one first.

    Parameters
    ----------
    series : TiltFocalSeries
    alignment : Alignment
        Shifts between foci: the result lies where each tilt's first used focus does.
    config : CoarseConfig
    finish : Finish, optional
        Asked at each tilt; foci are then not added.

    Yields
    ------
    Progress
        At each tilt.
    """
    if not may_add_up(series, alignment):
        return None
    ny, nx = series.image_shape
    factor = working_factor((ny, nx), config)
    shape = ny // factor, nx // factor
    images, asked = np.zeros((series.n_tilt, *shape), REAL), _asked(alignment)
    judge = _Judge(series, alignment, config, asked)
    order = [*asked, *(tilt for tilt in range(series.n_tilt) if tilt not in asked)]
    for number, tilt in enumerate(order):
        part = 0.04 * number / series.n_tilt
        yield Progress(f"Adding the foci of tilt {number + 1} of {series.n_tilt}", part)
        if finish is not None and finish.finish_requested():
            return None
        if number < len(asked):
            images[tilt] = fourier_resample(judge.mean_of(tilt), shape)
            if not judge.may_be_together:
                return None
        else:
            images[tilt] = flipped(series, alignment, tilt, shape).mean(0)
    usable = np.asarray(alignment.used.any(1))
    return TiltImages(levelled(images), np.array(alignment.tilt_deg), usable, None, nx / shape[1])


def _asked(alignment: Alignment) -> list[int]:
    """Tilts whose foci are compared."""
    several = np.flatnonzero(alignment.used.sum(1) > 1)
    places = np.linspace(0, len(several) - 1, min(_ASKED, len(several)))
    return [int(tilt) for tilt in several[np.rint(places).astype(int)]]


class _Judge:
    """Compares the foci of tilts, one tilt after the other."""

    def __init__(
        self, series: TiltFocalSeries, alignment: Alignment, config: CoarseConfig, asked: list[int]
    ) -> None:
        self._series, self._alignment = series, alignment
        ny, nx = series.image_shape
        self._factor = max(1, min(working_factor((ny, nx), config), min(ny, nx) // _JUDGED_PX))
        self._shape = ny // self._factor, nx // self._factor
        self._window, self._kept = filters(self._shape, config)
        self._pairs = int(alignment.used[asked].sum() - len(asked))
        self._apart: list[float] = []

    def mean_of(self, tilt: int) -> np.ndarray:
        """Compare the foci of a tilt; their mean at the size of comparison."""
        foci = flipped(self._series, self._alignment, tilt, self._shape)
        first, *others = (filtered(one, self._window, self._kept) for one in foci)
        reach = min(self._shape) / 4
        for other in others:
            apart = np.hypot(*correlate(first, other, reach).shift_px)
            self._apart.append(float(apart) * self._factor)
        return np.asarray(foci.mean(0))

    @property
    def may_be_together(self) -> bool:
        """Whether the median of all pairs is, or can still come out, within the limit."""
        beyond = sum(apart > TOGETHER_PX for apart in self._apart)
        if len(self._apart) < self._pairs:
            return beyond <= self._pairs / 2
        return float(np.median(self._apart)) <= TOGETHER_PX
