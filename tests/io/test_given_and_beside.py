"""What is given together with files, and what lies beside them: neither may change anything silently."""

from __future__ import annotations

import re
from pathlib import Path

import mrcfile
import numpy as np
import pytest
import tifffile

from napari_phaset3m.core.plausible import doubtful_pixel
from napari_phaset3m.errors import ConfigError, DataError
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


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("EXCLUDELIST 2\n", r"does not name its stack \(InputProjections\)"),
        ("hello\n", r"does not name its stack \(InputProjections\)"),
        ("InputProjections s.mrc\nOFFSET x\n", "OFFSET: is no angle: x. Write degrees"),
        ("InputProjections s.mrc\nOFFSET 1e9\n", "OFFSET: is no angle: 1e9"),
        ("InputProjections s.mrc\nEXCLUDELIST 1-6\n", "EXCLUDELIST: leaves out all 6 views"),
    ],
)
def test_a_com_that_is_given_and_cannot_be_taken_is_refused(tmp_path, text, told):
    """It was passed over without a word, or an offset counted as 0."""
    stack = _stack(tmp_path / "s.mrc")
    (tmp_path / "my.com").write_text(text)
    with pytest.raises(DataError, match=rf"my\.com: {told}"):
        look([stack, tmp_path / "my.com"], tilt_deg=np.arange(6.0))
    (tmp_path / "my.com").rename(tmp_path / "tilt.com")
    beside = look(stack, tilt_deg=np.arange(6.0))
    assert any(note.startswith("tilt.com ") and "not used" in note for note in beside.notes)


def test_what_only_an_import_reads_is_told_where_there_is_none(tmp_path):
    """Views that a tilt.com leaves out were used by ``load_series``, and its notes said nothing."""
    stack = _stack(tmp_path / "s.mrc")
    (tmp_path / "tilt.com").write_text("InputProjections s_ali.mrc\nEXCLUDELIST 2\n")
    given = {"tilt_deg": np.arange(6.0), **KNOWN}
    note = "tilt.com lies beside and is not used: an import reads it (phaset3m convert)"
    assert note in load_series(stack, **given).metadata["notes"]
    imported = load(look(stack, tilt_deg=np.arange(6.0)), **KNOWN)
    assert note not in imported.metadata["notes"] and not imported.used[1, 0]
    (tmp_path / "tilt.com").write_text("InputProjections s_ali.mrc\nTHICKNESS 300\n")
    assert note not in load_series(stack, **given).metadata["notes"], "nothing of it concerns the images"


def test_pixels_that_are_no_squares_are_asked_for(tmp_path):
    """The one along x was taken."""
    stack = _stack(tmp_path / "s.mrc")
    with mrcfile.open(stack, "r+") as mrc:
        mrc.header.cella.y *= 2
    said = "pixel_size: is 2 Å along x and 4 Å along y, and pixels must be squares. Give pixel_size_angstrom"
    with pytest.raises(DataError, match=said):
        load_series(stack, tilt_deg=np.arange(6.0), energy_ev=3e5)
    assert load_series(stack, tilt_deg=np.arange(6.0), **KNOWN).pixel_size_angstrom == 2
    asked = [q.text for q in look(stack).questions if q.field == "pixel_size_angstrom"]
    assert asked == ["s.mrc: is 2 Å along x and 4 Å along y, and pixels must be squares"]


@pytest.mark.parametrize(
    ("words", "cell", "note"),
    [
        ({}, (40.0, 32.16), "pixels are not quite square: 2 x 2.01 A (x used)"),
        ({}, (40.0, 32.01), None),
        ({"my": 1}, (40.0, 2.0), None),
        ({"my": 1}, (40.0, 32.0), "pixel size 2 A along x used; the header's along y, 32 A, is none that is "
                                  "meant (my is 1)"),
        ({}, (40.0, 40.0), "pixel size 2 A along x used; the header's along y, 2.5 A, is none that is meant "
                           "(cell y is cell x)"),
    ],
)  # fmt: skip
def test_pixels_that_a_header_states_carelessly_along_y_are_taken_along_x(tmp_path, words, cell, note):
    """Those that differ by less than 1 % were taken without a note; the others were refused."""
    stack = _stack(tmp_path / "s.mrc")
    with mrcfile.open(stack, "r+") as mrc:
        mrc.header.cella.x, mrc.header.cella.y = cell
        for name, value in words.items():
            mrc.header[name] = value
    series = load_series(stack, tilt_deg=np.arange(6.0), energy_ev=3e5)
    assert series.pixel_size_angstrom == 2
    for notes in (series.metadata["notes"], look(stack).notes):
        told = [n.removeprefix("s.mrc: ") for n in notes if "along y" in n or "not quite square" in n]
        assert told == ([note] if note else [])
    given = load_series(stack, tilt_deg=np.arange(6.0), energy_ev=3e5, pixel_size_angstrom=3.0)
    assert given.pixel_size_angstrom == 3


