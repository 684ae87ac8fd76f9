"""Normalisation, references of the camera, and the suggested vacuum."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from _prepare_series import make, poisson

from napari_phaset3m.errors import ConfigError, DataError
from napari_phaset3m.prepare import normalise, reference
from napari_phaset3m.prepare.background import fit_background
from napari_phaset3m.prepare.events import drain
from napari_phaset3m.prepare.normalise import NormaliseConfig
from napari_phaset3m.prepare.reference import ReferenceConfig
from napari_phaset3m.prepare.vacuum import suggest_vacuum


def normalised(series, **parameters):
    return drain(normalise.run(series, NormaliseConfig.parse(**parameters))).series


def test_mean_and_region_become_one_and_the_scale_is_kept():
    rng = np.random.default_rng(0)
    images = rng.normal(1, 0.05, (3, 2, 48, 40))
    images[..., 10:, :] *= 0.7
    images *= np.array([2.0, 3.0, 4.0])[:, None, None, None]
    series = make(images, metadata={"scale": 10.0})
    mean = normalised(series)
    np.testing.assert_allclose(mean.images.mean((-2, -1)), 1, rtol=1e-5)
    vacuum = normalised(series, level="region", region_px=(0, 0, 10, 40))
    np.testing.assert_allclose(vacuum.images[..., :10, :].mean((-2, -1)), 1, rtol=1e-5)
    assert vacuum.normalisation == "vacuum"
    # What the file had: image times scale.
    back = vacuum.images * np.asarray(vacuum.metadata["scale"])[..., None, None]
    np.testing.assert_allclose(back, images * 10, rtol=1e-4)


def test_region_follows_the_shift_of_each_image():
    images = np.ones((2, 1, 40, 40))
    images[0, 0, 4:10, 4:10] = 2.0
    images[1, 0, 7:13, 2:8] = 3.0
    series = make(images, shifts_px=[[[0, 0]], [[3, -2]]])
    out = normalised(series, level="region", region_px=(4, 4, 6, 6))
    assert out.images[0, 0, 5, 5] == pytest.approx(1) and out.images[1, 0, 8, 3] == pytest.approx(1)
    far = series.replace(shifts_px=[[[0, 0]], [[-60, 0]]])
    with pytest.raises(DataError, match="tilt 1, focus 0"):
        normalised(far, level="region", region_px=(4, 4, 6, 6))


@pytest.mark.parametrize("order", [1, 2])
def test_background_is_divided_out_and_the_specimen_does_not_bend_it(order):
    n = 120
    v = np.linspace(-1, 1, n)
    uneven = 1 + 0.2 * v[:, None] - 0.1 * v[None, :] + (0.15 * v[None, :] ** 2 if order == 2 else 0)
    inside = np.hypot(*np.meshgrid(v - 0.2, v)) < 0.4
    image = uneven * np.where(inside, 0.6, 1.0) * np.random.default_rng(0).normal(1, 0.05, (n, n))
    out = normalised(make(image[None, None]), level="background", background_order=order).images[0, 0]
    flat = out[~inside]
    # Block means over the vacuum: even to a percent, at 1.
    assert abs(flat.mean() - 1) < 0.005
    assert out[:30].mean() == pytest.approx(1, abs=0.01) and out[-20:].mean() == pytest.approx(1, abs=0.01)
    assert out[inside].mean() == pytest.approx(0.6, abs=0.01)


def test_background_fit_is_exact_on_a_polynomial():
    y, x = np.meshgrid(np.linspace(-1, 1, 50), np.linspace(-1, 1, 60), indexing="ij")
    surface = 2 + 0.5 * y - 0.3 * x
    np.testing.assert_allclose(fit_background(surface, 1), surface, atol=2e-3)


def test_a_level_that_is_not_positive_is_refused_with_the_image():
    images = np.ones((2, 1, 32, 32))
    images[1] = -1
    with pytest.raises(DataError, match=r"normalise\.level.*tilt 1, focus 0"):
        normalised(make(images))
    spared = normalised(make(images, used=[[True], [False]])).images
    np.testing.assert_array_equal(spared[1], images[1])
    with pytest.raises(ConfigError, match="region_px"):
        NormaliseConfig.parse(level="region")


def test_preview_equals_the_step():
    series = poisson(np.ones((32, 32)), 40, shape=(2, 1))
    config = NormaliseConfig(background_order=1)
    np.testing.assert_array_equal(
        normalise.preview(series, config, 1, 0), drain(normalise.run(series, config)).series.images[1, 0]
    )


def test_vacuum_is_suggested_where_there_is_vacuum():
    rng = np.random.default_rng(1)
    mean = np.ones((128, 128))
    texture = rng.normal(0, 1, (16, 16)).repeat(8, 0).repeat(8, 1)
    mean += 0.15 * texture
    mean[70:, 80:] = 1.0
    found = suggest_vacuum(poisson(np.clip(mean, 0.1, None), 30, shape=(5, 1)))
    top, left, height, width = found.region_px
    assert top >= 68 and left >= 78 and top + height <= 128 and left + width <= 128
    assert found.excess < 0.1 and found.level == pytest.approx(1, abs=0.03)


def test_reference_restores_what_the_camera_did(tmp_path):
    rng = np.random.default_rng(0)
    truth = rng.normal(100, 5, (2, 1, 32, 24))
    sensitivity, dark = rng.uniform(0.5, 1.5, (32, 24)), rng.uniform(5, 10, (32, 24))
    raw = truth * sensitivity + dark
    series = make(raw / 50, metadata={"scale": 50.0})
    events = reference.run(series, ReferenceConfig(), gain=1 / sensitivity, dark=dark)
    np.testing.assert_allclose(drain(events).series.images * 50, truth, rtol=1e-4)
    np.save(tmp_path / "flat.npy", sensitivity)
    np.save(tmp_path / "dark.npy", dark)
    config = ReferenceConfig(gain=str(tmp_path / "flat.npy"), dark=str(tmp_path / "dark.npy"), how="divide")
    divided = drain(reference.run(series, config)).series.images * 50
    np.testing.assert_allclose(divided, truth * sensitivity.mean(), rtol=1e-4)


@pytest.mark.parametrize(
    ("angle", "crop"), [(90.0, None), (-90.0, None), (180.0, (3, 27, 4, 24)), (90.0, (3, 27, 4, 24))]
)
def test_reference_follows_the_quarter_turns_and_the_crop_of_the_import(tmp_path, angle, crop):
    """The reference is of the camera; the importer cropped, then turned what the camera wrote."""
    rng = np.random.default_rng(1)
    truth, gain = rng.normal(100, 5, (32, 24)), rng.uniform(0.5, 1.5, (32, 24))
    y0, y1, x0, x1 = crop or (0, 32, 0, 24)

    def imported(image):
        return np.rot90(image[y0:y1, x0:x1], {90.0: 1, -90.0: -1, 180.0: 2}[angle])

    record = ({"step": "import", "parameters": {"bin": 1, "crop": crop}, "told": {}},)
    series = make(imported(truth / gain)[None, None], tilt_axis_angle_deg=angle, metadata={"history": record})
    np.save(tmp_path / "gain.npy", gain)
    events = reference.run(series, ReferenceConfig(gain=str(tmp_path / "gain.npy")))
    np.testing.assert_allclose(drain(events).series.images[0, 0], imported(truth), rtol=1e-5)


def test_reference_of_another_shape_or_after_a_turn_is_refused(tmp_path):
    np.save(tmp_path / "gain.npy", np.ones((16, 16)))
    config = ReferenceConfig(gain=str(tmp_path / "gain.npy"))
    with pytest.raises(DataError, match=r"gain\.npy: reference\.gain.*16 x 16.*32 x 32"):
        drain(reference.run(make(np.ones((1, 1, 32, 32))), config))
    with pytest.raises(DataError, match=r"turned by 85\.3°"):
        drain(reference.run(make(np.ones((1, 1, 16, 16)), tilt_axis_angle_deg=85.3), config))
    binned = ({"step": "import", "parameters": {"bin": 2}, "told": {}},)
    with pytest.raises(DataError, match="binned by 2"):
        drain(reference.run(make(np.ones((1, 1, 8, 8)), metadata={"history": binned}), config))
    with pytest.raises(ConfigError, match="neither gain nor dark"):
        drain(reference.run(make(np.ones((1, 1, 16, 16))), ReferenceConfig()))
