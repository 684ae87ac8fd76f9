"""Volumes that predict images: held positive or not; an axis far from where it is stated."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.prepare.align import api, model_free
from napari_phaset3m.prepare.align.axis import Axis, believed
from napari_phaset3m.prepare.align.coarse import CoarseResult
from napari_phaset3m.prepare.align.config import AlignConfig
from napari_phaset3m.prepare.align.model import Alignment
from napari_phaset3m.prepare.align.reference_settings import reference_config
from napari_phaset3m.prepare.align.sign import settled
from napari_phaset3m.prepare.align.words import told_words, why_undone
from napari_phaset3m.prepare.align.work import Judged, Share, Work
from napari_phaset3m.prepare.events import Done, drain
from napari_phaset3m.prepare.predictions import iterate_predictions

SIZE, TILTS = 48, np.arange(-60, 61, 6.0)


def balls_of(axis_deg: float = 0.0, noise: float = 0.0) -> np.ndarray:
    """`(n_tilt, SIZE, SIZE)` projections of 30 Gaussians, axis turned by the angle."""
    rng = np.random.default_rng(1)
    place = rng.normal(0, 1, (30, 3))
    place *= (13 * rng.random(30) ** (1 / 3) / np.linalg.norm(place, axis=1))[:, None]
    grid, a = np.arange(SIZE) - (SIZE - 1) / 2, np.radians(axis_deg)
    z, y, x = place.T
    found = []
    for t in np.radians(TILTS):
        across = x * np.cos(t) - z * np.sin(t)
        gx, gy = np.cos(a) * across - np.sin(a) * y, np.sin(a) * across + np.cos(a) * y
        rows, columns = (np.exp(-((grid[:, None] - g) ** 2) / (2 * 1.6**2)) for g in (gy, gx))
        found.append(rows @ columns.T)
    return 0.1 * np.array(found) + rng.normal(0, noise, (TILTS.size, SIZE, SIZE))


def series_of(contrast: np.ndarray) -> TiltFocalSeries:
    return TiltFocalSeries(
        images=1 - contrast[:, None], tilt_deg=TILTS, pixel_size_angstrom=5.0, energy_ev=2e5
    )


def film(noise: float = 0.0) -> np.ndarray:
    """Vesicles across a film that fills the field, as a defocused image shows them."""
    rng = np.random.default_rng(2)
    n, grid = 3 * SIZE, np.arange(SIZE) - (SIZE - 1) / 2
    density = gaussian_filter(rng.normal(0, 1, (7, SIZE, n)), (1, 2, 2))
    found = []
    for t in np.radians(TILTS):
        image = np.zeros((SIZE, SIZE))
        for z, layer in enumerate(density, start=-3):
            x = (grid + z * np.sin(t)) / np.cos(t) + (n - 1) / 2
            image += np.array([np.interp(x, np.arange(n), row) for row in layer])
        found.append(image)
    return np.array(found) + rng.normal(0, noise, (TILTS.size, SIZE, SIZE))


def decided(series: TiltFocalSeries, **reference: object) -> tuple[AlignConfig, str]:
    steps = settled(Work(series, AlignConfig.parse(reference=reference), Alignment.of(series)), Share(0, 1))
    return drained(steps)


def drained(steps: Generator[Any, None, Any]) -> Any:
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


@pytest.mark.parametrize("noise", [0.0, 0.05])
@pytest.mark.parametrize("coarsest", [True, False])
def test_a_particle_is_predicted_by_positive_volumes(coarsest, noise):
    contrast = balls_of(noise=noise)
    if not coarsest:
        contrast -= gaussian_filter(contrast, (0, 4, 4))
    config, note = decided(series_of(contrast))
    assert config.reference.positivity is True and note == ""


@pytest.mark.parametrize("noise", [0.0, 0.5])
def test_a_film_is_predicted_by_volumes_that_may_be_negative(noise):
    config, note = decided(series_of(0.05 * film(noise)))
    assert config.reference.positivity is False and "may be negative" in note
    settings = reference_config(series_of(film()), config, 2)
    assert settings.method == "sirt" and not settings.constraints.positivity


def test_what_was_asked_for_is_not_decided_anew():
    for asked in (True, False):
        config, note = decided(series_of(0.05 * film()), positivity=asked)
        assert config.reference.positivity is asked and note == ""


def test_the_alignment_and_the_check_say_which_volumes_they_compare_with():
    series = series_of(0.05 * film(0.1))
    config = {"stages": ("coarse",), "coarse": {"axis": False}}
    auto = api.align(series, AlignConfig.parse(**config)).result
    held = api.align(series, AlignConfig.parse(**config, reference={"positivity": True})).result
    assert auto.stages[0].information_before > 1.2 * held.stages[0].information_before
    assert auto.summary()["reference_note"] == auto.reference_note != ""
    assert "reference_note" not in held.summary()
    assert drain(iterate_predictions(series)).result.model == "SIRT, negative values allowed"
    assert drain(iterate_predictions(series_of(balls_of()))).result.model == "SIRT"


def test_an_axis_far_from_the_stated_one_is_reached_in_several_passes():
    series = series_of(balls_of(axis_deg=21.0))
    done = api.align(series, AlignConfig.parse(stages=("coarse",), coarse={"axis_range_deg": 40.0}))
    (stage,) = done.result.stages
    assert stage.kept and done.result.alignment.axis_angle_deg == pytest.approx(21.0, abs=0.3)
    assert stage.told["axis_angle_deg"] == pytest.approx(21.0, abs=0.3)
    assert "beyond" not in told_words("coarse", stage.told)


def test_an_axis_beyond_the_range_is_told():
    done = api.align(series_of(balls_of(axis_deg=12.0)), AlignConfig.parse(stages=("coarse",)))
    words = told_words("coarse", done.result.stages[0].told)
    assert "beyond the ±4° that were searched" in words and "State the axis at import" in words


def test_line_projections_must_gain_much_to_move_what_coarse_found():
    series = series_of(balls_of())
    work = Work(series, AlignConfig(), Alignment.of(series))
    near = replace(work, reach_px=1.0)
    before = Judged(0.5, 1000.0, np.zeros(1), np.zeros(1))

    def kept(state: Work, information: float) -> bool:
        return api._kept("match", state, state, before, replace(before, information=information))

    assert kept(work, 1001.0)  # nothing was known of the shifts
    assert not kept(near, 1019.0) and kept(near, 1021.0)


def test_a_later_pass_is_drawn_to_where_the_axis_was_stated():
    seen = []

    def fake(series, config, *, stated, finish):
        seen.append((config.axis_range_deg, stated.angle_deg, stated.error_deg))
        turn = (10.0, 3.5, 0.5)[len(seen) - 1]
        alignment = Alignment.of(series)
        alignment = alignment.replace(
            rotation_deg=np.full_like(alignment.rotation_deg, turn),
            shift_error_px=np.full_like(alignment.shifts_px, 0.1),
        )
        yield Done(series, CoarseResult(alignment, turn, 0.3, False, True, ()))

    series = series_of(balls_of())
    work = Work(series, AlignConfig.parse(coarse={"axis_range_deg": 40.0}), Alignment.of(series))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(model_free, "iterate_coarse", fake)
        after = drained(model_free.coarse(work, Share(0, 1)))
    assert seen == [(40.0, 0.0, 20.0), (10.0, -10.0, 20.0), (4.0, -13.5, 20.0)]
    assert after.told["axis_angle_deg"] == pytest.approx(14.0)
    assert after.alignment.axis_angle_deg == pytest.approx(14.0)
    drawn = believed(Axis(5.0, 1.0), Axis(-10.0, 2.0))
    assert drawn.angle_deg == pytest.approx(-10 + 0.8 * 15)


def test_images_that_do_not_tell_the_axis_say_so():
    series = series_of(np.random.default_rng(3).normal(0, 0.1, (TILTS.size, SIZE, SIZE)))
    done = api.align(series, AlignConfig.parse(stages=("coarse",)))
    (stage,) = done.result.stages
    words = told_words("coarse", stage.told) if stage.kept else why_undone("coarse", stage.told)
    assert "the images do not tell the axis" in words


def test_a_stage_that_is_undone_says_what_it_had_found():
    words = why_undone("coarse", {"axis_angle_deg": -25.2, "axis_error_deg": 0.7})
    assert words.endswith("(it had found: axis turned by −25.20° ± 0.70°)")
