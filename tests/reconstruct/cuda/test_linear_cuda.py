"""Linear methods on the GPU path against the CPU's: here through kernels compiled for the
host, on a GPU (marked ``gpu``) through CuPy."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

from napari_phaset3m.config import ConstraintConfig, ReconstructionConfig
from napari_phaset3m.core.cuda.projector import CudaProjector
from napari_phaset3m.core.geometry import TiltGeometry
from napari_phaset3m.core.projector import HostProjector
from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.errors import ResourceError
from napari_phaset3m.reconstruct.methods import METHODS
from napari_phaset3m.reconstruct.problem import build_problem
from napari_phaset3m.reconstruct.solver import Solver

_HELPER = Path(__file__).parents[2] / "core" / "cuda" / "conftest.py"
_SPEC = importlib.util.spec_from_file_location("phaset3m_host_runtime", _HELPER)
assert _SPEC is not None and _SPEC.loader is not None
_MODULE = importlib.util.module_from_spec(_SPEC)
sys.modules["phaset3m_host_runtime"] = _MODULE
_SPEC.loader.exec_module(_MODULE)
host_runtime = _MODULE.host_runtime

ANGLES = tuple(np.linspace(-63, 66, 40))
ON_GPU = [name for name, entry in METHODS.items() if entry.linear and entry.cuda]


def _host(array):
    return array.get() if hasattr(array, "get") else array


def _compare_projector(runtime, kind):
    geometry = TiltGeometry(13, 16, 11, 1.0, ANGLES)
    cpu, gpu = HostProjector(geometry, kind, 2), CudaProjector(runtime, geometry, kind)
    xp, rng = runtime.xp, np.random.default_rng(0)
    volume = rng.standard_normal(geometry.volume_shape).astype(np.float32)
    tilts = list(range(39, -1, -1))
    images = rng.standard_normal((40, 16, 11)).astype(np.float32)
    expected, found = np.empty_like(images), xp.empty(images.shape, np.float32)
    cpu.forward(volume, tilts, expected)
    gpu.forward(xp.asarray(volume), tilts, found)
    np.testing.assert_allclose(_host(found), expected, atol=2e-5)
    scale = rng.random((13, 16)).astype(np.float32)
    for options in ({}, {"scale": 0.3}, {"scale": scale, "low": 0.0}):
        one, two = volume.copy(), xp.asarray(volume.copy())
        cpu.adjoint(images, tilts, one, **options)
        gpu.adjoint(xp.asarray(images), tilts, two, **options)
        np.testing.assert_allclose(_host(two), one, atol=5e-5)
    one, two = volume.copy(), xp.asarray(volume.copy())
    cpu.interpolate(images, tilts, one, low=0.0)
    gpu.interpolate(xp.asarray(images), tilts, two, low=0.0)
    np.testing.assert_allclose(_host(two), one, atol=5e-5)
    assert _host(two).min() == 0


@pytest.mark.parametrize("kind", ["linear", "cubic", "fourier"])
def test_projector_equals_the_cpu_s(host_runtime, kind):
    _compare_projector(host_runtime, kind)


@pytest.mark.gpu
@pytest.mark.parametrize("kind", ["linear", "cubic", "fourier"])
def test_gpu_projector_equals_the_cpu_s(kind):
    from napari_phaset3m.core.cuda.runtime import cuda_runtime

    _compare_projector(cuda_runtime(), kind)


def _compare_method(runtime, name, rotation="linear"):
    rng = np.random.default_rng(8)
    images = (1 - np.abs(rng.normal(0.2, 0.1, (40, 1, 12, 14)))).astype(np.float32)
    series = TiltFocalSeries(images=images, tilt_deg=np.array(ANGLES), pixel_size_angstrom=2.0, energy_ev=3e5)
    config = ReconstructionConfig(
        method=name, rotation=rotation, padding_px=2, filter_lowpass_angstrom=6.0, tv_strength=0.001,
        constraints=ConstraintConfig(),
    )  # fmt: skip
    problem, entry, results = build_problem(series, config), METHODS[name], []
    for make in (entry.factory("cpu"), lambda *a: entry.factory("cuda")(*a, runtime)):
        method = make(problem, config, 1)
        size = problem.tilts.size if entry.subset is None else entry.subset
        solver = Solver(method, config, problem.tilts, subset_size=size, threads=1)
        state = solver.initial_state(None, entry.relaxation or 1.0)
        for _ in range(3):
            for _ in solver.sweep(state):
                pass
            solver.finish_sweep(state, np.inf)
        results.append((np.array(_host(state.previous)), state.error))
        solver.close()
    (cpu, error), (gpu, other) = results
    assert np.abs(cpu).max() > 0
    assert np.linalg.norm(cpu - gpu) <= 1e-3 * np.linalg.norm(cpu)
    assert other == pytest.approx(error, rel=1e-3)


@pytest.mark.parametrize("name", ON_GPU)
def test_methods_make_the_same_sweeps(host_runtime, name):
    _compare_method(host_runtime, name)


@pytest.mark.gpu
@pytest.mark.parametrize("name", ON_GPU)
def test_methods_make_the_same_sweeps_on_a_gpu(name):
    from napari_phaset3m.core.cuda.runtime import cuda_runtime

    _compare_method(cuda_runtime(), name)


@pytest.mark.parametrize("name", ["sirt", "cgls"])
def test_methods_make_the_same_sweeps_with_fourier_rotation(host_runtime, name):
    _compare_method(host_runtime, name, "fourier")


@pytest.mark.gpu
@pytest.mark.parametrize("name", ["sirt", "cgls"])
def test_methods_make_the_same_sweeps_with_fourier_rotation_on_a_gpu(name):
    from napari_phaset3m.core.cuda.runtime import cuda_runtime

    _compare_method(cuda_runtime(), name, "fourier")


def test_too_little_memory_is_refused(host_runtime, monkeypatch):
    geometry = TiltGeometry(8, 8, 8, 1.0, ANGLES)
    monkeypatch.setattr(type(host_runtime), "free_bytes", lambda self: 1000)
    with pytest.raises(ResourceError, match="GPU memory"):
        CudaProjector(host_runtime, geometry)
