"""What is given together with files, and what lies beside them: neither may change anything silently."""

from __future__ import annotations

from pathlib import Path

import mrcfile
import numpy as np
import pytest

from napari_phaset3m.core.plausible import doubtful_pixel
from napari_phaset3m.errors import DataError
from napari_phaset3m.io.imod import read_angles
from napari_phaset3m.io.importing import load, look, write
from napari_phaset3m.io.mdoc import read_mdoc
from napari_phaset3m.io.series import load_series

KNOWN = {"pixel_size_angstrom": 2.0, "energy_ev": 300e3}
IMAGES = np.random.default_rng(2).uniform(90, 110, (6, 16, 20)).astype(np.float32)


def _stack(path: Path, pixel: float = 2.0) -> Path:
    with mrcfile.new(path) as mrc:
        mrc.set_data(IMAGES)
        mrc.set_image_stack()
        mrc.voxel_size = 2.0
        mrc.header.cella.x *= pixel / 2.0
        mrc.header.cella.y *= pixel / 2.0
    return path


def test_levels_of_vacuum_may_be_arrays(tmp_path):
    stack, level = _stack(tmp_path / "s.mrc"), np.full(6, 100.0)
    one = load_series(stack, tilt_deg=np.arange(6.0) * 10, vacuum_intensity=100.0, **KNOWN)
    each = load_series(stack, tilt_deg=np.arange(6.0) * 10, vacuum_intensity=level, **KNOWN)
    np.testing.assert_allclose(each.images, one.images)
    plan = look(stack, tilt_deg=np.arange(6.0) * 10)
    np.testing.assert_allclose(load(plan, vacuum_intensity=level, **KNOWN).images, one.images)


def test_not_inverting_an_inverted_series_is_no_request(tmp_path):
    stack = _stack(tmp_path / "s.mrc")
    series = load_series(stack, tilt_deg=np.arange(6.0) * 10, dark_field=True, **KNOWN)
    from napari_phaset3m.io.series import save_series

    save_series(series, tmp_path / "s.h5")
    again = load_series(tmp_path / "s.h5", dark_field=False)
    np.testing.assert_array_equal(again.images, series.images)


def test_a_com_that_is_not_used_adds_no_offset(tmp_path):
    stack = _stack(tmp_path / "s.mrc")
    (tmp_path / "s.tlt").write_text("-20\n-10\n0\n10\n20\n30\n")
    (tmp_path / "tilt.com").write_text("$tilt\nInputProjections s_ali.mrc\nOFFSET 7\nEXCLUDELIST 40\n")
    plan = look(stack, ask=True)
    assert [entry.tilt_deg for entry in plan.images] == [-20, -10, 0, 10, 20, 30]
    assert "tilt.com is not used: leaves out view 40 of 6" in plan.notes and not any(
        "added" in n for n in plan.notes
    )


@pytest.mark.parametrize("text, line", [("-60\n-57,5\n-55\n", 2), ("1,5\n2,5\n", 1)])
def test_a_decimal_comma_among_whole_numbers_is_refused_with_its_line(tmp_path, text, line):
    (tmp_path / "a.tlt").write_text(text)
    with pytest.raises(DataError, match=f"line {line}: holds .*,5"):
        read_angles(tmp_path / "a.tlt")


def test_an_angle_with_a_decimal_comma_in_an_mdoc_is_none(tmp_path):
    (tmp_path / "a.mdoc").write_text("[ZValue = 0]\nTiltAngle = 10,5\n[ZValue = 1]\nTiltAngle = 10.5\n")
    assert [image.tilt_deg for image in read_mdoc(tmp_path / "a.mdoc").sections] == [None, 10.5]


_COMMAS = "PixelSpacing = 3,5\nVoltage = 300,0\n[T = Tilt axis angle = 85,3, binning = 1]\n"


