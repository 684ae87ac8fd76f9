"""Search: parameters, refusals, proposers, journal, and the whole on a small scene."""

from __future__ import annotations

import json

import numpy as np
import pytest

from napari_phaset3m.errors import ConfigError, DataError, DivergedError, OutputError
from napari_phaset3m.optimise import objective
from napari_phaset3m.optimise.checks import check
from napari_phaset3m.optimise.config import OptimiseConfig, Range, TrialConfig
from napari_phaset3m.optimise.journal_files import in_the_way, refuse_in_the_way, set_aside
from napari_phaset3m.optimise.parameters import PARAMETERS, put_all
from napari_phaset3m.optimise.posterior import interval, likely_best, score_noise, slice_through
from napari_phaset3m.optimise.proposers import Bayesian, Random, make_proposer
from napari_phaset3m.optimise.search import Axes, iterate_search
from napari_phaset3m.optimise.trials import Journal, Trial, chosen, signature
from napari_phaset3m.prepare.events import Done, drain
from napari_phaset3m.prepare.history import history

TRIAL = TrialConfig(
    bin=1, coarser=(), sweeps=6, holdout_fraction=0.15, refine_shifts=False, refine_defocus="off",
    refine_optics=(),
)  # fmt: skip
CS = Range(name="cs_angstrom", low=0.2e7, high=2.4e7)


def wanted(**changes) -> OptimiseConfig:
    return OptimiseConfig(**{"ranges": (CS,), "calls": 5, "initial": 3, "trial": TRIAL, **changes})


@pytest.mark.parametrize("name", list(PARAMETERS))
def test_what_is_put_is_got(true_series, short, name):
    parameter = PARAMETERS[name]
    now = parameter.get(true_series, short)
    value = now + 0.25 * parameter.span
    series, config = parameter.put(true_series, short, value)
    relative = parameter.get(series, config) == now  # offsets start from what the series states
    if not relative:
        expected = round(value) if name in ("iterations", "slices") else value
        assert parameter.get(series, config) == pytest.approx(expected)
    changed = series is not true_series or config is not short
    assert changed


def test_relative_parameters_change_what_they_say(true_series, short):
    values = {"defocus_offset_angstrom": 50.0, "magnification": 1.02, "intensity_scale": 0.9}
    series, _ = put_all(true_series, short, values)
    np.testing.assert_allclose(series.defocus_angstrom - true_series.defocus_angstrom, 50)
    # A larger magnification means that a pixel covers less of the specimen.
    assert series.pixel_size_angstrom == pytest.approx(true_series.pixel_size_angstrom / 1.02)
    np.testing.assert_allclose(series.images, 0.9 * true_series.images, rtol=1e-6)


def test_b_factor_is_an_mtf(true_series, short):
    series, _ = put_all(true_series, short, {"b_factor_angstrom2": 8.0})
    nyquist = 0.5 / true_series.pixel_size_angstrom
    at_nyquist = np.interp(1.0, *series.mtf.T)
    assert at_nyquist == pytest.approx(np.exp(-8.0 * nyquist**2 / 4), rel=1e-3)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"ranges": ()}, "no parameter is free"),
        ({"ranges": (Range(name="tilt_offset_deg"),)}, "only turns the volume"),
        ({"ranges": (Range(name="cs_angstrom", low=1.2e7, high=1.2e7 + 1),)}, "widen the range"),
        ({"trial": TRIAL.model_copy(update={"refine_optics": ("C30",)})}, "take it out of refine_optics"),
        (
            {
                "ranges": (Range(name="tilt_axis_offset_px"),),
                "trial": TRIAL.model_copy(update={"refine_shifts": True}),
            },
            "take it up",
        ),
        ({"ranges": (Range(name="focal_spread_angstrom", low=-5),)}, "least value"),
        ({"method": "random", "backend": "optuna"}, "not used by method random"),
        (
            {"ranges": (CS, Range(name="magnification")), "method": "grid", "calls": 3},
            "make no grid of 2 parameters; give at least 4",
        ),
    ],
)
def test_what_cannot_be_found_is_refused_before_the_run(true_series, short, changes, words):
    with pytest.raises(ConfigError, match=words):
        check(true_series, short, wanted(**changes))


