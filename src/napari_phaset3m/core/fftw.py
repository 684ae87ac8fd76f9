"""FFTW plans with an address, so that compiled loops run them without the GIL.

The library is the one that pyFFTW's wheel brings along. What FFTW learns about a
size ("wisdom") is kept in the user's cache folder: later runs on this machine start
faster and choose the same plans, hence give the same bytes.
"""

from __future__ import annotations

import ctypes
import os
import threading
import weakref
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic, overload

from napari_phaset3m.core.cache import cache_folder

_MEASURE, _WISDOM_ONLY = 0, 1 << 21
_lock = threading.Lock()


def wisdom_path() -> Path:
    """Where wisdom is kept."""
    return cache_folder() / "fftw-float.wisdom"


@lru_cache(maxsize=1)
def library() -> ctypes.CDLL | None:
    """FFTW in single precision, None where its symbols cannot be reached."""
    try:
        import pyfftw.pyfftw as extension

        found = ctypes.CDLL(extension.__file__)
        found.fftwf_make_planner_thread_safe()
        plan = found.fftwf_plan_many_dft
    except (ImportError, OSError, AttributeError):
        return None
    layout: list[Any] = [ctypes.c_void_p, ctypes.POINTER(ctypes.c_int), ctypes.c_int, ctypes.c_int]
    head: list[Any] = [ctypes.c_int, ctypes.POINTER(ctypes.c_int), ctypes.c_int]
    plan.argtypes = [*head, *layout, *layout, ctypes.c_int, ctypes.c_uint]
    plan.restype = ctypes.c_void_p
    for name in ("fftwf_execute", "fftwf_destroy_plan"):
        getattr(found, name).argtypes = [ctypes.c_void_p]
        getattr(found, name).restype = None
    for name in ("fftwf_import_wisdom_from_filename", "fftwf_export_wisdom_to_filename"):
        getattr(found, name).argtypes = [ctypes.c_char_p]
    found.fftwf_import_wisdom_from_filename(os.fsencode(wisdom_path()))
    return found


def execute_address() -> int:
    """Address of ``fftwf_execute``, 0 without the library."""
    found = library()
    return 0 if found is None else int(ctypes.cast(found.fftwf_execute, ctypes.c_void_p).value or 0)


class FftwPlan:
    """A single-thread plan over the last two axes; calling it transforms.

    Attributes
    ----------
    address : int
        For :func:`run_plan` in compiled code, as long as this object lives.
    """

    def __init__(self, source: np.ndarray, target: np.ndarray, *, inverse: bool) -> None:
        found = library()
        assert found is not None
        self._execute, self._arrays = found.fftwf_execute, (source, target)
        self.address = _plan(found, source, target, 1 if inverse else -1)
        weakref.finalize(self, found.fftwf_destroy_plan, self.address)

    def __call__(self) -> None:
        """Transform; releases the GIL."""
        self._execute(self.address)


def _plan(found: ctypes.CDLL, source: np.ndarray, target: np.ndarray, sign: int) -> int:
    nx, ny = source.shape[-2:]
    shape = (ctypes.c_int * 2)(nx, ny)
    layout = [(ctypes.c_void_p(a.ctypes.data), None, 1, nx * ny) for a in (source, target)]
    arguments = (2, shape, source.size // (nx * ny), *layout[0], *layout[1], sign)
    with _lock:
        address = found.fftwf_plan_many_dft(*arguments, _MEASURE | _WISDOM_ONLY)
        if not address:
            address = found.fftwf_plan_many_dft(*arguments, _MEASURE)
            _keep_wisdom(found)
    if not address:
        raise ValueError(f"FFTW has no plan for an array of shape {source.shape}")
    return int(address)


def _keep_wisdom(found: ctypes.CDLL) -> None:
    """Add what was learnt to the file; without a writable cache folder it is learnt again next time."""
    path = wisdom_path()
    part = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        found.fftwf_import_wisdom_from_filename(os.fsencode(path))
        if found.fftwf_export_wisdom_to_filename(os.fsencode(part)):
            part.replace(path)
    except OSError:
        return


def run_plan(execute: int, plan: Callable[[], None]) -> None:
    """Run a plan: its callable in Python, its address (with :func:`execute_address`) in compiled code."""
    plan()


@intrinsic
def _call(typingctx, execute, plan):  # type: ignore[no-untyped-def]
    def codegen(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        pointer = ir.IntType(8).as_pointer()
        function = ir.FunctionType(ir.VoidType(), [pointer]).as_pointer()
        execute_value, plan_value = arguments
        builder.call(builder.inttoptr(execute_value, function), [builder.inttoptr(plan_value, pointer)])
        return context.get_dummy_value()

    return types.void(types.uintp, types.uintp), codegen


@overload(run_plan)
def _run_plan(execute, plan):  # type: ignore[no-untyped-def]
    return lambda execute, plan: _call(execute, plan)