def test_numbers_with_a_decimal_comma_in_an_mdoc_are_told_and_not_read(tmp_path):
    """Globals and the title were read up to the comma (85,3° as 85°); the rest went without a word."""
    stack = _stack(tmp_path / "s.mrc")
    rows = "".join(f"[ZValue = {k}]\nTiltAngle = {k}.5\nExposureDose = 2,5\n" for k in range(6))
    (tmp_path / "s.mrc.mdoc").write_text(_COMMAS + rows)
    mdoc = read_mdoc(tmp_path / "s.mrc.mdoc")
    assert mdoc.energy_ev is None and mdoc.pixel_size_angstrom is None and mdoc.title_axis_deg is None
    told = {q.field: q.text for q in look(stack).questions if "decimal comma" in q.text}
    alone, more = (
        "has a decimal comma and is not read. Write a point",
        "and 5 more have a decimal comma and are",
    )
    assert told["energy_ev"] == f"s.mrc.mdoc: Voltage = 300,0 {alone}"
    assert told["pixel_size_angstrom"] == f"s.mrc.mdoc: PixelSpacing = 3,5 {alone}"
    assert told["tilt_axis_angle_deg"] == f"s.mrc.mdoc: the angle in the title {alone}"
    assert told["dose"].startswith(f"s.mrc.mdoc: ExposureDose = 2,5 {more}") and len(told) == 4
    with pytest.raises(DataError, match=r"Voltage = 300,0 has a decimal comma.*--energy"):
        load(look(stack))
    assert any("ExposureDose = 2,5" in note for note in load_series(stack, energy_ev=3e5).metadata["notes"])
    (tmp_path / "s.mrc.mdoc").write_text((_COMMAS + rows).replace(",", "."))
    assert not any("comma" in q.text for q in look(stack).questions)
    assert load(look(stack)).energy_ev == 3e5


def test_angles_with_a_decimal_comma_in_an_mdoc_are_refused_with_the_cause(tmp_path):
    """All of them: angles were asked for as if none stood there."""
    stack = _stack(tmp_path / "s.mrc")
    rows = "".join(f"[ZValue = {k}]\nTiltAngle = {k},5\n" for k in range(6))
    (tmp_path / "s.mrc.mdoc").write_text(rows)
    said = (
        r"s\.mrc\.mdoc: TiltAngle: is 0,5 in section 0 and 5 more of 6 .* decimal comma.*Write a point there"
    )
    for read in (look, load_series):
        with pytest.raises(DataError, match=said):
            read(stack)
    series = load_series(stack, energy_ev=3e5, tilt_deg=np.arange(6.0))
    assert any("with a decimal comma, and is not read" in note for note in series.metadata["notes"])


@pytest.mark.parametrize(
    "order, tilts", [("tilt-major", [0, 0, 3, 3, 6, 6]), ("focus-major", [0, 3, 6, 0, 3, 6])]
)
def test_one_angle_for_each_tilt_from_a_text_and_for_a_series_toml(tmp_path, order, tilts):
    stack = _stack(tmp_path / "s.mrc")
    (tmp_path / "k.tlt").write_text("0\n3\n6\n")
    named = look([stack, tmp_path / "k.tlt"], n_focus=2, focus_order=order)
    assert sorted(entry.tilt_deg for entry in named.images) == sorted(tilts)
    plain = look(stack, tilt_deg=np.arange(6.0) * 10)
    text, _ = write(plain, tmp_path / "out", series=load(plain, **KNOWN))
    again = look(text, tilt_deg=[0.0, 3.0, 6.0], n_focus=2, focus_order=order)
    found = {entry.section: entry.tilt_deg for entry in again.images}
    assert [found[k] for k in range(6)] == tilts


def test_a_pixel_beside_stands_in_for_one_that_cannot_be(tmp_path):
    stack = _stack(tmp_path / "s.mrc", pixel=-1)
    (tmp_path / "s.mrc.mdoc").write_text(
        "PixelSpacing = 3\nVoltage = 300\n"
        + "".join(f"[ZValue = {k}]\nTiltAngle = {10 * k}\n" for k in range(6))
    )
    series = load_series(stack)
    assert series.pixel_size_angstrom == 3
    assert not any(question.field == "pixel_size_angstrom" for question in look(stack).questions)


@pytest.mark.parametrize("stated, meant", [(2e-10, "2 Å"), (2e-8, "200 Å"), (5200, "52 Å")])
def test_a_pixel_in_metres_or_picometres_is_guessed(stated, meant):
    assert doubtful_pixel(stated).endswith(f"Is {meant} meant?")
