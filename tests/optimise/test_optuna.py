"""The Optuna backend, which is optional."""

from __future__ import annotations

import numpy as np
import pytest

from napari_phaset3m.optimise.config import OptimiseConfig, Range
from napari_phaset3m.optimise.proposers import Tpe, make_proposer
from napari_phaset3m.optimise.search import iterate_search
from napari_phaset3m.prepare.events import drain

pytest.importorskip("optuna")
TWO = (Range(name="cs_angstrom", low=0.2e7, high=2.4e7), Range(name="magnification", low=0.9, high=1.1))


def wanted(**changes) -> OptimiseConfig:
    return OptimiseConfig(**{"ranges": TWO, "backend": "optuna", "initial": 6, **changes})


def best_of(config: OptimiseConfig, calls: int = 30) -> float:
    proposer, best = make_proposer(config), np.inf
    for _ in range(calls):
        (point,) = proposer.ask()
        assert len(point) == 2 and all(0 <= x <= 1 for x in point)
        score = (point[0] - 0.3) ** 2 + 2 * (point[1] - 0.6) ** 2
        best = min(best, score)
        proposer.tell(point, score)
    return best


def test_it_learns_from_what_it_is_told():
    seeds = range(5)
    learnt = np.mean([best_of(wanted(seed=s)) for s in seeds])
    assert learnt < 0.5 * np.mean([best_of(wanted(seed=s, method="random")) for s in seeds])


def test_the_same_seed_asks_the_same():
    asked = []
    for _ in range(2):
        proposer = make_proposer(wanted(seed=3))
        for _ in range(8):
            asked.append(proposer.ask()[0])
            proposer.tell(asked[-1], sum(asked[-1]))
    assert asked[:8] == asked[8:]


def test_earlier_and_failed_trials_are_taken():
    told = [((0.1 * i, 0.5), None if i == 2 else 1 - 0.1 * i) for i in range(8)]
    proposer = make_proposer(wanted(), told)
    assert isinstance(proposer, Tpe)
    points = proposer.ask(3)
    assert len(set(points)) == 3
    proposer.tell(points[0], None)
    proposer.tell(points[1], 0.1)
    assert len(proposer.ask(2)) == 2


def test_a_search_is_interrupted_and_goes_on(true_series, short, tmp_path, trial):
    config = wanted(ranges=TWO[:1], calls=3, initial=2, trial=trial)
    path = tmp_path / "t.jsonl"
    first = drain(iterate_search(true_series, config, short, journal=path)).result
    more = config.model_copy(update={"calls": 5})
    again = drain(iterate_search(true_series, more, short, journal=path, resume=True)).result
    assert [t.point for t in again.trials[:3]] == [t.point for t in first.trials]
    assert len(again.trials) == 5 and len({t.point for t in again.trials}) == 5
