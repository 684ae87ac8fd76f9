"""A stand-in for CuPy that computes on the host and is as strict as CuPy is.

It takes the place of the ``cupy`` module, so that :class:`CudaRuntime` and everything above it
run as they are: kernels are compiled by g++ out of the very source, FFT plans are SciPy's.
Where CuPy would refuse, so does this: NumPy arrays do not mix with device arrays, nothing is
converted to NumPy except by ``get()``, sums are arrays, kernel arguments must be contiguous and of
the types the kernel declares, and names that CuPy lacks are missing here too.
"""

from __future__ import annotations

import ctypes
import operator
import re
import time
import types

import numpy as np
from scipy import fft as _fft

#: Functions used of CuPy 14 (all are in its namespace), by the name that NumPy has for them too.
_FUNCTIONS = """
    arange ascontiguousarray concatenate copyto diff empty empty_like maximum minimum ones ones_like pad
    roll sqrt stack zeros zeros_like exp abs
"""
_METHODS = "sum max min copy ravel reshape astype swapaxes fill any all mean"
_ARITHMETIC = "add sub mul truediv floordiv mod pow matmul"
_COMPARISONS = "lt le gt ge eq ne"


def _host(value):
    """What NumPy computes with; refuses what CuPy refuses."""
    if isinstance(value, DeviceArray):
        return value._array
    if isinstance(value, np.ndarray):
        raise TypeError("Unsupported type <class 'numpy.ndarray'>")
    if isinstance(value, (list, tuple)):
        return type(value)(_host(v) for v in value)
    return value


def _device(value):
    if isinstance(value, (np.ndarray, np.generic)):
        return DeviceArray(np.asarray(value))
    if isinstance(value, (list, tuple)):
        return type(value)(_device(v) for v in value)
    return value


def _wrapped(function):
    def call(*arguments, **options):
        found = function(*map(_host, arguments), **{k: _host(v) for k, v in options.items()})
        return options["out"] if options.get("out") is not None else _device(found)

    return call


class DeviceArray:
    """Has what the project uses of ``cupy.ndarray``."""

    def __init__(self, array):
        assert isinstance(array, np.ndarray)
        self._array = array
        self.data = types.SimpleNamespace(ptr=array.ctypes.data)

    shape = property(lambda self: self._array.shape)
    dtype = property(lambda self: self._array.dtype)
    size = property(lambda self: self._array.size)
    ndim = property(lambda self: self._array.ndim)
    nbytes = property(lambda self: self._array.nbytes)
    flags = property(lambda self: self._array.flags)
    T = property(lambda self: DeviceArray(self._array.T))
    __cuda_array_interface__ = property(lambda self: {"shape": self.shape})
    __hash__ = None

    def __array__(self, *arguments, **options):
        raise TypeError("Implicit conversion to a NumPy array is not allowed. Use .get()")

    def __array_ufunc__(self, ufunc, method, *inputs, **options):
        assert method == "__call__"
        out = options.pop("out", (None,))[0]
        found = ufunc(*map(_host, inputs), **options)
        if out is None:
            return _device(found)
        _host(out)[...] = found
        return out

    def get(self):
        return np.array(self._array)

    def item(self):
        return self._array.item()

    def __len__(self):
        return len(self._array)

    def __iter__(self):
        return (DeviceArray(self._array[i : i + 1].reshape(self.shape[1:])) for i in range(len(self)))

    def __getitem__(self, key):
        return _device(self._array[_host(key)])

    def __setitem__(self, key, value):
        self._array[_host(key)] = _host(value)

    def __float__(self):
        return float(self._array.item())

    def __int__(self):
        return int(self._array.item())

    def __bool__(self):
        return bool(self._array.item())

    def __neg__(self):
        return DeviceArray(-self._array)

    def __abs__(self):
        return DeviceArray(np.asarray(abs(self._array)))


def _swapped(function):
    return _wrapped(lambda a, b: function(b, a))


def _inplace(function):
    def change(self, other):
        function(self._array, _host(other))
        return self

    return change


for _name in _METHODS.split():
    setattr(DeviceArray, _name, _wrapped(getattr(np.ndarray, _name)))
for _name in (*_ARITHMETIC.split(), *_COMPARISONS.split()):
    setattr(DeviceArray, f"__{_name}__", _wrapped(getattr(operator, _name)))
for _name in _ARITHMETIC.split():
    setattr(DeviceArray, f"__r{_name}__", _swapped(getattr(operator, _name)))
    setattr(DeviceArray, f"__i{_name}__", _inplace(getattr(operator, "i" + _name)))


