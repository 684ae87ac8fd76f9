"""Geometric masks: sphere, ellipsoid, box; and painted corrections, stored sparsely."""

from __future__ import annotations

import base64
import binascii
import zlib

import numpy as np

from napari_phaset3m.analyse.masks_ops import Voxel, bounding_box, voxel_zyx
from napari_phaset3m.config import Model
from napari_phaset3m.errors import ConfigError

Zyx = tuple[int, int, int]
Xyz = tuple[float, float, float]


def _coordinates(shape: Zyx, voxel: Voxel, center_angstrom: Xyz) -> list[np.ndarray]:
    """Broadcastable z, y and x of the voxel centres from a point, angstrom."""
    made = []
    for axis, (n, edge) in enumerate(zip(shape, voxel_zyx(voxel), strict=True)):
        line = (np.arange(n) - (n - 1) / 2) * edge - center_angstrom[2 - axis]
        made.append(line.reshape([-1 if a == axis else 1 for a in range(3)]))
    return made


def ellipsoid(shape: Zyx, voxel: Voxel, diameters_angstrom: Xyz, center_angstrom: Xyz) -> np.ndarray:
    """Voxels whose centre lies in an ellipsoid along the axes.

    Parameters
    ----------
    shape : tuple of int
        (nz, ny, nx).
    voxel : float or tuple of float
    diameters_angstrom, center_angstrom : tuple of float
        (x, y, z); the centre is measured from the rotation centre.

    Returns
    -------
    ndarray
        bool.
    """
    axes = zip(_coordinates(shape, voxel, center_angstrom), reversed(diameters_angstrom), strict=True)
    z, y, x = ((line / (diameter / 2)) ** 2 for line, diameter in axes)
    result = np.empty(shape, bool)
    plane = (y + x)[0]
    for index in range(shape[0]):  # plane by plane: no float volume
        result[index] = plane + z[index] <= 1 + 1e-12
    return result


def box(shape: Zyx, voxel: Voxel, edges_angstrom: Xyz, center_angstrom: Xyz) -> np.ndarray:
    """Voxels whose centre lies in a box along the axes; parameters as :func:`ellipsoid`."""
    axes = zip(_coordinates(shape, voxel, center_angstrom), reversed(edges_angstrom), strict=True)
    z, y, x = (np.abs(line) <= edge / 2 * (1 + 1e-12) for line, edge in axes)
    return np.asarray(z & y & x)


class Patch(Model):
    """A set of voxels: its bounding box and, inside, one bit for each voxel.

    Attributes
    ----------
    start, shape : tuple of int
        (z, y, x) of the box's first voxel, and the box's size.
    bits : str
        Base64 of the zlib-compressed bits.
    """

    start: Zyx
    shape: Zyx
    bits: str

    @classmethod
    def of(cls, voxels: np.ndarray) -> Patch | None:
        """The patch of a boolean volume; None when it holds no voxel."""
        found = bounding_box(voxels)
        if found is None:
            return None
        part = np.ascontiguousarray(voxels[found])
        packed = base64.b64encode(zlib.compress(np.packbits(part).tobytes(), 9)).decode("ascii")
        z, y, x = found
        return cls(start=(z.start, y.start, x.start), shape=part.shape, bits=packed)

    def voxels(self, shape: Zyx) -> np.ndarray:
        """The boolean volume again.

        Raises
        ------
        ConfigError
            Damaged, or outside of this shape.
        """
        count = int(np.prod(self.shape))
        inside = all(
            a >= 0 and n >= 1 and a + n <= m for a, n, m in zip(self.start, self.shape, shape, strict=True)
        )
        if not inside:
            raise ConfigError(f"painted: the box {self.start} + {self.shape} is not in a volume of {shape}")
        try:
            # Never more than the box needs, whatever the text unpacks to.
            raw = zlib.decompressobj().decompress(base64.b64decode(self.bits, validate=True), count // 8 + 2)
            flat = np.unpackbits(np.frombuffer(raw, np.uint8), count=count)
        except (ValueError, zlib.error, binascii.Error) as error:
            raise ConfigError(f"painted: bits are damaged ({error})") from None
        if len(raw) != -(-count // 8):
            raise ConfigError(f"painted: bits are damaged ({len(raw)} bytes for {count} voxels)")
        result = np.zeros(shape, bool)
        where = tuple(slice(a, a + n) for a, n in zip(self.start, self.shape, strict=True))
        result[where] = flat.reshape(self.shape).astype(bool)
        return result


def nearest(mask: np.ndarray, shape: Zyx) -> np.ndarray:
    """The same box sampled with ``shape`` voxels, each the nearest of the given ones."""
    if mask.shape == shape:
        return mask
    picks = [
        np.minimum(((np.arange(n) + 0.5) * m / n).astype(int), m - 1)
        for n, m in zip(shape, mask.shape, strict=True)
    ]
    return np.asarray(mask[np.ix_(*picks)])


def linear(mask: np.ndarray, shape: Zyx) -> np.ndarray:
    """The same box sampled with ``shape`` voxels, float32, interpolated linearly within 0..1."""
    from scipy.ndimage import zoom

    if mask.shape == shape:
        return np.asarray(mask, np.float32)
    factors = [n / m for n, m in zip(shape, mask.shape, strict=True)]
    made = zoom(np.asarray(mask, np.float32), factors, order=1, mode="nearest", grid_mode=True)
    return np.asarray(np.clip(made, 0, 1), np.float32)


def placed(mask: np.ndarray, voxel: Voxel, shape: Zyx, new_voxel: Voxel) -> np.ndarray:
    """A mask on another grid with the same middle, float32, interpolated linearly; 0 beyond its box."""
    from scipy.ndimage import affine_transform

    ratio = np.asarray(voxel_zyx(new_voxel)) / np.asarray(voxel_zyx(voxel))
    offset = (np.asarray(mask.shape) - 1) / 2 - ratio * (np.asarray(shape) - 1) / 2
    made = affine_transform(
        np.asarray(mask, np.float32), ratio, offset, shape, order=1, mode="grid-constant", cval=0.0
    )
    return np.asarray(np.clip(made, 0, 1), np.float32)
