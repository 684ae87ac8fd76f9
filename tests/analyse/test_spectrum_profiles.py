"""Radial spectra with marks, and line profiles against the function they sample."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))
from _crystals import VOXEL, noisy, particle, rotation

from napari_phaset3m.analyse.bragg import bragg_report
from napari_phaset3m.analyse.profiles import line_profile
from napari_phaset3m.analyse.spectrum import radial_spectrum
from napari_phaset3m.errors import ConfigError


def test_marks_sit_on_the_maxima_of_the_spectrum() -> None:
    volume = noisy(particle(rotation(4)), 0.1)
    report = bragg_report(volume, VOXEL, max_frequency=0.6)
    spectrum = radial_spectrum(volume, VOXEL, report=report, bins=64)
    marks = {m.name: m for m in spectrum.marks}
    assert "{400}" in marks
    mark = marks["{400}"]
    offset = np.abs(spectrum.frequency_per_angstrom - mark.frequency_per_angstrom)
    assert spectrum.power[offset < 0.03].max() > 2 * spectrum.power[(offset > 0.03) & (offset < 0.06)].min()
    assert mark.d_angstrom == pytest.approx(1 / mark.frequency_per_angstrom)
    assert (mark.found, mark.total) == (3, 3)
    assert [m.frequency_per_angstrom for m in spectrum.marks] == sorted(
        m.frequency_per_angstrom for m in spectrum.marks
    )
    json.dumps(spectrum.as_dict())
    assert len(spectrum.rows()) == 64


def test_a_mask_keeps_the_power_of_what_it_holds_and_drops_the_mean() -> None:
    rng = np.random.default_rng(0)
    volume = rng.normal(size=(32, 32, 32)) + 100
    mask = np.zeros(volume.shape)
    mask[8:24, 8:24, 8:24] = 1
    spectrum = radial_spectrum(volume, VOXEL, mask=mask)
    # white noise of variance 1 in an eighth of the box
    assert np.nanmean(spectrum.power[3:]) == pytest.approx(1 / 8, rel=0.1)
    with pytest.raises(ConfigError, match="mask"):
        radial_spectrum(volume, VOXEL, mask=mask[:8])
    with pytest.raises(ConfigError, match="empty"):
        radial_spectrum(volume, VOXEL, mask=0 * mask)


@settings(max_examples=25, deadline=None)
@given(st.tuples(*[st.floats(-5, 5)] * 3), st.tuples(*[st.floats(-5, 5)] * 3), st.floats(0, 2))
def test_profiles_of_a_linear_ramp_are_exact_in_every_direction(
    start: tuple[float, ...], stop: tuple[float, ...], thickness: float
) -> None:
    if np.linalg.norm(np.subtract(start, stop)) < 0.1:
        return
    z, y, x = (((np.arange(n) - (n - 1) / 2) * 0.7) for n in (30, 26, 28))
    volume = 2 * x[None, None] + 5 * y[None, :, None] - 3 * z[:, None, None]
    profile = line_profile(volume, 0.7, start, stop, thickness_angstrom=thickness)
    t = profile.distance_angstrom / profile.distance_angstrom[-1]
    place = np.array(start) + t[:, None] * np.subtract(stop, start)
    np.testing.assert_allclose(profile.value, place @ [2, 5, -3], atol=1e-2)
    assert profile.distance_angstrom[-1] == pytest.approx(np.linalg.norm(np.subtract(stop, start)))
    assert np.diff(profile.distance_angstrom).max() <= 0.35 + 1e-9


def test_thickness_averages_across_the_line_not_along_it() -> None:
    c = (np.arange(40) - 19.5) * 0.5
    wave = np.cos(2 * np.pi * c / 4)
    along = np.broadcast_to(wave, (40, 40, 40))  # varies with x only
    thin, thick = (line_profile(along, 0.5, (-6, 0, 0), (6, 0, 0), thickness_angstrom=t) for t in (0, 3))
    np.testing.assert_allclose(thin.value, thick.value, atol=1e-9)
    np.testing.assert_allclose(thin.value, np.cos(2 * np.pi * (thin.distance_angstrom - 6) / 4), atol=0.02)
    across = line_profile(along, 0.5, (0, -6, 0), (0, 6, 0), thickness_angstrom=3)
    assert np.ptp(across.value) < 1e-9
    assert 0.3 < across.value[0] < 0.95
    json.dumps(across.as_dict())
    assert len(across.rows()) == len(across.value)


@pytest.mark.parametrize(
    ("start", "stop", "options", "word"),
    [
        ((0, 0, 99), (0, 0, 0), {}, "start_angstrom"),
        ((0, 0, 0), (0, -99, 0), {}, "stop_angstrom"),
        ((0, 0, 0), (0, 0, 0), {}, "same point"),
        ((0, 0), (0, 0, 1), {}, "three"),
        ((0, 0, 0), (0, 0, 1), {"step_angstrom": 0}, "step"),
        ((0, 0, 0), (0, 0, 1), {"thickness_angstrom": -1}, "thickness"),
    ],
)
def test_bad_lines_are_named(
    start: tuple[float, ...], stop: tuple[float, ...], options: dict, word: str
) -> None:
    with pytest.raises(ConfigError, match=word):
        line_profile(np.zeros((8, 8, 8)), 0.5, start, stop, **options)
