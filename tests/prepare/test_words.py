"""What steps found, in words: for what each of them really tells."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from _prepare_series import make, poisson

from napari_phaset3m.prepare.events import drain
from napari_phaset3m.prepare.history import history
from napari_phaset3m.prepare.steps import STEPS
from napari_phaset3m.prepare.words import found_words


def words(series, step, **parameters):
    entry = STEPS[step]
    last = history(drain(entry.run(series, entry.config.parse(**parameters))).series)[-1]
    return found_words(last["step"], last["told"])


def test_outliers_are_counted():
    images = np.array(poisson(np.ones((64, 64)), 25, shape=(9, 1), seed=4).images)
    images[..., 20, 30] += 15
    images[3, 0, 40, 41] += 15
    assert words(make(images), "outliers") == "1 hot, 0 dead pixels, 1 of X-ray hits"


@pytest.mark.parametrize(("step", "parameters"), [("bin", {"factor": 2}), ("pad", {"border_px": 4})])
def test_what_speaks_for_itself_says_nothing(step, parameters):
    assert words(poisson(np.ones((64, 64)), 25, shape=(3, 1)), step, **parameters) == ""


def test_levels_and_noise():
    series = poisson(np.ones((64, 64)), 25, shape=(3, 1), seed=1)
    halved = series.replace(images=series.images * np.array([0.5, 1, 1])[:, None, None, None])
    assert words(halved, "normalise", level="mean") == "from levels 0.499 to 1"
    even = series.replace(images=series.images / series.images.mean((2, 3), keepdims=True))
    assert words(even, "normalise", level="mean") == ""
    assert words(series, "denoise").startswith("noise σ 0.2")


def test_motion_says_what_is_missing():
    told = {
        "movies": 11, "movies_corrected": 3, "drift_total_px_mean": 5.196, "drift_total_px_most": 6.6128,
        "frames_left_out": 1,
    }  # fmt: skip
    expected = "3 of 11 movies; drift 5.20 px on average, 6.61 px at most; 1 frame left out"
    assert found_words("motion", told) == expected
    whole = {**told, "movies_corrected": 11, "frames_left_out": 0}
    assert found_words("motion", whole) == "drift 5.20 px on average, 6.61 px at most"
