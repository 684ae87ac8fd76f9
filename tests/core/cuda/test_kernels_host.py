"""The CUDA source's arithmetic, run on the host, against the numba kernels."""

from __future__ import annotations

import numpy as np
import pytest

from napari_phaset3m.core import kernels_cpu
from napari_phaset3m.core.backend import asnumpy
from napari_phaset3m.core.cuda import shear
from napari_phaset3m.core.cuda.detector import CudaDetector
from napari_phaset3m.core.cuda.multislice import LOSS_KINDS, CudaMultislice
from napari_phaset3m.core.cuda.projector import CudaProjector
from napari_phaset3m.core.cuda.rotation import CudaRotator, make_device_rotator
from napari_phaset3m.core.cuda.runtime import NULL, cuda_runtime
from napari_phaset3m.core.detector import Detector
from napari_phaset3m.core.geometry import TiltGeometry
from napari_phaset3m.core.grid import Grid
from napari_phaset3m.core.multislice import Multislice
from napari_phaset3m.core.optics import Microscope, detector_mtf
from napari_phaset3m.core.projector import HostProjector
from napari_phaset3m.core.rotation import make_rotator
from napari_phaset3m.core.transfer import TransferModel
from napari_phaset3m.errors import ConfigError

ANGLES = (0.0, 17.3, -45.0, 63.1, 90.0, -90.0, 180.0, 133.0)


def _close(found, expected, tolerance=1e-5):
    scale = np.linalg.norm(expected)
    assert np.linalg.norm(found - expected) <= tolerance * scale


def _compare_rotation(runtime, kind, geometry):
    rng, xp = np.random.default_rng(1), runtime.xp
    cpu, gpu = make_rotator(kind, geometry), make_device_rotator(runtime, geometry, kind)
    volume = rng.standard_normal(geometry.volume_shape).astype(np.float32)
    by_count: dict[int, list[int]] = {}
    for i in range(geometry.n_tilt):
        by_count.setdefault(len(geometry.edges(i)) - 1, []).append(i)
    for count, tilts in by_count.items():
        shape = (count, len(tilts), *geometry.volume_shape[1:])
        out, moved = (xp.asarray(np.full(shape, np.nan, np.float32)) for _ in range(2))
        gpu.project(xp.asarray(volume), tilts, out)
        gpu.project_derivative(xp.asarray(volume), tilts, moved)
        slices = rng.standard_normal(shape).astype(np.float32)
        found, wanted = xp.ones(volume.shape, np.float32), np.ones(volume.shape, np.float32)
        gpu.backproject(xp.asarray(slices), tilts, found)
        out, moved, found = asnumpy(out), asnumpy(moved), asnumpy(found)
        expected = np.empty((count, *geometry.volume_shape[1:]), np.float32)
        for b, tilt in enumerate(tilts):
            cpu.project(volume, tilt, expected)
            _close(out[:, b], expected)
            cpu.project_derivative(volume, tilt, expected)
            # On the lattice the bilinear kernel has a kink: either side's slope is right.
            if kind != "linear" or geometry.tilt_deg[tilt] % 45:
                _close(moved[:, b], expected, 5e-5)
            cpu.backproject(np.ascontiguousarray(slices[:, b]), tilt, wanted)
        _close(found, wanted)
        left = np.vdot(out.astype(np.float64), slices)
        right = np.vdot(volume.astype(np.float64), found - 1)
        assert abs(left - right) <= 1e-5 * np.linalg.norm(out) * np.linalg.norm(slices)


KINDS = ["linear", "cubic", "fourier"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(12, 12, 5), (9, 9, 4), (16, 15, 3), (37, 40, 70)])
@pytest.mark.parametrize("whole_box", [False, True])
def test_rotation(host_runtime, monkeypatch, kind, shape, whole_box):
    monkeypatch.setattr(shear, "_CHUNK_BYTES", 1 << 20)  # the largest case takes more than one chunk
    _compare_rotation(host_runtime, kind, TiltGeometry(*shape, 1.0, ANGLES, 4, whole_box=whole_box))


@pytest.mark.parametrize("kind", ["cubic", "fourier"])
def test_rotation_in_blocks_of_threads(block_runtime, kind):
    _compare_rotation(block_runtime, kind, TiltGeometry(9, 11, 70, 1.0, (-31.0, 67.0), 3))


@pytest.mark.gpu
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(9, 9, 4), (61, 64, 70), (40, 130, 257)])
@pytest.mark.parametrize("whole_box", [False, True])
def test_rotation_on_a_gpu(kind, shape, whole_box):
    _compare_rotation(cuda_runtime(), kind, TiltGeometry(*shape, 1.0, ANGLES, 9, whole_box=whole_box))


@pytest.mark.parametrize("ny", [5, 40])
@pytest.mark.parametrize("low", [0.0, -np.inf])
def test_row_action(host_runtime, block_runtime, ny, low):
    for runtime in (host_runtime, block_runtime):
        _compare_row_action(runtime, ny, low)


