"""SIRT and SART on the same projector: simultaneous over all tilts, or tilt by tilt.

SIRT: Gilbert, J. Theor. Biol. 36 (1972) 105; in the form ``x += C A^T R (b - A x)`` of
Gregor & Benson, IEEE Trans. Med. Imaging 27 (2008) 918, with R and C the inverse row
and column sums of A. SART: Andersen & Kak, Ultrason. Imaging 6 (1984) 81; the same
with the sums of one tilt, and an update after each.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from napari_phaset3m.core.precision import REAL, Array
from napari_phaset3m.reconstruct.methods.linear import LinearMethod

_SMALL = 1e-3


class SirtMethod(LinearMethod):
    """SIRT over ordered subsets; one subset of all tilts is the classical method.

    The misfit is weighted with R: ``1/2 sum of R (A x - b)^2``.
    """

    name = "sirt"

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        rows, self._columns = self.sums()
        weight = np.divide(1, rows, where=rows > _SMALL, out=np.zeros_like(rows))
        self._rows = self.upload(weight[:, :, None])
        self._scale: tuple[bytes, np.ndarray] | None = None

    def loss(self, residual: Array, tilts: Sequence[int] | np.ndarray) -> float:
        """Misfit, each ray by its inverse length."""
        total = 0.0
        for part, tilt in zip(residual, tilts, strict=True):
            total += float((part * self._rows[int(tilt)]).reshape(-1) @ part.reshape(-1))
        return 0.5 * total

    def column_weights(self, tilts: np.ndarray) -> np.ndarray:
        """`(nz, nx)` inverse column sums of these tilts; the same in every plane along y."""
        key = np.sort(tilts).tobytes()
        if self._scale is None or self._scale[0] != key:
            columns = self._columns[np.sort(tilts)].sum(0)
            self._scale = key, np.divide(1, columns, where=columns > _SMALL, out=np.zeros_like(columns))
        return self._scale[1]

    def update(
        self, volume: Array, tilts: np.ndarray, step: float, *, low: float, memory: dict[str, Array]
    ) -> float:
        """``x = max(x - step C A^T R (A x - b), low)``; see :class:`.base.UpdatingMethod`."""
        residual = self.residual(volume, tilts)
        loss = self.loss(residual, tilts)
        residual *= self._rows[[int(t) for t in tilts]]
        scale = np.asarray(-step * self.column_weights(tilts), REAL)
        self.projector.adjoint(residual, [int(t) for t in tilts], volume[0], scale=scale, low=low)
        return loss


class SartMethod(SirtMethod):
    """SART: :class:`SirtMethod` whose subsets are single tilts (the registry says so)."""

    name = "sart"
