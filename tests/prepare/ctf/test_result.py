"""The table: outliers, corrections by hand, what is written to the series, what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from _made import film, series

from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.errors import ConfigError, DataError
from napari_phaset3m.prepare.ctf.api import find_ctf, thon_rings
from napari_phaset3m.prepare.ctf.config import CtfConfig
from napari_phaset3m.prepare.ctf.finish import completed, distrusted
from napari_phaset3m.prepare.ctf.result import CtfResult, ImageCtf
from napari_phaset3m.prepare.history import history

PLAIN = CtfConfig(amplitude_contrast=0.0, defocus_max_angstrom=8000.0)


def table(defocus, tilts=None, **fields) -> CtfResult:
    defocus = np.asarray(defocus, float)
    images = tuple(
        tuple(
            ImageCtf(t, f, method="thon", defocus_angstrom=float(v), confidence=0.9, **fields)
            for f, v in enumerate(row)
        )
        for t, row in enumerate(defocus)
    )
    tilts = np.linspace(-60, 60, len(defocus)) if tilts is None else tilts
    return CtfResult(images, np.asarray(tilts, float), PLAIN, "thon", "")


def test_one_value_far_from_its_neighbours_is_flagged_in_any_order_of_tilts():
    rng = np.random.default_rng(0)
    tilts = rng.permutation(np.linspace(-60, 60, 21))
    defocus = 3000 + 4 * tilts[:, None] + rng.normal(0, 20, (21, 2))  # drifts with the tilt
    defocus[7, 1] += 600
    flags = table(defocus, tilts).outliers()
    assert flags[7, 1] and flags.sum() == 1


def test_scatter_that_is_the_same_everywhere_is_not_flagged():
    flags = table(np.random.default_rng(1).normal(3000, 60, (61, 3))).outliers()
    assert flags.mean() < 0.05


def test_few_tilts_are_not_judged():
    assert not table([[1000.0], [9000.0], [1000.0], [1000.0]]).outliers().any()


def test_edit_is_a_copy_and_goes_into_the_series_and_its_history():
    result = table(np.full((3, 1), 2000.0), c12_angstrom=100.0, phi12_rad=0.4)
    changed = result.edited(1, 0, 2500.0)
    assert result.images[1][0].defocus_angstrom == 2000 and changed.images[1][0].method == "edited"
    given = series(np.ones((3, 1, 64, 64), np.float32), tilt_deg=[-1.0, 0.0, 1.0],
                   aberrations={"C12": 7.0, "phi12": 1.0, "C21": 300.0, "phi21": 0.1})  # fmt: skip
    new = changed.apply(given)
    np.testing.assert_allclose(new.defocus_angstrom[:, 0], [2000, 2500, 2000])
    assert new.aberrations["C12"] == pytest.approx(100) and new.aberrations["phi12"] == pytest.approx(0.4)
    assert new.aberrations["C21"] == 300
    step = history(new)[-1]
    assert step["step"] == "ctf" and step["told"]["edited"] == [[1, 0]]
    assert step["parameters"]["defocus_max_angstrom"] == 8000
    assert given.defocus_angstrom is None


def test_astigmatism_of_a_series_is_averaged_by_components():
    # Azimuths of 1 and 179 degrees are neighbours.
    rows = [[ImageCtf(t, 0, method="thon", defocus_angstrom=1.0, confidence=1.0, c12_angstrom=50.0,
                      phi12_rad=np.radians(angle))] for t, angle in enumerate((1.0, 179.0, 0.0))]  # fmt: skip
    result = CtfResult(tuple(map(tuple, rows)), np.arange(3.0), PLAIN, "thon", "")
    c12, phi12 = result.astigmatism()
    assert c12 == pytest.approx(50, abs=0.1) and min(phi12, np.pi - phi12) < 0.01


def test_the_stated_astigmatism_is_told_where_nothing_was_fitted():
    rows = [[ImageCtf(t, 0, method="stated", defocus_angstrom=1.0, c12_angstrom=84.0, phi12_rad=1.1)]
            for t in range(3)]  # fmt: skip
    result = CtfResult(tuple(map(tuple, rows)), np.arange(3.0), PLAIN, "exit_wave", "")
    assert result.astigmatism() == pytest.approx((84.0, 1.1))


@pytest.mark.parametrize("place", [(3, 0), (0, 1), (-1, 0)])
def test_edit_of_no_image(place):
    with pytest.raises(DataError, match="3 tilts and 1 foci"):
        table(np.ones((3, 1))).edited(*place, 1.0)


def test_edit_to_no_number_and_apply_to_another_series():
    result = table(np.ones((3, 1)))
    with pytest.raises(DataError, match="defocus: is nan"):
        result.edited(0, 0, float("nan"))
    with pytest.raises(DataError, match="2 tilts and 1 foci, but the CTF was fitted to 3 and 1"):
        result.apply(series(np.ones((2, 1, 64, 64), np.float32)))


def test_image_without_contrast_keeps_its_stated_defocus():
    images = np.stack([film((128, 128), 1.0, 2000.0, snr=2.0), np.ones((128, 128), np.float32)])[:, None]
    config = CtfConfig(amplitude_contrast=0.0, method="thon", defocus_max_angstrom=8000.0)
    done = find_ctf(series(images, tilt_deg=[0.0, 1.0], defocus_angstrom=[[1500.0], [1600.0]]), config)
    first, second = (row[0] for row in done.result.images)
    assert first.method == "thon" and second.method == "stated"
    assert second.defocus_angstrom == 1600 and "no contrast" in second.note


def test_fits_to_noise_are_not_written():
    """They lie anywhere in the search range; the stated defocus stays, and the table tells why."""
    rng = np.random.default_rng(2)
    noise = TiltFocalSeries(
        images=1 + 0.1 * rng.normal(size=(3, 1, 128, 128)),
        tilt_deg=np.array([-10.0, 0, 10]),
        pixel_size_angstrom=1.0,
        energy_ev=300e3,
        spherical_aberration_angstrom=1.2e7,
    )
    stated = np.array([[5000.0], [5100.0], [5200.0]])
    done = find_ctf(noise.replace(defocus_angstrom=stated))
    assert np.allclose(done.series.defocus_angstrom, stated)
    assert all(image.method == "stated" and "cannot be trusted" in image.note for image in done.result)
    assert done.result.message.startswith("0 of 3 images") and "3 keep the stated" in done.result.message
    # A group that one focus makes sure of keeps its joint fit.
    images = {
        (0, 0): ImageCtf(0, 0, "thon", 900.0, confidence=0.7),
        (0, 1): ImageCtf(0, 1, "thon", 1900.0),
        (1, 0): ImageCtf(1, 0, "thon", 30000.0, note="rings are not above the noise"),
    }
    pair = noise.replace(images=np.repeat(np.asarray(noise.images), 2, axis=1), used=None, shifts_px=None)
    focal = pair.replace(defocus_angstrom=np.tile([1000.0, 2000.0], (3, 1)))
    joint, single = completed(focal, images, True), completed(focal, images, False)
    assert [image.defocus_angstrom for image in joint[0]] == [900.0, 1900.0]
    assert [image.defocus_angstrom for image in single[0]] == [900.0, 2000.0]
    assert joint[1][0].defocus_angstrom == 1000.0 and "30000" in joint[1][0].note
    unknown = completed(pair, images, False)
    assert unknown[1][0].method == "neighbours" and unknown[1][0].defocus_angstrom == 900.0


def test_foci_that_all_give_one_defocus_are_not_believed():
    """Lattice rings of a crystal, fitted one by one: foci of a tilt differ, these do not."""
    row = [742.0, 1346.0, 772.0, 730.0, 767.0]
    found = {
        (0, f): ImageCtf(0, f, "thon", value, confidence=0.7 * (f != 4)) for f, value in enumerate(row)
    } | {(1, f): ImageCtf(1, f, "thon", value, confidence=0.7) for f, value in enumerate([700.0, 900, 1100])}
    kept = distrusted(found)
    assert all(kept[0, f].confidence == 0 and "4 foci of this tilt" in kept[0, f].note for f in range(5))
    assert all(kept[1, f] is found[1, f] for f in range(3))


def test_a_defocus_set_by_hand_does_not_let_fits_to_noise_in():
    rows = [[ImageCtf(t, 0, "thon", 3e4 + t, c12_angstrom=700.0, note="no rings")] for t in range(4)]
    rows[3] = [ImageCtf(3, 0, note="no contrast")]
    given = TiltFocalSeries(
        images=np.ones((4, 1, 16, 16)), tilt_deg=[0.0, 5, 20, 30], pixel_size_angstrom=1.0, energy_ev=3e5
    )
    result = CtfResult(tuple(map(tuple, rows)), given.tilt_deg, PLAIN, "thon", "")
    assert not result.supported
    with pytest.raises(DataError, match="at 0°, focus 1, has none that can be trusted"):
        result.apply(given)
    once = result.edited(0, 0, 1000.0)
    assert once.supported and once.images[0][0].c12_angstrom == 0
    assert once.apply(given).defocus_angstrom.ravel().tolist() == [1000.0] * 4
    assert "30001 Å, cannot be trusted (no rings)" in once.images[1][0].note
    twice = once.edited(2, 0, 2000.0)
    assert twice.defocus_angstrom.ravel().tolist() == [1000.0, 1500.0, 2000.0, 1500.0]


def test_unused_images_get_their_neighbours_defocus_when_none_is_stated():
    images = np.stack([film((128, 128), 1.0, 2000.0, snr=2.0, seed=t) for t in range(3)])[:, None]
    used = np.array([[True], [False], [True]])
    done = find_ctf(series(images, tilt_deg=[-1.0, 0.0, 1.0], used=used), PLAIN)
    middle = done.result.images[1][0]
    assert middle.method == "neighbours" and abs(middle.defocus_angstrom - 2000) < 40
    assert done.series.used.ravel().tolist() == [True, False, True]


def test_rows_are_plain_and_name_units():
    result = find_ctf(series(film((128, 128), 1.0, 2000.0, snr=2.0)), PLAIN).result
    row = result.rows()[0]
    assert {"tilt_deg", "defocus_angstrom", "c12_angstrom", "phi12_rad", "phase_shift_deg", "confidence",
            "resolution_angstrom", "method", "outlier"} <= set(row)  # fmt: skip
    assert result.as_dict()["images"][0] == row


def test_picture_follows_an_edit():
    done = find_ctf(series(film((128, 128), 1.0, 2000.0, snr=2.0)), PLAIN)
    before = thon_rings(done.series, done.result, 0, 0).fitted
    after = thon_rings(done.series, done.result.edited(0, 0, 3000.0), 0, 0).fitted
    good = np.isfinite(before)
    assert np.corrcoef(before[good], after[good])[0, 1] < 0.5


@pytest.mark.parametrize(
    ("fields", "config", "error", "words"),
    [
        ({"spherical_aberration_angstrom": None}, {}, DataError, "spherical_aberration: is missing"),
        ({"used": np.zeros((1, 1), bool)}, {}, DataError, "no image is in use"),
        ({}, {"group": "joint"}, ConfigError, "one focus only"),
        ({}, {"method": "exit_wave"}, DataError, "defocus of the foci is not stated"),
        ({"defocus_angstrom": [1000.0]}, {"method": "exit_wave"}, DataError, "no tilt has two or more foci"),
        ({}, {"tile_px": 512}, DataError, "tile_px: is 512 pixels, but the images have 128"),
        (
            {},
            {"resolution_low_angstrom": 2.3, "resolution_high_angstrom": 2.2},
            DataError,
            "too few frequencies",
        ),
    ],
)
def test_refused(fields, config, error, words):
    with pytest.raises(error, match=words):
        find_ctf(series(film((128, 128), 1.0, 2000.0), **fields), CtfConfig(**config))


def test_tiny_images_are_refused():
    with pytest.raises(DataError, match="24 × 20 pixels are too small"):
        find_ctf(series(film((20, 24), 1.0, 2000.0)), PLAIN)


def test_ranges_must_be_ranges():
    with pytest.raises(ConfigError, match="defocus_max_angstrom"):
        CtfConfig.parse(defocus_min_angstrom=500, defocus_max_angstrom=400)
    with pytest.raises(ConfigError, match="coarser"):
        CtfConfig.parse(resolution_low_angstrom=3.0, resolution_high_angstrom=5.0)


def test_nothing_found_and_nothing_stated_is_an_error():
    from napari_phaset3m.prepare.ctf.api import iterate_ctf

    with pytest.raises(DataError, match="no image could be fitted"):
        list(iterate_ctf(series(film((64, 64), 1.0, 2000.0)), PLAIN, finish=_Now()))


class _Now:
    def finish_requested(self) -> bool:
        return True


def test_finish_ends_early_with_what_there_is():
    from napari_phaset3m.prepare.ctf.api import iterate_ctf

    given = series(film((128, 128), 1.0, 2000.0), defocus_angstrom=[1700.0])
    done = list(iterate_ctf(given, PLAIN, finish=_Now()))[-1]
    assert done.result.images[0][0].method == "stated" and done.series.defocus_angstrom[0, 0] == 1700