@pytest.mark.gpu
@pytest.mark.parametrize("ny", [5, 257])
@pytest.mark.parametrize("low", [0.0, -np.inf])
def test_row_action_on_a_gpu(ny, low):
    _compare_row_action(cuda_runtime(), ny, low)


def _compare_row_action(runtime, ny, low):
    geometry, xp = TiltGeometry(10, 12, ny, 1.0, (0.0, 35.0)), runtime.xp
    rng = np.random.default_rng(2)
    volume = rng.standard_normal(geometry.volume_shape).astype(np.float32)
    image = rng.standard_normal((12, ny)).astype(np.float32)
    used = np.ones_like(image)
    used[:2] = 0
    expected, found = volume.copy(), xp.array(volume, np.float32)
    options = {"relaxation": 0.4, "low": low}
    loss = HostProjector(geometry).row_action(expected, image, used, 1, **options)
    projector = CudaProjector(runtime, geometry)
    ours = projector.row_action(found, xp.asarray(image), xp.asarray(used), 1, **options)
    assert ours == pytest.approx(loss, rel=1e-5)
    _close(asnumpy(found), expected)


def test_thin_slab(host_runtime):
    geometry = TiltGeometry(3, 20, 4, 1.0, (35.0,), 5)
    volume = np.random.default_rng(2).standard_normal((3, 20, 4)).astype(np.float32)
    count = len(geometry.edges(0)) - 1
    out, expected = np.empty((count, 1, 20, 4), np.float32), np.empty((count, 20, 4), np.float32)
    CudaRotator(host_runtime, geometry).project(volume, [0], out)
    make_rotator("linear", geometry).project(volume, 0, expected)
    _close(out[:, 0], expected)


@pytest.mark.parametrize("kind", ["linear", "fourier"])
def test_a_batch_of_unlike_tilts_is_refused(host_runtime, kind):
    geometry = TiltGeometry(4, 30, 2, 1.0, (0.0, 60.0), 8)
    count = len(geometry.edges(0)) - 1
    volume, out = np.zeros((4, 30, 2), np.float32), np.zeros((count, 2, 30, 2), np.float32)
    with pytest.raises(ConfigError, match="same number"):
        make_device_rotator(host_runtime, geometry, kind).project(volume, [0, 1], out)


def test_fourier_rotation_tells_its_memory(host_runtime):
    geometry = TiltGeometry(12, 12, 5, 1.0, ANGLES)
    gpu = make_device_rotator(host_runtime, geometry, "fourier")
    volume, out = np.zeros((12, 12, 5), np.float32), np.zeros((1, 1, 12, 5), np.float32)
    for call, derivative in ((gpu.project, False), (gpu.project_derivative, True)):
        for tilt in range(len(ANGLES)):
            call(volume, [tilt], out)
        taken = sum(b.nbytes for b in gpu._buffers)
        assert 0.5 * taken <= gpu.workspace_bytes(derivative=derivative) <= 2 * taken


DETECTORS = [(1, (12, 10)), (2, (9, 7)), (5, (9, 7))]


@pytest.mark.parametrize(("count", "shape"), DETECTORS)
def test_detector(host_runtime, count, shape):
    _compare_detector(host_runtime, count, shape)


@pytest.mark.gpu
@pytest.mark.parametrize(("count", "shape"), [*DETECTORS, (7, (128, 130))])
def test_detector_on_a_gpu(count, shape):
    _compare_detector(cuda_runtime(), count, shape)


def _compare_detector(runtime, count, shape):
    grid = Grid(*shape, 0.7)
    microscope = Microscope(3e5, mtf=((0.0, 0.4, 1.0), (1.0, 0.6, 0.2)))
    images = np.random.default_rng(0).random((count, *shape), np.float32)
    found = runtime.xp.array(images, np.float32)
    Detector(grid, microscope).apply(images)
    CudaDetector(runtime, grid, detector_mtf(grid, microscope)).apply(found)
    _close(asnumpy(found), images, 1e-6)


@pytest.mark.parametrize("kind", sorted(LOSS_KINDS))
def test_losses(host_runtime, kind):
    rng = np.random.default_rng(3)
    intensity, amplitude = rng.random((2, 3, 40), np.float32) + np.float32(0.1)
    amplitude[0, :5] = 0
    image_weight, pixel_weight = rng.random(3, np.float32), rng.random(40, np.float32)
    value, slope = np.empty((2, 3, 40), np.float32)
    host_runtime.launch(
        "loss", 120, intensity, np.ascontiguousarray(amplitude), image_weight, pixel_weight, value, slope,
        np.int64(LOSS_KINDS[kind]), np.int64(3), np.int64(40),
    )  # fmt: skip
    weight = (image_weight[:, None] * pixel_weight).reshape(-1)
    expected = np.empty(120, np.float32)
    total = kernels_cpu.LOSSES[kind](intensity.reshape(-1), amplitude.reshape(-1), weight, expected)
    assert value.sum(dtype=np.float64) == pytest.approx(total, rel=1e-5)
    _close(slope.reshape(-1), expected)