def test_infinite_pixels_are_told_without_warnings(tmp_path):
    """The sum that finds them warned of an invalid value."""
    images = IMAGES.copy()
    images[2, 3, 4:6] = np.inf, -np.inf
    np.save(tmp_path / "s.npy", images)
    with pytest.raises(DataError, match="image 2 holds 2 NaN or infinite values"):
        load_series(tmp_path / "s.npy", tilt_deg=np.arange(6.0), **KNOWN)
    with pytest.raises(DataError, match="section 2: holds 2 NaN or infinite values"):
        load(look(tmp_path / "s.npy", tilt_deg=np.arange(6.0)), **KNOWN)


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
    assert told["tilt_axis_angle_deg"] == f"s.mrc.mdoc: the angle in the title (85,3) {alone}"
    assert told["dose"].startswith(f"s.mrc.mdoc: ExposureDose = 2,5 {more}") and len(told) == 4
    assert [q.field for q in look(stack).questions].count("tilt_axis_angle_deg") == 1, "asked once"
    axis, energy = {"tilt_axis_angle_deg": 85.3}, {"energy_ev": 3e5}
    for read in (lambda **given: load(look(stack), **given), lambda **given: load_series(stack, **given)):
        with pytest.raises(DataError, match=r"Voltage = 300,0 has a decimal comma.*--energy"):
            read(**axis)
        said = (
            r"mrc\.mdoc: .*the angle in the title \(85,3\) has a decimal comma .*Write a point.*--tilt-axis"
        )
        with pytest.raises(DataError, match=said):
            read(**energy)  # loaded unturned: 85 degrees off
        assert read(**axis, **energy).tilt_axis_angle_deg == 85.3
    notes = load_series(stack, **energy, **axis).metadata["notes"]
    assert any("ExposureDose = 2,5" in note for note in notes)
    stack.rename(tmp_path / "s.ali")  # its axis lies along y already, whatever the title says
    (tmp_path / "s.ali.mdoc").write_text(_COMMAS + rows)
    assert load_series(tmp_path / "s.ali", **energy).tilt_axis_angle_deg == 0
    (tmp_path / "s.ali").rename(stack)
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


def test_what_some_sections_of_an_mdoc_lack_is_told(tmp_path):
    """A dose of 0, or a defocus that one section lacks, left all without, silently; so did angles of 400."""
    stack = _stack(tmp_path / "s.mrc")
    text = "Voltage = 300\n"
    for k in range(6):
        text += f"[ZValue = {k}]\nTiltAngle = {10 * k}\nExposureDose = {0 if k == 2 else 2}\n"
        text += "" if k in (1, 4) else "TargetDefocus = -2\n"
    (tmp_path / "s.mrc.mdoc").write_text(text)

    def told(text: str) -> tuple[list[str], list[str]]:
        (tmp_path / "s.mrc.mdoc").write_text(text)
        plan = look(stack)
        asked = [q.text for q in plan.questions if q.field in ("dose", "defocus_angstrom")]
        return [text.removeprefix("s.mrc.mdoc: ") for text in asked], list(plan.notes)

    assert told(text)[0] == [
        "section 2 of 6 (from 0) states no dose, so no section's dose is taken",
        "section 1 and 1 more of 6 (from 0) state no TargetDefocus, so no section's TargetDefocus is taken",
    ]
    # What stands in for it is taken: nothing more is asked.
    better = text.replace("TiltAngle", "CtfFind = -2.1\nDoseRate = 8\nExposureTime = 1\nTiltAngle")
    asked, notes = told("PixelSpacing = 2\nBinning = 1\n" + better)
    assert asked == [
        "estimated as DoseRate x ExposureTime, 2 to 2 e/Å² at the camera, behind the specimen; "
        "ExposureDose is missing in section 2 of 6 (from 0)"
    ]
    assert any("defocus from CtfFind" in note for note in notes)
    asked, notes = told(
        better.replace("CtfFind = -2.1", "TargetDefocus = -2", 1).replace("ExposureDose", "X")
    )
    assert asked[0] == "section 0 of 6 (from 0) states no CtfFind, so no section's CtfFind is taken"
    nominal = better.replace("CtfFind = -2.1\n", "", 1).replace("TiltAngle", "TargetDefocus = -2\nTiltAngle")
    assert any(note.endswith("; CtfFind is missing in section 0 of 6 (from 0)") for note in told(nominal)[1])
    (tmp_path / "s.mrc.mdoc").write_text(text.replace("TiltAngle = ", "TiltAngle = 4000"))
    with pytest.raises(DataError, match="TiltAngle: is missing or no angle in section 0 and 5 more of 6"):
        look(stack)


