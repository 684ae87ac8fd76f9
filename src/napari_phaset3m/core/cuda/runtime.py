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
#: Work areas of CuPy's own FFT plans, and of those that are kept here.
_CUPY_PLAN_BYTES, _PLAN_BYTES, _MAX_PLANS = 512 << 20, 1 << 30, 64

#: Kernels that give one block to each row along y (or tile); the others are flat.
ROW_KERNELS = frozenset(
    {
        "project", "project_derivative", "backproject", "interpolate", "propagate",
        "apply_transfer", "apply_transfer_adjoint",
        "shear_load", "shear_store", "shear_turn", "shear_phase", "kaczmarz",
        "convolve_axis", "tv_primal", "tv_dual",
    }
)  # fmt: skip
#: Threads of a block where they are not _THREADS: few blocks, so each takes more.
_BLOCK_THREADS = {"kaczmarz": 512}


def kernel_source() -> str:
    """Return the CUDA C source of all kernels, one compilation unit."""
    folder = resources.files(__package__)
    parts = (
        folder.joinpath(name)
        for name in ("rotation.cu", "shear.cu", "projection.cu", "waves.cu", "volumes.cu")
    )
    return "\n".join(part.read_text(encoding="utf-8") for part in parts)


class Runtime(Protocol):
    """Arrays, kernel launches and FFTs of one device."""

    xp: Any

    def launch(self, name: str, count: int, *arguments: Any) -> None:
        """Run kernel ``name`` over ``count`` elements (or rows)."""
        ...

    def fft2(self, array: Array, out: Array | None = None, *, inverse: bool = False) -> None:
        """Unnormalised FFT over the last two axes into ``out`` (in place when omitted).

        All leading axes go in one call; both arrays are contiguous complex64.
        """
        ...

    def fft1(self, array: Array, *, inverse: bool = False) -> None:
        """The same over the last axis, in place."""
        ...

    def free_bytes(self) -> int:
        """Memory that can still be allocated."""
        ...

    def used_bytes(self) -> int:
        """Memory in use."""
        ...

    def free_unused(self) -> None:
        """Give back what is kept for later: FFT plans and unused blocks."""
        ...


class CudaRuntime:
    """CuPy on the current device; kernels are compiled at first use.

    Raises
    ------
    DeviceError
        CuPy is not installed, finds no cuFFT, or does not compile the kernels.
    """

    def __init__(self) -> None:
        self.xp = device_module(Device("cuda", "CUDA"))
        self._functions: dict[str, Any] = {}
        self._plans: dict[tuple[int, ...], Any] = {}
        try:
            self._cufft = self.xp.cuda.cufft  # imported here: CuPy looks for the library only now
            self.xp.fft.config.get_plan_cache().set_memsize(_CUPY_PLAN_BYTES)
            self._module = self.xp.RawModule(code=kernel_source())
            self._module.compile()
        except Exception as error:  # NVRTC, loader and driver errors have no common base
            first = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
            raise DeviceError(
                f"CUDA does not work: no cuFFT, or kernels do not compile ({first}). Install the CuPy "
                f"wheel that matches the driver: {install_command('cuda12')} (CUDA 13: cupy-cuda13x)"
            ) from error

    def launch(self, name: str, count: int, *arguments: Any) -> None:
        """Run kernel ``name`` over ``count`` elements (or rows) on the current stream."""
        if name not in self._functions:
            self._functions[name] = self._module.get_function(name)
        threads = _BLOCK_THREADS.get(name, _THREADS)
        blocks = count if name in ROW_KERNELS else -(-count // threads)
        self._functions[name]((max(1, min(blocks, _MAX_BLOCKS)),), (threads,), arguments)

    def fft2(self, array: Array, out: Array | None = None, *, inverse: bool = False) -> None:
        """Unnormalised complex64 FFT over the last two axes."""
        plan = self._plan(tuple(array.shape[-2:]), array.size)
        plan.fft(array, array if out is None else out, 1 if inverse else -1)

    def fft1(self, array: Array, *, inverse: bool = False) -> None:
        """Unnormalised complex64 FFT over the last axis, in place."""
        self._plan(tuple(array.shape[-1:]), array.size).fft(array, array, 1 if inverse else -1)

    def _plan(self, shape: tuple[int, ...], size: int) -> Any:
        # One plan serves both directions. The shapes of a run (a batch of tilts, of tilts times
        # foci, the canvases of Fourier rotation) keep theirs; what was not used longest goes.
        key = (*shape, size)
        plan = self._plans.pop(key, None)
        if plan is None:
            cufft = self._cufft
            each = int(np.prod(shape, dtype=np.int64))
            plan = cufft.PlanNd(
                shape, shape, 1, each, shape, 1, each,
                cufft.CUFFT_C2C, size // each, "C", len(shape) - 1, None,
            )  # fmt: skip
            while len(self._plans) >= _MAX_PLANS or (self._plans and self._held(plan) > _PLAN_BYTES):
                self._plans.pop(next(iter(self._plans)))
        self._plans[key] = plan
        return plan

    def free_unused(self) -> None:
        """Give FFT plans and the blocks that CuPy's pool holds unused back to the driver."""
        self._plans.clear()
        self.xp.fft.config.get_plan_cache().clear()
        self.xp.get_default_memory_pool().free_all_blocks()

    def _held(self, plan: Any) -> int:
        plans = (plan, *self._plans.values())
        return sum(int(p.work_area.mem.size) for p in plans if p.work_area is not None)

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


def free_unused() -> None:
    """Give back what the process's runtime keeps for later, if it was ever made."""
    if cuda_runtime.cache_info().currsize:
        cuda_runtime().free_unused()
