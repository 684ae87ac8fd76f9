"""Recognise, mend, load and write: focal groups, order of exposure, bin and crop, memory, series.toml."""

from __future__ import annotations

import struct
import sys
import tracemalloc
from pathlib import Path

import mrcfile
import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))
from _eer import write_eer

from napari_phaset3m.errors import CancelledError, ConfigError, DataError
from napari_phaset3m.io.import_angles import with_angles
from napari_phaset3m.io.importing import (
    ImportConfig,
    Loaded,
    LoadProgress,
    forecast_bytes,
    iterate_load,
    load,
    look,
    write,
)
from napari_phaset3m.io.series import load_series

RNG = np.random.default_rng(3)
KNOWN = {"pixel_size_angstrom": 2.0, "energy_ev": 300e3}


def _mrc(path, data, pixel=2.0):
    with mrcfile.new(path, overwrite=True) as mrc:
        mrc.set_data(np.asarray(data, np.float32))
        mrc.set_image_stack()
        mrc.voxel_size = pixel
    return path


def _mdoc(path, rows, head=""):
    """rows: dicts of keys of each section."""
    text = "PixelSpacing = 2\nVoltage = 300\n" + head
    for z, row in enumerate(rows):
        text += f"\n[ZValue = {z}]\n" + "".join(f"{key} = {value}\n" for key, value in row.items())
    path.write_text(text)
    return path


def _images(n, shape=(16, 20)):
    """Images whose mean is their number + 1."""
    noise = RNG.uniform(-0.5, 0.5, (n, *shape))
    return noise - noise.mean(axis=(1, 2), keepdims=True) + np.arange(1, n + 1)[:, None, None]


def _fields(questions):
    return [question.field for question in questions]


def _focal_rows():
    """3 tilts x 3 foci, tilts taken 0, 3, -3, each from strong to weak underfocus."""
    clock = iter(range(100))
    return [
        {"TiltAngle": tilt + 0.02 * k, "TargetDefocus": -defocus, "ExposureDose": 20,
         "DateTime": f"01-Jan-24  10:00:{next(clock):02d}"}
        for tilt in (0, 3, -3)
        for k, defocus in enumerate((0.9, 0.5, 0.1))
    ]  # fmt: skip


def test_focal_groups_by_angle_and_defocus(tmp_path):
    data = _images(9)
    _mrc(tmp_path / "t.mrc", data)
    _mdoc(tmp_path / "t.mrc.mdoc", _focal_rows(), "[T = Tilt axis angle = 0.0]\n")
    plan = look(tmp_path / "t.mrc")
    assert (plan.n_tilt, plan.n_focus) == (3, 3)
    assert [e.section for e in plan.images] == [8, 7, 6, 2, 1, 0, 5, 4, 3]  # by angle, then by underfocus
    assert [e.defocus_angstrom for e in plan.images[:3]] == [1000, 5000, 9000]
    assert _fields(plan.questions) == ["focus_index"]
    series = load(plan, normalise="given")
    np.testing.assert_allclose(series.images[0, 0], data[8], rtol=1e-6)
    np.testing.assert_allclose(series.tilt_deg, [-2.98, 0.02, 3.02])
    assert series.metadata["exposure_order"] == [[8, 7, 6], [2, 1, 0], [5, 4, 3]]
    np.testing.assert_allclose(
        series.metadata["prior_dose"], 20.0 * np.array(series.metadata["exposure_order"])
    )
    assert series.dose_per_image[0, 0] == 20
    assert [step["step"] for step in series.metadata["history"]] == ["import"]
    assert not plan.edited(confirm=["focus_index"]).questions


def test_one_missing_focus_is_filled_and_not_used(tmp_path):
    rows = _focal_rows()
    del rows[4]  # 0.5 um of the tilt at 3 degrees
    data = _images(8)
    _mrc(tmp_path / "t.mrc", data)
    _mdoc(tmp_path / "t.mrc.mdoc", rows)
    plan = look(tmp_path / "t.mrc.mdoc")
    assert (plan.n_tilt, plan.n_focus) == (3, 3)
    filler = plan.images[7]
    assert filler.is_filler and not filler.used and filler.dose == 0.0 and filler.defocus_angstrom == 5000
    assert plan.images[6].defocus_angstrom == 1000 and plan.images[8].defocus_angstrom == 9000
    assert "1 of 3 tilts have fewer than 3 foci" in " ".join(plan.notes)
    series = load(plan, normalise="given")
    assert series.used.tolist() == [[True] * 3, [True] * 3, [True, False, True]]
    order = np.array(series.metadata["exposure_order"])
    assert sorted(order.reshape(-1).tolist()) == list(range(9)) and order[2, 1] == 8
    # What the repeat stands for was never exposed: the doses before the others do not count it.
    assert np.array(series.metadata["prior_dose"])[0, 0] == 7 * 20


def test_angles_taken_twice_are_no_focal_series(tmp_path):
    rows = [
        {"TiltAngle": a, "DateTime": f"01-Jan-24  10:00:{k:02d}"} for k, a in enumerate((0, 3, -3, 0.1, 6))
    ]
    _mrc(tmp_path / "t.mrc", _images(5))
    _mdoc(tmp_path / "t.mrc.mdoc", rows)
    plan = look(tmp_path / "t.mrc")
    assert (plan.n_tilt, plan.n_focus) == (5, 1)
    assert [e.section for e in plan.images] == [2, 0, 3, 1, 4]
    assert any("more than once at 0 degrees" in question.text for question in plan.questions)


def test_repeated_angles_without_defocus_go_by_time_and_lens(tmp_path):
    times = [f"01-Jan-24  10:00:{k:02d}" for k in (1, 0, 3, 2)]
    rows = [{"TiltAngle": a, "DateTime": t} for a, t in zip((0, 0, 3, 3), times, strict=True)]
    _mrc(tmp_path / "t.mrc", _images(4))
    _mdoc(tmp_path / "t.mrc.mdoc", rows)
    plan = look(tmp_path / "t.mrc")
    assert [e.section for e in plan.images] == [1, 0, 3, 2] and plan.n_focus == 2
    assert "in the order of exposure" in str(plan.questions[-1]) or any(
        "order" in q.text for q in plan.questions
    )
    for row, lens in zip(rows, (-2.0, -2.4, -2.1, -2.5), strict=True):
        row["Defocus"] = lens
        row["TargetDefocus"] = 0
    _mdoc(tmp_path / "t.mrc.mdoc", rows)
    plan = look(tmp_path / "t.mrc")
    assert [e.section for e in plan.images] == [0, 1, 2, 3]
    assert [e.defocus_angstrom for e in plan.images] == [None] * 4
    assert any(
        "lens reading" in question.text for question in plan.questions if question.field == "focus_index"
    )


