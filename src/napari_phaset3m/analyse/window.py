"""The part of a volume that peaks are looked for in: a smooth window that fades to nothing at its edge.

A window with a soft edge keeps every peak compact; a hard one would give each peak side
lobes that look like peaks of their own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from napari_phaset3m.core.precision import REAL
from napari_phaset3m.errors import ConfigError, DataError

#: Smoothing with which a particle is looked for, angstrom.
_SMOOTH_ANGSTROM = 3.5
#: Local contrast inside over outside below which no particle is taken to stand out.
_LEAST_CONTRAST = 1.4


@dataclass(frozen=True, slots=True, eq=False)
class ParticleWindow:
    """Weights around a particle, cropped to where they are not zero.

    Parameters
    ----------
    weights : ndarray
        `(wz, wy, wx)` float32: sin^2(pi d / 2 d_max) of the distance d to the edge of the
        region. For a ball this is the Hann window cos^2(pi r / 2R).
    corner : tuple of int
        (z, y, x) index of its first voxel in the volume.
    voxel_size_angstrom : float
    width_angstrom : float
        2 d_max: diameter of the largest ball in the region. A peak is blurred to about 1.1/width.
    centre_angstrom : ndarray
        (x, y, z) of the region's centre from the rotation centre.
    source : str
        How the region was found, in words.
    """

    weights: np.ndarray
    corner: tuple[int, int, int]
    voxel_size_angstrom: float
    width_angstrom: float
    centre_angstrom: np.ndarray
    source: str

    def cut(self, volume: np.ndarray) -> np.ndarray:
        """Windowed part of ``volume``, its weighted mean removed, float32."""
        z, y, x = self.corner
        nz, ny, nx = self.weights.shape
        part = np.asarray(volume[z : z + nz, y : y + ny, x : x + nx], REAL)
        mean = float((part * self.weights).sum(dtype=float) / self.weights.sum(dtype=float))
        return np.asarray((part - REAL(mean)) * self.weights, REAL)

    def origin_angstrom(self, shape: tuple[int, ...]) -> np.ndarray:
        """(x, y, z) of the first voxel from the rotation centre of a volume of that shape."""
        first = np.array(self.corner, float) - (np.array(shape, float) - 1) / 2
        return np.asarray(first[::-1] * self.voxel_size_angstrom)


def particle_window(
    volume: np.ndarray, voxel_size_angstrom: float, mask: np.ndarray | None = None
) -> ParticleWindow:
    """Window of the particle a mask shows, or of the one that stands out in the volume.

    Parameters
    ----------
    volume : ndarray
        `(nz, ny, nx)`.
    voxel_size_angstrom : float
    mask : ndarray, optional
        `(nz, ny, nx)` in [0, 1]; voxels of at least 0.5 are the particle, holes are filled.
        When omitted the particle is where the local contrast is high: band-passed, squared,
        smoothed, cut at Otsu's threshold (IEEE Trans. SMC 9 (1979) 62), largest part. Where
        nothing stands out, the whole box; ``source`` says which.

    Raises
    ------
    ConfigError, DataError
        Shapes differ, the mask is empty, or the volume is not finite or constant.
    """
    if not voxel_size_angstrom > 0:
        raise ConfigError(f"voxel_size_angstrom: must be positive, not {voxel_size_angstrom}")
    if volume.ndim != 3 or min(volume.shape) < 8:
        raise ConfigError(f"volume: needs three axes of at least 8 voxels, not {volume.shape}")
    if not np.isfinite(volume).all():
        raise DataError("holds NaN or infinite voxels", field="volume")
    if float(np.ptp(volume)) == 0:
        raise DataError("is constant, so it holds no peaks", field="volume")
    if mask is not None:
        return _window(_masked_region(volume, mask), voxel_size_angstrom, 0.0, "the mask given")
    region = _outstanding(volume, voxel_size_angstrom)
    if region is None:
        whole = np.ones(volume.shape, bool)
        return _window(whole, voxel_size_angstrom, 0.0, "the whole box (no particle stands out)")
    # the smoothing has made the region wider by about this much
    shrink = 0.35 * _SMOOTH_ANGSTROM
    return _window(region, voxel_size_angstrom, shrink, "the particle that stands out by its contrast")


def _masked_region(volume: np.ndarray, mask: np.ndarray) -> np.ndarray:
    from scipy import ndimage

    if mask.shape != volume.shape:
        raise ConfigError(f"mask: has shape {mask.shape}, but the volume {volume.shape}")
    region = np.asarray(ndimage.binary_fill_holes(np.asarray(mask) >= 0.5))
    if not region.any():
        raise ConfigError("mask: is below 0.5 everywhere; it must hold the particle")
    return region


def _outstanding(volume: np.ndarray, voxel: float) -> np.ndarray | None:
    """Region of the particle, or None where nothing stands out."""
    from scipy import fft, ndimage
    from skimage.filters import threshold_otsu

    axes = [np.fft.fftfreq(n, voxel) for n in volume.shape[:2]] + [np.fft.rfftfreq(volume.shape[2], voxel)]
    k2 = axes[0][:, None, None] ** 2 + axes[1][None, :, None] ** 2 + axes[2][None, None, :] ** 2
    # half height at about 1/10 and 1/2 per angstrom: lattice fringes, not shape or pixel noise
    band = ((1 - np.exp(-72 * k2)) * np.exp(-0.72 * k2)).astype(REAL)
    fringes = fft.irfftn(fft.rfftn(np.asarray(volume, REAL), workers=1) * band, volume.shape, workers=1)
    energy = ndimage.gaussian_filter(fringes * fringes, _SMOOTH_ANGSTROM / voxel, mode="constant")
    contrast = np.sqrt(np.maximum(energy, 0))
    parts, count = ndimage.label(contrast > threshold_otsu(contrast))
    if count == 0:
        return None
    region = ndimage.binary_fill_holes(parts == 1 + int(np.bincount(parts.ravel())[1:].argmax()))
    if region.all() or contrast[region].mean() < _LEAST_CONTRAST * contrast[~region].mean():
        return None
    return np.asarray(region)


def _window(region: np.ndarray, voxel: float, shrink: float, source: str) -> ParticleWindow:
    from scipy import ndimage

    box = ndimage.find_objects(region.astype(np.uint8))[0]
    # a border of zeros: the edge of the box is an edge of the region
    distance = ndimage.distance_transform_edt(np.pad(region[box], 1))[1:-1, 1:-1, 1:-1] * voxel - shrink
    reach = float(distance.max())
    if reach < 3 * voxel:
        raise ConfigError(
            f"mask: the particle is only {2 * max(reach, 0):.1f} Å thick ({source}); "
            "peaks need at least 6 voxels. Give a larger mask"
        )
    inner = distance > 0
    tight = ndimage.find_objects(inner.astype(np.uint8))[0]
    weights = np.sin(np.pi / 2 * np.clip(distance[tight] / reach, 0, 1)) ** 2
    corner = tuple(int(b.start + t.start) for b, t in zip(box, tight, strict=True))
    centre = [
        float(
            (weights.sum(axis=tuple(a for a in range(3) if a != axis)) * np.arange(n)).sum() / weights.sum()
        )
        for axis, n in enumerate(weights.shape)
    ]
    place = (np.array(centre) + corner - (np.array(region.shape) - 1) / 2) * voxel
    return ParticleWindow(
        weights.astype(REAL), (corner[0], corner[1], corner[2]), voxel, 2 * reach, place[::-1].copy(), source
    )