@pytest.mark.parametrize("where", ["label", "log", "log of a tiff"])
def test_an_axis_with_a_decimal_comma_in_a_label_or_a_log_is_refused_unless_given(tmp_path, where):
    """It was not seen: images were loaded unturned."""
    said, name = "    Tilt axis angle = 85,3, binning = 1  spot = 8", "s.mrc" if where == "label" else "s.txt"
    if where == "log of a tiff":
        stack = tmp_path / "s.tif"
        tifffile.imwrite(stack, IMAGES)
    else:
        stack = _stack(tmp_path / "s.mrc")
    if where == "label":
        with mrcfile.open(stack, "r+") as mrc:
            mrc.add_label(said.strip())
    else:
        (tmp_path / "s.txt").write_text(f"Log\n{said}\n")
    given = {**KNOWN, "tilt_deg": np.arange(6.0)}
    told = (
        rf"{name}: .*the angle in the {where.split()[0]} \(85,3\) has a decimal comma and is n.*--tilt-axis"
    )
    plan = look(stack, tilt_deg=given.pop("tilt_deg"))
    asked = [q.text for q in plan.questions if q.field == "tilt_axis_angle_deg"]
    assert len(asked) == 1 and asked[0].startswith(f"{name}: the angle in the ")
    with pytest.raises(DataError, match=told):
        load(plan, **given)
    assert load(plan, tilt_axis_angle_deg=85.3, **given).tilt_axis_angle_deg == 85.3
    with pytest.raises(DataError, match=told):
        load_series(stack, tilt_deg=np.arange(6.0), **given)
    series = load_series(stack, tilt_deg=np.arange(6.0), tilt_axis_angle_deg=85.3, **given)
    assert series.tilt_axis_angle_deg == 85.3
    rows = "".join(f"[ZValue = {k}]\nTiltAngle = {k}.5\n" for k in range(6))
    (tmp_path / f"{stack.name}.mdoc").write_text("[T = Tilt axis angle = 84.0, binning = 1]\n" + rows)
    series = load_series(stack, **given)  # known from elsewhere: told
    assert series.tilt_axis_angle_deg == 84.0
    if where == "label":  # a log is not looked into then
        told = f"has a decimal comma and is not read; the 84 degrees of {stack.name}.mdoc are taken"
        assert any(note.endswith(told) for note in series.metadata["notes"])


def test_an_aligned_stack_has_its_axis_along_y_whatever_its_label_says(tmp_path):
    stack = _stack(tmp_path / "s.ali")
    with mrcfile.open(stack, "r+") as mrc:
        mrc.add_label("Tilt axis angle = 85,3, binning = 1")
    assert load_series(stack, tilt_deg=np.arange(6.0), **KNOWN).tilt_axis_angle_deg == 0
    assert load(look(stack, tilt_deg=np.arange(6.0)), **KNOWN).tilt_axis_angle_deg == 0


_TURNED = "".join(f"[ZValue = {k}]\nTiltAngle = {10 * k - 20}\nRotationAngle = 175.3\n" for k in range(6))


def _labelled(path, axis):
    """A stack whose label states the axis, or that has no such label."""
    _stack(path)
    if axis:
        with mrcfile.open(path, "r+") as mrc:
            mrc.add_label(f"Tilt axis angle = {axis}, binning = 1  spot = 8")
    return path


