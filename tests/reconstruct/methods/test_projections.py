"""Images to projections: foci combined, shifts undone, contrast transfer corrected."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from napari_phaset3m.config import ReconstructionConfig
from napari_phaset3m.core.contrast import contrast_transfer
from napari_phaset3m.core.grid import Grid
from napari_phaset3m.core.optics import Microscope, ctf_curve
from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.core.transfer import TransferModel
from napari_phaset3m.errors import DataError
from napari_phaset3m.reconstruct.api import reconstruct
from napari_phaset3m.reconstruct.methods import make_method
from napari_phaset3m.reconstruct.methods.projections import projections
from napari_phaset3m.reconstruct.problem import build_problem

N, PIXEL = 48, 1.0


def weak_phase() -> np.ndarray:
    """`(nx, ny)` phase of a few blobs, rad; no symmetry."""
    x, y = np.meshgrid(np.arange(N), np.arange(N), indexing="ij")
    blobs = ((14, 20, 0.9, 0.02), (30, 12, 0.7, 0.03), (26, 34, 1.2, 0.015))
    return sum(h * np.exp(-((x - a) ** 2 + (y - b) ** 2) / (2 * s * s)) for a, b, s, h in blobs)


def images_of(phase: np.ndarray, defocus: np.ndarray, shifts: np.ndarray | None = None) -> TiltFocalSeries:
    """One tilt imaged by the multislice's own transfer, so that a flipped sign shows."""
    grid = Grid(N, N, PIXEL)
    microscope = Microscope(3e5, 1.2e7, 30.0, 0.0, {"C12": 60.0, "phi12": 0.5})
    model = TransferModel(grid, microscope, 1)
    shifts = np.zeros((defocus.size, 2)) if shifts is None else shifts
    wave = np.fft.fft2(np.exp(1j * phase))
    images = []
    for value, shift in zip(defocus, shifts, strict=True):
        transfer = transfer_of(model, float(value), (float(shift[0]), float(shift[1])))
        images.append(np.abs(np.fft.ifft2(wave * transfer)) ** 2)
    return TiltFocalSeries(
        images=np.stack(images).astype(np.float32).swapaxes(1, 2)[None], tilt_deg=np.zeros(1),
        pixel_size_angstrom=PIXEL, energy_ev=3e5, defocus_angstrom=defocus[None],
        spherical_aberration_angstrom=1.2e7, focal_spread_angstrom=30.0,
        aberrations={"C12": 60.0, "phi12": 0.5}, shifts_px=shifts[None],
    )  # fmt: skip


def transfer_of(model: TransferModel, defocus: float, shift: tuple[float, float]) -> np.ndarray:
    """`(nx, ny)` complex transfer of one image; the model folds 1 / N^2 in."""
    found = model([defocus], [shift], 0.0)
    return found.base[0] * found.ex[0][:, None] * found.ey[0][None, :] * N**2


def corrected(series: TiltFocalSeries, **changes: Any) -> np.ndarray:
    config = ReconstructionConfig(method="sirt", **changes)
    return projections(build_problem(series, config), config)[0]


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.corrcoef(a.ravel(), b.ravel())[0, 1])


@pytest.mark.parametrize("defocus", [[700.0], [-900.0], [600.0, 1100.0, 1700.0], [-500.0, 800.0]])
@pytest.mark.parametrize("correction", ["phase_flip", "wiener"])
def test_corrected_images_show_the_phase_bright(defocus: list[float], correction: str) -> None:
    phase = weak_phase()
    series = images_of(phase, np.array(defocus))
    found = corrected(series, ctf_correction=correction)
    assert correlation(found, phase) > 0.6
    # Flipped signs of defocus or Cs must be seen.
    wrong = series.replace(defocus_angstrom=-series.defocus_angstrom)
    assert correlation(corrected(wrong, ctf_correction=correction), phase) < 0.3
    assert correlation(found, phase) > correlation(corrected(series), phase) + 0.02


def test_wiener_over_foci_gives_the_phase_in_radians() -> None:
    phase = weak_phase()
    found = corrected(
        images_of(phase, np.array([300.0, 700.0, 1200.0, 2000.0])), ctf_correction="wiener", wiener_snr=1e4
    )
    # The mean is lost (no transfer at zero frequency); the rest has the right scale.
    expected = phase - phase.mean()
    assert np.vdot(found, expected) / np.vdot(expected, expected) == pytest.approx(1, abs=0.1)
    one = corrected(images_of(phase, np.array([700.0])), ctf_correction="wiener", wiener_snr=1e4)
    assert correlation(found, phase) > correlation(one, phase)


