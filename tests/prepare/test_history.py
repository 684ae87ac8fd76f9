from __future__ import annotations

import numpy as np
import pytest

from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.io.series import load_series, save_series
from napari_phaset3m.prepare.events import Done, Progress, drain
from napari_phaset3m.prepare.history import history, recorded


def _series() -> TiltFocalSeries:
    return TiltFocalSeries(
        images=np.ones((2, 1, 8, 8), np.float32), tilt_deg=[-1, 1], pixel_size_angstrom=1.0, energy_ev=300e3
    )


@pytest.mark.parametrize("suffix", [".h5", ".toml"])
def test_history_grows_and_survives_the_file(tmp_path, suffix):
    series = recorded(recorded(_series(), "outliers", {"sigma": 6.0}, {"pixels": 3}), "bin", {"factor": 2})
    path = tmp_path / f"s{suffix}"
    save_series(series, path)
    steps = history(load_series(path))
    assert [item["step"] for item in steps] == ["outliers", "bin"]
    assert steps[0]["parameters"] == {"sigma": 6.0} and steps[0]["told"] == {"pixels": 3}
    assert history(_series()) == ()


def test_drain_tells_every_event_and_gives_the_end():
    seen = []
    events = iter([Progress("half", 0.5), Done(_series(), 7)])
    assert drain(events, seen.append).result == 7
    assert len(seen) == 2
