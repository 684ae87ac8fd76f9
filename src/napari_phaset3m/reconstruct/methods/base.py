"""What the solver needs to know about a reconstruction method."""

from __future__ import annotations

from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np

from napari_phaset3m.core.precision import Array


class Equations(NamedTuple):
    """Gauss-Newton equations of one tilt's images, for what multiplies their transfer.

    Attributes
    ----------
    tilt : int
    loss : float
    gradient : ndarray
        `(n_focus, n_parameter)` float64: derivatives of the loss.
    normal : ndarray
        `(n_focus, n_parameter, n_parameter)` float64: ``J^T W J`` of the amplitudes' derivatives J.
    """

    tilt: int
    loss: float
    gradient: np.ndarray
    normal: np.ndarray


class Method(Protocol):
    """A forward model with its data: predictions and misfits, one tilt at a time.

    Volumes are `(n_channel, nz, nx, ny)` float32, the tilt axis y contiguous.
    Channel 0 is the phase per voxel (rad) for scattering methods, the linear
    density for linear ones; channel 1, when present, is absorption.
    """

    name: str
    unit: str
    volume_shape: tuple[int, int, int, int]
    n_tilt: int

    @property
    def volts_per_unit(self) -> float:
        """What a voxel value is multiplied with to be in ``unit``."""
        ...

    def predict(self, volume: Array, tilt: int, slot: int = 0) -> Array:
        """`(n_focus, nx, ny)` predicted images of one tilt, in the data's unit."""
        ...

    def held_out_loss(self, volume: Array, tilt: int, slot: int = 0) -> float:
        """Loss of the tilt's held-out images (0 when it has none)."""
        ...

    def data_norm(self, tilt: int, *, held_out: bool = False) -> float:
        """The loss an empty volume has on this tilt: makes errors relative."""
        ...


class GradientMethod(Method, Protocol):
    """A method that gives a gradient; the engine gathers it over threads and steps down it."""

    def accumulate(self, volume: Array, tilt: int, gradient: Array, slot: int) -> float:
        """Add the gradient of one tilt's used images to ``gradient``.

        Parameters
        ----------
        volume, gradient : Array
            `(n_channel, nz, nx, ny)` float32; ``gradient`` is added to in place.
        tilt : int
        slot : int
            Workspace to use; two threads never share one.

        Returns
        -------
        float
            The tilt's loss (sum over its used pixels).
        """
        ...

    def preconditioner(self, tilts: np.ndarray) -> Array | float:
        """What the summed gradient of ``tilts`` is multiplied with before the step."""
        ...


@runtime_checkable
class UpdatingMethod(Method, Protocol):
    """A method that owns its update: row actions, conjugate directions, direct inversion."""

    def update(
        self, volume: Array, tilts: np.ndarray, step: float, *, low: float, memory: dict[str, Array]
    ) -> float:
        """Change ``volume`` in place by one update over ``tilts``.

        Parameters
        ----------
        volume : Array
            `(n_channel, nz, nx, ny)` float32 on the method's device.
        tilts : ndarray
            Indices of one subset, in the order of the sweep.
        step : float
            Relaxation.
        low : float
            Lower bound of the volume, ``-inf`` for none.
        memory : dict
            What the method must remember besides the volume. It is empty at first and
            after an undone sweep, and is saved in checkpoints.

        Returns
        -------
        float
            Summed loss of the subset, of the volume before the update (direct methods: after).
        """
        ...

    def upload(self, array: np.ndarray) -> Array:
        """A float32 copy on the method's device."""
        ...

    def extrapolate(self, volume: Array, previous: Array, beta: float) -> None:
        """``volume, previous = volume + beta (volume - previous), volume``, in place."""
        ...

    def close(self) -> None:
        """Let go of threads and buffers."""
        ...
