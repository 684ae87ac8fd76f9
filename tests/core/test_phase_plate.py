"""The phase shift of a phase plate: its sign, abTEM's exit wave, gradients, and every place that uses it."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from test_forward_abtem import CS, ENERGY, EXIT_OF_ABTEM, FOCI, HEIGHTS, PIXEL, SPREAD, THICKNESS
from test_forward_abtem import _ours as images_of
from test_forward_abtem import _potential as potential
from test_multislice import Model

from napari_phaset3m.analyse.ctf import ctf, series_microscope
from napari_phaset3m.core.contrast import contrast_transfer
from napari_phaset3m.core.grid import Grid
from napari_phaset3m.core.optics import Microscope, ctf_curve
from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.core.transfer import TransferModel
from napari_phaset3m.errors import ConfigError, DataError
from napari_phaset3m.prepare.ctf.wave_model import Shared, WaveModel

SHIFT = np.radians(70.0)


def plate(shift: float = SHIFT, **changes: object) -> Microscope:
    return Microscope(ENERGY, CS, SPREAD, phase_shift_rad=shift, **changes)


def ctffind(k: np.ndarray, defocus: float, shift: float) -> np.ndarray:
    """CTFFIND's transfer, written out: -sin(chi + phi), chi = pi lambda k² (Df - Cs lambda² k² / 2)."""
    wavelength = Microscope(ENERGY).wavelength_angstrom
    chi = np.pi * wavelength * k**2 * (defocus - 0.5 * CS * wavelength**2 * k**2)
    return -np.sin(chi + shift)


@pytest.mark.parametrize("shift", [SHIFT, np.radians(-40.0), np.pi / 2])
@pytest.mark.parametrize("defocus", [700.0, -400.0])
def test_a_weak_phase_has_ctffinds_contrast(defocus: float, shift: float) -> None:
    """The images of a grating of 1 mrad, from the engine's transfer, show 2 p times CTFFIND's function."""
    grid, microscope = Grid(96, 90, 0.5), plate(shift)
    model = TransferModel(grid, microscope, 1)
    for order in (1, 4, 9, 17):
        k = order / (grid.nx * grid.pixel_size_angstrom)
        x = np.arange(grid.nx)[:, None] * grid.pixel_size_angstrom
        phase = 1e-3 * np.cos(2 * np.pi * k * x) * np.ones(grid.shape)
        found = model([defocus], [(0.0, 0.0)], 0.0)
        transfer = found.base[0] * found.ex[0][:, None] * found.ey[0][None, :] * grid.nx * grid.ny
        image = np.abs(np.fft.ifft2(np.fft.fft2(np.exp(1j * phase)) * transfer)) ** 2
        contrast = np.vdot(phase, image - 1) / np.vdot(phase, phase)
        envelope = np.exp(-0.5 * (np.pi * microscope.wavelength_angstrom * SPREAD * k**2) ** 2)
        wanted = 2 * ctffind(k, defocus, shift) * envelope
        assert contrast == pytest.approx(wanted, abs=5e-3)
        assert 2 * ctf_curve(np.array([k]), microscope, defocus)[0] == pytest.approx(wanted, abs=1e-6)
        curve = ctf(microscope, defocus, frequency_per_angstrom=[k])
        assert 2 * curve.transfer[0] == pytest.approx(wanted, abs=1e-6)
        linear = contrast_transfer(grid, microscope, defocus)[order, 0]
        assert linear == pytest.approx(-wanted / 2, abs=1e-5)
    # At low frequency scattering goes ahead by a quarter turn: dark where there is matter, at any focus.
    assert ctf_curve(np.array([1e-3]), plate(np.pi / 2), defocus)[0] == pytest.approx(-1, abs=1e-3)


