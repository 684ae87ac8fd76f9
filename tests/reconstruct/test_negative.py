"""Where a volume that is held positive may fit a series worse, and where nothing says so."""

from __future__ import annotations

import numpy as np
import pytest

from napari_phaset3m.config import ReconstructionConfig
from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.prepare.align.api import align
from napari_phaset3m.prepare.align.config import AlignConfig
from napari_phaset3m.prepare.history import recorded
from napari_phaset3m.prepare.normalise import NormaliseConfig
from napari_phaset3m.prepare.normalise import run as normalised
from napari_phaset3m.reconstruct.api import iterate, reconstruct
from napari_phaset3m.reconstruct.events import Started
from napari_phaset3m.reconstruct.negative import why_negative

SIRT = ReconstructionConfig(method="sirt")
FREE = ReconstructionConfig.parse(method="sirt", constraints={"positivity": False})


def series(normalisation: str) -> TiltFocalSeries:
    return TiltFocalSeries(
        images=np.ones((3, 1, 8, 8)), tilt_deg=[-10, 0, 10], pixel_size_angstrom=1.0, energy_ev=2e5,
        normalisation=normalisation,
    )  # fmt: skip


@pytest.mark.parametrize("level", ["mean", "median", "background"])
def test_a_level_of_the_specimens_own_is_told_for_line_projections_held_positive(level):
    assert f"their own {level}" in why_negative(series(level), SIRT)
    assert not why_negative(series(level), FREE), "nothing is held positive"
    assert not why_negative(series(level), ReconstructionConfig()), "multislice solves for the potential"


@pytest.mark.parametrize("level", ["vacuum", "counts", "given", "dark_field"])
def test_a_level_of_vacuum_or_dark_field_says_nothing(level):
    assert not why_negative(series(level), SIRT)


@pytest.mark.parametrize("level", ["mean", "background"])
def test_the_words_are_those_of_the_step_normalise(level):
    *_, done = normalised(series("vacuum"), NormaliseConfig(level=level))
    assert f"their own {level}" in why_negative(done.series, SIRT)


def test_what_the_last_alignment_tried_comes_before_the_level():
    note = {"reference_note": "volumes that may be negative tell 295 nats of an image, positive ones 73"}
    positive = {"reference": {"positivity": True}}
    told = recorded(series("vacuum"), "align", {"reference": {"positivity": False}}, note)
    assert "when they were aligned" in why_negative(told, SIRT)
    assert not why_negative(recorded(told.replace(normalisation="mean"), "align", positive), SIRT)
    undecided = recorded(series("mean"), "align", {"reference": {"positivity": "auto"}})
    assert "their own mean" in why_negative(undecided, SIRT)


def test_volumes_that_were_asked_for_are_no_finding():
    """Nothing was tried, and it was taken for a trial that positive volumes won."""
    free = AlignConfig.parse(stages=["match"])
    asked = AlignConfig.parse(stages=["match"], reference={"positivity": True})
    given = film(np.random.default_rng(3)).replace(normalisation="median")
    assert align(given, free).result.reference_tried
    forced = align(given, asked)
    assert not forced.result.reference_tried
    assert "their own median" in why_negative(forced.series, SIRT)


def test_what_was_tried_at_another_level_says_nothing():
    note = {"reference_note": "volumes that may be negative tell 295 nats of an image, positive ones 73"}
    free = recorded(series("vacuum"), "align", {"reference": {"positivity": False}}, note)
    assert not why_negative(recorded(free, "normalise", {"level": "vacuum"}), SIRT)
    won = recorded(series("mean"), "align", {"reference": {"positivity": True}}, {"reference_tried": True})
    assert not why_negative(won, SIRT)
    assert "their own mean" in why_negative(recorded(won, "normalise", {"level": "mean"}), SIRT)


@pytest.mark.parametrize(
    "step",
    [{}, {"step": ["align"]}, "align", {"step": "align", "told": None, "parameters": []},
     {"step": "align", "told": [1], "parameters": {"reference": "auto"}}],
)  # fmt: skip
def test_a_history_of_any_kind_is_read(step):
    """A file may hold any object: a step without its name, or nothing told, was an unexpected error."""
    odd = series("mean").replace(metadata={"history": [step]})
    assert "their own mean" in why_negative(odd, SIRT)


def film(rng: np.random.Generator) -> TiltFocalSeries:
    """Dense and thin places everywhere, dark where dense, levelled by the median; nothing but projections."""
    n, tilts = 32, np.linspace(-60, 60, 13)
    places, weights = rng.uniform(-12, 12, (60, 3)), rng.choice([-1.0, 1.0], 60)
    y, x = np.mgrid[:n, :n] - (n - 1) / 2
    images = []
    for tilt in np.deg2rad(tilts):
        across = places[:, 0] * np.cos(tilt) - places[:, 2] * np.sin(tilt)
        spots = np.exp(-((x - across[:, None, None]) ** 2 + (y - places[:, 1, None, None]) ** 2) / 4)
        images.append(1 - 0.03 * np.einsum("i,iyx->yx", weights, spots) + rng.normal(0, 0.003, (n, n)))
    return TiltFocalSeries(
        images=np.array(images)[:, None], tilt_deg=tilts, pixel_size_angstrom=10.0, energy_ev=3e5,
        normalisation="given",
    )  # fmt: skip


@pytest.mark.parametrize(("config", "told"), [(SIRT, 1), (FREE, 0)])
def test_a_run_tells_it_and_names_the_setting(config, told, caplog):
    noisy = series("median")
    noisy = noisy.replace(images=1 + np.random.default_rng(0).normal(0, 0.01, noisy.images.shape))
    one = config.model_copy(update={"iterations": 1, "holdout_fraction": 0.0})
    (notes,) = (event.notes for event in iterate(noisy, one, device="cpu") if isinstance(event, Started))
    found = [note for note in notes if "negative" in note]
    assert len(found) == told
    for note in found:
        assert note.startswith("warning: values may have to be negative: ") and "their own median" in note
        assert "constraints.positivity" in note and "--" not in note, "compare has no flag --no-positivity"
    assert (
        reconstruct(noisy, one, on_event=lambda _: None, device="cpu").notes == notes and not caplog.messages
    )
    assert reconstruct(noisy, one, device="cpu").notes == notes
    assert sum("values may have to be negative" in line for line in caplog.messages) == told


def test_an_alignment_that_chose_free_volumes_is_understood():
    config = AlignConfig.parse(stages=["match"])
    done = align(film(np.random.default_rng(3)), config)
    assert done.result.reference_note
    assert "when they were aligned" in why_negative(done.series, SIRT)
