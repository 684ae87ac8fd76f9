"""CGLS: conjugate gradients on the normal equations, without forming them.

Hestenes & Stiefel, J. Res. Natl. Bur. Stand. 49 (1952) 409; Paige & Saunders, ACM Trans.
Math. Softw. 8 (1982) 43. The number of iterations regularises: stop early on noisy data.
"""

from __future__ import annotations

import numpy as np

from napari_phaset3m.core.precision import ACCUMULATE, REAL, Array
from napari_phaset3m.reconstruct.methods.linear import LinearMethod, square_norm


class CglsMethod(LinearMethod):
    """Conjugate gradients for ``min |A x - b|^2``.

    Conjugacy does not survive constraints, so the iterate knows none (``low`` is not used);
    they act on the volumes that are handed out. The memory holds the residual ``b - A x``,
    the direction and the squared length of the gradient.
    """

    name = "cgls"

    def _begin(self, volume: Array, tilts: list[int], memory: dict[str, Array]) -> None:
        memory["residual"] = -self.residual(volume, tilts)
        memory["direction"] = self.xp.zeros(volume.shape, REAL)
        self.projector.adjoint(memory["residual"], tilts, memory["direction"][0])
        memory["gamma"] = np.array(square_norm(memory["direction"]), ACCUMULATE)

    def update(
        self, volume: Array, tilts: np.ndarray, step: float, *, low: float, memory: dict[str, Array]
    ) -> float:
        """One conjugate step; ``step`` and ``low`` are not used."""
        order = sorted(int(t) for t in tilts)
        if not memory:
            self._begin(volume, order, memory)
        rest, direction, gamma = memory["residual"], memory["direction"], float(memory["gamma"])
        loss = 0.5 * square_norm(rest)
        moved = self.xp.empty(rest.shape, REAL)
        self.projector.forward(direction[0], order, moved)
        if self._padded:
            moved *= self._used
        curvature = square_norm(moved)
        if not curvature > 0:
            return loss
        alpha = REAL(gamma / curvature)
        moved *= alpha
        rest -= moved
        gradient = direction * alpha
        volume += gradient
        gradient[...] = 0
        self.projector.adjoint(rest, order, gradient[0])
        following = square_norm(gradient)
        direction *= REAL(following / gamma)
        direction += gradient
        memory["gamma"] = np.array(following, ACCUMULATE)
        return loss
