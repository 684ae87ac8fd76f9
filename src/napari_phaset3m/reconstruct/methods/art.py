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

from napari_phaset3m.core.precision import REAL, Array
from napari_phaset3m.core.projector import HostProjector
from napari_phaset3m.core.rotation import footprint
from napari_phaset3m.errors import ConfigError
from napari_phaset3m.reconstruct.methods.linear import LinearMethod


class ArtMethod(LinearMethod):
    """Kaczmarz' row action on the rays of each tilt, from one edge of the detector to the other.

    Planes along the tilt axis do not mix, so each holds a system of its own and threads
    share the planes. The misfit of a ray is taken as it is visited.

    Raises
    ------
    ConfigError
        The interpolation has no short rays (``fourier``).
    """

    name = "art"

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        if self.config.rotation not in footprint.TAPS:
            raise ConfigError(f"rotation: {self.config.rotation} has no rays for ART; use linear")
        assert isinstance(self.projector, HostProjector)
        self._host = self.projector

    def update(
        self, volume: Array, tilts: np.ndarray, step: float, *, low: float, memory: dict[str, Array]
    ) -> float:
        """``x += step (b_i - a_i x) a_i / |a_i|^2`` for every ray i of these tilts."""
        flat = volume[0].reshape(-1, volume.shape[-1])
        numbers = np.array([step, max(low, footprint.LOWEST)], REAL)
        loss = 0.0
        for tilt in tilts:
            lists = footprint.rays(self._host.table, int(tilt))
            image = self.data[int(tilt)]

            def work(a: int, b: int, image: np.ndarray = image, lists: Any = lists) -> float:
                return float(footprint.kaczmarz(flat, image, self._used, lists, numbers, a, b))

            loss += self._host.slabs(work, volume.shape[-1])
        return loss