def test_update_kernels(host_runtime):
    rng = np.random.default_rng(4)
    volume, gradient, scale, previous = rng.standard_normal((4, 50)).astype(np.float32)
    expected = np.maximum(volume - np.float32(0.3) * scale * gradient, 0)
    host_runtime.launch(
        "descend", 50, volume, gradient, scale, np.float32(0.3), np.float32(0), np.float32(0), np.int64(50)
    )
    _close(volume, expected)
    assert not gradient.any()
    gradient[:] = 1
    host_runtime.launch(
        "descend",
        50,
        volume,
        gradient,
        NULL,
        np.float32(0.5),
        np.float32(-np.inf),
        np.float32(0.1),
        np.int64(50),
    )
    moved = expected - 0.5
    _close(volume, np.sign(moved) * np.maximum(np.abs(moved) - 0.1, 0))
    before, last = volume.copy(), previous.copy()
    host_runtime.launch("extrapolate", 50, volume, previous, np.float32(0.7), np.int64(50))
    _close(volume, before + np.float32(0.7) * (before - last))
    np.testing.assert_array_equal(previous, before)


@pytest.mark.parametrize("nodes", [1, 3])
@pytest.mark.parametrize("semiangle", [0.0, 2e-4])
def test_multislice_equals_cpu(host_runtime, nodes, semiangle):
    rng = np.random.default_rng(5)
    grid = Grid(20, 18, 0.5)
    microscope = Microscope(300e3, 1.2e7, 30.0, semiangle)
    model = TransferModel(grid, microscope, nodes)
    n_slice, tilts, foci = 5, 2, 3
    phase = (0.1 * rng.standard_normal((n_slice, tilts, 20, 18))).astype(np.float32)
    heights = np.cumsum(1 + rng.random((tilts, n_slice)), axis=1)
    amplitude = rng.random((tilts, foci, 20, 18), np.float32) + np.float32(0.5)
    weight, pixel = rng.random((tilts, foci), np.float32), rng.random((20, 18), np.float32)
    transfers = [
        model([100.0, 300.0, 500.0], [(0.2, -0.3), (0, 0), (1.5, 0.1)], float(h[-1])) for h in heights
    ]
    wavelength = microscope.wavelength_angstrom
    gpu = CudaMultislice(
        host_runtime, grid, wavelength, max_slices=6, n_focus=foci, max_batch=3, n_nodes=nodes, band_limit=0.8
    )
    found = phase.copy()
    exit_wave = gpu.exit_wave(found, heights).copy()
    images = gpu.images(n_slice, transfers).copy()
    losses = gpu.loss("amplitude", amplitude, weight, pixel)
    gpu.backpropagate(found, heights)
    cpu = Multislice(grid, wavelength, n_slice, foci, n_nodes=nodes, band_limit=0.8)
    for b in range(tilts):
        mine = np.ascontiguousarray(phase[:, b])
        _close(exit_wave[b], cpu.exit_wave(mine, heights[b]))
        _close(images[b], cpu.images(n_slice, transfers[b]))
        weights = (weight[b][:, None, None] * pixel).reshape(-1)
        total = kernels_cpu.amplitude_loss(
            cpu.intensity.reshape(-1), amplitude[b].reshape(-1), weights, cpu.slope.reshape(-1)
        )
        assert losses[b] == pytest.approx(total, rel=1e-5)
        cpu.backpropagate(cpu.slope, transfers[b], mine, heights[b])
        _close(found[:, b], mine, 2e-5)


def test_absorption_gradient_by_differences(host_runtime):
    # In float32 the differences are good to a percent; a wrong factor or sign is not.
    rng = np.random.default_rng(6)
    grid = Grid(12, 10, 0.6)
    microscope = Microscope(300e3, 1.2e7)
    heights = np.arange(3.0)[None] * 2
    transfers = [TransferModel(grid, microscope)([200.0, 400.0], [(0, 0), (0, 0)], 4.0)]
    gpu = CudaMultislice(
        host_runtime, grid, microscope.wavelength_angstrom, max_slices=3, n_focus=2, max_batch=1
    )
    phase, absorption = (0.2 * rng.random((2, 3, 1, 12, 10))).astype(np.float32)
    amplitude = rng.random((1, 2, 12, 10), np.float32) + np.float32(0.5)
    ones, pixel = np.ones((1, 2), np.float32), np.ones((12, 10), np.float32)

    def loss(p, a):
        gpu.exit_wave(p, heights, a)
        gpu.images(3, transfers)
        return float(gpu.loss("amplitude", amplitude, ones, pixel)[0])

    loss(phase, absorption)
    gradients = phase.copy(), absorption.copy()
    gpu.backpropagate(gradients[0], heights, gradients[1])
    for which, gradient in enumerate(gradients):
        for s in range(3):
            direction = np.zeros_like(phase)
            direction[s] = np.sign(gradient[s])
            step = np.float32(1e-2)
            above = [phase, absorption]
            below = list(above)
            above[which], below[which] = above[which] + step * direction, below[which] - step * direction
            slope = (loss(*above) - loss(*below)) / (2 * step)
            assert slope == pytest.approx(float((gradient * direction).sum(dtype=np.float64)), rel=2e-2)
