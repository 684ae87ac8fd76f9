"""FBP and WBP: against ASTRA, against each other, and against what is known of the answer."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from napari_phaset3m.config import ConstraintConfig
from napari_phaset3m.errors import ConfigError
from napari_phaset3m.reconstruct.api import iterate, reconstruct
from napari_phaset3m.reconstruct.events import (
    Finished,
    Preparing,
    Preview,
    Started,
    StepDone,
    SweepDone,
    Working,
)
from napari_phaset3m.reconstruct.methods.filters import angular_weights, exact_weights, ramp, window

FULL = np.arange(90) * 2.0 - 90


def direct(scene: Any, name: str, data: np.ndarray, angles: np.ndarray, **changes: Any) -> np.ndarray:
    """`(nz, nx, ny)` result."""
    settings = scene.config(name, **changes)
    volume = reconstruct(scene.series(data, angles), settings, device="cpu").volume
    return volume.swapaxes(1, 2)


@pytest.mark.parametrize(
    ("window_name", "theirs"),
    [
        ("ramp", "ram-lak"),
        ("shepp-logan", "shepp-logan"),
        ("cosine", "cosine"),
        ("hamming", "hamming"),
        ("hann", "hann"),
    ],
)
def test_fbp_agrees_with_astra(scene: Any, window_name: str, theirs: str) -> None:
    data = scene.project(scene.phantom(48, 8), FULL)
    noisy = data + np.random.default_rng(0).normal(0, 0.005, data.shape).astype(np.float32)
    ours = direct(scene, "fbp", noisy, FULL, fbp_filter=window_name)
    oracle = scene.astra("FBP", noisy, 1, angles=FULL, FilterType=theirs)
    inside = np.hypot(*np.meshgrid(*[np.arange(48) - 23.5] * 2, indexing="ij")) < 22
    assert scene.correlation(ours[inside], oracle[inside]) >= 0.99
    assert np.vdot(ours, oracle) / np.vdot(oracle, oracle) == pytest.approx(1, abs=0.03)
    assert scene.correlation(ours[:, ::-1][inside], oracle[inside]) < 0.9


def test_fbp_of_a_full_turn_gives_the_level_back(scene: Any) -> None:
    truth = np.zeros((64, 64, 8), np.float32)
    radius = np.hypot(*np.meshgrid(*[np.arange(64) - 31.5] * 2, indexing="ij"))
    truth[radius < 20] = 1 / 64
    angles = np.arange(180) - 90.0
    found = direct(scene, "fbp", scene.project(truth, angles), angles)
    assert found[radius < 16].mean() == pytest.approx(1 / 64, rel=0.01)
    assert abs(found[(radius > 24) & (radius < 31)].mean()) < 0.02 / 64


def test_exact_weights_of_even_tilts_over_the_full_range_are_the_ramp() -> None:
    angles, diameter, size = np.arange(240) * 0.75, 60, 256
    weights = exact_weights(angles, diameter, size)
    k = np.fft.rfftfreq(size)
    # Above 1 / D, below which all planes overlap; up to Nyquist, which 240 tilts resolve.
    dense = k > 4 / diameter
    expected = np.pi / 240 * k
    np.testing.assert_allclose(
        weights[:, dense], np.broadcast_to(expected[dense], (240, dense.sum())), rtol=0.04
    )


def test_wbp_of_even_tilts_over_the_full_range_is_fbp(scene: Any) -> None:
    angles = np.arange(120) * 1.5 - 90
    data = scene.project(scene.phantom(48, 8), angles)
    fbp, exact, radial = (
        direct(scene, "fbp", data, angles),
        direct(scene, "wbp", data, angles, wbp_weighting="exact"),
        direct(scene, "wbp", data, angles, wbp_weighting="radial"),
    )
    np.testing.assert_allclose(radial, fbp, atol=1e-3 * fbp.max())
    assert scene.correlation(exact, fbp) > 0.99


def test_exact_weighting_helps_where_tilts_are_uneven(scene: Any) -> None:
    angles = np.concatenate([np.arange(-64, 0, 8.0), np.arange(0, 65, 1.0)])
    truth = scene.phantom(48, 8)
    data = scene.project(truth, angles)
    exact = direct(scene, "wbp", data, angles, wbp_diameter_angstrom=60)
    radial = direct(scene, "wbp", data, angles, wbp_weighting="radial")
    assert scene.correlation(exact, truth) > scene.correlation(radial, truth) + 0.03


def test_weights_of_angles() -> None:
    np.testing.assert_allclose(angular_weights(FULL), np.radians(2), rtol=1e-12)
    # A missing wedge belongs to nobody; even spacing inside is what counts.
    np.testing.assert_allclose(angular_weights(np.arange(-60, 61, 3.0)), np.radians(3), rtol=1e-12)
    # 0 and 180 degrees are one direction and share its part.
    both = angular_weights(np.arange(0, 181, 3.0))
    assert both.sum() == pytest.approx(np.pi)
    assert both[0] == pytest.approx(both[-1]) == pytest.approx(np.radians(1.5))
    twice = angular_weights(np.repeat(np.arange(-60, 61, 3.0), 2))
    assert twice.sum() == pytest.approx(np.radians(123), rel=0.03)
    uneven = angular_weights(np.array([0.0, 10, 12, 14, 16]))
    assert uneven[1] == pytest.approx(np.radians(6)) and uneven[2] == pytest.approx(np.radians(2))


@pytest.mark.parametrize("name", ["ramp", "shepp-logan", "cosine", "hamming", "hann"])
def test_windows_begin_at_one_and_end_as_defined(name: Any) -> None:
    w = window(name, 200)
    ends = {"ramp": 1, "shepp-logan": 2 / np.pi, "cosine": 0, "hamming": 0.08, "hann": 0}
    assert w[0] == pytest.approx(1) and w[-1] == pytest.approx(ends[name], abs=1e-12)
    assert np.all(np.diff(w) <= 1e-12)


def test_ramp_is_k_but_for_its_mean() -> None:
    k = np.fft.rfftfreq(512)
    np.testing.assert_allclose(ramp(512)[4:], k[4:], rtol=0.02)
    assert 0 < ramp(512)[0] < k[1]


def test_lowpass_takes_the_fine_detail_out(scene: Any) -> None:
    rng = np.random.default_rng(3)
    data = rng.normal(size=(FULL.size, 32, 32)).astype(np.float32)
    sharp = direct(scene, "fbp", data, FULL)
    soft = direct(scene, "fbp", data, FULL, filter_lowpass_angstrom=10.0)  # 2 A voxels: 0.2 cycles per voxel
    power = [np.abs(np.fft.fftn(v)) ** 2 for v in (sharp, soft)]
    ky = np.abs(np.fft.fftfreq(32))
    assert power[1][..., ky > 0.3].sum() < 0.02 * power[0][..., ky > 0.3].sum()
    assert power[1][:3, :3, ky < 0.1].sum() > 0.7 * power[0][:3, :3, ky < 0.1].sum()


@pytest.mark.parametrize("name", ["fbp", "wbp"])
def test_one_event_and_the_choices_are_told(scene: Any, name: str) -> None:
    data = scene.project(scene.phantom(24, 8))

    class Watcher:
        def finish_requested(self) -> bool:
            return False

        def preview_max_voxels(self) -> int:
            return 16

        def mask(self) -> None:
            return None

    mask = np.ones((24, 8, 24), np.float32)
    mask[:, :, :6] = 0
    settings = scene.config(name, iterations=20, constraints=ConstraintConfig())
    heard = iterate(scene.series(data), settings, device="cpu", mask=mask, control=Watcher())
    events = [e for e in heard if not isinstance(e, Preparing | Working)]
    kinds = [type(event) for event in events]
    assert kinds == [Started, StepDone, Preview, SweepDone, Finished]
    started, finished = events[0], events[-1]
    assert started.n_sweeps == 1
    notes = " ".join(started.notes)
    assert "does not use" in notes and "iterations" in notes and "direct" in notes
    assert finished.volume.min() == 0 and not finished.volume[:, :, :6].any()
    # The error is that of the result before the mask, not of the empty volume.
    assert 0 < finished.sweeps[0].error < 0.5


def test_a_start_volume_is_refused(scene: Any) -> None:
    data = scene.project(scene.phantom(24, 8))
    with pytest.raises(ConfigError, match="start: FBP is direct"):
        reconstruct(
            scene.series(data), scene.config("fbp"), device="cpu", start=np.ones((24, 8, 24), np.float32)
        )
