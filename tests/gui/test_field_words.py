"""Errors in the words of the panels: no field is called as in the code, and paths of files stay."""

from __future__ import annotations

import pytest

from napari_phaset3m.errors import ConfigError, DataError

pytest.importorskip("napari")
from napari_phaset3m.gui.widgets.field_words import in_alignment_words, in_import_words, in_step_words


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
        (DataError("no numbers", remedy="Leave it out: --unused 2"), "no numbers. Leave it out: --unused 2"),
        (
            ConfigError("resolution_low_angstrom, resolution_high_angstrom: leave no room"),
            "Resolution low, Resolution high: leave no room",
        ),
        (DataError("no", path="/a/region_px.d/region_px.mrc"), "/a/region_px.d/region_px.mrc: no"),
    ],
)
def test_said_as_the_panels_say_it(error, told):
    assert in_step_words(error) == told


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (
            DataError("4 images for 2 tilts", path="/a_b/ts.mrc", field="tilt_index, focus_index"),
            "ts.mrc: Tilt no., Focus: 4 images for 2 tilts",
        ),
        (
            DataError("is missing", path="/a/b.mrc", field="pixel_size", remedy="Give it (--pixel-size)"),
            "b.mrc: Pixel size: is missing. Give it (“Pixel size”)",
        ),
        (
            DataError(
                "none", path="/a/b.mrc", remedy="Give pixel_size_angstrom=... in Python or --pixel-size"
            ),
            "b.mrc: none. Give “Pixel size”",
        ),
        (ConfigError("bin: 64 leaves 1 x 1 pixels"), "Bin: 64 leaves 1 x 1 pixels"),
        (ConfigError("pixel_size_angstrom: is 0"), "Pixel size: is 0"),
        (OSError("disk is gone"), "disk is gone"),
    ],
)
def test_said_as_the_import_dialog_says_it(error, told):
    assert in_import_words(error) == told


def test_said_as_the_files_of_the_align_panel_say_it():
    error = DataError("has shape (3,)", path="/a/b.xf", field="shifts_px")
    assert in_alignment_words(error) == "b.xf: Shifts: has shape (3,)"
    error = DataError("40 transforms for 41 tilts", path="/a/b.xf", field="xf", remedy="Give one for each")
    assert in_alignment_words(error) == "b.xf: Transforms: 40 transforms for 41 tilts. Give one for each"