def test_images_are_those_of_abtems_exit_wave_behind_a_plate() -> None:
    """Strong objects, not weak phases: the unscattered beam of abTEM's wave in focus is turned by -phi."""
    abtem = pytest.importorskip("abtem")
    grid = Grid(80, 80, PIXEL)
    slices = potential(grid)
    options = {"precision": "float64", "fft": "numpy", "scheduler": "synchronous"}
    theirs = []
    with abtem.config.set({**options, "diagnostics.progress_bar": False}):
        atoms = abtem.PotentialArray(np.ascontiguousarray(slices), slice_thickness=THICKNESS, sampling=PIXEL)
        wave = abtem.PlaneWave(energy=ENERGY).multislice(atoms, lazy=False)
        for defocus in FOCI:
            lens = abtem.CTF(energy=ENERGY, defocus=defocus + EXIT_OF_ABTEM, Cs=CS,
                             focal_spread=np.sqrt(2) * SPREAD)  # fmt: skip
            behind = np.fft.fft2(np.asarray(wave.apply_ctf(lens).array))
            behind[0, 0] *= np.exp(-1j * SHIFT)
            theirs.append(np.abs(np.fft.ifft2(behind)) ** 2)
    ours = images_of(grid, plate(), slices, HEIGHTS)
    assert np.abs(ours - theirs).max() < 2e-4  # measured 7e-5; 6e-5 without a plate
    assert np.abs(images_of(grid, plate(-SHIFT), slices, HEIGHTS) - theirs).max() > 0.1
    assert np.abs(images_of(grid, plate(0.0), slices, HEIGHTS) - theirs).max() > 0.1


class _Behind(Model):
    """The small scattering problem of the multislice tests, behind a plate."""

    def __init__(self, loss: str, nodes: int = 1) -> None:
        super().__init__(loss, nodes)
        self.microscope = Microscope(3e5, 1.2e7, 40.0, 1e-4, {"C12": 50.0, "phi12": 0.3}, None, SHIFT)
        self.transfers = TransferModel(self.grid, self.microscope, nodes)


@pytest.mark.parametrize("nodes", [1, 3])
@pytest.mark.parametrize("loss", ["amplitude", "poisson"])
def test_gradient_behind_a_plate_matches_finite_differences(loss: str, nodes: int) -> None:
    model = _Behind(loss, nodes)
    by_phase, _, _ = model.gradients()
    direction = by_phase / np.abs(by_phase).max()
    ends = [model.forward(model.phase + sign * 4e-3 * direction, model.absorption)[0] for sign in (1, -1)]
    analytic = float(np.vdot(by_phase.astype(np.float64), direction))
    assert (ends[0] - ends[1]) / 8e-3 == pytest.approx(analytic, rel=3e-3)
    other, _, _ = Model(loss, nodes).gradients()
    assert np.linalg.norm(other - by_phase) > 0.5 * np.linalg.norm(by_phase)


def test_the_exit_wave_fit_images_through_the_same_plate() -> None:
    grid, defocus = Grid(48, 40, 0.8), 600.0
    phase = 0.3 * np.random.default_rng(3).random(grid.shape)
    found = TransferModel(grid, plate(), 1)([defocus], [(0.0, 0.0)], 0.0)
    transfer = found.base[0] * found.ex[0][:, None] * found.ey[0][None, :] * grid.nx * grid.ny
    wanted = np.abs(np.fft.ifft2(np.fft.fft2(np.exp(1j * phase)) * transfer)) ** 2
    model = WaveModel((grid.ny, grid.nx), grid.pixel_size_angstrom, plate())
    wave = np.fft.fft2(np.exp(1j * phase.T))
    image = np.fft.ifft2(model.image(wave, model.gamma(defocus, Shared()), [])[0]).real
    np.testing.assert_allclose(image, wanted.T, atol=2e-5)


def test_a_series_states_it_in_degrees_and_no_other_values() -> None:
    def series(value: float | None) -> TiltFocalSeries:
        return TiltFocalSeries(
            images=np.ones((1, 1, 8, 8)), tilt_deg=[0], pixel_size_angstrom=1.0, energy_ev=3e5,
            spherical_aberration_angstrom=1e7, phase_shift_deg=value,
        )  # fmt: skip

    assert series_microscope(series(90.0)).phase_shift_rad == pytest.approx(np.pi / 2)
    assert series_microscope(series(None)).phase_shift_rad == 0
    for wrong in (400.0, np.nan):
        with pytest.raises(DataError, match="phase_shift"):
            series(wrong)
    with pytest.raises(ConfigError, match="phase_shift_rad"):
        plate(np.inf)
