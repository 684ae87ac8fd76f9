"""Errors in the words of the panels: no field is called as in the code, and paths of files stay."""

from __future__ import annotations

import pytest

from napari_phaset3m.errors import ConfigError, DataError

pytest.importorskip("napari")
from napari_phaset3m.gui.field_words import in_step_words


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (DataError("reaches out", field="crop.region_px"), "Crop · Region: reaches out"),
        (ConfigError("region_px: is needed for level = region"), "Region: is needed for Level = region"),
        (ConfigError("reference.gain: is missing"), "Gain and dark · Gain: is missing"),
        (
            DataError("none", field="dose.order", remedy="Say listed"),
            "Dose weighting · Order: none. Say listed",
        ),
        (
            DataError("is not stated", field="dose_per_image", remedy="Give it (--dose)"),
            "Dose per image is not stated. Give it in the Series step, under Microscope",
        ),
        (ConfigError("tilt axis: give --tilt-axis-angle 0"), "tilt axis: give “Tilt axis” 0"),
        (
            ConfigError("resolution_low_angstrom, resolution_high_angstrom: leave no room"),
            "Resolution low, Resolution high: leave no room",
        ),
        (DataError("no", path="/a/region_px.d/region_px.mrc"), "/a/region_px.d/region_px.mrc: no"),
    ],
)
def test_said_as_the_panels_say_it(error, told):
    assert in_step_words(error) == told