def test_what_is_found_only_badly_is_told(true_series, short):
    two = (CS, Range(name="defocus_offset_angstrom"))
    notes = check(
        true_series, short, wanted(ranges=two, trial=TRIAL.model_copy(update={"refine_defocus": "tilt"}))
    )
    assert any("exchangeable" in note for note in notes) and any("flat score" in note for note in notes)


@pytest.mark.parametrize("name", ["focal_spread_angstrom", "b_factor_angstrom2"])
def test_what_a_sharper_volume_makes_up_for_needs_long_trials(true_series, short, name):
    free = short.model_copy(update={"padding_px": "auto"})
    for changes in ({}, {"sweeps": 80}, {"sweeps": 80, "padding_px": "auto", "bin": 2}):
        trial = TRIAL.model_copy(update=changes)
        with pytest.raises(ConfigError, match="a sharper volume makes up for it"):
            check(true_series, free, wanted(ranges=(Range(name=name),), trial=trial))
    trial = TRIAL.model_copy(update={"sweeps": 80, "padding_px": "auto", "bin": 1})
    check(true_series, free, wanted(ranges=(Range(name=name),), trial=trial))


def test_reversed_bounds_and_unknown_names_are_refused():
    with pytest.raises(ConfigError, match="give the lower one first"):
        Range.parse(name="cs_angstrom", low=2e7, high=1e7)
    with pytest.raises(ConfigError, match="unknown"):
        Range.parse(name="cs")


def test_linear_methods_have_no_optics(true_series, short):
    with pytest.raises(ConfigError, match="linear"):
        check(true_series, short.model_copy(update={"method": "sirt"}), wanted())


def _toy(point) -> float:
    return float((point[0] - 0.3) ** 2 + 2 * (point[1] - 0.6) ** 2)


def _best_of(method: str, seed: int, calls: int = 16) -> float:
    two = (CS, Range(name="magnification", low=0.9, high=1.1))
    proposer = make_proposer(wanted(ranges=two, method=method, seed=seed, initial=6))
    best = np.inf
    for _ in range(calls):
        (point,) = proposer.ask()
        score = _toy(point)
        best = min(best, score)
        proposer.tell(point, score)
    return best


def test_the_process_beats_random_points_on_a_bowl():
    seeds = range(5)
    assert np.mean([_best_of("bayes", s) for s in seeds]) < 0.2 * np.mean(
        [_best_of("random", s) for s in seeds]
    )


def test_a_grid_covers_its_range_and_ends():
    proposer = make_proposer(wanted(method="grid", calls=5))
    points = [p[0] for p in proposer.ask(9)]
    assert sorted(points) == [0.0, 0.25, 0.5, 0.75, 1.0] and points[0] == 0.5
    assert proposer.ask() == []


def test_failed_points_are_told_without_harm():
    proposer = make_proposer(wanted(initial=3))
    for score in (None, 0.5, 0.4, None, 0.3):
        proposer.tell(proposer.ask()[0], score)
    assert np.isfinite(proposer.expected_gain())


def test_points_that_fail_before_any_score_are_not_asked_for_again():
    """A start in a range where every reconstruction diverges spent all its trials at one point."""
    proposer = make_proposer(wanted(initial=3))
    asked = []
    for score in (None, None, None, None, 0.2, 0.4):
        asked.append(proposer.ask()[0])
        proposer.tell(asked[-1], score)
    assert len(set(asked)) == len(asked)
    np.testing.assert_allclose(np.exp(proposer.optimizer.yi), [0.4] * 4 + [0.2, 0.4])


def test_logarithmic_axes_go_there_and_back(true_series, short):
    item = Range(name="focal_spread_angstrom", low=2.0, high=200.0, scale="log")
    axes = Axes(true_series, short, wanted(ranges=(item,)))
    assert axes.values((0.5,))["focal_spread_angstrom"] == pytest.approx(20.0)
    assert axes.point({"focal_spread_angstrom": 20.0}) == pytest.approx((0.5,))


