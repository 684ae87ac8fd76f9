"""A raw stack in the order of exposure, and what IMOD's newstack makes of it: written from its man page."""

from __future__ import annotations

from pathlib import Path

import mrcfile
import numpy as np
from scipy.ndimage import map_coordinates

from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.prepare.align.apply import apply
from napari_phaset3m.prepare.align.model import Alignment

#: In the order of exposure: dose-symmetric.
TILTS = np.array([0.0, 10.0, -10.0, 20.0, -20.0, 30.0, -30.0])
#: (ny, nx) of the raw images: no side is like another, one is odd.
RAW_SHAPE = (121, 168)


def blobs(seed: int, shape: tuple[int, int] = RAW_SHAPE) -> np.ndarray:
    """Smooth blobs near the middle, different for each seed; about 1 elsewhere."""
    rng = np.random.default_rng(seed)
    y, x = np.meshgrid(*(np.arange(n) - (n - 1) / 2 for n in shape), indexing="ij")
    centres = rng.uniform((-26, -34), (26, 34), (5, 2))
    image = sum(np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / 50) for cy, cx in centres)
    return (1 + image).astype(np.float32)


def write_stack(path: Path, n: int = len(TILTS), tilts: np.ndarray = TILTS, first: int = 0) -> np.ndarray:
    """Write the stack with its .rawtlt; returns its images."""
    images = np.stack([blobs(first + k) for k in range(n)])
    with mrcfile.new(path, overwrite=True) as mrc:
        mrc.set_data(images)
        mrc.set_image_stack()
        mrc.voxel_size = 1.5
    path.with_suffix(".rawtlt").write_text("".join(f"{tilt}\n" for tilt in tilts))
    return images


def newstack(image: np.ndarray, row: np.ndarray) -> np.ndarray:
    """``X' = A (X - Xc) + D + Xc``: every output pixel is looked up where the inverse puts it (newstack(1)).

    IMOD's centre is nx / 2 where pixel 0 reaches from 0 to 1: its middle, at 0.5, is index 0 here.
    """
    ny, nx = image.shape
    a11, a12, dx, a21, a22, dy = row.ravel()
    y, x = np.meshgrid(np.arange(ny) + 0.5 - ny / 2, np.arange(nx) + 0.5 - nx / 2, indexing="ij")
    det = a11 * a22 - a12 * a21
    u, v = x - dx, y - dy
    from_x, from_y = (a22 * u - a12 * v) / det, (a11 * v - a21 * u) / det
    places = (from_y + ny / 2 - 0.5, from_x + nx / 2 - 0.5)
    return map_coordinates(image.astype(np.float64), places, order=3, cval=1.0)


def ours(
    series: TiltFocalSeries, alignment: Alignment, image: tuple[int, int], step: float, margin: int = 3
) -> tuple[np.ndarray, np.ndarray]:
    """Our aligned image at every pixel of the raw one, ``step`` of our pixels apart.

    And where it is seen: farther than ``margin`` of our pixels from the image's border.
    """
    aligned = apply(series, alignment)
    picture, (sy, sx) = aligned.images[image], aligned.shifts_px[image]
    ny, nx = picture.shape
    y, x = np.meshgrid(*(np.arange(n) - (n - 1) / 2 for n in RAW_SHAPE), indexing="ij")
    places = (y * step + sy + (ny - 1) / 2, x * step + sx + (nx - 1) / 2)
    inside = (np.abs(places[0] - ny / 2) < ny / 2 - margin) & (np.abs(places[1] - nx / 2) < nx / 2 - margin)
    return map_coordinates(picture.astype(np.float64), places, order=3), inside


def worst(by_imod: np.ndarray, by_us: np.ndarray, inside: np.ndarray) -> float:
    """How far two aligned images of one scale differ where both show the specimen (levels may differ)."""
    kept = inside & (by_imod > 1.002)
    assert np.count_nonzero(kept) > 600
    factor = (by_imod[kept] / by_us[kept]).mean()
    return float(np.abs(by_imod - factor * by_us)[kept].max())
