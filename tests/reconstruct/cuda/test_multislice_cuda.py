"""The GPU data term against the CPU's: here through kernels compiled for the host,
on a GPU (marked ``gpu``) through CuPy."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

from napari_phaset3m.config import ConstraintConfig, ReconstructionConfig
from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.errors import ResourceError
from napari_phaset3m.reconstruct.constraints import AtomicBasis
from napari_phaset3m.reconstruct.engine import CudaEngine, HostEngine
from napari_phaset3m.reconstruct.methods.cuda_batch import choose_batch
from napari_phaset3m.reconstruct.methods.multislice import MultisliceMethod
from napari_phaset3m.reconstruct.methods.multislice_cuda import CudaMultisliceMethod
from napari_phaset3m.reconstruct.problem import build_problem
from napari_phaset3m.reconstruct.refine import hooks_for
from napari_phaset3m.reconstruct.shared_optics import all_factors
from napari_phaset3m.reconstruct.solver import Solver
from napari_phaset3m.reconstruct.stepsize import automatic_step

_HELPER = Path(__file__).parents[2] / "core" / "cuda" / "conftest.py"
_SPEC = importlib.util.spec_from_file_location("phaset3m_host_runtime", _HELPER)
assert _SPEC is not None and _SPEC.loader is not None
_MODULE = importlib.util.module_from_spec(_SPEC)
sys.modules["phaset3m_host_runtime"] = _MODULE
_SPEC.loader.exec_module(_MODULE)
host_runtime = _MODULE.host_runtime

ANGLES = (-60.0, -20.0, 0.0, 35.0, 70.0)


def _series(n_tilt=5, n_focus=2, ny=14, nx=16, mtf=None, plate=None):
    rng = np.random.default_rng(8)
    images = 1 + 0.1 * rng.standard_normal((n_tilt, n_focus, ny, nx))
    return TiltFocalSeries(
        images=images.astype(np.float32), tilt_deg=np.array(ANGLES[:n_tilt]), pixel_size_angstrom=0.6,
        energy_ev=300e3, defocus_angstrom=np.linspace(100, 300, n_focus),
        spherical_aberration_angstrom=1.2e7, focal_spread_angstrom=20.0, dose_per_image=np.float64(50),
        mtf=mtf, phase_shift_deg=plate,
    )  # fmt: skip


def _config(**changes):
    values = {
        "iterations": 2, "slices": 5, "padding_px": 0, "loss": "amplitude", "holdout_fraction": 0.2,
        "constraints": ConstraintConfig(atomic_basis_sigma_angstrom=None),
    }  # fmt: skip
    return ReconstructionConfig(**{**values, **changes})


CASES = [
    {}, {"rotation": "cubic"}, {"loss": "poisson"}, {"loss": "intensity"}, {"absorption": False, "slices": 1},
    {"coherence": "incoherent"}, {"depth_angstrom": 3.0}, {"padding_px": 3}, {"band_limit": 0.6667},
    {"convergence_semiangle_mrad": 0.2}, {"absorption": True}, {"rotation": "fourier"}, {"mtf": True},
    {"rotation": "fourier", "absorption": True, "depth_angstrom": 3.0},
    {"mtf": True, "coherence": "incoherent", "loss": "poisson", "padding_px": 1},
    {"plate": 70.0}, {"plate": 70.0, "coherence": "incoherent", "convergence_semiangle_mrad": 0.2},
    {"plate": -40.0, "slices": 1, "padding_px": 3},
]  # fmt: skip
MTF = ((0.0, 1.0), (0.5, 0.7), (1.0, 0.3))


def _compare(runtime, changes):
    mtf = MTF if changes.get("mtf") else None
    config = _config(**{k: v for k, v in changes.items() if k not in ("mtf", "plate")})
    problem = build_problem(_series(mtf=mtf, plate=changes.get("plate")), config)
    cpu = MultisliceMethod(problem, config, 1)
    gpu = CudaMultisliceMethod(problem, config, 1, runtime)
    xp = runtime.xp
    host = lambda a: a.get() if hasattr(a, "get") else a  # noqa: E731
    rng = np.random.default_rng(9)
    volume = (0.05 * rng.random(cpu.volume_shape)).astype(np.float32)
    expected, device = np.zeros_like(volume), xp.asarray(volume)
    loss = sum(cpu.accumulate(volume, t, expected, 0) for t in range(cpu.n_tilt))
    found = xp.zeros(volume.shape, xp.float32)
    assert gpu.accumulate_batch(device, range(gpu.n_tilt), found) == pytest.approx(loss, rel=2e-5)
    assert np.linalg.norm(host(found) - expected) <= 5e-5 * np.linalg.norm(expected)
    for tilt in range(cpu.n_tilt):
        predicted = host(gpu.predict(device, tilt))
        np.testing.assert_allclose(predicted, cpu.predict(volume, tilt), rtol=2e-5, atol=1e-5)
        assert gpu.held_out_loss(device, tilt) == pytest.approx(cpu.held_out_loss(volume, tilt), rel=1e-4)
        for held in (False, True):
            wanted = cpu.data_norm(tilt, held_out=held)
            assert gpu.data_norm(tilt, held_out=held) == pytest.approx(wanted, rel=1e-4)
    _compare_refinement(cpu, gpu, volume, device)
    assert gpu.volts_per_unit == cpu.volts_per_unit


def _compare_refinement(cpu, gpu, volume, device):
    weights = np.where(cpu.problem.held_out, 0.7, cpu.problem.weight).astype(np.float32)
    problem, tilts = cpu.problem, range(cpu.n_tilt)
    factors = all_factors(problem.grid, problem.microscope, ("C30", "C12"))
    expected = {found.tilt: found for found in cpu.equations(volume, tilts, weights, factors)}
    assert set(expected) == set(tilts)
    for found in gpu.equations(device, tilts, weights, factors):
        wanted = expected.pop(found.tilt)
        assert found.loss == pytest.approx(wanted.loss, rel=2e-5)
        # Equations are sums with cancellation over pixels: judged by what is summed.
        scale = np.sqrt(np.einsum("fpp->fp", wanted.normal))
        largest = np.abs(wanted.gradient).max(0)
        assert (np.abs(found.gradient - wanted.gradient) <= 1e-3 * largest).all()
        product = scale[:, :, None] * scale[:, None, :]
        assert (np.abs(found.normal - wanted.normal) <= 2e-4 * product + 1e-20).all()
    assert not expected
    angles = [cpu.tilt_derivative(volume, t) for t in range(cpu.n_tilt)]
    found = [gpu.tilt_derivative(device, t) for t in range(cpu.n_tilt)]
    np.testing.assert_allclose(found, angles, atol=1e-3 * np.abs(angles).max())


@pytest.mark.parametrize("changes", CASES, ids=str)
def test_equals_the_cpu_method(host_runtime, changes):
    _compare(host_runtime, changes)


@pytest.mark.gpu
@pytest.mark.parametrize("changes", CASES, ids=str)
def test_gpu_equals_the_cpu_method(changes):
    from napari_phaset3m.core.cuda.runtime import cuda_runtime

    _compare(cuda_runtime(), changes)


def test_absorption_runs_both_channels(host_runtime):
    config = _config(absorption=True)
    problem = build_problem(_series(), config)
    gpu = CudaMultisliceMethod(problem, config, 1, host_runtime)
    rng = np.random.default_rng(10)
    volume = (0.02 * rng.random(gpu.volume_shape)).astype(np.float32)
    gradient = np.zeros_like(volume)
    base = gpu.accumulate_batch(volume, range(5), gradient)
    # A short step down the gradient lowers the loss by step * |gradient|^2.
    for channel in range(2):
        moved = volume.copy()
        step = 0.002 * base / float((gradient[channel] ** 2).sum())
        moved[channel] -= np.float32(step) * gradient[channel]
        rest = gpu.accumulate_batch(moved, range(5), np.zeros_like(volume))
        assert base - rest == pytest.approx(0.002 * base, rel=0.05)


def test_refinement_makes_the_same_changes(host_runtime):
    config = _config(refine={"refine_shifts": True, "refine_defocus": "tilt"})
    volume, found = None, []
    for make in (MultisliceMethod, lambda *a: CudaMultisliceMethod(*a, host_runtime)):
        problem = build_problem(_series(), config)
        method = make(problem, config, 1)
        if volume is None:
            volume = (0.05 * np.random.default_rng(11).random(method.volume_shape)).astype(np.float32)
        before = problem.shifts_px.copy(), problem.defocus_angstrom.copy()
        hooks_for(config, method)[0].refine(method, problem, volume)
        found.append((problem.shifts_px - before[0], problem.defocus_angstrom - before[1]))
    assert np.abs(found[0][0]).max() > 1e-3 and np.abs(found[0][1]).max() > 0.1
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(other, one, atol=2e-3 * np.abs(one).max())


def test_batches_share_a_slice_count(host_runtime):
    config = _config(depth_angstrom=3.0)
    method = CudaMultisliceMethod(build_problem(_series(), config), config, 1, host_runtime)
    groups = list(method.batches(range(5)))
    assert sorted(t for g in groups for t in g) == list(range(5))
    assert len(groups) > 1
    assert all(len({len(method._heights[t]) for t in g}) == 1 for g in groups)


def test_too_little_memory_is_refused_at_once(host_runtime, monkeypatch):
    monkeypatch.setattr(type(host_runtime), "free_bytes", lambda self: 1000)
    config = _config()
    with pytest.raises(ResourceError, match="GPU memory"):
        CudaMultisliceMethod(build_problem(_series(), config), config, 1, host_runtime)


def test_a_batch_that_does_not_fit_is_halved(host_runtime, monkeypatch):
    config = _config()
    problem = build_problem(_series(), config)
    method = CudaMultisliceMethod(problem, config, 1, host_runtime)
    assert method.batch == 5
    volume = (0.05 * np.random.default_rng(9).random(method.volume_shape)).astype(np.float32)
    expected, found = np.zeros_like(volume), np.zeros_like(volume)
    loss = method.accumulate_batch(volume, range(5), expected)
    images, room = method.model.images, 2

    def crowded(n_slice, transfers):
        if len(transfers) > room:
            raise MemoryError("Out of memory allocating 512 bytes")
        return images(n_slice, transfers)

    monkeypatch.setattr(method.model, "images", crowded)
    assert method.accumulate_batch(volume, range(5), found) == pytest.approx(loss, rel=1e-5)
    assert method.batch == 2
    assert method.take_note() == "GPU memory is short: 2 tilts at a time from here on"
    assert method.take_note() == ""
    assert np.linalg.norm(found - expected) <= 1e-5 * np.linalg.norm(expected)
    room = 0
    with pytest.raises(ResourceError, match=r"GPU memory: Out of memory.*device cpu"):
        method.accumulate_batch(volume, range(5), found)


def test_constraints_are_reserved_for(host_runtime, monkeypatch):
    problem = build_problem(_series(), _config())
    taken = choose_batch(problem, host_runtime, channels=1, n_nodes=1, reserved_bytes=0)
    monkeypatch.setattr(type(host_runtime), "free_bytes", lambda self: 250_000)
    plain = CudaMultisliceMethod(problem, _config(), 1, host_runtime).batch
    total_variation = ConstraintConfig(atomic_basis_sigma_angstrom=None, tv_weight=0.1)
    held = CudaMultisliceMethod(problem, _config(constraints=total_variation), 1, host_runtime).batch
    assert 1 <= held < plain <= taken


@pytest.mark.parametrize("sigma", [None, 0.8])
def test_the_engines_make_the_same_sweeps(host_runtime, sigma):
    config = _config(loss="poisson", momentum="nesterov")
    problem = build_problem(_series(), config)
    methods = (
        MultisliceMethod(problem, config, 1),
        CudaMultisliceMethod(problem, config, 1, host_runtime),
    )
    results, step = [], None
    for method in methods:
        basis = AtomicBasis(sigma, problem.geometry.voxel_size_angstrom) if sigma else None
        solver = Solver(method, config, problem.tilts, subset_size=2, threads=1, basis=basis)
        assert isinstance(solver.engine, HostEngine if method is methods[0] else CudaEngine)
        step = step or automatic_step(solver, 0)
        state = solver.initial_state(None, step)
        for _ in range(3):
            for _ in solver.sweep(state):
                pass
            solver.finish_sweep(state, np.inf)
        held_out = solver.held_out_error(state.previous, problem.held_out)
        results.append((np.array(state.previous), state.error, state.step, held_out))
        solver.close()
    (cpu, *numbers), (gpu, *others) = results
    assert cpu.max() > 0
    assert np.linalg.norm(cpu - gpu) <= 1e-3 * np.linalg.norm(cpu)
    np.testing.assert_allclose(numbers, others, rtol=1e-3)
