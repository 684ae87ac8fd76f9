"""What the GPU drivers need of a device: arrays, launches and batched FFTs.

The drivers see only the :class:`Runtime` protocol. Tests hand them a host runtime
that runs the same kernel source compiled by a C++ compiler, so that drivers and
kernels are checked where no GPU is.
"""

from __future__ import annotations

from functools import lru_cache
from importlib import resources
from typing import Any, Protocol

import numpy as np

from napari_phaset3m.core.backend import Device, device_module
from napari_phaset3m.core.install import install_command
from napari_phaset3m.core.precision import Array
from napari_phaset3m.errors import DeviceError

#: A kernel argument that is a null pointer.
NULL = np.int64(0)
_THREADS = 128
_MAX_BLOCKS = 1 << 20
_PLAN_BYTES = 512 << 20

#: Kernels that give one block to each row along y; the others are flat.
ROW_KERNELS = frozenset(
    {"project", "backproject", "interpolate", "propagate", "apply_transfer", "apply_transfer_adjoint"}
)


def kernel_source() -> str:
    """Return the CUDA C source of all kernels, one compilation unit."""
    folder = resources.files(__package__)
    parts = (folder.joinpath(name) for name in ("rotation.cu", "projection.cu", "waves.cu"))
    return "\n".join(part.read_text(encoding="utf-8") for part in parts)


class Runtime(Protocol):
    """Arrays, kernel launches and FFTs of one device."""

    xp: Any

    def launch(self, name: str, count: int, *arguments: Any) -> None:
        """Run kernel ``name`` over ``count`` elements (or rows)."""
        ...

    def fft2(self, array: Array, *, inverse: bool = False) -> None:
        """Unnormalised FFT over the last two axes, in place, all leading axes in one call."""
        ...

    def free_bytes(self) -> int:
        """Memory that can still be allocated."""
        ...

    def used_bytes(self) -> int:
        """Memory in use."""
        ...


class CudaRuntime:
    """CuPy on the current device; kernels are compiled at first use.

    Raises
    ------
    DeviceError
        CuPy is not installed, or the kernels do not compile.
    """

    def __init__(self) -> None:
        self.xp = device_module(Device("cuda", "CUDA"))
        self._functions: dict[str, Any] = {}
        self._plans: dict[tuple[int, ...], Any] = {}
        cache = self.xp.fft.config.get_plan_cache()
        cache.set_memsize(_PLAN_BYTES)
        try:
            self._module = self.xp.RawModule(code=kernel_source())
            self._module.compile()
        except Exception as error:  # NVRTC and driver errors have no common base
            first = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
            raise DeviceError(
                f"CUDA kernels do not compile ({first}). Install the CuPy wheel that matches the "
                f"driver: {install_command('cuda12')} (CUDA 13: cupy-cuda13x)"
            ) from error

    def launch(self, name: str, count: int, *arguments: Any) -> None:
        """Run kernel ``name`` over ``count`` elements (or rows) on the current stream."""
        if name not in self._functions:
            self._functions[name] = self._module.get_function(name)
        blocks = count if name in ROW_KERNELS else -(-count // _THREADS)
        self._functions[name]((max(1, min(blocks, _MAX_BLOCKS)),), (_THREADS,), arguments)

    def fft2(self, array: Array, *, inverse: bool = False) -> None:
        """Unnormalised complex64 FFT over the last two axes, in place."""
        plan = self._plan(array)
        plan.fft(array, array, 1 if inverse else -1)

    def _plan(self, array: Array) -> Any:
        # One plan serves both directions; the few shapes of a run (batch of tilts,
        # batch of tilts times foci) keep theirs, older ones are let go.
        shape = tuple(array.shape)
        if shape not in self._plans:
            while len(self._plans) >= 4:
                self._plans.pop(next(iter(self._plans)))
            cufft = self.xp.cuda.cufft
            nx, ny = shape[-2:]
            batch = int(np.prod(shape[:-2], dtype=np.int64))
            self._plans[shape] = cufft.PlanNd(
                (nx, ny),
                (nx, ny),
                1,
                nx * ny,
                (nx, ny),
                1,
                nx * ny,
                cufft.CUFFT_C2C,
                batch,
                "C",
                1,
                None,
            )
        return self._plans[shape]

    def free_bytes(self) -> int:
        """Free device memory plus what CuPy's pool holds unused."""
        free, _ = self.xp.cuda.runtime.memGetInfo()
        return int(free + self.xp.get_default_memory_pool().free_bytes())

    def used_bytes(self) -> int:
        """Device memory that CuPy's pool has taken."""
        return int(self.xp.get_default_memory_pool().total_bytes())


@lru_cache(maxsize=1)
def cuda_runtime() -> CudaRuntime:
    """Return the process's CUDA runtime, made at first use."""
    return CudaRuntime()
