"""ART: one ray after the other, with relaxation.

Gordon, Bender & Herman, J. Theor. Biol. 29 (1970) 471 (with a lower bound: their
"partially constrained" ART, each voxel clipped as its ray is worked in); Kaczmarz,
Bull. Acad. Pol. Sci. A 35 (1937) 355. Without a bound and from zero it converges to the
least-norm solution of consistent data for any relaxation in 0 .. 2 (Tanabe, Numer.
Math. 17 (1971) 203).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from napari_phaset3m.core.precision import Array
from napari_phaset3m.errors import ConfigError
from napari_phaset3m.reconstruct.methods.linear import LinearMethod


class ArtMethod(LinearMethod):
    """Kaczmarz' row action on the rays of each tilt, from one edge of the detector to the other.

    Planes along the tilt axis do not mix, so each holds a system of its own and threads
    (on a GPU blocks) share the planes. The misfit of a ray is taken as it is visited.

    Raises
    ------
    ConfigError
        The interpolation has no short rays (``fourier``).
    """

    name = "art"

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        if not self.projector.sparse:
            raise ConfigError(f"rotation: {self.config.rotation} has no rays for ART; use linear")

    def update(
        self, volume: Array, tilts: np.ndarray, step: float, *, low: float, memory: dict[str, Array]
    ) -> float:
        """``x += step (b_i - a_i x) a_i / |a_i|^2`` for every ray i of these tilts."""
        loss = 0.0
        for tilt in (int(t) for t in tilts):
            loss += self.projector.row_action(
                volume[0], self.data[tilt], self._used, tilt, relaxation=step, low=low
            )
        return loss