@pytest.mark.parametrize("where", ["label", "title"])
def test_a_rotation_angle_does_not_stand_for_an_axis_that_is_not_read(tmp_path, where):
    """An import turned by RotationAngle - 90 what load_series refused."""
    stack = _labelled(tmp_path / "s.mrc", "85,3" if where == "label" else "")
    title = "[T = Tilt axis angle = 85,3, binning = 1]\n" if where == "title" else ""
    (tmp_path / "s.mrc.mdoc").write_text(title + _TURNED)
    said = f"the angle in the {where} (85,3) has a decimal comma and is not read"
    for read in (
        lambda **more: load_series(stack, **KNOWN, **more),
        lambda **more: load_series(tmp_path / "s.mrc.mdoc", **KNOWN, **more),
        lambda **more: load(look(stack), **KNOWN, **more),
        lambda **more: load(look(tmp_path), bin=2, **KNOWN, **more),
    ):
        with pytest.raises(DataError, match=re.escape(said)):
            read()
        assert read(tilt_axis_angle_deg=20.0).tilt_axis_angle_deg == 20
    confirmed = look(stack).edited(confirm=["tilt_axis_angle_deg"])  # Yes, in the import window
    assert load(confirmed, **KNOWN).tilt_axis_angle_deg == pytest.approx(85.3)


@pytest.mark.parametrize("axis", ["85.3", "85,3"])
def test_the_mdoc_beside_an_aligned_stack_does_not_turn_it_either(tmp_path, axis):
    stack = _stack(tmp_path / "s.ali")
    (tmp_path / "s.ali.mdoc").write_text(f"[T = Tilt axis angle = {axis}, binning = 1]\n{_TURNED}")
    assert load_series(stack, **KNOWN).tilt_axis_angle_deg == 0
    plan = look(stack)
    assert plan.tilt_axis_angle_deg == 0 and load(plan, **KNOWN).tilt_axis_angle_deg == 0
    assert not any(q.field == "tilt_axis_angle_deg" for q in plan.questions)


def _stacks(folder, *axes):
    stacks = [_labelled(folder / f"s{number}.mrc", axis) for number, axis in enumerate(axes)]
    return stacks, {**KNOWN, "tilt_deg": np.arange(6.0)}


def test_stacks_of_one_series_have_one_tilt_axis(tmp_path):
    """All but the first stack's was not looked at: both were turned by the first."""
    stacks, given = _stacks(tmp_path, "85.3", "20.0")
    said = r"s1\.mrc: tilt_axis_angle: is 20 degrees, but s0\.mrc has 85\.3\. .*--tilt-axis-angle"
    with pytest.raises(DataError, match=said):
        load_series(stacks, **given)
    assert load_series(stacks, tilt_axis_angle_deg=85.3, **given).tilt_axis_angle_deg == 85.3
    plan = look(stacks, tilt_deg=given.pop("tilt_deg"), n_focus=2, focus_order="focus-major")
    with pytest.raises(DataError, match=said):
        load(plan, **given)
    assert load(plan, tilt_axis_angle_deg=20.0, **given).tilt_axis_angle_deg == 20


@pytest.mark.parametrize(
    ("axes", "told"),
    [
        (("", "20.0"), "s0.mrc states no tilt axis: the 20 degrees of s1.mrc are taken"),
        (("20.0", ""), "s1.mrc states no tilt axis: the 20 degrees of s0.mrc are taken"),
        (
            ("20.0", "20,0"),
            "s1.mrc: the angle in the label (20,0) has a decimal comma and is not read; "
            "the 20 degrees of s0.mrc are taken",
        ),
        (
            ("20,0", "20.0"),
            "s0.mrc: the angle in the label (20,0) has a decimal comma and is not read; "
            "the 20 degrees of s1.mrc are taken",
        ),
    ],
)
def test_the_axis_of_one_stack_holds_for_all_and_is_told(tmp_path, axes, told):
    stacks, given = _stacks(tmp_path, *axes)
    tilts = given.pop("tilt_deg")
    plan = look(stacks, tilt_deg=tilts, n_focus=2, focus_order="focus-major")
    assert not any(q.field == "tilt_axis_angle_deg" for q in plan.questions)
    for series in (load_series(stacks, tilt_deg=tilts, **given), load(plan, bin=2, **given)):
        assert series.tilt_axis_angle_deg == 20
        assert series.metadata["notes"].count(told) == 1


