"""The registry of reconstruction methods: one list for the API, CLI and GUI."""

from __future__ import annotations

from collections.abc import Callable

from napari_phaset3m.config import ReconstructionConfig
from napari_phaset3m.core.backend import Device
from napari_phaset3m.errors import DeviceError
from napari_phaset3m.reconstruct.methods.base import Method
from napari_phaset3m.reconstruct.methods.multislice import MultisliceMethod
from napari_phaset3m.reconstruct.methods.multislice_cuda import CudaMultisliceMethod
from napari_phaset3m.reconstruct.methods.sirt import SirtMethod
from napari_phaset3m.reconstruct.problem import Problem

__all__ = ["METHODS", "Method", "make_method"]

METHODS: dict[str, Callable[[Problem, ReconstructionConfig, int], Method]] = {
    "multislice": MultisliceMethod,
    "singleslice": MultisliceMethod,
    "sirt": SirtMethod,
}

CUDA_METHODS: dict[str, Callable[[Problem, ReconstructionConfig, int], Method]] = {
    "multislice": CudaMultisliceMethod,
    "singleslice": CudaMultisliceMethod,
}


def make_method(problem: Problem, config: ReconstructionConfig, n_slots: int, device: Device) -> Method:
    """The method called ``config.method``, with workspaces for ``n_slots`` threads.

    Raises
    ------
    DeviceError
        The device cannot run this method.
    """
    if device.kind == "cpu":
        return METHODS[config.method](problem, config, n_slots)
    if config.method not in CUDA_METHODS:
        raise DeviceError(f"method {config.method} has no GPU version yet; use --device cpu")
    return CUDA_METHODS[config.method](problem, config, 1)
