"""Hot and dead pixels (found over the stack) and X-ray spikes (in each image), replaced by a local median.

A pixel is hot or dead when it disagrees with its surroundings in image after image: either it is a
spike (:mod:`.spikes`) in at least half of them, or the mean over the stack of its distance from the
ring around it, in units of the noise, stands out of the same mean of all other pixels. So a pixel that
always reads 0 is found at 5 electrons per pixel, where no single image could tell.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydantic import Field

from napari_phaset3m.config import Model
from napari_phaset3m.core.precision import REAL
from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.prepare.entry import StepEntry
from napari_phaset3m.prepare.events import Done, Event, Finish, Progress
from napari_phaset3m.prepare.history import recorded
from napari_phaset3m.prepare.images import electrons_per_unit, paced, telling
from napari_phaset3m.prepare.imported import bin_of, mended_at_import, why_inexact
from napari_phaset3m.prepare.ring import local_median, ring_mean, ring_statistics
from napari_phaset3m.prepare.spikes import SHARP, electron_size, find_spikes, find_spikes_in_parts

#: Fewer images than this say nothing about pixels that are always wrong.
_FEWEST_IMAGES = 3
#: What one image can add to a pixel's mean, in standard deviations: a spike is one image's matter.
_CLIP = 5.0


class OutliersConfig(Model):
    """Outliers."""

    sigma: float = Field(
        8.0, ge=4, le=100, description="Threshold of spikes, standard deviations of the local noise"
    )
    spikes: bool = Field(True, description="Replace spikes in single images (X-ray hits)")
    hot: bool = Field(True, description="Replace pixels that are hot or dead throughout the stack")
    stack_sigma: float = Field(
        8.0, ge=4, le=100, description="Threshold of hot and dead pixels, standard deviations of the mean"
    )


@dataclass(frozen=True, slots=True, eq=False)
class OutlierReport:
    """What was found.

    Attributes
    ----------
    hot, dead : ndarray
        `(ny, nx)` bool: too bright and too dark throughout the stack.
    spikes : ndarray
        `(n_tilt, n_focus)`: pixels replaced in each image besides those.
    electron : ndarray
        `(n_tilt, n_focus)`: intensity of one effective electron that was assumed.
    """

    hot: np.ndarray
    dead: np.ndarray
    spikes: np.ndarray
    electron: np.ndarray


def run(series: TiltFocalSeries, config: OutliersConfig, *, finish: Finish | None = None) -> Iterator[Event]:
    """Find and replace; the mean of what is not replaced is untouched."""
    images = np.empty_like(series.images)
    report, told = yield from _mended(series, config, images)
    why = why_inexact(series)
    if why and not mended_at_import(series):
        told["note"] = (
            f"{why}: hot pixels are spread and found less surely; an import can mend before (--outliers)"
        )
    yield Done(recorded(series.replace(images=images), "outliers", config, told), report)


def mend(series: TiltFocalSeries, images: np.ndarray) -> Generator[Progress, None, dict[str, Any]]:
    """Replace outliers with the defaults, in place: for an import, before it turns the images.

    Parameters
    ----------
    series : TiltFocalSeries
    images : ndarray
        `(n_tilt, n_focus, ny, nx)` float32, changed; it may be the memory of the series' own images.

    Returns
    -------
    dict
        Parameters and what was found, for the history.
    """
    config = OutliersConfig()
    _, told = yield from _mended(series, config, images)
    factor = bin_of(series)
    if factor > 1:
        told["note"] = f"hot pixels were replaced after the images were binned by {factor}"
    return {"parameters": config.model_dump(mode="json"), "told": told}


def _mended(
    series: TiltFocalSeries, config: OutliersConfig, images: np.ndarray
) -> Generator[Progress, None, tuple[OutlierReport, dict[str, Any]]]:
    """Write the mended images, each after it was read for the last time."""
    electron = np.ones(series.images.shape[:2])
    hot = dead = np.zeros(series.image_shape, bool)
    if config.hot and electron.size >= _FEWEST_IMAGES:
        hot, dead = yield from _find_fixed(series, config)
    spikes = np.zeros(electron.shape, int)
    at = Progress("Outliers", 0.5)
    for item in paced(series, "Outliers", 0.5, 1.0):
        if isinstance(item, Progress):
            at = item
            yield at
            continue
        image = np.array(series.images[item])
        _replace(image, hot | dead)
        electron[item] = electron_size(image, electrons_per_unit(series, *item))
        if config.spikes:
            bad = yield from telling(find_spikes_in_parts(image, config.sigma, electron[item]), at)
            spikes[item] = int(bad.sum())
            _replace(image, bad)
        images[item] = image
    told: dict[str, Any] = {
        "hot_pixels": int(hot.sum()),
        "dead_pixels": int(dead.sum()),
        "spike_pixels": int(spikes.sum()),
        "most_spikes_in_one_image": int(spikes.max()),
    }
    return OutlierReport(hot, dead, spikes, electron), told


def preview(series: TiltFocalSeries, config: OutliersConfig, tilt: int, focus: int) -> np.ndarray:
    """One image without spikes; what only the whole stack can tell stays."""
    image = np.array(series.images[tilt, focus])
    if config.spikes:
        electron = electron_size(image, electrons_per_unit(series, tilt, focus))
        _replace(image, find_spikes(image, config.sigma, electron))
    return image


def _replace(image: np.ndarray, bad: np.ndarray) -> None:
    if bad.any():
        image[bad] = local_median(image, bad)


def _find_fixed(
    series: TiltFocalSeries, config: OutliersConfig
) -> Generator[Progress, None, tuple[np.ndarray, np.ndarray]]:
    """`(ny, nx)` masks of hot and of dead pixels."""
    variance = 0.0
    total, mean, n = np.zeros(series.image_shape, REAL), np.zeros(series.image_shape, REAL), 0
    above = np.zeros(series.image_shape, np.int32)
    at = Progress("Hot and dead pixels", 0.0)
    for item in paced(series, "Hot and dead pixels", 0.0, 0.5):
        if isinstance(item, Progress):
            at = item
            yield at
            continue
        if not series.used[item]:  # type: ignore[index]
            continue
        image = np.array(series.images[item])
        electron = electron_size(image, electrons_per_unit(series, *item))
        bad = yield from telling(find_spikes_in_parts(image, config.sigma, electron), at)
        above[bad] += np.where(image[bad] > np.median(image), 1, -1)
        _replace(image, bad)  # or a very hot pixel would make its neighbours look dead
        total += _distance(image, electron)
        mean += image
        variance += electron * max(float(np.median(image)), electron)
        n += 1
    if n < _FEWEST_IMAGES:
        nothing = np.zeros(series.image_shape, bool)
        return nothing, nothing
    often = max(n / 2, 2)
    stands_out = _stands_out(total / REAL(np.sqrt(n)), mean, float(np.sqrt(variance)), config.stack_sigma)
    return (above >= often) | (stands_out > 0), (above <= -often) | (stands_out < 0)


def _distance(image: np.ndarray, electron: float) -> np.ndarray:
    if electron <= 0:  # nothing scatters in it (a blank section): it tells of no pixel
        return np.zeros(image.shape, REAL)
    level = ring_mean(image)
    noise = np.sqrt(np.maximum(level * electron, electron**2 / 16) * (17 / 16))
    return np.asarray(np.clip((image - level) / noise, -_CLIP, _CLIP), REAL)


def _stands_out(score: np.ndarray, mean: np.ndarray, noise: float, sigma: float) -> np.ndarray:
    """`(ny, nx)`: 1 too bright, −1 too dark, 0 fine.

    ``score`` has unit variance where there are no defects; ``mean`` is the sum of the
    images, and ``noise`` the standard deviation in it.
    """
    found = np.zeros(score.shape, np.int8)
    scale = max(1.4826 * float(np.median(np.abs(score - np.median(score)))), 1.0)
    places = np.argwhere(np.abs(score - np.median(score)) > sigma * scale)
    if not len(places):
        return found
    level, _, scatter = ring_statistics(score, places)
    distance = score[tuple(places.T)] - level
    # What stays in place from image to image (an untilted specimen) scatters in the ring as well,
    real = np.abs(distance) > sigma * np.maximum(scatter, scale)
    # and is no sharper than optics allow; 1.1 is about what noise alone adds to the ring's extremes.
    level, extremes, _ = ring_statistics(mean, places)
    beyond = mean[tuple(places.T)] - level
    width = np.where(beyond > 0, extremes[:, 0], extremes[:, 1]) - 1.1 * noise
    real &= np.abs(beyond) > SHARP * width
    found[tuple(places[real].T)] = np.sign(distance[real])
    return found


OUTLIERS = StepEntry(
    "outliers",
    "Hot pixels and spikes",
    "Replace hot and dead pixels and X-ray hits by the median around them. True counts stay, also at a few "
    "electrons per pixel.",
    OutliersConfig,
    run,
    preview,
)
