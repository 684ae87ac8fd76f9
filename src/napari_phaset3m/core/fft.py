"""2D FFTs on the CPU: pyFFTW or mkl_fft when installed, scipy.fft otherwise.

Transforms are unnormalised in both directions (the caller folds 1/N into an
array it multiplies with anyway) and run on one thread, because threads own tilts.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from functools import lru_cache

import numpy as np

from napari_phaset3m.core.install import pip_install
from napari_phaset3m.core.precision import COMPLEX
from napari_phaset3m.errors import ConfigError

#: What pip calls them.
_PACKAGES = {"pyfftw": "pyFFTW", "mkl_fft": "mkl_fft", "scipy": "scipy"}
FFT_BACKENDS = ("pyfftw", "mkl_fft", "scipy")


@lru_cache(maxsize=1)
def fft_backend() -> str:
    """Name of the FFT library in use; ``PHASET3M_FFT`` overrides the choice.

    Raises
    ------
    ConfigError
        ``PHASET3M_FFT`` names no library, or one that is not installed.
    """
    asked = os.environ.get("PHASET3M_FFT", "")
    if asked:
        if asked not in FFT_BACKENDS:
            raise ConfigError(f"PHASET3M_FFT: is {asked!r}. Use one of {', '.join(FFT_BACKENDS)}")
        if importlib.util.find_spec(asked) is None:
            raise ConfigError(
                f"PHASET3M_FFT: {asked} is not installed. Install it: {pip_install(_PACKAGES[asked])}"
            )
        return asked
    for name in FFT_BACKENDS[:-1]:
        if importlib.util.find_spec(name) is not None:
            return name
    return "scipy"


def empty_aligned(shape: tuple[int, ...]) -> np.ndarray:
    """An uninitialised complex64 array, aligned for SIMD where the library can."""
    if fft_backend() == "pyfftw":
        import pyfftw

        return np.asarray(pyfftw.empty_aligned(shape, dtype=COMPLEX))
    return np.empty(shape, COMPLEX)


def plan_fft2(source: np.ndarray, target: np.ndarray, *, inverse: bool = False) -> Callable[[], None]:
    """A call that transforms ``source`` into ``target`` over the last two axes.

    Parameters
    ----------
    source, target : ndarray
        `(..., nx, ny)` complex64 of one shape; ``source`` is kept. They may be the
        same array. Their contents are lost while planning.
    inverse : bool
        Exponent +2 pi i instead of -2 pi i; never scaled.

    Returns
    -------
    callable
        Releases the GIL while it runs; not to be run by two threads at once.
    """
    backend = fft_backend()
    if backend == "pyfftw":
        return _plan_pyfftw(source, target, inverse)
    if backend == "mkl_fft":
        import mkl_fft

        run = mkl_fft.ifft2 if inverse else mkl_fft.fft2
        norm = "forward" if inverse else "backward"
        return lambda: np.copyto(target, run(source, axes=(-2, -1), norm=norm))
    return _plan_scipy(source, target, inverse)


def _plan_pyfftw(source: np.ndarray, target: np.ndarray, inverse: bool) -> Callable[[], None]:
    from napari_phaset3m.core import fftw

    if fftw.library() is not None:
        return fftw.FftwPlan(source, target, inverse=inverse)
    import pyfftw

    plan = pyfftw.FFTW(
        source,
        target,
        axes=(-2, -1),
        direction="FFTW_BACKWARD" if inverse else "FFTW_FORWARD",
        flags=("FFTW_MEASURE",),
        threads=1,
    )
    execute: Callable[[], None] = plan.execute
    return execute


def _plan_scipy(source: np.ndarray, target: np.ndarray, inverse: bool) -> Callable[[], None]:
    from scipy import fft

    if inverse:
        return lambda: np.copyto(target, fft.ifft2(source, axes=(-2, -1), norm="forward", workers=1))
    return lambda: np.copyto(target, fft.fft2(source, axes=(-2, -1), workers=1))


def smooth_size(n: int) -> int:
    """Smallest m >= n with no prime factor above 7 (fast in every FFT library)."""
    m = max(1, n)
    while True:
        rest = m
        for p in (2, 3, 5, 7):
            while rest % p == 0:
                rest //= p
        if rest == 1:
            return m
        m += 1
