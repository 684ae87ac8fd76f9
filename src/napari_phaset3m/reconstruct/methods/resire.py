"""RESIRE: gradient descent in real space with the published forward model and step.

Yang et al., Nature 592 (2021) 60; Pham, Yuan, Rana, Osher & Miao, Sci. Rep. 13 (2023)
5624. The error is ``1/2 sum over tilts of |P x - b|^2``; forward, the volume is projected
(Radon transform; with ``rotation: fourier`` it is band-limited as with their Fourier
slices), back, every voxel takes the residual linearly interpolated at where it
projects. The step is ``t / (n N)`` with n tilts and N voxels along the beam (the bound
of the gradient's Lipschitz constant), t = 1 unless a relaxation is given. Positivity and support act
after each step.
"""

from __future__ import annotations

import numpy as np

from napari_phaset3m.core.precision import REAL, Array
from napari_phaset3m.reconstruct.methods.linear import LinearMethod


class ResireMethod(LinearMethod):
    """Real-space iterative reconstruction engine, all tilts in every update."""

    name = "resire"

    def update(
        self, volume: Array, tilts: np.ndarray, step: float, *, low: float, memory: dict[str, Array]
    ) -> float:
        """``x = max(x - step / (n N) B (A x - b), low)``; see :class:`.base.UpdatingMethod`."""
        order = sorted(int(t) for t in tilts)
        residual = self.residual(volume, order)
        loss = self.loss(residual, order)
        residual *= REAL(-step / (len(order) * self.volume_shape[1]))
        self.projector.interpolate(residual, order, volume[0], low=low)
        return loss
