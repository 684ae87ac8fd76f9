"""Direct inversion: filtered and weighted back-projection.

FBP: Bracewell & Riddle, Astrophys. J. 150 (1967) 427; Ramachandran & Lakshminarayanan, PNAS
68 (1971) 2236. WBP: Radermacher in Electron Tomography (ed. Frank, 1992) 91; see :mod:`.filters`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from napari_phaset3m.core.fft import smooth_size
from napari_phaset3m.core.precision import REAL, Array
from napari_phaset3m.reconstruct.methods.filters import angular_weights, exact_weights, lowpass, ramp, window
from napari_phaset3m.reconstruct.methods.linear import LinearMethod

#: Tilts transformed at a time: bounds the memory of their padded spectra.
_BATCH = 16


class FbpMethod(LinearMethod):
    """Filtered back-projection: one update replaces the volume by the result.

    ``x = sum over tilts of da_i B F^-1 |k| w(k) F b_i`` with each voxel interpolating
    linearly in the filtered images. The error reported is that of the result, bounded
    below where asked for; a start volume plays no part.
    """

    name = "fbp"

    def _filters(self, tilts: list[int], size: int) -> np.ndarray:
        """`(n or 1, size // 2 + 1)` filter of each tilt, share in the angles included."""
        degrees = np.array([self.problem.geometry.tilt_deg[t] for t in tilts])
        filters = angular_weights(degrees)[:, None] * ramp(size) * window(self.config.fbp_filter, size)
        return np.asarray(filters)

    def filtered(self, tilts: list[int]) -> Array:
        """`(n, nx, ny)` filtered projections, ready to be back-projected."""
        nx, ny = self.data.shape[1:]
        size = smooth_size(2 * nx)
        size += size % 2
        filters = self.upload(self._filters(tilts, size))
        out = self.xp.empty((len(tilts), nx, ny), REAL)
        for first in range(0, len(tilts), _BATCH):
            part = slice(first, first + _BATCH)
            images = self.data[tilts[part]] * self._used
            spectrum = self._rfft(self._smoothed(images), size)
            spectrum *= filters[part][:, :, None]
            out[part] = self._irfft(spectrum, size)[:, :nx]
        return out

    def _rfft(self, images: Array, size: int) -> Array:
        if self.xp is np:
            from scipy import fft

            return fft.rfft(images, size, axis=1, workers=self.threads)
        return self.xp.fft.rfft(images, size, axis=1)

    def _irfft(self, spectrum: Array, size: int) -> Array:
        if self.xp is np:
            from scipy import fft

            return fft.irfft(spectrum, size, axis=1, workers=self.threads, overwrite_x=True)
        return self.xp.fft.irfft(spectrum, size, axis=1)

    def _smoothed(self, images: Array) -> Array:
        asked = self.config.filter_lowpass_angstrom
        if asked is None:
            return images
        nx, ny = images.shape[1:]
        # Mirrored edges: what is low-passed must not wrap round.
        padded = self.xp.pad(images, ((0, 0), (0, nx), (0, ny)), mode="symmetric")
        cutoff = self.problem.geometry.voxel_size_angstrom / asked
        mask = self.upload(lowpass(np.fft.fftfreq(2 * nx), np.fft.rfftfreq(2 * ny), cutoff))
        spectrum = self.xp.fft.rfft2(padded) * mask
        return self.xp.fft.irfft2(spectrum, (2 * nx, 2 * ny))[:, :nx, :ny].astype(REAL)

    def update(
        self, volume: Array, tilts: np.ndarray, step: float, *, low: float, memory: dict[str, Array]
    ) -> float:
        """Replace ``volume`` by the reconstruction; returns its misfit. ``step`` is not used."""
        order = sorted(int(t) for t in tilts)
        volume[...] = 0
        self.projector.interpolate(self.filtered(order), order, volume[0], low=low)
        return self.loss(self.residual(volume, order), order)


class WbpMethod(FbpMethod):
    """Weighted back-projection, with exact or radial weights for the tilts at hand."""

    name = "wbp"

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        asked = self.config.wbp_diameter_angstrom
        geometry = self.problem.geometry
        self.diameter_px = float(geometry.nx) if asked is None else asked / geometry.voxel_size_angstrom

    def _filters(self, tilts: list[int], size: int) -> np.ndarray:
        degrees = np.array([self.problem.geometry.tilt_deg[t] for t in tilts])
        if self.config.wbp_weighting == "exact":
            return exact_weights(degrees, self.diameter_px, size)
        # r-weighting knows the number of tilts and their range, not where each one is.
        share = float(angular_weights(degrees).mean())
        return np.broadcast_to(share * ramp(size), (len(tilts), size // 2 + 1))
