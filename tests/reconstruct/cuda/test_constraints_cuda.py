"""The basis and total variation on the GPU path against the CPU's: here through kernels compiled
for the host, on a GPU (marked ``gpu``) through CuPy."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.ndimage import correlate1d

from napari_phaset3m.core.backend import asnumpy
from napari_phaset3m.core.cuda.runtime import cuda_runtime
from napari_phaset3m.core.cuda.volumes import convolve, total_variation_prox
from napari_phaset3m.reconstruct.constraints import AtomicBasis, tv_prox
from napari_phaset3m.reconstruct.constraints.tv import _fgp_numbers

_HELPER = Path(__file__).parents[2] / "core" / "cuda" / "conftest.py"
_SPEC = importlib.util.spec_from_file_location("phaset3m_host_runtime", _HELPER)
assert _SPEC is not None and _SPEC.loader is not None
_MODULE = importlib.util.module_from_spec(_SPEC)
sys.modules["phaset3m_host_runtime"] = _MODULE
_SPEC.loader.exec_module(_MODULE)
host_runtime, cupy = _MODULE.host_runtime, _MODULE.cupy

SHAPES = [(12, 14, 17), (1, 9, 8), (5, 1, 7), (3, 4, 1)]


def _compare_convolution(runtime: Any, shape: tuple[int, int, int]) -> None:
    half = AtomicBasis(0.47, 0.52).half_kernel
    c = np.random.default_rng(0).random(shape, np.float32)
    expected = c
    for axis in range(3):
        expected = correlate1d(expected, np.r_[half[:0:-1], half], axis=axis, mode="constant")
    found = runtime.xp.asarray(np.full(shape, np.nan, np.float32))
    convolve(runtime, runtime.xp.asarray(c), found, half)
    np.testing.assert_allclose(asnumpy(found), expected, atol=1e-6)


def _compare_total_variation(runtime: Any, shape: tuple[int, int, int]) -> None:
    v = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    found = runtime.xp.array(v, np.float32)
    tv_prox(v, 0.3, iterations=15)
    total_variation_prox(runtime, found, 0.3, _fgp_numbers(0.3, 15))
    np.testing.assert_allclose(asnumpy(found), v, atol=5e-6)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("compare", [_compare_convolution, _compare_total_variation])
def test_agrees_with_the_cpu(host_runtime: Any, compare: Any, shape: tuple[int, int, int]) -> None:
    compare(host_runtime, shape)


@pytest.mark.gpu
@pytest.mark.parametrize("shape", [*SHAPES, (64, 70, 130)])
@pytest.mark.parametrize("compare", [_compare_convolution, _compare_total_variation])
def test_agrees_with_the_cpu_on_a_gpu(compare: Any, shape: tuple[int, int, int]) -> None:
    compare(cuda_runtime(), shape)


def _compare_basis(xp: Any) -> None:
    basis = AtomicBasis(0.47, 0.52)
    c = np.random.default_rng(2).random((2, 9, 10, 11), np.float32)
    np.testing.assert_allclose(basis.synthesize(xp.asarray(c)).get(), basis.synthesize(c), atol=1e-6)
    np.testing.assert_allclose(basis.fit(xp.asarray(c)).get(), basis.fit(c), rtol=1e-4, atol=1e-6)


def test_the_basis_takes_device_arrays(cupy: Any) -> None:
    _compare_basis(cupy)


@pytest.mark.gpu
def test_the_basis_takes_device_arrays_on_a_gpu() -> None:
    _compare_basis(cuda_runtime().xp)
