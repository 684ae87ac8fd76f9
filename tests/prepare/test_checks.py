"""Pictures of the alignment check: where features land, and what a volume predicts."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import shift

from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.prepare import checks
from napari_phaset3m.prepare.align.apply import apply
from napari_phaset3m.prepare.align.model import Alignment
from napari_phaset3m.prepare.events import Progress, drain
from napari_phaset3m.prepare.predictions import iterate_predictions


def blob(shape, y, x, sigma=2.0) -> np.ndarray:
    """A Gaussian at (y, x) from the image centre, darker than vacuum."""
    ny, nx = shape
    rows, columns = np.mgrid[:ny, :nx]
    distance = (rows - (ny - 1) / 2 - y) ** 2 + (columns - (nx - 1) / 2 - x) ** 2
    return 1 - 0.3 * np.exp(-distance / (2 * sigma**2))


def balls(shifts, tilts=(-40.0, -20.0, 0.0, 20.0, 40.0), shape=(40, 48)) -> TiltFocalSeries:
    """Two balls of a specimen, seen at tilts: at p + shift, x' = x cos - z sin."""
    places = ((5.0, 8.0, 3.0), (-6.0, -4.0, -5.0))  # y, x, z
    images = []
    for tilt, (dy, dx) in zip(np.radians(tilts), shifts, strict=True):
        image = np.ones(shape)
        for y, x, z in places:
            image = image + blob(shape, y + dy, x * np.cos(tilt) - z * np.sin(tilt) + dx) - 1
        images.append(image)
    return TiltFocalSeries(
        images=np.array(images, np.float32)[:, None], tilt_deg=tilts, pixel_size_angstrom=4.0, energy_ev=2e5
    )


def centre_of(image) -> np.ndarray:
    weight = np.abs(image - np.median(image))
    grid = np.mgrid[: image.shape[0], : image.shape[1]]
    return np.array([(weight * axis).sum() / weight.sum() for axis in grid])


def test_aligned_picture_takes_the_shift_out():
    shape = (40, 48)
    image = blob(shape, 2.0 + 3.5, -4.0 - 2.25)
    series = TiltFocalSeries(images=image[None, None], tilt_deg=[0], pixel_size_angstrom=1, energy_ev=2e5)
    alignment = Alignment.of(series).replace(shifts_px=np.array([[[3.5, -2.25]]]))
    found = checks.aligned_picture(series, alignment, (0, 0))
    expected = (np.array(shape) - 1) / 2 + (2.0, -4.0)
    np.testing.assert_allclose(centre_of(found), expected, atol=0.05)
    binned = checks.aligned_picture(series, alignment, (0, 0), bin_=2)
    # a binned pixel's middle lies half a fine pixel further on
    np.testing.assert_allclose(centre_of(binned) * 2 + 0.5, expected, atol=0.1)


def test_aligned_picture_turns_as_the_convention_says():
    shape, angle, magnification = (61, 61), 20.0, 1.1
    turn = np.radians(angle)
    x, y = 12.0, 4.0
    given_x = magnification * (np.cos(turn) * x - np.sin(turn) * y) + 1.5
    given_y = magnification * (np.sin(turn) * x + np.cos(turn) * y) - 2.0
    series = TiltFocalSeries(
        images=blob(shape, given_y, given_x)[None, None], tilt_deg=[0], pixel_size_angstrom=1, energy_ev=2e5
    )
    alignment = Alignment.of(series).replace(
        shifts_px=np.array([[[-2.0, 1.5]]]), rotation_deg=np.array([[angle]]),
        magnification=np.array([[magnification]]),
    )  # fmt: skip
    found = checks.aligned_picture(series, alignment, (0, 0))
    np.testing.assert_allclose(centre_of(found), (30 + y, 30 + x), atol=0.1)


def test_pictures_show_what_a_local_field_unbends():
    """As the series will be: the applied one, moved by its shifts; rows of the sinogram are its rows."""
    rng = np.random.default_rng(3)
    series = balls(rng.normal(0, 2, (5, 2)))
    alignment = Alignment.of(series).replace(shifts_px=rng.normal(0, 2, (5, 1, 2)), rotation_deg=7.0)
    y, x = np.meshgrid(np.linspace(-1, 1, 5), np.linspace(-1, 1, 5), indexing="ij")
    local = np.broadcast_to(np.stack((2 * x, y - 1.5)), (5, 1, 2, 5, 5))
    applied = apply(series, alignment, local)
    expected = shift(applied.images[1, 0], -applied.shifts_px[1, 0], order=3, mode="nearest")
    inside = np.s_[8:-8, 8:-8]
    found = checks.aligned_picture(series, alignment, (1, 0), local=local)
    assert np.abs(found - expected)[inside].max() < 0.08 * np.ptp(expected)
    without = checks.aligned_picture(series, alignment, (1, 0))
    assert np.abs(without - expected)[inside].max() > 0.2 * np.ptp(expected)
    rows, tilts = checks.sinogram(series, alignment, row=20, focus=0, width=1, local=local)
    middle, line = list(tilts).index(series.tilt_deg[1]), expected[20]
    assert np.corrcoef(rows[middle][8:-8], line[8:-8])[0, 1] > 0.99


