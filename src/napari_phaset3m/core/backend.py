"""NumPy or CuPy: the only module that imports CuPy.

Functions elsewhere call ``xp = array_module(x)`` once and infer the device from
their inputs. Host-device copies happen in the solver's driver and in io only.
"""

from __future__ import annotations

import importlib
import os
from dataclasses import dataclass
from functools import lru_cache
from types import ModuleType
from typing import Any, Literal

import numpy as np

from napari_phaset3m.core.install import install_command
from napari_phaset3m.core.precision import Array
from napari_phaset3m.errors import DeviceError

DeviceName = Literal["auto", "cpu", "cuda"]


@dataclass(frozen=True, slots=True)
class Device:
    """A resolved compute device.

    Attributes
    ----------
    kind : {"cpu", "cuda"}
    label : str
        What a user recognises, e.g. ``"CPU, 2 threads"``.
    """

    kind: Literal["cpu", "cuda"]
    label: str


@lru_cache(maxsize=1)
def _cupy() -> ModuleType:
    try:
        return importlib.import_module("cupy")
    except ImportError as error:
        raise DeviceError(
            "CuPy is not installed, so the GPU cannot be used. "
            f"Install it: {install_command('cuda12')} (CUDA 13: cupy-cuda13x)"
        ) from error


def cuda_problem() -> str | None:
    """Why CUDA cannot be used here, or None when it can."""
    try:
        count = _cupy().cuda.runtime.getDeviceCount()
    except DeviceError as error:
        return str(error)
    except Exception as error:  # CuPy raises its own RuntimeErrors for driver trouble
        return f"CUDA driver: {error}"
    return None if count else "no CUDA device was found"


def resolve_device(name: DeviceName = "auto") -> Device:
    """Choose the device to compute on.

    Parameters
    ----------
    name : {"auto", "cpu", "cuda"}
        ``"auto"`` takes the GPU when one works. ``"cuda"`` never falls back.

    Raises
    ------
    DeviceError
        ``"cuda"`` was asked for and cannot be used.
    """
    if name != "cpu":
        problem = cuda_problem()
        if problem is None:
            properties = _cupy().cuda.runtime.getDeviceProperties(0)
            return Device("cuda", f"{properties['name'].decode()} (CUDA)")
        if name == "cuda":
            raise DeviceError(problem)
    return Device("cpu", f"CPU, {cpu_threads()} threads")


def cpu_threads() -> int:
    """Number of processors this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # pragma: no cover - not Linux
        return os.cpu_count() or 1


def array_module(*arrays: Array) -> Any:
    """The module (numpy or cupy) that the first non-NumPy array belongs to."""
    for array in arrays:
        if hasattr(array, "__cuda_array_interface__"):
            return _cupy()
    return np


def device_module(device: Device) -> Any:
    """numpy or cupy for a resolved device."""
    return _cupy() if device.kind == "cuda" else np


def to_device(array: Array, device: Device) -> Array:
    """Copy a host array to ``device`` (no copy when it is there already)."""
    return device_module(device).asarray(array)


def asnumpy(array: Array) -> np.ndarray:
    """A host array with the same contents (no copy when it is one already)."""
    return array.get() if hasattr(array, "get") else np.asarray(array)


def release_memory(device: Device) -> None:
    """Give cached GPU blocks and FFT plans back to the driver."""
    if device.kind == "cuda":
        from napari_phaset3m.core.cuda.runtime import free_unused

        free_unused()
        _cupy().get_default_pinned_memory_pool().free_all_blocks()
