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

# One block of one thread: every kernel is a grid-stride loop, so it does all the work, and a
# block that fills a tile in shared memory and then empties it needs no barrier.
SHIM = """
#include <cmath>
#define __global__
#define __device__
#define __shared__ static
#define __syncthreads()
struct Index { long long x; };
static const Index blockIdx = {0}, threadIdx = {0}, blockDim = {1}, gridDim = {1};
struct float2 { float x, y; };
struct float4 { float x, y, z, w; };
using std::floor;
using std::rint;
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
                assert a.dtype.char in "fFdql", (name, a.dtype)
                converted.append(ctypes.c_void_p(a.ctypes.data))
            else:
                converted.append(kinds[type(a)](a))
        function = getattr(self._library, name)
        function.restype = None
        function(*converted)

    def fft2(self, array, out=None, *, inverse=False):
        target = array if out is None else out
        assert array.flags.c_contiguous and target.flags.c_contiguous and array.shape == target.shape
        target[...] = fft.ifft2(array, norm="forward") if inverse else fft.fft2(array)

    def fft1(self, array, *, inverse=False):
        assert array.flags.c_contiguous
        array[...] = fft.ifft(array, norm="forward") if inverse else fft.fft(array)

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