def test_cosine_stretch_brings_neighbours_together():
    tilts = np.array([0.0, 40.0])
    image = blob((41, 61), 0, 10 * np.cos(np.radians(40)))
    found = checks.stretched(image, checks.stretch_factor(tilts, of=1, to=0))
    np.testing.assert_allclose(centre_of(found), (20, 40), atol=0.1)
    with_itself = checks.stretched(image, checks.stretch_factor(tilts, of=1, to=1))
    np.testing.assert_allclose(with_itself, image, atol=1e-6)


def test_colours_tell_which_is_which():
    a, b = blob((21, 21), 0, -5), blob((21, 21), 0, 5)
    picture = checks.red_cyan(a, b)
    assert picture.dtype == np.uint8 and picture.shape == (21, 21, 3)
    assert picture[10, 5, 0] < picture[10, 5, 1] == picture[10, 5, 2], "a is dark in red only"
    assert picture[10, 15, 0] > picture[10, 15, 1], "b is dark in green and blue"
    same = checks.red_cyan(a, a)
    assert np.array_equal(same[..., 0], same[..., 1])
    assert np.ptp(checks.difference(a, a)) == 0


def test_sinogram_follows_the_sine():
    shifts = np.array([(0.0, 1.0), (2.0, -3.0), (0.0, 0.0), (-1.0, 2.5), (0.5, -1.5)])
    series = balls(shifts)
    alignment = Alignment.of(series).replace(shifts_px=shifts[:, None])
    # row of the first ball: y = 5 from the centre 19.5
    rows, tilts = checks.sinogram(series, alignment, row=25, focus=0)
    expected = 23.5 + 8 * np.cos(np.radians(tilts)) - 3 * np.sin(np.radians(tilts))
    np.testing.assert_allclose(np.argmin(rows, axis=1), expected, atol=0.6)
    wrong, _ = checks.sinogram(series, Alignment.of(series), row=25, focus=0)
    assert np.abs(np.argmin(wrong, axis=1) - expected).max() > 2
    fewer = alignment.replace(used=np.array([[True], [False], [True], [True], [True]]))
    assert len(checks.sinogram(series, fewer, 25, 0)[0]) == 4


def test_predictions_agree_where_the_alignment_is_right():
    shifts = np.array([(0.0, 1.0), (2.0, -3.0), (0.0, 0.0), (-1.0, 2.5), (0.5, -1.5)])
    series = balls(shifts)
    right = Alignment.of(series).replace(shifts_px=shifts[:, None])
    events: list = []
    good = drain(iterate_predictions(series, right, sweeps=15), events.append).result
    bad = drain(iterate_predictions(series, sweeps=15)).result
    assert good.model == "SIRT" and good.measured.shape == (5, 1, 40, 48)
    assert sum(isinstance(event, Progress) for event in events) > 5
    assert np.all(good.residual < 0.5 * bad.residual)
    # measured and predicted sit on each other, in the given frame and in the aligned one
    for tilt in range(5):
        measured, predicted = (good.aligned(which, tilt, 0) for which in ("measured", "predicted"))
        assert np.corrcoef(measured.ravel(), predicted.ravel())[0, 1] > 0.9
    # contrast of the linear model is 1 - I: a dark ball is positive, where p + shift says it is
    y, x = np.unravel_index(np.argmax(good.measured[1, 0]), (40, 48))
    turn = np.radians(-20)
    wanted = {(19.5 + py + 2, 23.5 + px * np.cos(turn) - pz * np.sin(turn) - 3)
              for py, px, pz in ((5, 8, 3), (-6, -4, -5))}  # fmt: skip
    assert min(np.hypot(y - a, x - b) for a, b in wanted) < 1
    assert good.error_map(1, 0).shape == (40, 48)


@pytest.mark.parametrize("row", [-1, 40])
def test_a_row_outside_is_refused(row):
    series = balls(np.zeros((5, 2)))
    with pytest.raises(ValueError, match="row"):
        checks.sinogram(series, Alignment.of(series), row, 0)
