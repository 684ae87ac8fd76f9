"""Matching at full sampling, the pipeline's last stage in strong noise."""

from __future__ import annotations

import numpy as np
import pytest

from napari_phaset3m.optimise import auto as auto_module
from napari_phaset3m.optimise.auto_config import AutoConfig
from napari_phaset3m.optimise.config import OptimiseConfig, TrialConfig
from napari_phaset3m.optimise.fine import iterate_fine
from napari_phaset3m.optimise.stages import State
from napari_phaset3m.prepare.align.model import Alignment, without_translation
from napari_phaset3m.prepare.align.support import Ball
from napari_phaset3m.prepare.events import Done, drain

DOSE = 3000.0


def off(series) -> float:
    """RMS of the shifts (truth: none), a translation of the specimen removed."""
    rest = without_translation(Alignment.of(series)).shifts_px
    return float(np.sqrt((rest**2).mean()))


@pytest.fixture
def displaced(true_series):
    """Counting noise, shifts off by 0.6 px, defoci by 40 Å."""
    rng = np.random.default_rng(3)
    electrons = DOSE * true_series.pixel_size_angstrom**2
    images = (rng.poisson(np.maximum(true_series.images, 0) * electrons) / electrons).astype(np.float32)
    return true_series.replace(
        images=images,
        dose_per_image=np.full(images.shape[:2], DOSE),
        shifts_px=rng.normal(0, 0.6, (*images.shape[:2], 2)),
        defocus_angstrom=true_series.defocus_angstrom + rng.normal(0, 40, (len(images), 1)),
    )


@pytest.mark.parametrize("optics", [("C30", "C12"), ("C12",), ()])
def test_images_find_their_places(displaced, true_series, optics):
    found = drain(iterate_fine(displaced, 3, (0, 1, None), optics=optics)).series
    assert off(found) < 0.5 * off(displaced)
    wrong, left = ((s.defocus_angstrom - true_series.defocus_angstrom) for s in (displaced, found))
    assert left.std() < 0.8 * wrong.std()
    moved = abs(found.spherical_aberration_angstrom - displaced.spherical_aberration_angstrom)
    assert moved > 1e3 if "C30" in optics else moved < 1.0
    assert (found.aberrations != displaced.aberrations) is ("C12" in optics)


def test_an_image_far_off_is_fetched(displaced):
    shifts = displaced.shifts_px.copy()
    shifts[3, 1] += [3.0, -3.0]
    found = drain(iterate_fine(displaced.replace(shifts_px=shifts), 2, (0, 1, None))).series
    rest = without_translation(Alignment.of(found)).shifts_px
    assert np.abs(rest[3, 1]).max() < 1.0


@pytest.mark.parametrize(
    ("electrons", "changes", "free"),
    [
        (1e5, {}, None),
        (1.0, {}, ("C30", "C12")),
        (1.0, {"fine_rounds": 0}, None),
        (1.0, {"optics": ("C30",)}, ("C30",)),
        (1.0, {"optics": ("C21",)}, ()),
    ],
)
def test_the_pipeline_ends_with_it_in_strong_noise_only(
    true_series, short, monkeypatch, electrons, changes, free
):
    counted = np.random.default_rng(0).poisson(true_series.images * electrons) / electrons
    series, asked = true_series.replace(images=counted.astype(np.float32)), []

    def fine(series, rounds, how, *, optics):
        asked.append((rounds, optics))
        yield Done(series.replace(spherical_aberration_angstrom=1e7), Ball((0.0, 0.0, 0.0), 30.0, 0.5))

    monkeypatch.setattr(auto_module, "iterate_fine", fine)
    trial = TrialConfig(bin=1, coarser=(), sweeps=2)
    wanted = AutoConfig(search=OptimiseConfig(trial=trial), **changes)
    state, runs = State(series, np.inf), free is not None
    list(auto_module._fine(state, wanted, short, None))
    assert asked == ([(6, free)] if runs else [])
    assert [stage.name for stage in state.stages] == ["fine"] * runs
    assert (state.series.spherical_aberration_angstrom == 1e7) is runs
    assert [stage.changed["ball_radius_angstrom"] for stage in state.stages] == [15.0] * runs
