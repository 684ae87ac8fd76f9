"""A simulation that would not fit is refused before anything is computed."""

from __future__ import annotations

import time

import pytest

from napari_phaset3m.cli import main
from napari_phaset3m.errors import ResourceError
from napari_phaset3m.simulate import forecast
from napari_phaset3m.simulate.api import simulate
from napari_phaset3m.simulate.config import SimulationConfig


def test_a_field_too_large_is_refused_at_once(tmp_path, capsys) -> None:
    begun = time.perf_counter()
    assert main(["simulate", "-o", str(tmp_path / "s.h5"), "--image-size", "4096", "--threads", "1"]) == 2
    assert time.perf_counter() - begun < 10
    line = capsys.readouterr().err.strip()
    assert "\n" not in line and "GiB are free" in line and "--image-size" in line
    assert not list(tmp_path.iterdir())


def test_every_part_counts(monkeypatch) -> None:
    def needed(**changes: object) -> int:
        acquisition = {"n_tilt": 3, "image_size_px": 64, **changes}
        asked = []
        monkeypatch.setattr(forecast, "available_memory", lambda: 0)
        with pytest.raises(ResourceError):
            simulate(SimulationConfig(acquisition=acquisition), asked.append)
        assert not asked  # nothing began
        config = SimulationConfig(acquisition=acquisition)
        return forecast.simulation_bytes(config, forecast.Sampling(64, 100, 3, 0.5))

    assert needed(n_tilt=40000) > 10 * needed()  # images
    assert needed(n_tilt=40000, dose_per_image=5.0) > needed(n_tilt=40000)  # counts


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        ("--cs 1e99", "24 pixels with a border of 8388608 (--padding, as defocus and Cs move light) need"),
        ("--padding 99999", "24 pixels with a border of 100340 (--padding) need"),
        ("--dose 1e30", "--dose: must be a number above 0 and of at most 1e+09, or none"),
        ("--slice-thickness 1e-6", "--slice-thickness: must be a number of at least 0.01, or auto"),
        ("--cs 1e308", "a border of 8388608"),
        ("--defocus 1e12", "a border of 8388608"),
        ("--tilt-step 1e-9", "--tilt-step: makes 132000000000 tilts. Make 100000 at most"),
        ("--n-tilt 1000000000", "--n-tilt: makes 1000000000 tilts"),
    ],
)
def test_what_no_memory_holds_is_refused_at_once(tmp_path, capsys, flags, told) -> None:
    """A Cs of 1e99 searched for a smooth size without end; many tilts were an unexpected MemoryError."""
    begun = time.perf_counter()
    asked = ["--image-size", "24", "--diameter", "6", "--supersampling", "1", *flags.split()]
    assert main(["simulate", "-o", str(tmp_path / "s.h5"), *asked]) == 2
    assert time.perf_counter() - begun < 10 and told in capsys.readouterr().err
