"""Reconstruction methods, made by name from the one registry."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_phaset3m.config import ReconstructionConfig
from napari_phaset3m.core.backend import Device
from napari_phaset3m.errors import DeviceError
from napari_phaset3m.reconstruct.methods.base import GradientMethod, Method, UpdatingMethod
from napari_phaset3m.reconstruct.methods.registry import METHODS, MethodEntry, unused

if TYPE_CHECKING:  # the problem reads the registry
    from napari_phaset3m.reconstruct.problem import Problem

__all__ = [
    "METHODS",
    "GradientMethod",
    "Method",
    "MethodEntry",
    "UpdatingMethod",
    "make_method",
    "unused",
]


def make_method(problem: Problem, config: ReconstructionConfig, n_slots: int, device: Device) -> Method:
    """The method called ``config.method``, with workspaces for ``n_slots`` threads.

    Raises
    ------
    DeviceError
        The device cannot run this method.
    """
    factory = METHODS[config.method].factory(device.kind)
    if factory is None:
        raise DeviceError(f"method {config.method} has no GPU version; use --device cpu, or auto")
    made: Method = factory(problem, config, n_slots if device.kind == "cpu" else 1)
    return made
