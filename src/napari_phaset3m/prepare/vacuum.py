"""Suggest where there is vacuum; a person has to agree."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.prepare.region import RegionPx
from napari_phaset3m.prepare.spikes import electron_size

#: Images looked at, spread over the tilts.
_LOOKED_AT = 12


@dataclass(frozen=True, slots=True)
class VacuumSuggestion:
    """A rectangle that may be vacuum.

    Attributes
    ----------
    region_px : tuple of int
        Top, left, height, width.
    excess : float
        Low-frequency contrast in it beyond the noise, relative to that of the whole image: near 0 for
        vacuum, 1 where the region is like anywhere else.
    level : float
        Its mean over the images looked at.
    """

    region_px: RegionPx
    excess: float
    level: float


def suggest_vacuum(series: TiltFocalSeries, fraction: float = 0.25) -> VacuumSuggestion:
    """The most even rectangle, over all tilts, for a vacuum level.

    In each of several images, blocks of 4 x 4 pixels are averaged (to see contrast rather than shot
    noise); the rectangle whose blocks scatter least beyond what counting electrons explains is suggested.
    It is only that: an even carbon film scatters little as well.

    Parameters
    ----------
    series : TiltFocalSeries
    fraction : float
        Side of the rectangle as a part of the image's side.
    """
    from scipy.ndimage import uniform_filter

    ny, nx = series.image_shape
    block = 4 if min(ny, nx) >= 64 else 2
    size = max(int(fraction * ny / block), 3), max(int(fraction * nx / block), 3)
    tilts = np.unique(np.linspace(0, series.n_tilt - 1, min(_LOOKED_AT, series.n_tilt)).astype(int))
    excess = np.zeros((ny // block, nx // block))
    level, whole = np.zeros_like(excess), 0.0
    for tilt in tilts:
        image = series.images[tilt, 0]
        small = image[: ny // block * block, : nx // block * block]
        small = small.reshape(ny // block, block, nx // block, block).mean(axis=(1, 3), dtype=np.float64)
        noise = electron_size(image) * np.maximum(small, 0) / block**2
        mean = uniform_filter(small, size, mode="nearest")
        variance = uniform_filter((small - mean) ** 2, size, mode="nearest")
        excess += variance - uniform_filter(noise, size, mode="nearest")
        level += mean
        whole += float(small.var() - noise.mean())
    inside = np.full(excess.shape, np.inf)
    half = size[0] // 2, size[1] // 2
    core = (slice(half[0], excess.shape[0] - half[0]), slice(half[1], excess.shape[1] - half[1]))
    inside[core] = excess[core]
    y, x = np.unravel_index(int(np.argmin(inside)), inside.shape)
    top, left = max(int(y) - half[0], 0) * block, max(int(x) - half[1], 0) * block
    region = top, left, min(size[0] * block, ny - top), min(size[1] * block, nx - left)
    found = float(inside[y, x]) / max(whole, 1e-12)
    return VacuumSuggestion(region, max(found, 0.0), float(level[y, x]) / len(tilts))