class _Module:
    """RawModule: kernels of the very source, compiled by g++."""

    def __init__(self, code, *, options=()):
        assert isinstance(options, tuple)
        self._code, self._library = code, None
        self.declared = dict(re.findall(r"__global__ void (\w+)\(([^)]*)\)", code))

    def compile(self):
        self._library = StandIn.compiled(self._code)

    def get_function(self, name):
        function = getattr(self._library, name)
        function.restype = None
        parameters = [p.strip() for p in self.declared[name].split(",")]

        def launch(grid, block, arguments):
            assert isinstance(arguments, tuple) and len(arguments) == len(parameters), name
            assert 0 < grid[0] < 2**31 and 0 < block[0] <= 1024
            function(*(_argument(name, *pair) for pair in zip(parameters, arguments, strict=True)))

        return launch


_TYPES = {"float": "f", "float2": "F", "float4": "f", "double": "d", "i64": "ql"}


def _argument(name, parameter, value):
    kind = parameter.replace("const ", "").split()[0]
    if "*" not in parameter:
        assert type(value) is {"i64": np.int64, "float": np.float32}[kind], (name, parameter, type(value))
        return ctypes.c_longlong(int(value)) if kind == "i64" else ctypes.c_float(float(value))
    if isinstance(value, np.int64) and value == 0:
        return ctypes.c_void_p(0)
    assert isinstance(value, DeviceArray), (name, parameter, type(value))
    assert value.flags.c_contiguous and value.dtype.char in _TYPES[kind], (name, parameter, value.dtype)
    return ctypes.c_void_p(value.data.ptr)


class _Plan:
    """cufft.PlanNd, with the arguments that CuPy 14's takes."""

    made = 0

    def __init__(
        self, shape, inembed, istride, idist, onembed, ostride, odist, kind, batch, order, axis, last
    ):
        # Without strides that differ from the shape, both layouts are that of contiguous arrays.
        each = int(np.prod(shape))
        assert shape == inembed == onembed and istride == ostride == 1 and idist == odist == each
        assert order == "C" and kind == 41 and last is None and 0 <= axis < 3
        assert all(isinstance(n, int) for n in (idist, batch))
        self._shape, self.work_area = (
            (batch, *shape),
            types.SimpleNamespace(mem=types.SimpleNamespace(size=512)),
        )
        _Plan.made += 1

    def fft(self, source, target, direction):
        assert source.flags.c_contiguous and target.flags.c_contiguous
        assert source.dtype == target.dtype == np.complex64
        axes = tuple(range(1, len(self._shape)))
        run = {-1: _fft.fftn, 1: _fft.ifftn}[direction]
        norm = "backward" if direction < 0 else "forward"
        found = run(source._array.reshape(self._shape), axes=axes, norm=norm)
        target._array.reshape(self._shape)[...] = found


class _Event:
    def record(self):
        self.at = time.perf_counter()

    def synchronize(self):
        pass


class _Pool:
    def free_bytes(self):
        return 0

    def total_bytes(self):
        return 1 << 20

    def used_bytes(self):
        return 1 << 20

    def free_all_blocks(self):
        pass


class StandIn(types.ModuleType):
    """The module."""

    #: Compiles the kernels; set by whoever makes one.
    compiled = None

    def __init__(self, compiled, free_bytes=1 << 30):
        super().__init__("cupy")
        StandIn.compiled = staticmethod(compiled)
        self.ndarray, self.RawModule = DeviceArray, _Module
        self.float32, self.float64, self.complex64 = np.float32, np.float64, np.complex64
        self.int64 = np.int64
        pool = _Pool()
        self.get_default_memory_pool = self.get_default_pinned_memory_pool = lambda: pool
        cache = types.SimpleNamespace(set_memsize=lambda size: None, clear=lambda: None)
        self.fft = types.SimpleNamespace(config=types.SimpleNamespace(get_plan_cache=lambda: cache))
        for name in ("rfft", "irfft", "rfft2", "irfft2", "rfftn", "irfftn"):
            setattr(self.fft, name, _wrapped(getattr(_fft, name)))
        self.random = types.SimpleNamespace(random=self._random)
        self.cuda = types.SimpleNamespace(
            cufft=types.SimpleNamespace(PlanNd=_Plan, CUFFT_C2C=41),
            Event=_Event,
            get_elapsed_time=lambda a, b: 1e3 * (b.at - a.at),
            runtime=types.SimpleNamespace(
                getDeviceCount=lambda: 1,
                getDeviceProperties=lambda number: {"name": b"stand-in"},
                memGetInfo=lambda: (free_bytes, 2 * free_bytes),
            ),
        )

    def _random(self, size=None, dtype=float):
        return DeviceArray(np.random.default_rng(0).random(size).astype(dtype))

    def array(self, value, dtype=None, copy=True, order="K"):
        value = value._array if isinstance(value, DeviceArray) else value
        return DeviceArray(np.array(value, dtype, order=order))

    def asarray(self, value, dtype=None):
        if isinstance(value, DeviceArray) and dtype in (None, value.dtype):
            return value
        return self.array(value, dtype)

    def __getattr__(self, name):
        if name in _FUNCTIONS.split():
            return _wrapped(getattr(np, name))
        raise AttributeError(f"module 'cupy' has no attribute {name!r}, as far as the stand-in knows")
