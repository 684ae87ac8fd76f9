"""Multislice: energy, gradients by finite differences, linearity of the adjoint."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_phaset3m.core import kernels_cpu as kernels
from napari_phaset3m.core.grid import Grid
from napari_phaset3m.core.multislice import Multislice
from napari_phaset3m.core.optics import Microscope
from napari_phaset3m.core.transfer import TransferModel, defocus_factor, shift_factors

HEIGHTS = np.arange(4) * 2.0 - 3.0
DEFOCUS = [900.0, 1700.0, 2700.0]
SHIFTS = [(0.3, -0.2), (0.0, 0.0), (1.5, 0.4)]
LOSSES = sorted(kernels.LOSSES)


class Model:
    """A small scattering problem whose loss and gradients can be evaluated anywhere."""

    def __init__(self, loss: str, nodes: int = 1, angle: float = 1e-4) -> None:
        shape = (20, 18)
        rng = np.random.default_rng(5)
        self.grid = Grid(*shape, 0.6)
        self.microscope = Microscope(3e5, 1.2e7, 40.0, angle, {"C12": 50.0, "phi12": 0.3})
        self.loss = loss
        self.transfers = TransferModel(self.grid, self.microscope, nodes)
        wavelength = self.microscope.wavelength_angstrom
        self.engine = Multislice(self.grid, wavelength, 4, 3, n_nodes=nodes)
        self.data = (1 + 0.2 * rng.standard_normal((3, *shape))).astype(np.float32)
        self.weight = rng.random((3, *shape)).astype(np.float32)
        self.phase = (0.3 * rng.random((4, *shape))).astype(np.float32)
        self.absorption = (0.1 * rng.random((4, *shape))).astype(np.float32)

    def forward(self, phase, absorption, defocus=DEFOCUS, shifts=SHIFTS):
        transfer = self.transfers(defocus, shifts, HEIGHTS[-1])
        self.engine.exit_wave(phase.astype(np.float32), HEIGHTS, absorption.astype(np.float32))
        images = self.engine.images(4, transfer)
        value = kernels.LOSSES[self.loss](
            images.reshape(-1), self.data.reshape(-1), self.weight.reshape(-1), self.engine.slope.reshape(-1)
        )
        return value, transfer

    def gradients(self):
        phase, absorption = self.phase.copy(), self.absorption.copy()
        _, transfer = self.forward(phase, absorption)
        factors = np.concatenate(
            [shift_factors(self.grid), defocus_factor(self.grid, self.microscope.wavelength_angstrom)]
        )
        optics, self.normal = self.engine.transfer_equations(
            4, transfer, factors, self.engine.slope, self.weight
        )
        self.engine.backpropagate(self.engine.slope, transfer, phase, HEIGHTS, absorption)
        return phase, absorption, optics


@pytest.mark.parametrize("nodes", [1, 3])
@pytest.mark.parametrize("loss", LOSSES)
def test_gradient_by_potential_matches_finite_differences(loss: str, nodes: int) -> None:
    model = Model(loss, nodes)
    by_phase, by_absorption, _ = model.gradients()
    # Along the gradient itself the directional derivative is largest against rounding.
    for which, gradient in (("phase", by_phase), ("absorption", by_absorption)):
        direction = gradient / np.abs(gradient).max()
        step = 4e-3
        ends = []
        for sign in (1, -1):
            fields = {"phase": model.phase, "absorption": model.absorption}
            fields[which] = fields[which] + sign * step * direction
            ends.append(model.forward(**fields)[0])
        numeric = (ends[0] - ends[1]) / (2 * step)
        analytic = float(np.vdot(gradient.astype(np.float64), direction))
        assert numeric == pytest.approx(analytic, rel=3e-3), which


@pytest.mark.parametrize("nodes", [1, 3])
@pytest.mark.parametrize("loss", LOSSES)
def test_gradient_by_shift_and_defocus_matches_finite_differences(loss: str, nodes: int) -> None:
    # The derivative is that of a coherent beam: the spatial envelope, which also
    # depends on defocus, counts as constant.
    model = Model(loss, nodes, angle=0.0)
    _, _, optics = model.gradients()
    for focus in range(3):
        for parameter, step in ((0, 0.05), (1, 0.05), (2, 2.0)):
            ends = []
            for sign in (1, -1):
                defocus, shifts = list(DEFOCUS), [list(s) for s in SHIFTS]
                if parameter == 2:
                    defocus[focus] += sign * step
                else:
                    shifts[focus][parameter] += sign * step
                ends.append(model.forward(model.phase, model.absorption, defocus, shifts)[0])
            numeric = (ends[0] - ends[1]) / (2 * step)
            scale = np.abs(optics[:, parameter]).max()
            assert numeric == pytest.approx(optics[focus, parameter], rel=0.02, abs=0.02 * scale)


def test_normal_equations_are_those_of_the_amplitudes() -> None:
    model = Model("amplitude", angle=0.0)
    model.gradients()
    columns = []
    for parameter, step in ((0, 0.02), (1, 0.02), (2, 1.0)):
        ends = []
        for sign in (1, -1):
            defocus, shifts = list(DEFOCUS), [list(s) for s in SHIFTS]
            if parameter == 2:
                defocus[1] += sign * step
            else:
                shifts[1][parameter] += sign * step
            model.forward(model.phase, model.absorption, defocus, shifts)
            ends.append(np.sqrt(model.engine.intensity[1].astype(np.float64)))
        columns.append((ends[0] - ends[1]) / (2 * step))
    expected = np.einsum("pxy,qxy,xy->pq", columns, columns, model.weight[1])
    scale = np.sqrt(np.outer(np.diag(expected), np.diag(expected)))
    assert np.abs((model.normal[1] - expected) / scale).max() < 0.01


def test_losses_agree_near_the_data() -> None:
    # All three are scaled to the amplitude loss at second order (kernel docstrings).
    data = np.full(50, 1.0, np.float32)
    intensity = (data**2 + 0.01).astype(np.float32)
    slope = np.empty_like(data)
    values = [f(intensity, data, np.ones_like(data), slope) for f in kernels.LOSSES.values()]
    np.testing.assert_allclose(values, values[0], rtol=0.02)


@settings(max_examples=15, deadline=None)
@given(nx=st.integers(5, 24), ny=st.integers(5, 24), slices=st.integers(1, 6))
def test_a_pure_phase_object_keeps_the_number_of_electrons(nx: int, ny: int, slices: int) -> None:
    engine = Multislice(Grid(nx, ny, 0.5), 0.0197, slices, 1)
    phase = np.random.default_rng(nx * ny).normal(0, 1, (slices, nx, ny)).astype(np.float32)
    wave = engine.exit_wave(phase, np.arange(slices) * 3.0)
    assert np.mean(np.abs(wave) ** 2, dtype=np.float64) == pytest.approx(1, rel=2e-5)


def test_absorption_removes_electrons() -> None:
    engine = Multislice(Grid(8, 8, 0.5), 0.0197, 2, 1)
    absorption = np.full((2, 8, 8), 0.1, np.float32)
    wave = engine.exit_wave(np.zeros_like(absorption), np.array([0.0, 2.0]), absorption)
    np.testing.assert_allclose(np.abs(wave) ** 2, np.exp(-0.4), rtol=1e-5)


def test_sine_and_cosine_are_accurate_over_many_turns() -> None:
    angle = np.linspace(-40, 40, 10001).astype(np.float32)
    one = np.ones(angle.size, np.complex64)
    out = np.empty_like(one)
    kernels.transmit(one, angle, out)
    np.testing.assert_allclose(out, np.exp(1j * angle.astype(np.float64)), atol=3e-6)


def test_single_slice_is_the_projection_approximation() -> None:
    phase = np.random.default_rng(1).normal(0, 0.3, (1, 12, 10)).astype(np.float32)
    engine = Multislice(Grid(12, 10, 0.5), 0.0197, 1, 1)
    np.testing.assert_allclose(engine.exit_wave(phase, np.zeros(1)), np.exp(1j * phase[0]), atol=1e-6)


def test_images_do_not_depend_on_the_depth_of_the_box() -> None:
    # Empty slices below the specimen move the exit plane, and defocus moves with it.
    grid, microscope = Grid(24, 24, 0.5), Microscope(3e5, 1e7)
    rng = np.random.default_rng(2)
    phase = np.zeros((6, 24, 24), np.float32)
    phase[1] = rng.normal(0, 0.3, (24, 24))
    heights = np.arange(6) * 4.0 - 8.0
    engine = Multislice(grid, microscope.wavelength_angstrom, 6, 1)
    transfers = TransferModel(grid, microscope)
    images = []
    for n in (2, 6):
        engine.exit_wave(phase[:n], heights[:n])
        images.append(engine.images(n, transfers([500.0], [(0, 0)], heights[n - 1])).copy())
    np.testing.assert_allclose(images[0], images[1], atol=2e-5)