def test_a_prior_makes_trials_denser_about_what_is_stated(true_series, short):
    prior = Range(name="cs_angstrom", low=0.2e7, high=2.4e7, sigma=0.1e7)
    axes = Axes(true_series, short, wanted(ranges=(prior,)))
    values = np.array([axes.values((x,))["cs_angstrom"] for x in np.linspace(0, 1, 1001)])
    assert values[0] == pytest.approx(0.2e7) and values[-1] == pytest.approx(2.4e7)
    # Uniform in the cube is the Gaussian in values: 68 % within one standard deviation.
    assert np.mean(np.abs(values - 1.2e7) < 0.1e7) == pytest.approx(0.683, abs=0.01)
    assert axes.values(axes.point({"cs_angstrom": 1.35e7}))["cs_angstrom"] == pytest.approx(1.35e7)
    place = axes.place(0, np.array([0.0, 0.5, 1.0]))
    assert place[1] == pytest.approx(axes.point({"cs_angstrom": 1.3e7})[0])
    around = Axes(true_series, short, wanted(ranges=(Range(name="cs_angstrom", sigma=0.1e7),)))
    assert around.limits["cs_angstrom"] == pytest.approx((0.9e7, 1.5e7))


def test_a_prior_that_excludes_its_range_is_refused(true_series, short):
    away = Range(name="cs_angstrom", low=2e7, high=2.4e7, sigma=0.1e7)
    with pytest.raises(ConfigError, match="its prior"):
        Axes(true_series, short, wanted(ranges=(away,)))
    with pytest.raises(ConfigError, match="exclude each other"):
        Range.parse(name="cs_angstrom", low=1e7, high=2e7, scale="log", sigma=1e6)


def test_the_journal_survives_a_line_cut_off(tmp_path):
    path = tmp_path / "t.jsonl"
    book = Journal(path, "mark")
    for number in range(3):
        book.add(Trial(number, (0.1 * number,), {"cs_angstrom": 1.0 * number}, "done", 0.5))
    text = path.read_text()
    path.write_text(text[:-15])
    again = Journal(path, "mark", resume=True)
    assert [trial.number for trial in again.trials] == [0, 1]
    again.add(Trial(2, (0.2,), {"cs_angstrom": 2.0}, "done", 0.4))
    assert [t.number for t in Journal(path, "mark", resume=True).trials] == [0, 1, 2]


def test_a_grid_is_told_before_the_run_and_continued_only_as_it_was(true_series, short):
    pair = (CS, Range(name="magnification"))
    grids = [wanted(ranges=pair, method="grid", calls=calls) for calls in (10, 16)]
    assert "grid of 3 × 3 = 9 trials (at most 10)" in check(true_series, short, grids[0])
    one, other = (signature(true_series, short, each) for each in grids)
    assert one != other, "points of another grid lie elsewhere"
    one, other = (signature(true_series, short, wanted(calls=calls)) for calls in (10, 16))
    assert one == other


