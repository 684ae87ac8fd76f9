"""What a fit must not give: an offset at the end of its search, a phase shift from exit waves."""

from __future__ import annotations

import numpy as np
import pytest

from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.prepare.ctf.api import find_ctf
from napari_phaset3m.prepare.ctf.config import CtfConfig
from napari_phaset3m.simulate.api import simulate
from napari_phaset3m.simulate.config import AcquisitionConfig, SimulationConfig, SpecimenConfig


@pytest.fixture(scope="module")
def series() -> TiltFocalSeries:
    """A particle at 500 and 900 Å, seen without a plate."""
    acquisition = AcquisitionConfig(
        tilt_min_deg=-40, tilt_max_deg=40, tilt_step_deg=10, image_size_px=48, pixel_size_angstrom=0.6,
        defocus_angstrom=(500.0, 900.0), dose_per_image=500.0,
    )  # fmt: skip
    return simulate(
        SimulationConfig(specimen=SpecimenConfig(diameter_angstrom=14), acquisition=acquisition, seed=1)
    ).series


def test_an_offset_at_the_end_of_the_search_leaves_the_stated_defocus(series):
    stated = np.broadcast_to((950.0, 1350.0), (series.n_tilt, 2))
    wrong = series.replace(defocus_angstrom=stated)
    done = find_ctf(wrong, CtfConfig(method="exit_wave"))
    np.testing.assert_array_equal(done.series.defocus_angstrom, stated)
    assert {image.method for row in done.result.images for image in row} == {"stated"}
    assert "end of the ±400 Å" in done.result.message
    assert done.result.images[0][0].note.startswith("the best lies at the end of the ±400 Å")
    assert done.series.aberrations.get("C12", 0.0) == 0.0, "fitted to a wrong defocus"


def test_a_phase_plate_that_is_not_there_does_not_make_a_defocus(series):
    done = find_ctf(series.replace(phase_shift_deg=90.0), CtfConfig(method="exit_wave"))
    np.testing.assert_array_equal(done.series.defocus_angstrom, series.defocus_angstrom)
    assert "phase plate" in done.result.message


def test_within_the_search_it_is_found(series):
    near = series.replace(defocus_angstrom=np.broadcast_to((600.0, 1000.0), (series.n_tilt, 2)))
    done = find_ctf(near, CtfConfig(method="exit_wave"))
    assert np.abs(done.series.defocus_angstrom - series.defocus_angstrom).max() < 40


def test_where_a_phase_shift_is_asked_for_exit_waves_do_not_step_in(series):
    asked = find_ctf(series, CtfConfig(fit_phase_shift=True)).result
    assert asked.method != "exit wave" and "exit wave" not in asked.message
    assert find_ctf(series, CtfConfig()).result.method == "exit wave", "this test could fail"
