"""Halves of a series: disjoint, balanced, and, for the dose, independent Poisson images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_phaset3m.analyse.halves import DESCRIPTION, KINDS, counts_per_unit, split
from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.errors import ConfigError, DataError


def series(n_tilt: int = 7, n_focus: int = 3, **changes: object) -> TiltFocalSeries:
    rng = np.random.default_rng(0)
    fields = {
        "images": rng.random((n_tilt, n_focus, 8, 8)).astype(np.float32),
        "tilt_deg": rng.permutation(np.linspace(-60, 60, n_tilt)),
        "pixel_size_angstrom": 1.0,
        "energy_ev": 3e5,
        "defocus_angstrom": np.linspace(900, 500, n_focus),
    }
    return TiltFocalSeries(**{**fields, **changes})


def counted(dose: float = 40.0, n: int = 64) -> TiltFocalSeries:
    """Poisson counts, as the readers hand them over."""
    pixel = 0.5
    level = dose * pixel**2
    counts = np.random.default_rng(3).poisson(level, (4, 2, n, n))
    return series(
        4, 2, images=(counts / level).astype(np.float32), pixel_size_angstrom=pixel, dose_per_image=dose,
        normalisation="counts", metadata={"counts": True, "scale": level},
    )  # fmt: skip


def flags(pair: tuple[TiltFocalSeries, TiltFocalSeries]) -> tuple[np.ndarray, np.ndarray]:
    assert pair[0].used is not None and pair[1].used is not None
    return pair[0].used, pair[1].used


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 9), st.integers(1, 4), st.integers(0, 99))
def test_halves_are_disjoint_and_complete_and_leave_unused_images_out(n_tilt, n_focus, seed):
    used = np.random.default_rng(seed).random((n_tilt, n_focus)) > 0.2
    whole = series(n_tilt, n_focus, used=used)
    for kind in ("tilts", "foci"):
        try:
            first, second = flags(split(whole, kind))
        except DataError:
            limit = used.any(1).sum() if kind == "tilts" else used.sum(1).max()
            assert limit < 2
            continue
        assert not (first & second).any()
        np.testing.assert_array_equal(first | second, used)


def test_tilts_alternate_in_the_order_of_the_angles():
    used = np.ones((7, 3), bool)
    whole = series(used=used)
    first, second = flags(split(whole, "tilts"))
    order = np.argsort(whole.tilt_deg)
    np.testing.assert_array_equal(first[order, 0], [1, 0, 1, 0, 1, 0, 1])
    assert np.all(first == first[:, :1]) and np.all(second == ~first)
    used[order[1]] = False  # the count goes on after a tilt that is not used
    first, _ = flags(split(series(used=used), "tilts"))
    np.testing.assert_array_equal(first[order, 0], [1, 0, 0, 1, 0, 1, 0])


def test_images_at_one_angle_stay_together():
    whole = series(7, 1, tilt_deg=[-10.0, -10.0, -10.0, 0.0, 0.0, 10.0, 12.0])
    first, _ = flags(split(whole, "tilts"))
    np.testing.assert_array_equal(first[:, 0], [1, 1, 1, 0, 0, 1, 0])
    with pytest.raises(DataError, match="all at one angle"):
        split(series(3, 1, tilt_deg=[5.0, 5.0, 5.0]), "tilts")


@pytest.mark.parametrize("n_focus", [2, 3, 4])
def test_foci_are_dealt_so_that_both_halves_see_every_tilt_and_defocus(n_focus):
    whole = series(8, n_focus)
    first, second = flags(split(whole, "foci"))
    assert first.any(1).all() and second.any(1).all()
    assert first.any(0).all() and second.any(0).all()
    assert first.sum() == second.sum()
    # within a tilt they alternate in the order of defocus, here descending
    ranked = first[:, ::-1]
    assert np.all(ranked[:, 1:] != ranked[:, :-1])


def test_images_are_shared_not_copied():
    whole = series()
    for half in split(whole, "tilts"):
        assert np.shares_memory(half.images, whole.images)


def test_dose_halves_add_up_and_are_independent_poisson():
    whole = counted()
    first, second = split(whole, "dose", seed=5)
    level = counts_per_unit(whole)[0, 0]
    one, two = (np.asarray(h.images, float) * level / 2 for h in (first, second))
    np.testing.assert_allclose(one + two, np.asarray(whole.images, float) * level, atol=1e-3)
    np.testing.assert_allclose(one, np.rint(one), atol=1e-4)
    # Poisson: variance = mean; independent: no correlation
    n = one.size
    assert one.mean() == pytest.approx(level / 2, rel=5 / np.sqrt(n * level / 2))
    assert one.var() / one.mean() == pytest.approx(1, abs=6 * np.sqrt(2 / n))
    assert abs(np.corrcoef(one.ravel(), two.ravel())[0, 1]) < 4 / np.sqrt(n)
    np.testing.assert_allclose(first.dose_per_image, 20.0)
    np.testing.assert_allclose(counts_per_unit(first), level / 2)
    assert first.images.mean() == pytest.approx(1, abs=0.02)
    again = split(whole, "dose", seed=5)[0]
    np.testing.assert_array_equal(again.images, first.images)
    assert not np.array_equal(split(whole, "dose", seed=6)[0].images, first.images)
    split(first, "dose")  # halves can be halved again


def test_dose_needs_whole_counts():
    with pytest.raises(DataError, match=r"counts: holds no electron counts.*--counts"):
        split(series(), "dose")
    whole = counted()
    with pytest.raises(DataError, match="no whole counts"):
        split(whole.replace(images=whole.images * 1.01), "dose")
    with pytest.raises(DataError, match="by what the counts were divided"):
        split(whole.replace(normalisation="mean", metadata={"counts": True}), "dose")


def test_a_file_of_counts_is_halved(shared_data: Path):
    from napari_phaset3m.io.series import load_series

    whole = load_series(shared_data / "co3o4" / "co3o4_dev_dose21p5.h5")
    first, second = split(whole, "dose")
    np.testing.assert_allclose((first.images + second.images) / 2, whole.images, atol=1e-4)
    assert first.dose_per_image is not None
    np.testing.assert_allclose(first.dose_per_image, 10.75)


def test_what_cannot_be_split_is_told():
    with pytest.raises(DataError, match="foci cannot be split"):
        split(series(n_focus=1), "foci")
    with pytest.raises(DataError, match="cannot be split"):
        split(series(1), "tilts")
    with pytest.raises(ConfigError, match="halves"):
        split(series(), "frames")  # type: ignore[arg-type]
    assert set(DESCRIPTION) == set(KINDS)
