"""The detector's MTF on the GPU: the twin of :class:`..detector.Detector`."""

from __future__ import annotations

import numpy as np

from napari_phaset3m.core.cuda.runtime import Runtime
from napari_phaset3m.core.grid import Grid
from napari_phaset3m.core.precision import COMPLEX, REAL, Array


class CudaDetector:
    """Convolution of device images with the detector's MTF; its own adjoint.

    Two images make one complex image: the filter is real in space and in frequency.

    Parameters
    ----------
    runtime : Runtime
    grid : Grid
    mtf : ndarray
        `(nx, ny // 2 + 1)` float32, see :func:`..optics.detector_mtf`.
    """

    def __init__(self, runtime: Runtime, grid: Grid, mtf: np.ndarray) -> None:
        self.runtime, self._shape = runtime, grid.shape
        mirrored = np.arange(grid.ny)
        whole = mtf[:, np.minimum(mirrored, grid.ny - mirrored)] / (grid.nx * grid.ny)
        self._filter = runtime.xp.asarray(np.ascontiguousarray(whole, REAL))

    def apply(self, images: Array) -> None:
        """Blur `(..., nx, ny)` contiguous float32 images in place."""
        pixels = self._shape[0] * self._shape[1]
        n = images.size // pixels
        packed = self.runtime.xp.empty(((n + 1) // 2, *self._shape), COMPLEX)
        sizes = np.int64(n), np.int64(pixels)
        self.runtime.launch("pack_pairs", packed.size, images, packed, *sizes)
        self.runtime.fft2(packed)
        self.runtime.launch(
            "filter_images", packed.size, packed, self._filter, np.int64(len(packed)), np.int64(pixels)
        )
        self.runtime.fft2(packed, inverse=True)
        self.runtime.launch("unpack_pairs", packed.size, packed, images, *sizes)
