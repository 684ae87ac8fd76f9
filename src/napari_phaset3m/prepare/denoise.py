"""Denoising of images: Anscombe transform, then wavelets, non-local means or total variation.

Off by default, and rarely right before a reconstruction: a solver that knows the dose weighs noise
better than a filter can, and what a filter removed does not come back. It is there for looking,
for alignment, and for methods that take the images as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from typing import Literal

import numpy as np
from pydantic import Field

from napari_phaset3m.config import Model
from napari_phaset3m.core.precision import REAL
from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.errors import ConfigError
from napari_phaset3m.prepare.anscombe import stabilised, unstabilised
from napari_phaset3m.prepare.entry import StepEntry
from napari_phaset3m.prepare.events import Done, Event, Finish, Progress
from napari_phaset3m.prepare.history import recorded
from napari_phaset3m.prepare.images import electrons_per_unit, finished, paced, telling
from napari_phaset3m.prepare.noise import NoiseModel, estimate_noise, noise_sigma

_TV_ROUNDS = 9
#: Side of the part that the total variation's weight is found on, of a tile, and what tiles share, pixels.
_TRIED, _TILE, _OVERLAP = 256, 512, 64
_WAVELET, _DEEPEST = "sym4", 6
#: Cycle spinning: the wavelet grid is laid in these places and the results averaged.
_SPINS = ((0, 0), (1, 2), (2, 1), (3, 3))


class DenoiseConfig(Model):
    """Denoise."""

    method: Literal["wavelet", "nlm", "tv"] = Field(
        "wavelet",
        description="wavelet (adaptive soft threshold), nlm (non-local means: repeated motifs such as "
        "lattices) or tv (total variation: piecewise even)",
    )
    strength: float = Field(
        1.0, gt=0, le=5, description="Noise taken for this many times what is estimated in the image"
    )
    threshold: Literal["bayes", "visu"] = Field(
        "bayes", description="Wavelet threshold: BayesShrink (adapts to each scale) or VisuShrink (smoother)"
    )
    anscombe: bool = Field(True, description="Make Poisson noise even first (and undo it without bias)")


def noise_of(series: TiltFocalSeries, tilt: int, focus: int) -> NoiseModel:
    """Gain and read-out noise of an image: estimated from it; where it tells no gain, from the dose."""
    found = estimate_noise(series.images[tilt, focus])
    electrons = electrons_per_unit(series, tilt, focus)
    if found.gain > 0 or electrons is None:
        return found
    return NoiseModel(1 / electrons, found.read_variance)


def denoised(
    image: np.ndarray, config: DenoiseConfig, noise: NoiseModel
) -> Generator[float, None, np.ndarray]:
    """The image denoised, its mean kept; a generator of the done part, 0..1, that returns it.

    Large images are gone through in tiles that overlap and are faded into each other; for wavelets, which
    reach far at their coarse scales, the image stays whole.

    Parameters
    ----------
    image : ndarray
        `(ny, nx)`.
    config : DenoiseConfig
    noise : NoiseModel
        From :func:`.noise.estimate_noise` or the dose.

    Returns
    -------
    ndarray
        `(ny, nx)` float32.

    Raises
    ------
    ConfigError
        The library that the method needs is not installed.
    """
    steady = config.anscombe and noise.gain > 0
    values = stabilised(image, noise) if steady else np.asarray(image, np.float64)
    # The middle of the range does not matter to the filters, the scale does: unit noise.
    sigma = noise_sigma(values)
    if sigma <= 0:
        return np.array(image, REAL)
    smooth = yield from _filtered(values / sigma, config)
    smooth *= sigma
    result = unstabilised(smooth, noise) if steady else smooth
    change = float(image.mean(dtype=np.float64)) - float(result.mean())
    return np.asarray(result + change, REAL)


def run(series: TiltFocalSeries, config: DenoiseConfig, *, finish: Finish | None = None) -> Iterator[Event]:
    """Denoise each image."""
    images, sigmas = np.empty_like(series.images), []
    at = Progress("Denoising", 0.0)
    for item in paced(series, "Denoising"):
        if isinstance(item, Progress):
            at = item
            yield at
            continue
        image, noise = series.images[item], noise_of(series, *item)
        images[item] = yield from telling(denoised(image, config, noise), at)
        sigmas.append(noise.sigma(float(image.mean(dtype=np.float64))))
    removed = float(np.sqrt(np.mean((images - series.images) ** 2, dtype=np.float64)))
    told = {"noise_sigma_mean": float(np.mean(sigmas)), "rms_removed": removed}
    yield Done(recorded(series.replace(images=images), "denoise", config, told))


def preview(series: TiltFocalSeries, config: DenoiseConfig, tilt: int, focus: int) -> np.ndarray:
    """One image denoised."""
    return finished(denoised(series.images[tilt, focus], config, noise_of(series, tilt, focus)))


def _tiled(
    image: np.ndarray, smooth: Callable[[np.ndarray], np.ndarray]
) -> Generator[float, None, np.ndarray]:
    """Filter tile by tile; where tiles overlap, one is faded into the next. Yields the done part."""
    total, weight = np.zeros_like(image), np.zeros_like(image)
    tops, lefts = (_starts(n) for n in image.shape)
    for number, (top, left) in enumerate((top, left) for top in tops for left in lefts):
        part = (slice(top, top + _TILE), slice(left, left + _TILE))
        fade = _fade(image[part].shape)
        total[part] += fade * smooth(image[part])
        weight[part] += fade
        if len(tops) * len(lefts) > 1:
            yield (number + 1) / (len(tops) * len(lefts))
    return np.asarray(total / weight)


def _starts(n: int) -> list[int]:
    count = max(-(-(n - _OVERLAP) // (_TILE - _OVERLAP)), 1)
    return [int(v) for v in np.rint(np.linspace(0, max(n - _TILE, 0), count))]


def _fade(shape: tuple[int, ...]) -> np.ndarray:
    return np.outer(*(np.minimum(np.minimum(np.arange(n), np.arange(n)[::-1]) + 1, _OVERLAP) for n in shape))


def _filtered(image: np.ndarray, config: DenoiseConfig) -> Generator[float, None, np.ndarray]:
    """The filter on an image with noise of unit variance."""
    strength = config.strength
    if config.method == "wavelet":
        return (yield from _wavelet(image, strength, config.threshold))
    if config.method == "nlm":
        return (yield from _tiled(image, lambda part: _nlm(part, strength)))
    weight = _tv_weight(image, strength)
    return (yield from _tiled(image, lambda part: _tv(part, weight)))


def _wavelet(image: np.ndarray, sigma: float, threshold: str) -> Generator[float, None, np.ndarray]:
    import importlib.util

    if importlib.util.find_spec("pywt") is None:
        from napari_phaset3m.core.install import pip_install

        raise ConfigError(
            "denoise.method: wavelet needs PyWavelets. "
            f"Install it ({pip_install('PyWavelets')}), or use nlm or tv"
        )
    import pywt
    from skimage.restoration import denoise_wavelet

    # As deep as the image allows: noise has power at all scales (skimage stops three levels earlier).
    levels = min(max(pywt.dwtn_max_level(image.shape, _WAVELET), 1), _DEEPEST)
    name = {"bayes": "BayesShrink", "visu": "VisuShrink"}[threshold]
    total = np.zeros_like(image)
    for number, (dy, dx) in enumerate(_SPINS):
        moved = np.roll(image, (dy, dx), (0, 1))
        found = denoise_wavelet(
            moved,
            sigma=sigma,
            wavelet=_WAVELET,
            mode="soft",
            wavelet_levels=levels,
            method=name,
            rescale_sigma=False,
        )
        total += np.roll(found, (-dy, -dx), (0, 1))
        yield (number + 1) / len(_SPINS)
    return np.asarray(total / len(_SPINS))


def _nlm(image: np.ndarray, sigma: float) -> np.ndarray:
    from skimage.restoration import denoise_nl_means

    return np.asarray(
        denoise_nl_means(image, patch_size=5, patch_distance=9, h=0.8 * sigma, sigma=sigma, fast_mode=True)
    )


def _tv(image: np.ndarray, weight: float) -> np.ndarray:
    from skimage.restoration import denoise_tv_chambolle

    return np.asarray(denoise_tv_chambolle(image, weight=weight, eps=1e-4, max_num_iter=100))


def _tv_weight(image: np.ndarray, sigma: float) -> float:
    """What removes ``sigma`` rms (Morozov's discrepancy principle), by bisection on the image's middle."""
    ny, nx = image.shape
    middle = image[
        max((ny - _TRIED) // 2, 0) : (ny + _TRIED) // 2, max((nx - _TRIED) // 2, 0) : (nx + _TRIED) // 2
    ]
    low, high = 0.0, 4.0 * sigma
    for _ in range(_TV_ROUNDS):
        weight = (low + high) / 2
        if np.sqrt(np.mean((_tv(middle, weight) - middle) ** 2)) > sigma:
            high = weight
        else:
            low = weight
    return (low + high) / 2


DENOISE = StepEntry(
    "denoise",
    "Denoise",
    "Anscombe transform with wavelets, non-local means or total variation; strength from the noise found. "
    "For looking and aligning; reconstructions weigh noise better themselves.",
    DenoiseConfig,
    run,
    preview,
)
