"""The detector between the intensity of the wave and the image."""

from __future__ import annotations

import numpy as np
from scipy import fft

from napari_phaset3m.core.grid import Grid
from napari_phaset3m.core.optics import Microscope, detector_mtf


class Detector:
    """Convolution of intensities with the detector's MTF; its own adjoint.

    Parameters
    ----------
    grid : Grid
    microscope : Microscope
        With ``mtf`` given.
    """

    def __init__(self, grid: Grid, microscope: Microscope) -> None:
        self._mtf = detector_mtf(grid, microscope)
        self._shape = grid.shape

    def apply(self, images: np.ndarray) -> None:
        """Blur `(n, nx, ny)` float32 images in place."""
        spectra = fft.rfft2(images, workers=1)
        spectra *= self._mtf
        images[:] = fft.irfft2(spectra, s=self._shape, workers=1)