def test_wiener_volume_is_in_volts() -> None:
    config = ReconstructionConfig(method="sirt", ctf_correction="wiener")
    method = make_method(build_problem(images_of(weak_phase(), np.array([500.0])), config), config, 1, _cpu())
    assert method.unit == "V" and method.volts_per_unit == pytest.approx(1 / (6.526e-4 * PIXEL), rel=1e-3)
    plain = ReconstructionConfig(method="sirt", ctf_correction="phase_flip")
    method = make_method(build_problem(images_of(weak_phase(), np.array([500.0])), plain), plain, 1, _cpu())
    assert method.unit == "1/voxel" and method.volts_per_unit == 1


def _cpu() -> Any:
    from napari_phaset3m.core.backend import resolve_device

    return resolve_device("cpu")


def test_contrast_is_minus_the_plotted_ctf() -> None:
    grid, microscope = Grid(64, 8, 0.9), Microscope(2e5, 2.2e7, 25.0, 1e-4)
    curve = ctf_curve(np.abs(grid.kx), microscope, 800.0)
    found = contrast_transfer(grid, microscope, 800.0)[:, 0]
    np.testing.assert_allclose(found, -curve, atol=2e-5)
    assert found[1] > 0  # underfocus: a phase object is dark, its projection 1 - I bright
    amplitude = contrast_transfer(grid, microscope, 800.0, 0.1)
    assert amplitude[0, 0] == pytest.approx(0.1)


def test_shifts_are_undone_whether_or_not_the_transfer_is() -> None:
    phase, defocus = weak_phase(), np.array([600.0, 1100.0])
    shifts = np.array([[3.0, -5.5], [-2.25, 1.0]])  # (y, x)
    still, moved = images_of(phase, defocus), images_of(phase, defocus, shifts)
    for correction in ("none", "phase_flip", "wiener"):
        a, b = (corrected(s, ctf_correction=correction) for s in (still, moved))
        np.testing.assert_allclose(a, b, atol=1e-2 * np.abs(a).max())
    swapped = moved.replace(shifts_px=moved.shifts_px[..., ::-1])
    assert correlation(corrected(swapped), corrected(still)) < 0.9


def test_foci_are_averaged_with_their_weights(scene: Any) -> None:
    images = np.random.default_rng(3).uniform(0.5, 1.2, (2, 3, 8, 9)).astype(np.float32)
    used = np.array([[True, True, False], [True, True, True]])
    series = TiltFocalSeries(
        images=images, tilt_deg=np.array([0.0, 30.0]), pixel_size_angstrom=2.0, energy_ev=3e5, used=used
    )
    config = ReconstructionConfig(method="sirt", projection="log")
    data = projections(build_problem(series, config), config)
    np.testing.assert_allclose(data[0], -np.log(images[0, :2]).mean(axis=0).T, atol=1e-5)
    np.testing.assert_allclose(data[1], -np.log(images[1]).mean(axis=0).T, atol=1e-5)


def test_a_tilt_that_is_held_out_keeps_its_projection(scene: Any) -> None:
    data = scene.project(scene.phantom(24, 8))
    settings = scene.config("sirt", iterations=25, holdout_fraction=0.1)
    result = reconstruct(scene.series(data), settings, device="cpu")
    # Against an empty projection this error would be 1 or more.
    assert 0 < result.sweeps[-1].held_out_error < 0.1


def test_correction_needs_the_microscope(scene: Any) -> None:
    data = scene.series(scene.project(scene.phantom(16, 8)))
    for field, known in (
        ("defocus_values", {}),
        ("spherical_aberration", {"defocus_angstrom": np.array([500.0])}),
    ):
        with pytest.raises(DataError, match=f"{field}: is missing, and ctf_correction cannot do without it"):
            reconstruct(data.replace(**known), scene.config("fbp", ctf_correction="phase_flip"), device="cpu")


def test_correction_helps_on_independent_simulations(shared_data: Any) -> None:
    """Co3O4 by abTEM: the linear volume agrees with the true potential only with the right signs."""
    import mrcfile

    from napari_phaset3m.io.series import load_series

    folder = shared_data / "co3o4"
    with mrcfile.open(folder / "co3o4_dev_truth_V.mrc") as file:
        truth = np.array(file.data)
    series = load_series(folder / "co3o4_dev.h5")
    found = {
        name: correlation(
            reconstruct(
                given, ReconstructionConfig(method="sirt", iterations=6, **changes), device="cpu"
            ).volume,
            truth,
        )
        for name, given, changes in (
            ("plain", series, {}),
            ("flip", series, {"ctf_correction": "phase_flip"}),
            ("wiener", series, {"ctf_correction": "wiener"}),
            (
                "wrong",
                series.replace(defocus_angstrom=-series.defocus_angstrom),
                {"ctf_correction": "wiener"},
            ),
        )
    }
    assert found["flip"] > found["plain"] + 0.15 and found["wiener"] > found["plain"] + 0.15, found
    assert found["wrong"] < 0.1, found