def test_an_aligned_stack_and_a_raw_one_are_not_one_series(tmp_path):
    raw, given = _labelled(tmp_path / "s.mrc", "85.3"), {**KNOWN, "tilt_deg": np.arange(6.0)}
    aligned = _labelled(tmp_path / "s.ali", "85.3")
    plan = look([aligned, raw], tilt_deg=given["tilt_deg"], n_focus=2, focus_order="focus-major")
    for read, said in (
        (lambda: load_series([raw, aligned], **given), r"s\.ali: .*: is 0 degrees, but s\.mrc has 85\.3"),
        (lambda: load(plan, bin=2, **KNOWN), r"s\.mrc: .*: is 85\.3 degrees, but s\.ali has 0\."),
    ):
        with pytest.raises(DataError, match=said):
            read()
    stacks = [_labelled(tmp_path / f"{name}.ali", "85.3") for name in "ab"]
    assert load_series(stacks, **given).tilt_axis_angle_deg == 0
    stacks, given = _stacks(tmp_path, "85,3", "")
    with pytest.raises(DataError, match="decimal comma"):
        load_series(stacks, **given)


@pytest.mark.parametrize("angle", [400.0, -1e9])
def test_a_tilt_axis_beyond_a_full_turn_is_refused_wherever_it_is_given(tmp_path, angle):
    """1e9 was taken, and images were turned by it."""
    stack, given = _stack(tmp_path / "s.mrc"), {**KNOWN, "tilt_deg": np.arange(6.0)}
    said = rf"tilt_axis_angle.*: is {angle:g}, but lies within ±360 degrees".replace("+", r"\+")
    with pytest.raises((DataError, ConfigError), match=said):
        load_series(stack, tilt_axis_angle_deg=angle, **given)
    plan = look(stack, tilt_deg=given.pop("tilt_deg"))
    for read in (
        lambda: plan.edited(tilt_axis_angle_deg=angle),
        lambda: load(plan, tilt_axis_angle_deg=angle, **given),
    ):
        with pytest.raises(ConfigError, match=said):
            read()
    assert load(plan, tilt_axis_angle_deg=-360.0, **given).tilt_axis_angle_deg == -360
    rows = "".join(f'[[image]]\nfile = "s.mrc"\nsection = {k}\ntilt_deg = {k}\n' for k in range(6))
    (tmp_path / "s.toml").write_text(
        f"energy_ev = 3e5\npixel_size_angstrom = 2\ntilt_axis_angle_deg = {angle}\n{rows}"
    )
    with pytest.raises(DataError, match=rf"s\.toml: {said}"):
        load_series(tmp_path / "s.toml")


@pytest.mark.parametrize("where", ["label", "title", "log"])
def test_a_tilt_axis_beyond_a_full_turn_in_a_file_must_be_given(tmp_path, where):
    """Beyond 720 it was passed over without a word, and 400 was taken."""
    stack = _labelled(tmp_path / "s.mrc", "400.0" if where == "label" else "")
    title = "[T = Tilt axis angle = 400.0, binning = 1]\n" if where == "title" else ""
    (tmp_path / "s.mrc.mdoc").write_text(title + _TURNED)
    if where == "log":
        (tmp_path / "s.txt").write_text("Log\n    Tilt axis angle = 400.0, binning = 1\n")
    said = rf"the angle in the {where} is 400(\.0)?°, beyond ±360°, and is not read\. .*--tilt-axis-angle"
    for read in (
        lambda **more: load_series(stack, **KNOWN, **more),
        lambda **more: load(look(stack), **KNOWN, **more),
    ):
        with pytest.raises(DataError, match=said):
            read()
        assert read(tilt_axis_angle_deg=40.0).tilt_axis_angle_deg == 40


