"""Least squares with total variation, by the fast proximal gradient (FISTA).

Beck & Teboulle, SIAM J. Imaging Sci. 2 (2009) 183 (FISTA) and IEEE Trans. Image Process. 18
(2009) 2419 (with TV); Sidky & Pan, Phys. Med. Biol. 53 (2008) 4777 (TV in tomography).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from napari_phaset3m.core.precision import REAL, Array
from napari_phaset3m.reconstruct.constraints.tv import tv_prox
from napari_phaset3m.reconstruct.methods.linear import LinearMethod


class TvMethod(LinearMethod):
    """``min over x >= low of 1/2 |A x - b|^2 + lambda TV(x)``.

    lambda is ``tv_strength`` times the largest value of ``|A^T b|``, so that one strength suits
    data of any scale. The step is 1 / L with L the largest row sum times the largest
    column sum of A, which bounds its squared norm (Schur's test); the solver's
    extrapolation makes it FISTA. Clipping after the TV map is the joint proximal map up
    to the discretisation of the gradient's length (by the coarea formula the two commute).
    The misfit reported is that of the data alone.
    """

    name = "tv"

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        rows, columns = self.sums()
        tilts = [int(t) for t in self.problem.tilts]
        self._lipschitz = float(rows[tilts].max() * columns[tilts].sum(0).max())
        back = self.xp.zeros(self.volume_shape, REAL)
        self.projector.adjoint(self.data[tilts] * self._used, tilts, back[0])
        self.weight = self.config.tv_strength * float(abs(back).max())

    def update(
        self, volume: Array, tilts: np.ndarray, step: float, *, low: float, memory: dict[str, Array]
    ) -> float:
        """One proximal gradient step; see :class:`.base.UpdatingMethod`."""
        order = sorted(int(t) for t in tilts)
        residual = self.residual(volume, order)
        loss = self.loss(residual, order)
        length = step / self._lipschitz
        self.projector.adjoint(residual, order, volume[0], scale=-length)
        if self.weight:
            tv_prox(volume[0], self.weight * length, threads=self.threads)
        if low > -np.inf:
            self.xp.maximum(volume, REAL(low), out=volume)
        return loss
