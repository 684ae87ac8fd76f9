"""Runtimes that run the very kernel source on the host, compiled by g++.

:class:`HostRuntime` makes each kernel one block of one thread; :class:`BlockRuntime` makes it
several blocks of many threads that meet at barriers, as on a GPU.
"""

from __future__ import annotations

import ctypes
import importlib.util
import shutil
import subprocess
import tempfile
import threading
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
from scipy import fft

from napari_phaset3m.core.cuda.runtime import kernel_source

SHIM = """
#include <cmath>
#define __global__
#define __device__
#define __shared__ static
struct Index { long long x; };
struct float2 { float x, y; };
struct float4 { float x, y, z, w; };
using std::floor;
using std::rint;
"""
# One block of one thread: every kernel is a grid-stride loop, so it does all the work, and a
# block that fills a tile in shared memory and then empties it needs no barrier.
ALONE = """
static const Index blockIdx = {0}, threadIdx = {0}, blockDim = {1}, gridDim = {1};
#define __syncthreads()
"""
# Threads of the host as those of a block; the blocks come one after the other, so that what is
# static is shared by a block as it should be.
TOGETHER = """
#include <pthread.h>
static thread_local Index blockIdx, threadIdx;
static Index blockDim, gridDim;
static pthread_barrier_t barrier;
#define __syncthreads() pthread_barrier_wait(&barrier)
extern "C" void begin_launch(long long blocks, long long threads)
{
    gridDim.x = blocks;
    blockDim.x = threads;
    pthread_barrier_init(&barrier, 0, (unsigned)threads);
}
extern "C" void begin_block(long long block, long long thread)
{
    pthread_barrier_wait(&barrier);
    blockIdx.x = block;
    threadIdx.x = thread;
}
extern "C" void end_launch() { pthread_barrier_destroy(&barrier); }
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
        self._run(function, converted)

    def _run(self, function, arguments):
        function(*arguments)

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

    def free_unused(self):
        pass


class BlockRuntime(HostRuntime):
    """Three blocks of 64 threads."""

    blocks, threads = 3, 64

    def _run(self, function, arguments):
        library = self._library

        def work(thread):
            for block in range(self.blocks):
                library.begin_block(ctypes.c_longlong(block), ctypes.c_longlong(thread))
                function(*arguments)

        library.begin_launch(ctypes.c_longlong(self.blocks), ctypes.c_longlong(self.threads))
        threads = [threading.Thread(target=work, args=(i,)) for i in range(self.threads)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        library.end_launch()


@lru_cache
def _library(shim: str, kernels: str) -> ctypes.CDLL:
    compiler = shutil.which("g++")
    if compiler is None:
        pytest.skip("g++ is not installed")
    folder = Path(tempfile.mkdtemp(prefix="phaset3m-kernels-"))
    source, library = folder / "kernels.cpp", folder / "kernels.so"
    source.write_text(SHIM + shim + kernels, encoding="utf-8")
    options = ["-O2", "-Wall", "-Werror", "-shared", "-fPIC", "-pthread"]
    command = [compiler, *options, str(source), "-o", str(library)]
    subprocess.run(command, check=True, capture_output=True, text=True)
    return ctypes.CDLL(str(library))


@pytest.fixture(scope="session")
def host_runtime() -> HostRuntime:
    return HostRuntime(_library(ALONE, kernel_source()))


@pytest.fixture(scope="session")
def block_runtime() -> BlockRuntime:
    return BlockRuntime(_library(TOGETHER, kernel_source()))


@pytest.fixture
def cupy(monkeypatch):
    """A CuPy of its own kind (see ``stand_in.py``), and a machine that seems to have a GPU."""
    from napari_phaset3m.core import backend
    from napari_phaset3m.core.cuda import runtime

    path = Path(__file__).with_name("stand_in.py")
    spec = importlib.util.spec_from_file_location("phaset3m_stand_in", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    stand_in = module.StandIn(lambda source: _library(ALONE, source))
    monkeypatch.setattr(backend, "_cupy", lambda: stand_in)
    runtime.cuda_runtime.cache_clear()
    yield stand_in
    runtime.cuda_runtime.cache_clear()