def test_the_lens_reading_orders_foci_and_is_no_defocus(tmp_path):
    """Its zero is arbitrary. It was written as defocus, while the message said that it was not used."""
    readings = (-2.2, -1.9, -2.0, -2.0, -1.9, -2.2, -1.9, -2.2)  # the last tilt lacks -2.0
    rows = [{"TiltAngle": 3 * (k // 3), "Defocus": lens} for k, lens in enumerate(readings)]
    _mrc(tmp_path / "t.mrc", _images(8))
    _mdoc(tmp_path / "t.mrc.mdoc", rows)
    plan = look(tmp_path / "t.mrc")
    assert (plan.n_tilt, plan.n_focus) == (3, 3)
    assert [e.section for e in plan.images if not e.is_filler] == [1, 2, 0, 4, 3, 5, 6, 7]
    assert [e.focus_index for e in plan.images if e.is_filler] == [1]
    assert all(e.defocus_angstrom is None for e in plan.images)
    assert load(plan, energy_ev=3e5, normalise="given").defocus_angstrom is None
    (told,) = [q.text for q in plan.questions if q.field == "defocus_angstrom"]
    assert "it orders foci of one tilt and is not taken as their defocus" in told
    _mdoc(tmp_path / "t.mrc.mdoc", [{**row, "TargetDefocus": -4} for row in rows])
    plan = look(tmp_path / "t.mrc")
    assert [e.section for e in plan.images if not e.is_filler] == [1, 2, 0, 4, 3, 5, 6, 7]
    assert [e.defocus_angstrom for e in plan.images] == [40000] * 9  # the target, though alike for all


def test_one_stack_per_defocus(tmp_path):
    data = _images(6).reshape(2, 3, 16, 20)
    for name, stack in zip(("t_d900", "t_d100"), data, strict=True):
        _mrc(tmp_path / f"{name}.mrc", stack)
    (tmp_path / "t_d900.tlt").write_text("-3\n0\n3\n")
    plan = look([tmp_path / "t_d900.mrc", tmp_path / "t_d100.mrc"])
    assert (plan.n_tilt, plan.n_focus) == (3, 2)
    assert [e.defocus_angstrom for e in plan.images[:2]] == [9000, 1000]  # in the order given; nm
    assert {"defocus_angstrom", "focus_index"} <= set(_fields(plan.questions))
    series = load(plan, normalise="given", energy_ev=300e3)
    np.testing.assert_allclose(series.images, data.swapaxes(0, 1), rtol=1e-6)
    _mrc(tmp_path / "t_d100.mrc", data[1, :2])
    with pytest.raises(DataError, match="2 images for 3 images in t_d900"):
        look([tmp_path / "t_d900.mrc", tmp_path / "t_d100.mrc"])


@pytest.mark.parametrize(
    ("names", "defoci"),
    [
        (("p_-12.0_f1", "p_-12.0_f2", "p_3.0_f1", "p_3.0_f2"), [None] * 4),
        (("p_-12.0_d100", "p_-12.0_d500", "p_3.0_d100", "p_3.0_d500"), [1000, 5000, 1000, 5000]),
        (("p_-12.0_0.1um", "p_-12.0_0.5um", "p_3.0_0.1um", "p_3.0_0.5um"), [1000, 5000, 1000, 5000]),
        (
            ("p_-12.0_df-100nm", "p_-12.0_df-500nm", "p_3.0_df-100nm", "p_3.0_df-500nm"),
            [1000, 5000, 1000, 5000],
        ),
    ],
)
def test_names_tell_angle_and_focus(tmp_path, names, defoci):
    for name, image in zip(names, _images(4), strict=True):
        tifffile.imwrite(tmp_path / f"{name}.tif", image[::-1].astype(np.float32))
    plan = look(tmp_path)
    assert (plan.n_tilt, plan.n_focus) == (2, 2)
    assert [e.file.stem for e in plan.images] == list(names)
    assert [e.tilt_deg for e in plan.images] == [-12, -12, 3, 3]
    assert [e.defocus_angstrom for e in plan.images] == defoci


def test_dm3_folder_is_a_focal_group(shared_data):
    folder = shared_data / "real" / "hrtem_focal_dm3"
    if not folder.is_dir():
        pytest.skip("no DM3 files in the shared data")
    pytest.importorskip("rsciio")
    plan = look(folder)
    assert (plan.n_tilt, plan.n_focus) == (1, 7)
    assert (plan.pixel_size_angstrom, plan.energy_ev) == (0.2842, 300e3)
    assert plan.fields["spherical_aberration_angstrom"] == 6e6
    assert [e.file.stem for e in plan.images] == [
        "img01",
        "img04",
        "img07",
        "img10",
        "img13",
        "img16",
        "img19",
    ]
    assert [e.exposure_order for e in plan.images] == list(range(7))
    defoci = [1630 - 107.5 * (int(e.file.stem[3:]) - 1) for e in plan.images]
    plan = plan.edited(
        {k: {"defocus_angstrom": d} for k, d in enumerate(defoci)}, confirm=["tilt_deg", "focus_index"]
    )
    assert not plan.questions
    series = load(plan, bin=8)
    assert series.images.shape == (1, 7, 128, 128) and series.pixel_size_angstrom == pytest.approx(2.2736)
    assert series.defocus_angstrom[0, -1] == pytest.approx(-305)


def test_frame_sets_with_one_mdoc_each(tmp_path):
    """A folder of movies, each with its own mdoc; names and times disagree on purpose."""
    rows = [(0.0, "10:00:00"), (3.0, "10:00:20"), (-3.0, "10:00:10")]
    movies = RNG.poisson(4, (3, 5, 16, 20)).astype(np.float32)
    for k, ((tilt, clock), movie) in enumerate(zip(rows, movies, strict=True)):
        _mrc(tmp_path / f"m{k}.mrc", movie)
        (tmp_path / f"m{k}.mrc.mdoc").write_text(
            f"Voltage = 300\n[FrameSet = 0]\nTiltAngle = {tilt}\nExposureDose = 3\nPixelSpacing = 2\n"
            f"TargetDefocus = -2\nSubFramePath = X:\\frames\\m{k}.mrc\nNumSubFrames = 5\n"
            f"DateTime = 01-Jan-24  {clock}\n"
        )
    plan = look(tmp_path)
    assert [e.tilt_deg for e in plan.images] == [-3, 0, 3]
    assert [e.exposure_order for e in plan.images] == [1, 0, 2]
    assert [e.prior_dose for e in plan.images] == [3, 0, 6]
    assert all(e.frames == e.file for e in plan.images)
    assert "step Prepare corrects motion" in " ".join(plan.notes)
    gain = RNG.uniform(0.5, 1.5, (16, 20)).astype(np.float32)
    _mrc(tmp_path / "gain_x.mrc", gain[None])
    series = load(plan.edited(gain=tmp_path / "gain_x.mrc"), normalise="given")
    np.testing.assert_allclose(series.images[2, 0], movies[1].sum(axis=0) * gain, rtol=1e-5)


def _movies_of_one_mdoc(folder, count=4):
    lines = ["PixelSpacing = 2", "Voltage = 300", "ImageFile = ts.mrc", "[T = Tilt axis angle = 0.0]"]
    for k in range(count):
        _mrc(folder / f"m{k}.mrc", RNG.poisson(4, (5, 16, 20)).astype(np.float32))
        lines += [f"[ZValue = {k}]", f"TiltAngle = {3 * k}", "ExposureDose = 3",
                  f"SubFramePath = X:\\frames\\m{k}.mrc", f"DateTime = 01-Jan-24  10:00:{k:02d}"]  # fmt: skip
    (folder / "ts.mrc.mdoc").write_text("\n".join(lines))


def test_missing_movies_are_asked_about_and_the_others_are_imported(tmp_path):
    """Neither is the mdoc dropped for one movie, nor another image of the folder taken for the series."""
    _movies_of_one_mdoc(tmp_path)
    (tmp_path / "m2.mrc").unlink()
    _mrc(tmp_path / "gain.mrc", np.ones((1, 16, 20), np.float32))
    plan = look(tmp_path)
    assert [(e.tilt_deg, e.file.name) for e in plan.images] == [(0, "m0.mrc"), (3, "m1.mrc"), (9, "m3.mrc")]
    (question,) = [q for q in plan.questions if q.field == "movies"]
    assert question.text == "1 of 4 are not there (m2.mrc): imported without them"
    assert load(plan.edited(confirm=["movies"])).n_tilt == 3


def test_an_mdoc_without_any_image_is_told_of(tmp_path):
    _movies_of_one_mdoc(tmp_path)
    for k in range(4):
        (tmp_path / f"m{k}.mrc").unlink()
    _mrc(tmp_path / "gain.mrc", np.ones((1, 16, 20), np.float32))
    (question,) = [q for q in look(tmp_path).questions if q.field == "mdoc"]
    assert question.text == "neither stack nor movies of ts.mrc.mdoc; other images are taken"
    with pytest.raises(DataError, match=r"neither ts\.mrc nor 4 of its 4 movies"):
        look(tmp_path / "ts.mrc.mdoc")


@pytest.mark.parametrize("count", [6, 2])
def test_angles_are_given_for_each_image_or_for_each_tilt(tmp_path, count):
    data = RNG.normal(100, 5, (6, 16, 20)).astype(np.float32)
    _mrc(tmp_path / "bare.mrc", data)
    plan = look(tmp_path / "bare.mrc")
    assert all(e.tilt_deg is None for e in plan.images)
    with pytest.raises(DataError, match="tilt_deg: 4 angles for 6 images"):
        with_angles(plan, [0, 1, 2, 3])
    placed = with_angles(plan, [10.0, -10.0] if count == 2 else [10.0, 6.0, 2.0, -2.0, -6.0, -10.0])
    assert (placed.n_tilt, placed.n_focus) == (count, 6 // count)
    assert [e.section for e in placed.images] == ([3, 4, 5, 0, 1, 2] if count == 2 else [5, 4, 3, 2, 1, 0])
    assert not [q for q in placed.questions if q.field == "tilt_deg"]
    assert [q.field for q in placed.questions].count("focus_index") == (count == 2)
    (tmp_path / "a.tlt").write_text("\n".join(map(str, range(6))))
    assert with_angles(plan, tmp_path / "a.tlt").notes[-1] == "tilt angles from a.tlt"


def test_frame_tilt_series_in_one_movie(tmp_path):
    movie = RNG.poisson(4, (12, 16, 20)).astype(np.float32)
    _mrc(tmp_path / "f.mrc", movie)
    (tmp_path / "f.mrc.mdoc").write_text(
        "Voltage = 300\n[FrameSet = 0]\nPixelSpacing = 2\nSubFramePath = X:\\f.mrc\nTargetDefocus = -2\n"
        "[ZValue = 0]\nTiltAngle = 5\nFrameTSStartEndFrames = 0 3\nExposureDose = 2\nPriorRecordDose = 0\n"
        "[ZValue = 1]\nTiltAngle = -5\nFrameTSStartEndFrames = 6 11\nExposureDose = 3\nPriorRecordDose = 2\n"
    )
    plan = look(tmp_path / "f.mrc.mdoc")
    assert [(e.tilt_deg, e.frame_range) for e in plan.images] == [(-5, (6, 11)), (5, (0, 3))]
    series = load(plan, normalise="given")
    np.testing.assert_allclose(series.images[0, 0], movie[6:12].sum(axis=0))


def test_eer_folder(tmp_path):
    pytest.importorskip("imagecodecs")
    for tilt in (-3.0, 0.0, 3.0):
        write_eer(tmp_path / f"p_{tilt:.1f}.eer", [[(1, 2, 0, 0), (30, 30, 1, 1)]] * 3, (32, 32), dose_px=1.0)
    plan = look(tmp_path)
    assert [e.tilt_deg for e in plan.images] == [-3, 0, 3]
    series = load(plan, **KNOWN, normalise="given")
    assert series.images[0, 0].sum() == 6


def test_wrong_counts_name_both_numbers(tmp_path):
    _mrc(tmp_path / "t.mrc", _images(4))
    _mdoc(tmp_path / "t.mrc.mdoc", [{"TiltAngle": a} for a in (0, 3, 6)])
    with pytest.raises(DataError, match=r"t\.mrc\.mdoc.*3 sections for 4 images in t\.mrc"):
        look(tmp_path / "t.mrc.mdoc")
    with pytest.raises(DataError, match="3 sections for 4 images"):
        load_series(tmp_path / "t.mrc", energy_ev=3e5)
    (tmp_path / "t.mrc.mdoc").unlink()
    (tmp_path / "t.rawtlt").write_text("1\n2\n3\n4\n5\n")
    with pytest.raises(DataError, match=r"5 angles for 4 images in t\.mrc"):
        look(tmp_path / "t.mrc")
    (tmp_path / "t.rawtlt").write_text("1\n2\n3\n4\n")
    (tmp_path / "t.defocus").write_text("1 1 1 1 500 2\n2 2 2 2 500\n")
    plan = look(tmp_path / "t.mrc")
    told = "t.defocus is not used: 2 views for 4 images in t.mrc"
    assert [q.text for q in plan.questions if q.field == "defocus_angstrom"] == [told]
    with pytest.raises(DataError, match=r"2 views for 4 images.* --defocus"):
        load(plan, energy_ev=3e5)
    assert load(plan, energy_ev=3e5, defocus_angstrom=700.0).defocus_angstrom.tolist() == [[700.0]] * 4
    assert load(plan.edited(confirm=["defocus_angstrom"]), energy_ev=3e5).defocus_angstrom is None
    (tmp_path / "t.defocus").unlink()
    (tmp_path / "t.xf").write_text("1 0 0 1 0 0\n" * 3)
    with pytest.raises(DataError, match="3 transforms for 4 images"):
        look([tmp_path / "t.mrc", tmp_path / "t.xf"])


def test_given_angles_win_over_what_does_not_fit_beside(tmp_path):
    """A .tlt or .mdoc of another count used to be refused whatever was given; a description gives its own."""
    path = _mrc(tmp_path / "t.mrc", _images(4))
    (tmp_path / "t.tlt").write_text("1\n2\n3\n4\n5\n")
    (tmp_path / "good.tlt").write_text("0\n2\n4\n6\n")
    told = "t.tlt is not used: 5 angles for 4 images in t.mrc"
    for angles in ([0, 2, 4, 6], tmp_path / "good.tlt"):
        for series in (
            load_series(path, energy_ev=3e5, tilt_deg=angles),
            load(look(path, tilt_deg=angles), energy_ev=3e5),
        ):
            assert series.tilt_deg.tolist() == [0, 2, 4, 6] and told in series.metadata["notes"]
    assert look([path, tmp_path / "good.tlt"]).notes[-2:] == (told, "tilt angles from good.tlt")
    write(look(path, tilt_deg=[0, 2, 4, 6]).edited(energy_ev=3e5), tmp_path / "d.toml")
    assert load_series(tmp_path / "d.toml").tilt_deg.tolist() == [0, 2, 4, 6]
    (tmp_path / "t.tlt").unlink()
    _mdoc(tmp_path / "t.mrc.mdoc", [{"TiltAngle": a} for a in (0, 3, 6)])
    series = load_series(path, tilt_deg=[0, 2, 4, 6])
    assert series.energy_ev == 300e3, "what it says of all images holds"
    told = "what t.mrc.mdoc says of single images is not used: 3 sections for 4 images in t.mrc"
    assert told in series.metadata["notes"]
    assert told in look(tmp_path / "t.mrc.mdoc", tilt_deg=[0, 2, 4, 6]).notes


def test_what_does_not_fit_beside_can_be_asked_about(tmp_path):
    path = _mrc(tmp_path / "t.mrc", _images(4))
    (tmp_path / "t.rawtlt").write_text("1\n2\n3\n4\n5\n")
    told = "t.rawtlt is not used: 5 angles for 4 images in t.mrc"
    plan = look(path, ask=True)
    assert [q.text for q in plan.questions if q.field == "tilt_deg"] == [told] and told in plan.notes
    assert all(entry.tilt_deg is None for entry in plan.images)
    with pytest.raises(DataError, match="tilt_angles: is not in the file"):
        load(plan, energy_ev=3e5)
    placed = with_angles(plan, [9, 6, 3, 0])
    assert told in placed.notes and "tilt_deg" not in _fields(placed.questions)
    assert load(placed, energy_ev=3e5).tilt_deg.tolist() == [0, 3, 6, 9]
    _mdoc(tmp_path / "t.mrc.mdoc", [{"TiltAngle": a} for a in (0, 3, 6, 9)])
    plan = look(path, ask=True)
    assert [entry.tilt_deg for entry in plan.images] == [0, 3, 6, 9]
    assert [q.text for q in plan.questions if q.field == "tilt_deg"] == [
        f"{told}; those shown are from elsewhere"
    ]


def test_defocus_files_and_excluded_views_beside(tmp_path):
    _mrc(tmp_path / "t.mrc", _images(3))
    (tmp_path / "t.tlt").write_text("-3\n0\n3\n")
    (tmp_path / "t_CTF.txt").write_text(
        "# CTF\n1 20000 19000 0 0 0.1 8\n3 24000 22000 0 0 0.1 8\n2 21000 21000 0 0 .1 8\n"
    )
    (tmp_path / "tilt.com").write_text("$tilt\nInputProjections t_ali.mrc\nEXCLUDELIST 2\n")
    plan = look(tmp_path / "t.mrc")
    assert [e.defocus_angstrom for e in plan.images] == [19500, 21000, 23000]
    assert [e.used for e in plan.images] == [True, False, True]
    (tmp_path / "t.defocus").write_text("1 1 -3 -3 1200 2\n2 2 0 0 1300\n3 3 3 3 1400\n")  # nm; wins
    assert [e.defocus_angstrom for e in look(tmp_path / "t.mrc").images] == [12000, 13000, 14000]


_CTFFIND = (
    "# Pixel size: 2.000 Angstroms ; acceleration voltage: 200.0 keV ; spherical aberration: 2.70 mm ; "
    "amplitude contrast: 0.07\n"
)


@pytest.mark.parametrize("angle", [0.0, 90.0, 37.0])
def test_astigmatism_and_cs_of_ctf_fits_are_taken(tmp_path, angle):
    """Along the azimuth of the fit the aberration is that of the first defocus, across it of the second."""
    from napari_phaset3m.core.aberrations import aberration_phase

    _mrc(tmp_path / "t.mrc", _images(3))
    (tmp_path / "t.tlt").write_text("-3\n0\n3\n")
    lines = [f"{k} 20000 19000 {azimuth} 0 0.1 8\n" for k, azimuth in ((1, 30), (2, 31), (3, 29))]
    (tmp_path / "t_CTF.txt").write_text(_CTFFIND + "".join(lines))
    plan = look(tmp_path / "t.mrc").edited(tilt_axis_angle_deg=angle)
    assert plan.energy_ev == 2e5 and "energy_ev" not in _fields(plan.questions)
    series = load(plan)
    assert series.spherical_aberration_angstrom == 2.7e7 and series.defocus_angstrom[0, 0] == 19500
    for azimuth, defocus in ((30, 20000.0), (120, 19000.0)):
        # A direction of the file's images lies at azimuth - angle in the turned ones.
        phi = np.deg2rad(azimuth - angle)
        k = np.array([0.1]) * np.cos(phi), np.array([0.1]) * np.sin(phi)
        astigmatic = {"C10": -19500.0, **series.aberrations}
        np.testing.assert_allclose(
            aberration_phase(*k, 0.025, astigmatic), aberration_phase(*k, 0.025, {"C10": -defocus}), rtol=1e-6
        )
    notes = " | ".join(series.metadata["notes"])
    assert "Cs 2.7 mm from t_CTF.txt" in notes and "C12 500 Å" in notes
    assert "not used: amplitude contrast 0.07" in notes and "phase shift" not in notes


def test_what_ctf_fits_state_and_a_series_cannot_hold_is_told(tmp_path):
    _mrc(tmp_path / "t.mrc", _images(4))
    (tmp_path / "t.tlt").write_text("-3\n0\n3\n6\n")
    apart = ((1, 0), (2, 45), (3, 90), (4, -45))  # astigmatism in all directions: none that all share
    (tmp_path / "t_CTF.txt").write_text("".join(f"{k} 20000 19000 {az} 1.5708 0.1 8\n" for k, az in apart))
    plan = look(tmp_path / "t.mrc")
    assert "aberrations" not in plan.fields
    notes = " | ".join(plan.notes)
    assert "astigmatism of the fits is not used" in notes and "phase shift 90.0° of the fits" in notes
    assert plan.fields["phase_shift_deg"] == 90.0
    (tmp_path / "t.defocus").write_text(  # axis and phase in degrees, cut-on
        "37 0 0. 0. 0 3\n" + "".join(f"{k} {k} 0 0 2000 1900 20 {85 + k} 0.02\n" for k in (1, 2, 3, 4))
    )
    plan = look(tmp_path / "t.mrc")
    assert [e.defocus_angstrom for e in plan.images] == [19500] * 4
    assert plan.fields["aberrations"]["C12"] == pytest.approx(500)
    assert np.cos(2 * (plan.fields["aberrations"]["phi12"] - np.deg2rad(110))) == pytest.approx(1)
    notes = " | ".join(plan.notes)
    assert "phase shift 87.5° of the fits" in notes and "cut-on frequency" in notes


def test_tilt_com_turns_all_tilts_and_tells_the_rest(tmp_path):
    _mrc(tmp_path / "t.mrc", _images(3))
    (tmp_path / "t.tlt").write_text("-3\n0\n3\n")
    text = "$tilt\nInputProjections t_ali.mrc\nOFFSET 9.5 4\nXAXISTILT 1.5\nTHICKNESS 900\nSHIFT 0 0\n"
    (tmp_path / "tilt.com").write_text(text)
    plan = look(tmp_path / "t.mrc")
    assert [e.tilt_deg for e in plan.images] == [6.5, 9.5, 12.5]
    notes = " | ".join(plan.notes)
    assert "+9.5° was added to all tilts, as tilt.com says (OFFSET)" in notes
    assert "XAXISTILT 1.5°, THICKNESS 900 px, axis shift of OFFSET 4 px" in notes and "SHIFT 0" not in notes
    (tmp_path / "other.tlt").write_text("-30\n0\n30\n")
    named = look([tmp_path / "t.mrc", tmp_path / "tilt.com", tmp_path / "other.tlt"])
    assert [e.tilt_deg for e in named.images] == [-20.5, 9.5, 39.5], "whatever comes first"
    given = look(tmp_path / "t.mrc", tilt_deg=[-30.0, 0.0, 30.0])
    assert [e.tilt_deg for e in given.images] == [-30, 0, 30] and "OFFSET)" not in " ".join(given.notes)
    (tmp_path / "tilt.com").write_text(text.replace("t_ali", "u_ali"))
    plan = look([tmp_path / "t.mrc", tmp_path / "tilt.com"])
    assert [e.tilt_deg for e in plan.images] == [-3, 0, 3]
    assert "tilt.com is of u_ali, not of t.mrc: not used" in plan.notes


def test_refusals(tmp_path):
    with pytest.raises(DataError, match="no file was given"):
        look([])
    with pytest.raises(DataError, match="holds no images"):
        look(tmp_path)
    (tmp_path / "a.mdoc").write_text("Montage = 1\n[ZValue = 0]\nPieceCoordinates = 0 0 0\nTiltAngle = 0\n")
    with pytest.raises(DataError, match="is a montage"):
        look(tmp_path / "a.mdoc")
    (tmp_path / "b.mrc.mdoc").write_text("[ZValue = 0]\nTiltAngle = 0\nSubFramePath = ..\\..\\secret.mrc\n")
    with pytest.raises(DataError, match=r"neither b\.mrc nor 1 of its 1 movies"):
        look(tmp_path / "b.mrc.mdoc")
    _mrc(tmp_path / "c.mrc", _images(2))
    _mrc(tmp_path / "d.mrc", _images(2, (8, 8)))
    with pytest.raises(DataError, match="8 x 8, the images before are 16 x 20"):
        look([tmp_path / "c.mrc", tmp_path / "d.mrc"])
    plan = look(tmp_path / "c.mrc")
    assert "tilt_deg" in _fields(plan.questions)
    with pytest.raises(DataError, match="tilt_angles: is not"):
        load(plan, energy_ev=3e5)
    with pytest.raises(DataError, match="energy: is not"):
        load(plan.edited({0: {"tilt_deg": 0}, 1: {"tilt_deg": 3}}))


def test_edited_cells_are_checked(tmp_path):
    _mrc(tmp_path / "c.mrc", _images(2))
    plan = look(tmp_path / "c.mrc", tilt_deg=[0, 3])
    changed = plan.edited(
        {1: {"tilt_deg": 4, "used": False, "dose": 2}}, pixel_size_angstrom=1.5, energy_ev=2e5
    )
    assert changed.images[1].tilt_deg == 4 and not changed.images[1].used
    assert changed.pixel_size_angstrom == 1.5 and "energy_ev" not in _fields(changed.questions)
    assert plan.images[1].tilt_deg == 3  # the old plan is as it was
    for cells in (
        {"tilt_deg": 200},
        {"tilt_deg": "x"},
        {"used": 1},
        {"dose": -1},
        {"section": -1},
        {"tilt": 3},
    ):
        with pytest.raises(ConfigError):
            plan.edited({0: cells})
    for values in (
        {"pixel_size_angstrom": 0},
        {"energy_ev": "x"},
        {"wrong": 1},
        {"defocus_reference": "top"},
    ):
        with pytest.raises(ConfigError):
            plan.edited(**values)
    with pytest.raises(ConfigError, match="no row 5"):
        plan.edited({5: {"used": False}})
    with pytest.raises(DataError, match="2 images for 1 tilts x 1 foci"):
        plan.edited({1: {"tilt_index": 0}}).check()
    with pytest.raises(DataError, match="foci of one tilt have 0 and 3"):
        plan.edited({1: {"tilt_index": 0, "focus_index": 1}}).check()


def test_sections_divided_as_told(tmp_path):
    data = _images(6)
    _mrc(tmp_path / "c.mrc", data)
    plan = look(tmp_path / "c.mrc", tilt_deg=[0, 0, 3, 3, 6, 6]).divided(2)
    assert [(e.section, e.tilt_index, e.focus_index) for e in plan.images][:3] == [
        (0, 0, 0),
        (1, 0, 1),
        (2, 1, 0),
    ]
    plan = look(tmp_path / "c.mrc", tilt_deg=[0, 3, 6, 0, 3, 6]).divided(2, "focus-major")
    series = load(plan, **KNOWN, normalise="given")
    np.testing.assert_allclose(series.images[:, 1], data[3:], rtol=1e-6)
    with pytest.raises(ConfigError, match="6 images do not divide by 4"):
        plan.divided(4)


def test_bin_and_crop_keep_place_and_mean(tmp_path):
    y, x = np.mgrid[:64, :96]
    image = 2 + np.cos(2 * np.pi * x / 32) + 0.5 * np.sin(2 * np.pi * y / 16)
    _mrc(tmp_path / "c.mrc", image[None])
    plan = look(tmp_path / "c.mrc")
    for method, tolerance in (("fourier", 1e-5), ("mean", 0.08)):
        series = load(plan, bin=4, bin_method=method, energy_ev=3e5, normalise="given")
        assert series.images.shape == (1, 1, 16, 24) and series.pixel_size_angstrom == 8.0
        yy, xx = 4 * np.mgrid[:16, :24] + 1.5  # centres of blocks
        wanted = 2 + np.cos(2 * np.pi * xx / 32) + 0.5 * np.sin(2 * np.pi * yy / 16)
        np.testing.assert_allclose(series.images[0, 0], wanted, atol=tolerance)
    series = load(plan, crop=(8, 40, 16, 48), energy_ev=3e5, normalise="given")
    np.testing.assert_allclose(series.images[0, 0], image[8:40, 16:48], rtol=1e-6)
    series = load(plan, crop=(8, 41, 16, 50), bin=2, bin_method="mean", energy_ev=3e5, normalise="given")
    wanted = image[8:40, 16:50].reshape(16, 2, 17, 2).mean(axis=(1, 3))  # one row of 33 is left over
    assert series.images.shape == (1, 1, 16, 17)
    np.testing.assert_allclose(series.images[0, 0], wanted, rtol=1e-5)
    with pytest.raises(ConfigError, match="reaches out of images of 64 x 96"):
        load(plan, crop=(0, 65, 0, 10), energy_ev=3e5)
    with pytest.raises(ConfigError, match="leaves 1 x 1 pixels"):
        load(plan, bin=64, energy_ev=3e5)
    with pytest.raises(ConfigError, match="crop"):
        load(plan, crop=(5, 5, 0, 10), energy_ev=3e5)


_SHRUNK = [
    {"bin": 2},
    {"crop": (0, 32, 0, 32)},
    {"crop": (5, 64, 16, 61)},
    {"crop": (3, 62, 7, 60), "bin": 4},
    {"bin": 3, "bin_method": "mean"},
]
_MTF = [[0.0, 1.0], [0.5, 0.6], [1.0, 0.2]]


def _described(folder, how, more=""):
    """A series.toml of two 64 x 96 images with shifts (y, x) in pixels of the files."""
    if not (folder / "c.mrc").exists():
        _mrc(folder / "c.mrc", _images(2, (64, 96)))
    lines = [f"{key} = {list(v) if key == 'crop' else repr(v)}" for key, v in how.items()]
    text = f"energy_ev = 3e5\nnormalisation = 'given'\nmtf = {_MTF}\n{more}\n" + "\n".join(lines)
    for number, shift in enumerate(([4.0, 8.0], [-1.5, 3.0])):
        text += f"\n[[image]]\nfile = 'c.mrc'\nsection = {number}\ntilt_deg = {number}\nshift_px = {shift}\n"
    (folder / "s.toml").write_text(text)
    return folder / "s.toml"


def _prepared(series, how):
    """What step Prepare makes of the whole images."""
    from napari_phaset3m.prepare.events import drain
    from napari_phaset3m.prepare.geometry import BinConfig, CropConfig, run_bin, run_crop

    if "crop" in how:
        y0, y1, x0, x1 = how["crop"]
        series = drain(run_crop(series, CropConfig(region_px=(y0, x0, y1 - y0, x1 - x0)))).series
    return drain(run_bin(series, BinConfig(factor=how["bin"]))).series if "bin" in how else series


@pytest.mark.parametrize("axis", [0.0, 90.0])
@pytest.mark.parametrize("how", _SHRUNK)
def test_bin_and_crop_of_a_description_do_what_prepare_does(tmp_path, how, axis):
    """Shifts in pixels of the files, and MTF in fractions of their Nyquist, were left as they stood."""
    whole = load_series(_described(tmp_path, {}))
    assert whole.shifts_px[0, 0].tolist() == [4, 8]
    wanted = _prepared(whole, how)
    more = f"tilt_axis_angle_deg = {axis}" if axis else ""
    series = load_series(_described(tmp_path, how, more))
    quarter = round(axis / 90)
    if how.get("bin_method") != "mean":
        np.testing.assert_allclose(series.images, np.rot90(wanted.images, quarter, (2, 3)), atol=1e-5)
    y, x = np.moveaxis(wanted.shifts_px, -1, 0)
    np.testing.assert_allclose(
        series.shifts_px, np.stack((-x, y) if quarter else (y, x), axis=-1), atol=1e-12
    )
    np.testing.assert_allclose(series.mtf, wanted.mtf)
    assert series.pixel_size_angstrom == wanted.pixel_size_angstrom


@pytest.mark.parametrize("axis", [0.0, 90.0])
@pytest.mark.parametrize("how", _SHRUNK)
def test_bin_and_crop_at_import_do_what_prepare_does(tmp_path, how, axis):
    """A crop off the centre must not move the rotation centre in the specimen."""
    _mrc(tmp_path / "c.mrc", _images(2, (64, 96)))
    (tmp_path / "mtf.txt").write_text("\n".join(f"{k} {v}" for k, v in _MTF))
    plan = look(tmp_path / "c.mrc", tilt_deg=[0, 1]).edited(energy_ev=3e5)
    stated = np.array([[[4.0, 8.0]], [[-1.5, 3.0]]])
    given = {"normalise": "given", "mtf": tmp_path / "mtf.txt", "tilt_axis_angle_deg": axis}
    for shifts in (None, stated):
        whole = load(plan, normalise="given", mtf=_MTF, shifts_px=shifts)
        wanted = _prepared(whole, how)
        series = load(plan, **how, **given, shifts_px=shifts)
        y, x = np.moveaxis(wanted.shifts_px, -1, 0)
        turned = np.stack((-x, y) if axis else (y, x), axis=-1)
        np.testing.assert_allclose(series.shifts_px, turned, atol=1e-12)
        np.testing.assert_allclose(series.mtf, wanted.mtf)
    added = series.metadata["history"][0]["told"].get("shift_added_px", [0, 0])
    if how == _SHRUNK[1]:
        assert added == [31.5 - 15.5, 47.5 - 15.5]  # from the kept part's centre to that of the file's image


@pytest.mark.parametrize(
    "line", ["mtf = [[0, 1]]", "mtf = 3", "mtf = ['a', 'b']", "mtf = [[0.5, 1], [0.1, 1]]"]
)
def test_a_wrong_mtf_is_refused_by_name_when_binned(tmp_path, line):
    path = _described(tmp_path, {"bin": 2})
    path.write_text(path.read_text().replace(f"mtf = {_MTF}", line))
    with pytest.raises(DataError, match="mtf"):
        load_series(path)


def test_counts_of_a_binned_description_add_up(tmp_path):
    _mrc(tmp_path / "c.mrc", np.full((1, 32, 32), 5.0))
    image = "[[image]]\nfile = 'c.mrc'\ntilt_deg = 0\n"
    (tmp_path / "s.toml").write_text(f"energy_ev = 3e5\ncounts = true\nbin = 4\n{image}")
    assert load_series(tmp_path / "s.toml").dose_per_image[0, 0] == pytest.approx(5 / 2.0**2)


def test_counts_of_binned_pixels_add_up(tmp_path):
    _mrc(tmp_path / "c.mrc", np.full((1, 32, 32), 5.0))
    series = load(look(tmp_path / "c.mrc"), bin=4, energy_ev=3e5, counts=True)
    assert series.dose_per_image[0, 0] == pytest.approx(5 / 2.0**2)  # e/A^2, whatever the bin
    assert series.normalisation == "mean"


@pytest.mark.parametrize("angle", [90.0, -90.0, 84.1])
def test_loading_turns_as_load_series_does(tmp_path, angle):
    _mrc(tmp_path / "c.mrc", _images(3, (24, 32)))
    (tmp_path / "c.tlt").write_text("-3\n0\n3\n")
    plan = look(tmp_path / "c.mrc").edited(tilt_axis_angle_deg=angle, energy_ev=3e5)
    ours, theirs = load(plan), load_series(tmp_path / "c.mrc", tilt_axis_angle_deg=angle, energy_ev=3e5)
    assert ours.image_shape == theirs.image_shape and ours.tilt_axis_angle_deg == theirs.tilt_axis_angle_deg
    np.testing.assert_allclose(ours.images, theirs.images, rtol=1e-5, atol=1e-5)


def _sparse_mrc(path, n, size):
    """A stack that takes no room on disk: zeros."""
    header = np.zeros(256, "<i4")
    header[:4] = size, size, n, 1
    header[7:10] = size, size, n
    header.view("<f4")[10:13] = 2.0 * size, 2.0 * size, 2.0 * n
    block = bytearray(header.tobytes())
    block[208:212] = b"MAP "
    block[212:216] = b"DD\0\0"
    with path.open("wb") as stream:
        stream.write(block)
        stream.truncate(1024 + n * size * size * 2)
    return struct.calcsize("h") * n * size * size


@pytest.mark.parametrize("method", ["fourier", "mean"])
def test_memory_is_that_of_the_binned_series(tmp_path, method):
    """131 tilts x 3 foci scaled down (4k to 256 px): peak within the forecast, far below the stack."""
    n_tilt, size = 131, 256
    stored = _sparse_mrc(tmp_path / "big.mrc", 3 * n_tilt, size)
    angles = np.repeat(np.linspace(-65, 65, n_tilt), 3)
    plan = look(tmp_path / "big.mrc", tilt_deg=angles).edited(energy_ev=3e5)
    assert (plan.n_tilt, plan.n_focus) == (n_tilt, 3)
    wanted = n_tilt * 3 * (size // 4) ** 2 * 4
    load(
        plan.edited({}), bin=4, bin_method=method, crop=(0, 64, 0, 64), normalise="given"
    )  # imports and caches
    tracemalloc.start()
    series = load(plan, bin=4, bin_method=method, normalise="given")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert series.images.nbytes == wanted
    assert peak <= forecast_bytes(plan, 4, bin_method=method) * 1.05
    assert peak < 1.6 * wanted < stored / 4


def test_too_large_is_refused_before_reading(tmp_path, monkeypatch):
    _sparse_mrc(tmp_path / "big.mrc", 100, 1024)
    plan = look(tmp_path / "big.mrc", tilt_deg=np.arange(100)).edited(energy_ev=3e5)
    monkeypatch.setattr("napari_phaset3m.io.limits.available_memory", lambda: 100 << 20)
    with pytest.raises(DataError, match=r"of memory are free"):
        load(plan)
    assert forecast_bytes(plan, 4) < 80 << 20 < forecast_bytes(plan)


def test_progress_and_stopping(tmp_path):
    _mrc(tmp_path / "c.mrc", _images(5))
    plan = look(tmp_path / "c.mrc", tilt_deg=range(5)).edited(energy_ev=3e5)
    events = list(iterate_load(plan))
    assert isinstance(events[-1], Loaded) and isinstance(events[0], LoadProgress)
    fractions = [event.fraction for event in events[:-1]]
    assert fractions == sorted(fractions) and fractions[-1] == 1.0 and len(fractions) == 6

    def stop(text, fraction):
        raise CancelledError("stopped")

    with pytest.raises(CancelledError):
        load(plan, on_progress=stop)


def test_every_mended_cell_is_kept_in_series_toml(tmp_path):
    data = _images(8)
    rows = _focal_rows()
    del rows[4]
    (tmp_path / "raw").mkdir()
    _mrc(tmp_path / "raw" / "t µ 1.mrc", data)
    _mdoc(tmp_path / "raw" / "t µ 1.mrc.mdoc", rows)
    plan = look(tmp_path / "raw").edited(
        {
            0: {"tilt_deg": -2.5, "defocus_angstrom": 1234.5, "used": False},
            4: {"dose": 17.25, "prior_dose": 3.5},
        },
        pixel_size_angstrom=1.7, tilt_axis_angle_deg=90.0, spherical_aberration_angstrom=2.7e7,
    )  # fmt: skip
    config = ImportConfig(bin=2, crop=(0, 16, 2, 18))
    text, stored = write(plan, tmp_path / "series.toml", config=config)
    again = look(text)
    assert again.images == plan.images
    for name in (
        "pixel_size_angstrom",
        "energy_ev",
        "tilt_axis_angle_deg",
        "questions",
        "notes",
        "image_shape",
    ):
        assert getattr(again, name) == getattr(plan, name), name
    assert again.fields["spherical_aberration_angstrom"] == 2.7e7
    assert 'file = "raw/t µ 1.mrc"' in text.read_text(encoding="utf-8")
    from_text, from_h5 = load_series(text), load_series(stored)
    assert from_h5.images.shape == (3, 3, 8, 8)
    np.testing.assert_allclose(from_text.images, from_h5.images, atol=1e-5)
    np.testing.assert_allclose(from_text.shifts_px, from_h5.shifts_px)
    for name in ("tilt_deg", "defocus_angstrom", "dose_per_image", "used"):
        np.testing.assert_array_equal(getattr(from_text, name), getattr(from_h5, name))
    assert from_text.pixel_size_angstrom == from_h5.pixel_size_angstrom == 3.4
    assert from_text.tilt_axis_angle_deg == from_h5.tilt_axis_angle_deg == 90.0
    assert from_h5.metadata["exposure_order"] == load(plan).metadata["exposure_order"]


def test_a_plan_is_what_its_series_toml_says(tmp_path):
    """Bin, crop, counts and what was done before hold for an import of it too; what is given wins."""
    images = np.random.default_rng(0).poisson(20.0, (3, 40, 48)).astype(np.float32)
    _mrc(tmp_path / "t.mrc", images)
    head = 'pixel_size_angstrom = 1.5\nenergy_ev = 3e5\nbin = 2\nbin_method = "mean"\ncrop = [4, 36, 0, 40]\n'
    head += "counts = true\ntilt_axis_angle_deg = 90.0\n[aberrations]\nC12 = 80.0\nphi12 = 0.5\n"
    rows = [f'[[image]]\nfile = "t.mrc"\nsection = {k}\ntilt_deg = {5 * k}\n' for k in range(3)]
    path = tmp_path / "s.toml"
    path.write_text(head + "".join(rows))
    plan = look(path)
    assert plan.config == ImportConfig(bin=2, bin_method="mean", crop=(4, 36, 0, 40)) and plan.counts
    direct, imported = load_series(path), load(plan)
    assert imported.images.shape == direct.images.shape == (3, 1, 20, 16)
    np.testing.assert_allclose(imported.images, direct.images, rtol=1e-5)
    np.testing.assert_allclose(imported.dose_per_image, direct.dose_per_image, rtol=1e-5)
    np.testing.assert_allclose(imported.dose_per_image, 20 / 1.5**2, rtol=0.02)
    np.testing.assert_allclose(imported.shifts_px, direct.shifts_px)
    np.testing.assert_allclose(imported.sections.to_file, direct.sections.to_file, atol=1e-12)
    assert dict(imported.aberrations) == pytest.approx(dict(direct.aberrations))
    assert imported.aberrations["phi12"] == pytest.approx(0.5 - np.pi / 2)
    assert forecast_bytes(plan) == forecast_bytes(plan, bin=2) != forecast_bytes(plan, bin=4)
    other = load(plan, bin=4)
    assert other.images.shape == (3, 1, 10, 8) and other.pixel_size_angstrom == 6.0, "the crop stays"
    text, stored = write(plan, tmp_path / "again.toml")
    assert load_series(stored).images.shape == (3, 1, 20, 16) and look(text).config == plan.config
    path.write_text((head + "".join(rows)).replace("36", "46"))
    with pytest.raises(DataError, match=r"s\.toml: crop: 4:46,0:40 reaches out of images of 40 x 48"):
        look(path)


@pytest.mark.parametrize("bin", [1, 2])
def test_counts_of_a_binned_description_add_up_however_they_are_told(tmp_path, bin):
    images = np.random.default_rng(0).poisson(20.0, (3, 40, 48)).astype(np.float32)
    _mrc(tmp_path / "t.mrc", images)
    head = f"pixel_size_angstrom = 1.5\nenergy_ev = 3e5\nbin = {bin}\n"
    rows = "".join(f'[[image]]\nfile = "t.mrc"\nsection = {k}\ntilt_deg = {5 * k}\n' for k in range(3))
    (tmp_path / "told.toml").write_text(f"counts = true\n{head}{rows}")
    (tmp_path / "not.toml").write_text(head + rows)
    told = load_series(tmp_path / "told.toml")
    for again in (
        load_series(tmp_path / "not.toml", counts=True),
        load(look(tmp_path / "not.toml"), counts=True),
        load(look(tmp_path / "told.toml")),
    ):
        np.testing.assert_allclose(again.dose_per_image, told.dose_per_image, rtol=1e-5)
        np.testing.assert_allclose(again.images, told.images, rtol=1e-5)
    np.testing.assert_allclose(told.dose_per_image, 20 / 1.5**2, rtol=0.02)
    plain = load_series(tmp_path / "told.toml", counts=False)
    assert plain.dose_per_image is None
    given = {"pixel_size_angstrom": 3.0, "shifts_px": [1.0, -2.0], "mtf": [[0.0, 1.0], [1.0, 0.4]]}
    direct, imported = load_series(tmp_path / "not.toml", **given), load(look(tmp_path / "not.toml"), **given)
    assert direct.pixel_size_angstrom == imported.pixel_size_angstrom == 3.0 * bin
    np.testing.assert_allclose(direct.shifts_px, np.broadcast_to((1 / bin, -2 / bin), (3, 1, 2)))
    np.testing.assert_allclose(direct.shifts_px, imported.shifts_px)
    np.testing.assert_allclose(direct.mtf, [[0.0, 1.0], [bin, 0.4]])
    np.testing.assert_allclose(direct.mtf, imported.mtf)


@pytest.mark.parametrize("name", ["kept.h5", "kept.toml"])
def test_notes_are_kept_with_the_series(tmp_path, name):
    """What was assumed at import is still told after saving, opening and preparing; nothing twice."""
    from napari_phaset3m.io.series import save_series
    from napari_phaset3m.prepare.geometry import BinConfig, run_bin

    _mrc(tmp_path / "t.mrc", _images(9))
    _mdoc(tmp_path / "t.mrc.mdoc", _focal_rows())
    series = load(look(tmp_path / "t.mrc"), tilt_axis_angle_deg=90.0)
    notes = list(series.metadata["notes"])
    assert any("TargetDefocus" in note for note in notes) and any("turned by 90" in note for note in notes)
    again = load_series(save_series(series, tmp_path / name))
    assert list(again.metadata["notes"]) == notes
    binned = list(run_bin(again, BinConfig(factor=2)))[-1].series
    twice = load_series(save_series(binned, tmp_path / f"b_{name}"))
    assert list(twice.metadata["notes"]) == notes


@pytest.mark.parametrize("n_focus", [1, 3])
def test_a_stack_opened_directly_has_the_defocus_that_its_note_tells(tmp_path, n_focus):
    """The mdoc beside a stack: TargetDefocus is taken as an import takes it."""
    _mrc(tmp_path / "t.mrc", _images(9))
    _mdoc(tmp_path / "t.mrc.mdoc", _focal_rows())
    imported = load(look(tmp_path / "t.mrc"))
    series = load_series(tmp_path / "t.mrc", n_focus=n_focus)
    told = any("defocus is nominal, from TargetDefocus" in note for note in series.metadata["notes"])
    assert told and series.defocus_angstrom.shape == (9 // n_focus, n_focus)
    of_section = dict(zip(imported.sections.section.flat, imported.defocus_angstrom.flat, strict=True))
    for section, defocus in zip(series.sections.section.flat, series.defocus_angstrom.flat, strict=True):
        assert defocus == of_section[section]


def test_stacks_of_one_focus_each_keep_their_nominal_defoci(tmp_path):
    for name, defocus in (("a", 0.9), ("b", 0.4)):
        _mrc(tmp_path / f"{name}.mrc", _images(3))
        rows = [{"TiltAngle": tilt, "TargetDefocus": -defocus} for tilt in (-3, 0, 3)]
        _mdoc(tmp_path / f"{name}.mrc.mdoc", rows)
    series = load_series([tmp_path / "a.mrc", tmp_path / "b.mrc"])
    np.testing.assert_allclose(series.defocus_angstrom, [[9000, 4000]] * 3)
    (tmp_path / "b.mrc.mdoc").write_text((tmp_path / "b.mrc.mdoc").read_text().replace("TargetDefocus", "X"))
    some = load_series([tmp_path / "a.mrc", tmp_path / "b.mrc"])
    assert some.defocus_angstrom is None, "not those of a"
    assert "defocus_values: stated for some of the stacks only, so not taken" in some.metadata["notes"]


def test_a_saved_series_is_imported_as_it_was_saved(tmp_path):
    """Scaled and turned already: neither is done again, and where its images came from is kept."""
    from napari_phaset3m.io.series import save_series

    rng = np.random.default_rng(1)
    _mrc(tmp_path / "t.mrc", rng.uniform(1, 3, (3, 40, 48)).astype(np.float32))
    (tmp_path / "t.rawtlt").write_text("10\n0\n-10\n")
    first = look(tmp_path / "t.mrc").edited(energy_ev=3e5, tilt_axis_angle_deg=90.0, pixel_size_angstrom=1.0)
    series = load(first, bin=2)
    save_series(series, tmp_path / "s.toml")
    plan = look(tmp_path / "s.toml")
    again = load(plan)
    np.testing.assert_allclose(again.images, series.images, rtol=1e-6)
    assert again.normalisation == series.normalisation and again.tilt_axis_angle_deg == 90.0
    assert [step["step"] for step in again.metadata["history"]] == ["import", "import"]
    np.testing.assert_array_equal(again.sections.section, series.sections.section)
    np.testing.assert_allclose(again.sections.to_file, series.sections.to_file)
    less = load(plan, bin=2, crop=(0, 24, 2, 20)).sections
    moved = less.to_file[0, 0] @ (0, 0, 1) - series.sections.to_file[0, 0] @ (1, 0, 1)
    assert less.pixel_ratio == 4 and less.files == series.sections.files
    assert np.allclose(moved, 0), "the middle of the crop is 1 px right of that of 20 x 24"
    text, _ = write(plan, tmp_path / "w.toml")
    np.testing.assert_allclose(load_series(text).sections.to_file, series.sections.to_file)


def test_the_history_asks_nothing_that_was_given(tmp_path):
    _mrc(tmp_path / "t.mrc", _images(3))
    (tmp_path / "t.rawtlt").write_text("10\n0\n-10\n")
    plan = look(tmp_path / "t.mrc")
    assert {"energy_ev", "tilt_axis_angle_deg"} <= set(_fields(plan.questions))
    series = load(plan, energy_ev=3e5, tilt_axis_angle_deg=90.0)
    assert series.metadata["history"][-1]["told"]["questions"] == []
    asked = load(plan, energy_ev=3e5).metadata["history"][-1]["told"]["questions"]
    assert [text.split(":")[0] for text in asked] == ["tilt_axis_angle_deg"]


def test_where_angles_are_from_is_told_once(tmp_path):
    """Those that are given take the place of what lies beside, which is no longer told."""
    _mrc(tmp_path / "t.mrc", _images(3))
    for name in ("t.rawtlt", "a.tlt"):
        (tmp_path / name).write_text("10\n0\n-10\n")

    def told(plan):
        return [note for note in plan.notes if "tilt angles" in note]

    beside = look(tmp_path / "t.mrc")
    assert told(beside) == ["t.mrc: tilt angles from t.rawtlt"]
    for name in ("t.rawtlt", "a.tlt"):
        expected = [f"tilt angles from {name}"]
        assert told(look(tmp_path / "t.mrc", tilt_deg=tmp_path / name)) == expected
        assert told(look([tmp_path / "t.mrc", tmp_path / name])) == expected
        assert told(with_angles(beside, tmp_path / name)) == expected


def test_a_folder_of_tiffs_has_sections_when_imported_only(tmp_path):
    """As docs/formats.md says."""
    for angle, image in zip((-10, 0, 10), _images(3), strict=True):
        tifffile.imwrite(tmp_path / f"im_{angle}.0.tif", image)
    how = {"energy_ev": 3e5, "pixel_size_angstrom": 2.0}
    imported = load(look(tmp_path), **how).sections
    assert [Path(imported.files[n]).name for n in imported.file[:, 0]] == [
        "im_-10.0.tif", "im_0.0.tif", "im_10.0.tif",
    ]  # fmt: skip
    assert load_series(tmp_path, **how).sections is None


def test_movies_plate_and_sections_are_kept_together(tmp_path):
    """Through a saved series, its import, the plan's text and the .h5: none of them is lost for another."""
    from napari_phaset3m.io.series import save_series

    for tilt in (-3, 0, 3):
        frames = np.random.default_rng(tilt + 3).poisson(9.0, (4, 40, 48)).astype(np.float32)
        _mrc(tmp_path / f"t_{tilt}.mrc", frames)
    _mrc(tmp_path / "g.mrc", np.linspace(0.5, 1.5, 40 * 48, dtype=np.float32).reshape(1, 40, 48))
    rows = [f'[[image]]\nfile = "t_{k}.mrc"\nframes = "t_{k}.mrc"\ntilt_deg = {k}\n' for k in (-3, 0, 3)]
    head = (
        "pixel_size_angstrom = 1.5\nenergy_ev = 3e5\nphase_shift_deg = 80.0\nbin = 2\ncrop = [4, 36, 0, 40]\n"
    )
    path = tmp_path / "s.toml"
    path.write_text(head + 'gain = "g.mrc"\ngain_rotate = 2\ngain_mode = "divide"\n' + "".join(rows))
    plan = look(path)
    series = load(plan)
    save_series(series, tmp_path / "kept.toml")
    saved = look(tmp_path / "kept.toml")
    text, stored = write(saved, tmp_path / "again.toml")
    for again in (load_series(path), load(saved), load_series(text), load_series(stored)):
        np.testing.assert_allclose(again.images, series.images, rtol=1e-5)
        assert again.phase_shift_deg == 80.0 and again.pixel_size_angstrom == 3.0
        assert again.metadata["movies"] == series.metadata["movies"]
        assert again.metadata["gain"] == str(tmp_path / "g.mrc")
        assert again.metadata["movie_settings"] == series.metadata["movie_settings"]
        assert again.metadata["movie_settings"]["gain_rotate"] == 2
        np.testing.assert_array_equal(again.sections.file, series.sections.file)
        np.testing.assert_allclose(again.sections.to_file, series.sections.to_file, atol=1e-12)
    assert saved.movies == plan.movies and saved.fields["phase_shift_deg"] == 80.0


def test_series_toml_keeps_exposure_of_a_series(tmp_path):
    from napari_phaset3m.io.series import save_series

    _mrc(tmp_path / "t.mrc", _images(9))
    _mdoc(tmp_path / "t.mrc.mdoc", _focal_rows())
    series = load(look(tmp_path / "t.mrc"))
    save_series(series, tmp_path / "s.toml")
    again = load_series(tmp_path / "s.toml")
    for name in ("exposure_order", "prior_dose"):
        assert again.metadata[name] == series.metadata[name]
    assert again.metadata["history"] == list(series.metadata["history"])
    (tmp_path / "s.toml").write_text(
        (tmp_path / "s.toml").read_text().replace("history = [", "history = [3,")
    )
    with pytest.raises(DataError, match="history"):
        load_series(tmp_path / "s.toml")


@pytest.mark.parametrize("order", ["tilt-major", "focus-major"])
def test_doses_and_order_of_interleaved_sections(tmp_path, order):
    """load_series divides what an mdoc says of each section as it divides the sections."""
    data = _images(6)
    angles = np.repeat((0, 3, 6), 2) if order == "tilt-major" else np.tile((0, 3, 6), 2)
    rows = [
        {"TiltAngle": a, "ExposureDose": 2 + k, "DateTime": f"01-Jan-24  10:00:{9 - k:02d}"}
        for k, a in enumerate(angles)
    ]
    _mrc(tmp_path / "t.mrc", data)
    _mdoc(tmp_path / "t.mrc.mdoc", rows)
    series = load_series(tmp_path / "t.mrc", n_focus=2, focus_order=order)
    sections = np.arange(6).reshape(3, 2) if order == "tilt-major" else np.arange(6).reshape(2, 3).T
    assert series.tilt_deg.tolist() == [0, 3, 6]
    assert (series.dose_per_image == 2 + sections).all()
    assert series.metadata["exposure_order"] == (5 - sections).tolist()
    assert series.metadata["prior_dose"][0][0] == sum(
        range(3, 8)
    )  # the first section was the last to be taken


def test_load_series_imports_what_needs_it(tmp_path):
    data = _images(3)
    _mrc(tmp_path / "t.mrc", data)
    _mdoc(tmp_path / "t.mrc.mdoc", [{"TiltAngle": a} for a in (3, 0, -3)])
    for path in (tmp_path, tmp_path / "t.mrc.mdoc"):
        series = load_series(path, normalise="given")
        assert series.tilt_deg.tolist() == [-3, 0, 3] and series.pixel_size_angstrom == 2.0
        np.testing.assert_allclose(series.images[2, 0], data[0], rtol=1e-6)
    (tmp_path / "t.mrc").unlink()
    with pytest.raises(DataError, match=r"neither t\.mrc nor 3 of its 3 movies"):
        load_series(tmp_path / "t.mrc.mdoc")


def test_layers_of_new_formats(tmp_path, shared_data):
    from napari_phaset3m.io.napari_hooks import get_reader

    _mrc(tmp_path / "t.mrc", _images(3))
    _mdoc(tmp_path / "t.mrc.mdoc", [{"TiltAngle": a} for a in (3, 0, -3)])
    paths = [tmp_path / "t.mrc.mdoc", shared_data / "real/haadf_needle/HAADF.dm3"]
    for path, shape in zip(paths, ((3, 1, 16, 20), (91, 1, 64, 64)), strict=True):
        if not path.exists():
            pytest.skip("no DM3 file in the shared data")
        data, options, kind = get_reader(str(path))(str(path))[0]
        assert tuple(data.shape) == shape and kind == "image" and options["units"][2] == "angstrom"


def test_a_folder_of_counters_is_no_focal_series(tmp_path):
    for k, image in enumerate(_images(3)):
        tifffile.imwrite(tmp_path / f"img_{k:03d}.tif", image.astype(np.float32))
    plan = look(tmp_path)
    assert [e.tilt_deg for e in plan.images] == [None] * 3 and plan.n_tilt == 3
    with pytest.raises(DataError, match="tilt_angles: is not"):
        load(plan, **KNOWN)
    assert look(tmp_path, tilt_deg=[3, 0, -3]).images[0].file.stem == "img_002"


def test_idoc_of_single_images(tmp_path):
    data = _images(2)
    text = "PixelSpacing = 2\nVoltage = 300\n"
    for tilt, image in zip((3, -3), data, strict=True):
        tifffile.imwrite(tmp_path / f"a{tilt}.tif", image[::-1].astype(np.float32))
        text += f"[Image = a{tilt}.tif]\nTiltAngle = {tilt}\n"
    (tmp_path / "a.idoc").write_text(text)
    series = load(look(tmp_path / "a.idoc"), normalise="given")
    assert series.tilt_deg.tolist() == [-3, 3]
    np.testing.assert_allclose(series.images[1, 0], data[0], rtol=1e-6)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_fuzzed_mdoc_beside_a_stack(tmp_path_factory, data):
    """Whatever the mdoc says: a plan with every image in one place, or an error of one line."""
    folder = tmp_path_factory.getbasetemp() / "fuzzed_look"
    folder.mkdir(exist_ok=True)
    if not (folder / "t.mrc").exists():
        _mrc(folder / "t.mrc", _images(9))
    lines = _mdoc(folder / "t.mrc.mdoc", _focal_rows()).read_text().splitlines()
    for _ in range(data.draw(st.integers(0, 4))):
        where = data.draw(st.integers(0, len(lines) - 1))
        value = data.draw(
            st.sampled_from(["", "= nan", "TiltAngle = 1e5", "TargetDefocus = inf", "[ZValue = 1]", "\0"])
        )
        lines[where] = value if data.draw(st.booleans()) else lines[where][: data.draw(st.integers(0, 20))]
    (folder / "t.mrc.mdoc").write_text("\n".join(lines))
    try:
        plan = look(folder / "t.mrc.mdoc")
        assert {e.section for e in plan.images} == set(range(9))
        if all(e.tilt_deg is not None for e in plan.images):
            plan.check()
            assert load(plan, energy_ev=3e5, normalise="given").images.shape[2:] == (16, 20)
    except DataError as error:
        assert "\n" not in str(error)


def test_movies_of_a_series_survive_the_text(tmp_path):
    """What motion correction needs later: path and frames of each image, and the gain."""
    from napari_phaset3m.io.series import save_series

    _mrc(tmp_path / "t.mrc", _images(2))
    series = load(look(tmp_path / "t.mrc", tilt_deg=[0, 3]), energy_ev=3e5)
    movies = [[{"path": str(tmp_path / "a µ.mrc"), "frame_range": [0, 4]}], [None]]
    series = series.replace(metadata={**series.metadata, "movies": movies, "gain": str(tmp_path / "g.mrc")})
    save_series(series, tmp_path / "s.toml")
    again = load_series(tmp_path / "s.toml")
    assert again.metadata["movies"] == movies and again.metadata["gain"] == str(tmp_path / "g.mrc")
    np.testing.assert_array_equal(again.images, series.images)


@pytest.mark.parametrize(
    "line",
    [
        "gain = 3",
        "questions = 1",
        "notes = 'x'",
        "history = {}",
        "bin = 0",
        "crop = [1, 2]",
        "bin_method = 1",
    ],
)
def test_odd_values_in_series_toml(tmp_path, line):
    _mrc(tmp_path / "t.mrc", _images(2))
    text = f'pixel_size_angstrom = 2\nenergy_ev = 3e5\n{line}\n[[image]]\nfile = "t.mrc"\ntilt_deg = 0\n'
    (tmp_path / "s.toml").write_text(text)
    for read in (load_series, look):
        if read is look and line.startswith(("bin", "crop")):
            continue  # a plan says nothing of these
        with pytest.raises(DataError, match=line.split()[0]):
            read(tmp_path / "s.toml")


@pytest.mark.parametrize(("axis", "quarter"), [("90.0", 1), ("-90.0", -1)])
def test_the_axis_in_the_title_turns_the_images(tmp_path, axis, quarter):
    """An ignored or flipped axis mirrors the volume."""
    data = _images(2)
    _mrc(tmp_path / "t.mrc", data)
    rows = [{"TiltAngle": a} for a in (-3, 3)]
    _mdoc(tmp_path / "t.mrc.mdoc", rows, f"[T =   Tilt axis angle = {axis}, binning = 1]\n")
    series = load(look(tmp_path / "t.mrc.mdoc"), normalise="given")
    np.testing.assert_allclose(series.images[0, 0], np.rot90(data[0], quarter), rtol=1e-6)
    assert series.tilt_axis_angle_deg == 90 * quarter


def test_a_retaken_image_makes_a_tilt_of_its_own(tmp_path):
    """One tilt has a fourth image: the others get no gaps, and the odd one out is not lost."""
    rows = _focal_rows()
    rows.append({**rows[4], "TiltAngle": 3.05, "TargetDefocus": -0.8, "DateTime": "01-Jan-24  10:01:00"})
    _mrc(tmp_path / "t.mrc", _images(10))
    _mdoc(tmp_path / "t.mrc.mdoc", rows)
    plan = look(tmp_path / "t.mrc")
    assert (plan.n_tilt, plan.n_focus) == (4, 3)
    assert [e.section for e in plan.images if not e.is_filler] == [8, 7, 6, 2, 1, 0, 5, 4, 3, 9]
    assert sum(e.is_filler for e in plan.images) == 2
    last = plan.images[-1]
    assert (last.section, last.tilt_index, last.focus_index) == (9, 3, 2)  # 0.8 is nearest to 0.9 um
    assert any("1 tilts of their own" in question.text for question in plan.questions)


@pytest.mark.parametrize("step", [0.1, 0.25, 0.5, 1.0])
def test_fine_tilt_steps_are_no_foci(tmp_path, step):
    _mrc(tmp_path / "t.mrc", _images(20))
    plan = look(tmp_path / "t.mrc", tilt_deg=np.arange(20) * step)
    assert (plan.n_tilt, plan.n_focus) == (20, 1)


@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_every_image_gets_one_place(data):
    from napari_phaset3m.io.import_entry import ImageEntry
    from napari_phaset3m.io.import_focus import Candidate, arrange

    some = st.none() | st.floats(-1e5, 1e5)
    angle = st.floats(-70, 70) | st.sampled_from([0.0, 3.0, -3.0])
    row = st.tuples(angle, some, some, st.none() | st.integers(0, 4))
    items = data.draw(st.lists(row, min_size=1, max_size=25))
    candidates = [
        Candidate(ImageEntry(Path("x"), k, a, defocus_angstrom=d, dose=1.0), lens_defocus_angstrom=m, focus=f)
        for k, (a, d, m, f) in enumerate(items)
    ]
    entries, _, _ = arrange(candidates, 0.3)
    assert sorted(e.section for e in entries if not e.is_filler) == list(range(len(items)))
    places = {(e.tilt_index, e.focus_index) for e in entries}
    n_tilt, n_focus = (1 + max(place[k] for place in places) for k in (0, 1))
    assert len(places) == len(entries) == n_tilt * n_focus
    assert all(not e.used and e.dose == 0 for e in entries if e.is_filler)
    tilts = [np.mean([e.tilt_deg for e in entries if e.tilt_index == k]) for k in range(n_tilt)]
    assert (np.diff(tilts) >= -0.3 - 1e-9).all()


def test_frames_that_follow_each_other_are_no_focal_groups(tmp_path):
    """Nothing tells foci apart, and tilts have two, three or four images: each is a tilt of its own."""
    angles = np.repeat([-4.0, -2.0, 0.0, 2.0, 4.0], [3, 3, 2, 2, 3])
    _mrc(tmp_path / "fast.mrc", RNG.normal(100, 5, (angles.size, 16, 20)))
    (tmp_path / "fast.rawtlt").write_text("\n".join(map(str, angles)))
    plan = look(tmp_path / "fast.mrc")
    assert (plan.n_tilt, plan.n_focus) == (13, 1)
    (question,) = [q for q in plan.questions if q.field == "focus_index"]
    assert question.text.startswith("taken more than once at -4, -2, 0, 2, 4 degrees")