def test_a_label_and_a_title_that_state_two_axes_are_refused(tmp_path):
    """The label's was taken by load_series, and the title's by an import."""
    stack = _labelled(tmp_path / "s.mrc", "85.3")
    (tmp_path / "s.mrc.mdoc").write_text(f"[T = Tilt axis angle = 20.0, binning = 1]\n{_TURNED}")
    others = _labelled(tmp_path / "t.mrc", "85.3"), {**KNOWN, "tilt_deg": np.arange(6.0)}
    for read, said in (
        (
            lambda **more: load_series(stack, **KNOWN, **more),
            "is 85.3 degrees in the label, but 20 in s.mrc.mdoc",
        ),
        (lambda **more: load_series([others[0], stack], **others[1], **more), "is 85.3 degrees in the label"),
        (
            lambda **more: load(look(stack), **KNOWN, **more),
            "is 85.3 degrees in the label, but 20 in s.mrc.mdoc",
        ),
    ):
        with pytest.raises(DataError, match=said):
            read()
        assert read(tilt_axis_angle_deg=40.0).tilt_axis_angle_deg == 40
    (tmp_path / "s.mrc.mdoc").write_text(f"[T = Tilt axis angle = 85.3, binning = 1]\n{_TURNED}")
    for found in (load_series(stack, **KNOWN), load(look(stack), **KNOWN)):
        assert found.tilt_axis_angle_deg == 85.3


def test_a_stated_axis_wins_over_a_derived_one_of_another_file(tmp_path):
    stacks = [_labelled(tmp_path / "s0.mrc", ""), _labelled(tmp_path / "s1.mrc", "20.0")]
    (tmp_path / "s0.mrc.mdoc").write_text(_TURNED)
    plan = look(stacks, n_focus=2, focus_order="focus-major")
    assert not any(q.field == "tilt_axis_angle_deg" for q in plan.questions)
    (tmp_path / "s1.tlt").write_text("-20\n-10\n0\n10\n20\n30\n")
    for series in (load_series(stacks, **KNOWN), load(plan, **KNOWN)):
        assert series.tilt_axis_angle_deg == 20
        notes = [note for note in series.metadata["notes"] if "axis" in note]
        assert "s0.mrc states no tilt axis: the 20 degrees of s1.mrc are taken" in notes
        assert not any("RotationAngle" in note for note in notes)


@pytest.mark.parametrize("where", ["title", "log"])
def test_an_axis_that_is_not_read_and_does_not_decide_is_told_once_and_not_asked(tmp_path, where):
    """An import asked to confirm it, and neither way said which axis was used."""
    stack = _labelled(tmp_path / "s.mrc", "85.3")
    title = "[T = Tilt axis angle = 85,3, binning = 1]\n"
    (tmp_path / "s.mrc.mdoc").write_text((title if where == "title" else "") + _TURNED)
    if where == "log":
        (tmp_path / "s.txt").write_text("Log\n    Tilt axis angle = 85,3, binning = 1\n")
    name = "s.mrc.mdoc" if where == "title" else "s.txt"
    told = f"{name}: the angle in the {where} (85,3) has a decimal comma and is not read; "
    plan = look(stack)
    assert not any(q.field == "tilt_axis_angle_deg" for q in plan.questions)
    for series in (load_series(stack, **KNOWN), load(plan, bin=2, **KNOWN)):
        assert series.tilt_axis_angle_deg == 85.3
        notes = [note for note in series.metadata["notes"] if "(85,3)" in note or "RotationAngle" in note]
        assert notes == [told + "the 85.3 degrees of s.mrc are taken"]


def test_images_that_state_no_axis_are_told_in_one_line(tmp_path):
    stacks, given = _stacks(tmp_path, "", "20.0", "", "")
    told = "s0.mrc and others state no tilt axis: the 20 degrees of s1.mrc are taken"
    assert told in load_series(stacks, **given).metadata["notes"]
    assert told in look(stacks).notes


def test_an_mdoc_of_another_name_speaks_for_its_stack(tmp_path):
    _labelled(tmp_path / "s.mrc", "85.3")
    mdoc = tmp_path / "other.mdoc"
    mdoc.write_text(f"ImageFile = s.mrc\n[T = Tilt axis angle = 20.0, binning = 1]\n{_TURNED}")
    with pytest.raises(DataError, match=r"s\.mrc: .*: is 85\.3 degrees, but other\.mdoc has 20\."):
        load(look(mdoc), **KNOWN)
    _labelled(tmp_path / "t.mrc", "85,3")
    mdoc.write_text(mdoc.read_text().replace("s.mrc", "t.mrc"))
    plan = look(mdoc)
    told = "t.mrc: the angle in the label (85,3) has a decimal comma and is not read; the 20 degrees of "
    assert plan.tilt_axis_angle_deg == 20 and plan.notes.count(f"{told}other.mdoc are taken") == 1
