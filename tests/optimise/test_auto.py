"""The pipeline on a small scene, its noise estimate, and its error bars."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from napari_phaset3m.errors import CancelledError, DataError, OutputError
from napari_phaset3m.optimise import auto as auto_module
from napari_phaset3m.optimise.auto import FREEDOM, AutoConfig, iterate_auto
from napari_phaset3m.optimise.auto_config import narrowed
from napari_phaset3m.optimise.checks import bounds
from napari_phaset3m.optimise.config import OptimiseConfig, Range, TrialConfig
from napari_phaset3m.optimise.jackknife import deal, with_scatter
from napari_phaset3m.optimise.levels import levelled
from napari_phaset3m.optimise.noise import is_noisy, noise_share
from napari_phaset3m.optimise.objective import Objective, Outcome, together
from napari_phaset3m.optimise.search import iterate_search
from napari_phaset3m.optimise.stages import Judged, State, searched
from napari_phaset3m.optimise.trials import UNEXPLAINED
from napari_phaset3m.optimise.uncertainty import Determined, values_of
from napari_phaset3m.prepare.align.apply import apply
from napari_phaset3m.prepare.align.model import Alignment
from napari_phaset3m.prepare.events import drain

SHORT = TrialConfig(bin=1, coarser=(), sweeps=6, holdout_fraction=0.15)


def noisy(series, dose: float, seed: int = 0):
    counts = dose * series.pixel_size_angstrom**2
    images = np.random.default_rng(seed).poisson(series.images * counts) / counts
    return series.replace(images=images.astype(np.float32))


def auto(**changes) -> AutoConfig:
    search = OptimiseConfig(ranges=(Range(name="cs_angstrom"),), calls=5, initial=3, trial=SHORT)
    return AutoConfig(**{"search": search, "align": "never", "bins": (), "rounds": 1, **changes})


def test_noise_is_told_from_the_corners_of_the_spectrum(true_series):
    assert noise_share(true_series) < 0.01
    strong = noisy(true_series, 10.0)
    amplitude = np.sqrt(true_series.images)
    signal = (amplitude - amplitude.mean((2, 3), keepdims=True)).var()
    added = (np.sqrt(strong.images) - amplitude).var()
    assert noise_share(strong) == pytest.approx(added / (added + signal), abs=0.06)
    assert is_noisy(strong) == (added > 4 * signal)
    assert noise_share(strong, 2) < noise_share(strong)


def test_trials_average_over_held_out_sets(true_series, short):
    objective = [Objective(true_series, short, SHORT.model_copy(update={"held_out_sets": n})) for n in (1, 3)]
    one, three = (each({}) for each in objective)
    assert objective[1].sets == 3 and Objective(true_series, short, SHORT).sets == 1
    assert one.score != three.score and three.refined.shifts_px.shape == one.refined.shifts_px.shape
    failed = Outcome("diverged", message="no")
    assert together([one, failed, one]) is failed
    assert together([one, three]).score == pytest.approx((one.score + three.score) / 2)


def test_the_common_defocus_joins_cs_only_in_noise(true_series):
    wanted = auto()
    assert wanted.with_defocus(true_series) is wanted
    names = [item.name for item in wanted.with_defocus(noisy(true_series, 1.0)).search.ranges]
    assert names == ["cs_angstrom", "defocus_offset_angstrom"]


def test_ranges_shrink_around_what_is_stated_now():
    assert narrowed((0.0, 8.0), 7.0, 0.5) == (4.0, 8.0)
    assert narrowed((0.0, 8.0), 3.0, 0.5) == (1.0, 5.0)
    assert narrowed((0.0, 8.0), 7.0, 1.0) == (3.0, 11.0)


def test_ranges_stay_where_values_make_sense(true_series, short):
    trial = SHORT.model_copy(update={"bin": 2})
    item = Range(name="convergence_semiangle_mrad")
    wanted = AutoConfig(search=OptimiseConfig(ranges=(item,), trial=trial))
    series = noisy(true_series, 1.0)
    found = SimpleNamespace(limits={item.name: (0.0, 0.3)})
    second = wanted.finer(found, series, short).search.ranges[0]
    assert (second.low, second.high) == (0.0, pytest.approx(0.15)), "an angle below 0 would be refused"
    bounds(second, series, short)


def test_settings_that_a_search_found_stay_for_what_follows(true_series, short):
    slow = short.model_copy(update={"step": 0.02})
    search = OptimiseConfig(
        ranges=(Range(name="step", low=0.02, high=1.0),), calls=3, method="grid", trial=SHORT
    )
    done = drain(iterate_auto(true_series, auto(search=search, error_groups=0), slow))
    first, second = done.result.stages
    assert (first.name, first.kept, second.name) == ("search", True, "gradient")
    step = done.result.searches[0].best.values["step"]
    assert step > 0.4 and first.changed["step"] == step and done.result.solver == {"step": step}
    assert done.series.metadata["history"][-1]["told"]["step"] == step
    refined = true_series if not second.kept else done.series
    again = Objective(refined, slow, SHORT, search.seed)
    if second.kept:
        assert again({"step": step}).score == pytest.approx(second.after, rel=1e-5)
    assert second.after < again({}).score, "what follows is judged with the step that was found"


def test_it_is_said_when_held_out_images_are_not_explained(true_series, short):
    blind = true_series.replace(images=np.random.default_rng(3).uniform(0.5, 1.5, true_series.images.shape))
    search = OptimiseConfig(ranges=(Range(name="cs_angstrom"),), calls=2, method="random", trial=SHORT)
    alone = drain(iterate_search(blind, search, short)).result
    assert alone.best.score >= 1 and UNEXPLAINED in alone.notes
    assert UNEXPLAINED in drain(iterate_auto(blind, auto(search=search, error_groups=0), short)).result.notes
    good = drain(iterate_search(true_series, search, short)).result
    assert good.best.score < 1 and UNEXPLAINED not in good.notes


def test_what_searches_found_adds_up():
    def search(**values):
        return SimpleNamespace(best=SimpleNamespace(values=values))

    kept = [
        search(tilt_axis_angle_deg=0.5, magnification=1.1, step=1.0, cs_angstrom=2e7),
        search(tilt_axis_angle_deg=-0.2, magnification=0.9, focal_spread_angstrom=30.0),
    ]
    told = searched(kept, ("C30", "C12"))
    assert told == pytest.approx(
        {"tilt_axis_angle_deg": 0.3, "magnification": 0.99, "focal_spread_angstrom": 30.0}
    )


def test_trials_of_another_run_are_refused_at_once(true_series, short, tmp_path):
    path = tmp_path / "t.jsonl"
    (tmp_path / "t.2.jsonl").touch()
    with pytest.raises(OutputError, match=r"t\.2\.jsonl: exists"):
        next(iterate_auto(true_series, auto(rounds=2), short, journal=path))
    wanted = auto(error_groups=0)
    drain(iterate_auto(true_series, wanted, short, journal=path))
    ranges = (Range(name="cs_angstrom", low=1e7, high=2e7),)
    other = auto(search=wanted.search.model_copy(update={"ranges": ranges}))
    with pytest.raises(DataError, match="another series, range or setting"):
        next(iterate_auto(true_series, other, short, journal=path, resume=True))
    assert next(iterate_auto(true_series, wanted, short, journal=path, resume=True)).fraction == 0


def test_a_run_killed_in_its_second_search_goes_on_to_the_same_end(true_series, short, tmp_path):
    """The first search had ended: what it found may not change, or trials of the second are of no use."""
    wrong = true_series.replace(spherical_aberration_angstrom=1.5e7)
    search = OptimiseConfig(
        ranges=(Range(name="cs_angstrom"),), calls=5, initial=3, stop_gain=0.0,
        trial=SHORT.model_copy(update={"bin": 2}),
    )  # fmt: skip
    wanted, path = auto(search=search, rounds=2, error_groups=0), tmp_path / "t.jsonl"
    whole = drain(iterate_auto(wrong, wanted, short))
    second = tmp_path / "t.2.jsonl"
    for _ in iterate_auto(wrong, wanted, short, journal=path):
        if second.exists() and len(second.read_text().splitlines()) > 2:
            break
    first, begun = path.read_text(), second.read_text()
    again = drain(iterate_auto(wrong, wanted, short, journal=path, resume=True))
    assert path.read_text() == first and second.read_text().startswith(begun)
    np.testing.assert_array_equal(again.series.shifts_px, whole.series.shifts_px)
    assert again.series.spherical_aberration_angstrom == whole.series.spherical_aberration_angstrom
    longer = auto(search=search.model_copy(update={"calls": 8}), rounds=2, error_groups=0)
    done = drain(iterate_auto(wrong, longer, short, journal=path, resume=True))
    set_aside = [note for note in done.result.notes if "trials of another outcome" in note]
    assert len(done.result.searches[0].trials) >= 8
    assert (tmp_path / "t.2.jsonl.old").exists() == bool(set_aside)


def test_the_pipeline_finds_cs_with_error_bars(true_series, short):
    wrong = true_series.replace(spherical_aberration_angstrom=1.5e7)
    done = drain(iterate_auto(wrong, auto(error_groups=2), short))
    found, determined = done.series, done.result.determined
    assert abs(found.spherical_aberration_angstrom - 1.2e7) < 0.1e7
    assert determined.names[:2] == ("defocus", "C30")
    assert abs(found.spherical_aberration_angstrom - 1.2e7) < 3 * determined.sigma_angstrom[1]


@pytest.mark.parametrize(("optics", "refined"), [(("C30", "C12"), True), (("C12",), False), ((), False)])
def test_the_start_leaves_optics_alone_that_are_not_asked_for(
    true_series, short, monkeypatch, optics, refined
):
    asked = []

    def align(series, config, **_):
        asked.append(config)
        raise CancelledError("seen")
        yield

    monkeypatch.setattr(auto_module, "iterate_align", align)
    with pytest.raises(CancelledError):
        drain(iterate_auto(true_series, auto(align="always", optics=optics), short))
    assert asked[0].gradient.refine_optics is refined and asked[0].stages == "auto"


def test_doses_of_single_images_are_found(true_series, short):
    rng = np.random.default_rng(2)
    dose = 1 + rng.normal(0, 0.05, true_series.images.shape[:2])
    wrong = true_series.replace(images=true_series.images * dose[:, :, None, None].astype(np.float32))
    done = drain(iterate_auto(wrong, auto(dose=True, error_groups=0), short))
    stage = next(stage for stage in done.result.stages if stage.name == "dose")
    assert stage.kept and stage.after < 0.5 * stage.before
    left = done.series.images.mean((2, 3)) / true_series.images.mean((2, 3)) - 1
    assert np.sqrt((left**2).mean()) < 0.005 < 0.04 < stage.changed["dose_rms_percent"] / 100
    assert levelled(wrong.replace(dose_per_image=20.0), dose).dose_per_image[3, 1] == pytest.approx(
        20 * dose[3, 1]
    )


def test_images_of_single_tilts_are_turned_back(true_series, short):
    off = np.random.default_rng(3).normal(0, 1.0, true_series.n_tilt)
    stated = Alignment.of(true_series)
    wrong = apply(true_series, stated.replace(rotation_deg=stated.rotation_deg + off[:, None]))
    done = drain(iterate_auto(wrong, auto(geometry=("rotation",), error_groups=0), short))
    stage = next(stage for stage in done.result.stages if stage.name == "geometry")
    assert stage.kept and stage.after < 0.93 * stage.before
    assert 0.3 < stage.changed["rotation_rms_deg"] < 1.5 * np.sqrt((off**2).mean())
    assert FREEDOM in done.result.notes


def test_every_image_is_left_out_once():
    used = np.ones((5, 3), bool)
    used[2] = False
    masks = deal(used, 4, 0)
    assert (sum(~mask & used for mask in masks) == used).all() and not any(mask[2].any() for mask in masks)


def test_error_bars_add_scatter_and_disagreement():
    bare = Determined(("C30",), np.array([1.0]), np.eye(1), np.zeros(1))
    rows = np.array([[10.0], [14.0], [12.0]])
    scatter = np.sqrt(2 / 3 * 8)
    assert with_scatter(bare, rows, np.array([3.0])).sigma_angstrom[0] == pytest.approx(np.hypot(scatter, 3))
    assert with_scatter(bare, rows[:1], np.zeros(1)).sigma_angstrom[0] == 1.0


def test_values_by_name(true_series):
    got = values_of(true_series, ("defocus", "C30", "C12 cos", "C12 sin", "focal_spread"))
    turn = 2 * 0.5
    np.testing.assert_allclose(got, [650, 1.2e7, 60 * np.cos(turn), 60 * np.sin(turn), 20], rtol=1e-6)


def test_there_is_a_volume_of_what_was_kept_at_the_finest_sampling(true_series):
    start, coarse, fine = (np.full((2, 2, 2), value) for value in (1.0, 2.0, 3.0))
    state = State(true_series, 0.5, volume=start, volume_bin=2)
    state.judge("search", true_series, Judged(0.6, coarse, 2), 0.0)
    assert state.volume is start, "what was undone shows nothing"
    state.judge("align", true_series, Judged(0.4, coarse, 2), 0.0)
    assert state.volume is coarse
    state.judge("gradient", true_series, Judged(0.3, fine, 1), 0.0)
    state.judge("dose", true_series, Judged(0.2, coarse, 2), 0.0)
    assert state.volume is fine and state.volume_bin == 1 and state.score == 0.2


def test_auto_gives_a_volume_where_no_stage_gained(true_series, short):
    result = drain(iterate_auto(true_series, auto(sweeps=2), short)).result
    assert result.volume is not None and result.volume.shape[-1] == true_series.image_shape[-1]
