"""A runtime that runs the very kernel source on the host, compiled by g++."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import pytest
from scipy import fft

from napari_phaset3m.core.cuda.runtime import kernel_source

# One block of one thread: every kernel is a grid-stride loop, so it does all the work.
SHIM = """
#include <cmath>
#define __global__
#define __device__
struct Index { long long x; };
static const Index blockIdx = {0}, threadIdx = {0}, blockDim = {1}, gridDim = {1};
struct float2 { float x, y; };
struct float4 { float x, y, z, w; };
using std::floor;
"""


class HostRuntime:
    xp = np

    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library

    def launch(self, name, count, *arguments):
        kinds = {np.int64: ctypes.c_longlong, np.float32: ctypes.c_float}
        converted = []
        for a in arguments:
            if isinstance(a, np.ndarray):
                assert a.flags.c_contiguous, name
                converted.append(ctypes.c_void_p(a.ctypes.data))
            else:
                converted.append(kinds[type(a)](a))
        function = getattr(self._library, name)
        function.restype = None
        function(*converted)

    def fft2(self, array, *, inverse=False):
        if inverse:
            array[...] = fft.ifft2(array, norm="forward")
        else:
            array[...] = fft.fft2(array)

    def free_bytes(self):
        return 1 << 30

    def used_bytes(self):
        return 0


@pytest.fixture(scope="session")
def host_runtime() -> HostRuntime:
    compiler = shutil.which("g++")
    if compiler is None:
        pytest.skip("g++ is not installed")
    folder = Path(tempfile.mkdtemp(prefix="phaset3m-kernels-"))
    source, library = folder / "kernels.cpp", folder / "kernels.so"
    source.write_text(SHIM + kernel_source(), encoding="utf-8")
    options = ["-O2", "-Wall", "-Werror", "-shared", "-fPIC"]
    command = [compiler, *options, str(source), "-o", str(library)]
    subprocess.run(command, check=True, capture_output=True, text=True)
    return HostRuntime(ctypes.CDLL(str(library)))