def test_an_absent_backend_is_told_before_the_run(true_series, short, monkeypatch):
    monkeypatch.setattr("napari_phaset3m.optimise.checks.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="pip install optuna"):
        check(true_series, short, wanted(backend="optuna"))


def test_files_of_trials_that_are_in_the_way(tmp_path):
    path, later = tmp_path / "t.jsonl", tmp_path / "t.2.jsonl"
    assert in_the_way(None, 2, resume=False) is None and in_the_way(path, 2, resume=True) is None
    later.touch()
    assert in_the_way(path, 1, resume=False) is None
    for resume in (False, True):
        assert in_the_way(path, 2, resume=resume) == later
        with pytest.raises(OutputError, match=r"t\.jsonl, to which it belongs, does not"):
            refuse_in_the_way(path, 2, resume=resume)
    path.touch()
    assert in_the_way(path, 2, resume=True) is None
    with pytest.raises(OutputError, match="--resume"):
        refuse_in_the_way(path, 2, resume=False)


def test_a_search_that_ended_is_not_searched_again(true_series, short, tmp_path):
    path, how = tmp_path / "t.jsonl", wanted(calls=6, stop_gain=0.0)
    whole = drain(iterate_search(true_series, how, short, journal=path)).result
    kept = path.read_text()
    again = drain(iterate_search(true_series, how, short, journal=path, resume=True)).result
    assert path.read_text() == kept and again.best == whole.best and again.reason == whole.reason
    more = wanted(calls=9, stop_gain=0.0)
    longer = drain(iterate_search(true_series, more, short, journal=path, resume=True)).result
    numbers = [trial.number for trial in longer.trials]
    assert len(numbers) >= 9 and numbers == list(range(len(numbers)))
    assert [trial.score for trial in longer.trials[:6]] == [trial.score for trial in whole.trials[:6]]


def test_numbers_are_not_given_twice(tmp_path):
    book = Journal(None, "mark")
    book.add(Trial(0, (0.1,), {"a": 1.0}, "done", 0.5))
    book.add(Trial(2, (0.2,), {"a": 2.0}, "done", 0.4))
    assert book.next_number == 3, "trial 1 was in flight when the process was killed"


def test_trials_of_another_outcome_are_set_aside(tmp_path):
    path = tmp_path / "t.2.jsonl"
    assert set_aside(None, "one") is None and set_aside(path, "one") is None
    Journal(path, "one")
    assert set_aside(path, "one") is None and path.exists()
    old = set_aside(path, "other")
    assert old == tmp_path / "t.2.jsonl.old" and old.exists() and not path.exists()


def test_a_journal_of_something_else_is_refused(tmp_path):
    path = tmp_path / "t.jsonl"
    Journal(path, "mark")
    with pytest.raises(OutputError, match="resume"):
        Journal(path, "mark")
    with pytest.raises(DataError, match="another series"):
        Journal(path, "other", resume=True)
    path.write_text(json.dumps({**json.loads(path.read_text()), "version": "0.0.9"}))
    with pytest.raises(DataError, match=r"another version \(written by 0.0.9, .*start anew"):
        Journal(path, "other", resume=True)
    path.write_text(json.dumps([1, 2]))
    with pytest.raises(DataError, match="no journal"):
        Journal(path, "mark", resume=True)


def test_the_held_out_error_is_lowest_near_the_truth(true_series, short):
    done = drain(iterate_search(true_series, wanted(method="grid", calls=9), short))
    scores = {round(t.values["cs_angstrom"] / 1e7, 3): t.score for t in done.result.trials}
    assert len(scores) == 9
    assert abs(min(scores, key=scores.get) - 1.2) < 0.3
    assert max(scores.values()) > 1.2 * min(scores.values())


def test_an_interrupted_search_goes_on_as_if_it_had_not_been(true_series, short, tmp_path):
    whole = drain(iterate_search(true_series, wanted(calls=7, stop_gain=0.0), short)).result
    path = tmp_path / "t.jsonl"
    for event in iterate_search(true_series, wanted(calls=7, stop_gain=0.0), short, journal=path):
        if event.detail.get("trial") is not None and event.detail["trial"].number == 4:
            break
    again = drain(
        iterate_search(true_series, wanted(calls=7, stop_gain=0.0), short, journal=path, resume=True)
    )
    assert [t.point for t in again.result.trials] == [t.point for t in whole.trials]
    np.testing.assert_allclose([t.score for t in again.result.trials], [t.score for t in whole.trials])
    last = history(again.series)[-1]
    assert last["step"] == "optimise" and last["told"]["score"] == again.result.best.score


def test_failing_trials_are_recorded_and_passed_over(true_series, short, monkeypatch):
    real, calls = objective.iterate, []

    def sometimes(*args, **options):
        calls.append(1)
        if len(calls) == 2:
            raise DivergedError("the iteration diverged")
        if len(calls) == 3:
            raise MemoryError
        yield from real(*args, **options)

    monkeypatch.setattr(objective, "iterate", sometimes)
    result = drain(iterate_search(true_series, wanted(calls=4), short)).result
    assert [t.status for t in result.trials[:4]] == ["done", "diverged", "out of memory", "done"]
    assert result.best.number in (0, 3, 4) and "diverged" in result.trials[1].message


def test_finish_now_keeps_the_best_so_far(true_series, short):
    class Finish:
        asked = False

        def finish_requested(self) -> bool:
            return self.asked

    finish = Finish()
    last = None
    for last in iterate_search(true_series, wanted(calls=50, method="random"), short, finish=finish):
        if not isinstance(last, Done) and last.detail.get("trial"):
            finish.asked = last.detail["trial"].number >= 1
    assert last.result.reason == "finished early" and len(last.result.trials) < 5


def test_trials_at_the_same_time_give_the_same_scores(true_series, short):
    one = drain(iterate_search(true_series, wanted(method="grid", calls=4), short)).result
    two = drain(iterate_search(true_series, wanted(method="grid", calls=4, workers=2), short)).result
    scores = [sorted((t.point, t.score) for t in result.trials) for result in (one, two)]
    np.testing.assert_allclose(scores[0][0][1], scores[1][0][1], rtol=1e-4)
    assert [p for p, _ in scores[0]] == [p for p, _ in scores[1]]


def test_posterior_slices_go_through_the_trials(true_series, short):
    result = drain(iterate_search(true_series, wanted(calls=8, stop_gain=0.0), short)).result
    part = slice_through(result.proposer, result.best.point, (0,))
    tried = [(t.point, t.score) for t in result.trials]
    at = np.interp([p[0] for p, _ in tried], part.grid, part.mean)
    spread = np.ptp([s for _, s in tried])
    np.testing.assert_allclose(at, [s for _, s in tried], atol=0.3 * spread)
    low, high = interval(part)
    assert 0 <= low <= high <= 1
    point, sigma = likely_best(result.proposer, [p for p, _ in tried])
    assert 0 <= point[0] <= 1 and sigma >= 0
    # The last trial was made there, and counts unless another one was lower by more than noise.
    assert len(result.trials) == 9
    lowest = min(result.trials[:-1], key=lambda trial: trial.score)
    assert result.best is chosen(lowest, result.trials[-1], score_noise(result.proposer))
    square = slice_through(result.proposer, result.best.point, (0, 0), n=5)
    assert square.mean.shape == (5, 5)


@pytest.mark.parametrize(
    ("before", "there", "noise", "kept"),
    [
        (0.50, 0.49, 0.0, "there"),  # the model was right
        (0.50, 0.51, 0.0, "before"),  # without noise what was measured counts
        (0.50, 0.51, 0.01, "there"),  # within noise the model counts
        (0.50, 0.55, 0.01, "before"),
        (0.50, None, 0.01, "before"),
    ],
)
def test_the_model_is_believed_within_the_noise_of_scores(before, there, noise, kept):
    lowest, expected = (
        Trial(number, (0.5,), {}, "failed" if score is None else "done", score)
        for number, score in enumerate((before, there))
    )
    assert chosen(lowest, expected, noise) is (expected if kept == "there" else lowest)


def test_the_process_tells_the_noise_of_scores():
    """A smooth valley with and without scatter of 5 %."""
    rng, config = np.random.default_rng(0), wanted(calls=40)
    points = [(float(x),) for x in np.linspace(0, 1, 40)]
    smooth = [float(np.exp((x - 0.4) ** 2)) for (x,) in points]
    noisy = [score * float(np.exp(rng.normal(0, 0.05))) for score in smooth]
    found = [
        score_noise(Bayesian.fitted(config, list(zip(points, scores, strict=True))))
        for scores in (smooth, noisy)
    ]
    assert found[0] < 0.005
    assert found[1] == pytest.approx(0.05, rel=0.4)
    assert score_noise(Random(1, 0)) == 0


def test_a_grid_ends_with_a_model_and_a_volume(true_series, short):
    pair = (CS, Range(name="defocus_offset_angstrom", low=-200, high=200))
    result = drain(iterate_search(true_series, wanted(ranges=pair, method="grid", calls=9), short)).result
    assert len(result.trials) == 9 and result.volume.shape == (32, 32, 32)
    part = slice_through(result.proposer, result.best.point, (0, 1), n=3, place=result.axes.place)
    scores = {trial.point: trial.score for trial in result.trials}
    grid = np.array([[scores[x, y] for y in part.grid] for x in part.grid])
    np.testing.assert_allclose(part.mean, grid, rtol=1e-9)
    middle = slice_through(result.proposer, result.best.point, (0, 1), n=5).mean[1, 0]
    assert middle == pytest.approx((grid[0, 0] + grid[1, 0]) / 2)


def test_a_best_value_at_a_bound_is_told(true_series, short):
    far = Range(name="cs_angstrom", low=1.6e7, high=3e7)
    result = drain(iterate_search(true_series, wanted(ranges=(far,), method="grid", calls=4), short)).result
    assert any("lies at a bound of its range" in note for note in result.notes)
    around = Range(name="cs_angstrom", low=0.8e7, high=1.6e7)
    result = drain(
        iterate_search(true_series, wanted(ranges=(around,), method="grid", calls=3), short)
    ).result
    assert not any("at a bound" in note for note in result.notes)
