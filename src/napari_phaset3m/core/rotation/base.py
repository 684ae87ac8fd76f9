"""The protocol all rotators satisfy, and the one place that chooses among them."""

from __future__ import annotations

from typing import Literal, Protocol

import numpy as np

from napari_phaset3m.core.geometry import TiltGeometry

RotatorKind = Literal["linear", "cubic", "fourier"]


class Rotator(Protocol):
    """Projects a volume into the slices of a tilted box.

    Volumes are `(nz, nx, ny)` float32, slices `(n_slice, nx, ny)` float32 sums
    over the voxels of each slice. All methods may run in several threads at once
    as long as their outputs differ.
    """

    geometry: TiltGeometry

    def project(self, volume: np.ndarray, tilt: int, out: np.ndarray) -> None:
        """Overwrite ``out`` with the slices of the volume seen at ``tilt``."""
        ...

    def backproject(self, slices: np.ndarray, tilt: int, gradient: np.ndarray) -> None:
        """Add the exact adjoint of :meth:`project` to ``gradient``."""
        ...

    def project_derivative(self, volume: np.ndarray, tilt: int, out: np.ndarray) -> None:
        """Overwrite ``out`` with the derivative of :meth:`project` by the angle, per radian."""
        ...


def make_rotator(kind: RotatorKind, geometry: TiltGeometry) -> Rotator:
    """The rotator called ``kind``.

    ``linear`` is the fastest; ``cubic`` keeps more of the high frequencies;
    ``fourier`` (three shears) keeps all of them.
    """
    if kind == "linear":
        from napari_phaset3m.core.rotation.linear import LinearRotator

        return LinearRotator(geometry)
    if kind == "cubic":
        from napari_phaset3m.core.rotation.cubic import CubicRotator

        return CubicRotator(geometry)
    from napari_phaset3m.core.rotation.fourier import FourierRotator

    return FourierRotator(geometry)
