"""Wrong files: one line names the file, the field and what to do; what is given wins over what cannot be."""

from pathlib import Path

import h5py
import mrcfile
import numpy as np
import pytest

from napari_phaset3m.cli import main
from napari_phaset3m.io.importing import load, look
from napari_phaset3m.io.series import load_series

RNG = np.random.default_rng(0)


def stack(path, images=None, pixel=2.0, angles="-6\n-3\n0\n3\n6\n"):
    with mrcfile.new(path, overwrite=True) as file:
        file.set_data(RNG.uniform(50, 100, (5, 64, 64)).astype(np.float32) if images is None else images)
        file.voxel_size = pixel
    if angles is not None:
        path.with_suffix(".rawtlt").write_text(angles)
    return path


def told(capsys, command) -> str:
    """The line of a refusal; questions of an import may come before it."""
    capsys.readouterr()
    assert main(list(map(str, command))) == 2
    lines = capsys.readouterr().err.splitlines()
    assert [line for line in lines[:-1] if not line.startswith("To confirm: ")] == []
    return lines[-1]


@pytest.mark.parametrize("content", [b"", b"no mdoc\n"])
def test_a_damaged_mdoc_in_a_folder_is_told_and_given_angles_win(tmp_path, capsys, content):
    raw, out = tmp_path / "raw", tmp_path / "o.h5"
    raw.mkdir()
    stack(raw / "x.mrc", angles=None)
    (raw / "x.mdoc").write_bytes(content)
    command = ["convert", raw, "-o", out, "--energy", "3e5"]
    line = told(capsys, command)
    assert "x.mdoc: " in line and "Or move it away, or give the angles" in line and not out.exists()
    assert main([*map(str, command), "--tilt-angles=-6:6:3"]) == 0
    assert any("x.mdoc is not used" in note for note in load_series(out).metadata["notes"])


def test_images_of_a_description_are_not_overwritten(tmp_path, capsys, monkeypatch):
    """``-o S.toml`` writes S_images.mrc: that was the input, or read by it."""
    monkeypatch.chdir(tmp_path)
    stack(tmp_path / "a.mrc")
    assert main(["convert", "a.mrc", "-o", "S.toml", "--energy", "3e5"]) == 0
    before = Path("S_images.mrc").read_bytes()
    Path("T.toml").write_text(Path("S.toml").read_text())
    capsys.readouterr()
    flags = ["--tilt-angles=-6:6:3", "--energy", "3e5"]
    line = told(capsys, ["convert", "S_images.mrc", "-o", "S.toml", *flags])
    assert "S_images.mrc: the stack of S.toml would overwrite input 1" in line
    for command in (["convert"], ["prepare", "--normalise"], ["align"], ["ctf"]):
        line = told(capsys, [command[0], "T.toml", "-o", "S.toml", *command[1:]])
        assert "S_images.mrc: the stack of S.toml would overwrite images of " in line
    assert Path("S_images.mrc").read_bytes() == before


@pytest.mark.parametrize("how", [[], ["--bin", "2"]])
@pytest.mark.parametrize("pixel", [-2.0, np.nan])
def test_a_pixel_size_that_cannot_be_is_told_and_another_is_taken(tmp_path, capsys, how, pixel):
    """--pixel-size was asked for, and when it was given the file was refused with the same line."""
    path, out = stack(tmp_path / "p.mrc"), tmp_path / "o.h5"
    block = bytearray(path.read_bytes())
    block[40:52] = np.full(3, 64 * pixel, "<f4").tobytes()
    path.write_bytes(block)
    command = ["convert", path, "-o", out, "--energy", "3e5", *how]
    line = told(capsys, command)
    assert (
        "p.mrc: " in line and f"is {pixel:g}, but must be positive. Give" in line and "--pixel-size" in line
    )
    assert main([*map(str, command), "--pixel-size", "3"]) == 0
    assert load_series(out).pixel_size_angstrom == (6.0 if how else 3.0)


@pytest.mark.parametrize("how", [[], ["--bin", "2"]])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_an_image_without_numbers_can_be_left_out(tmp_path, capsys, how, value):
    """An import refused it also with --unused, and did not name that flag."""
    images = RNG.uniform(50, 100, (5, 64, 64)).astype(np.float32)
    images[2, 3, 4] = value
    with mrcfile.new(tmp_path / "n.mrc") as file, np.errstate(all="ignore"), pytest.warns(RuntimeWarning):
        file.set_data(images)
        file.voxel_size = 2.0
    (tmp_path / "n.rawtlt").write_text("-6\n-3\n0\n3\n6\n")
    out = tmp_path / "o.h5"
    command = ["convert", tmp_path / "n.mrc", "-o", out, "--energy", "3e5", *how]
    line = told(capsys, command)
    assert "n.mrc: " in line and "--unused 2" in line
    assert main([*map(str, command), "--unused", "2"]) == 0
    series = load_series(out)
    assert series.used[:, 0].tolist() == [True, True, False, True, True]
    assert np.isfinite(series.images).all()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            "1,5\n3,0\n4,5\n6,0\n7,5\n",
            "line 1: holds 1,5: a decimal comma, or two numbers. Write numbers",
        ),
        ("1\n2\n3\n4\n500\n", "line 5: holds 500, but angles are within ±360 degrees. Is it the right file?"),
        ("1\nnan\n3\n4\n5\n", "line 2: holds no angle. Give one angle in degrees in each line"),
        ("\n\n", "holds 0 angles. Give one angle in degrees in each line"),
    ],
)
def test_angles_that_cannot_be_are_told_of_their_file(tmp_path, capsys, text, problem):
    path = stack(tmp_path / "a.mrc", angles=text)
    line = told(capsys, ["convert", path, "-o", tmp_path / "o.h5", "--energy", "3e5"])
    assert "a.rawtlt: " in line and problem in line


def test_decimal_commas_of_an_alignment_are_no_other_numbers(tmp_path, capsys):
    out = tmp_path / "s.h5"
    assert main(["convert", str(stack(tmp_path / "a.mrc")), "-o", str(out), "--energy", "3e5"]) == 0
    (tmp_path / "a.xf").write_text("1,0 0,0 0,0 1,0 2,5 3,5\n" * 5)
    line = told(capsys, ["align", out, "-o", tmp_path / "o.h5", "--import", tmp_path / "a.xf"])
    assert "a.xf: line 1: holds 1,0: a decimal comma" in line
    (tmp_path / "a.xf").write_text("1,0,0,1,2,3\n" * 5)  # columns are told from decimals
    assert main(["align", str(out), "-o", str(tmp_path / "o.h5"), "--import", str(tmp_path / "a.xf")]) == 0


def test_values_in_another_unit_are_doubted_until_they_are_mended(tmp_path, capsys):
    angles = "-1.0472\n-0.5236\n0\n0.5236\n1.0472\n"
    path, out = stack(tmp_path / "u.mrc", pixel=2e-10, angles=angles), tmp_path / "o.h5"
    assert main(["convert", str(path), "-o", str(out), "--energy", "300", "--cs", "2.7"]) == 0
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "warning: energy is 300 V; it is read in volts (300 kV = 300e3 V)",
        "warning: spherical_aberration is 2.7 Å; it is read in angstrom (1 mm = 1e7 Å)",
        "warning: pixel_size is 2e-10 Å; it is read in angstrom (1 nm = 10 Å)",
        "warning: tilt_angles are within ±1.0472 degrees. Are they in radians (1 rad = 57.3 degrees)?",
    ]
    right = ["--energy", "3e5", "--cs", "2.7e7", "--pixel-size", "2", "--tilt-angles=-60:60:30"]
    assert main(["convert", str(out), "-o", str(tmp_path / "right.h5"), *right]) == 0
    assert capsys.readouterr().err == ""
    assert not [note for note in load_series(tmp_path / "right.h5").metadata["notes"] if "warning" in note]


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        ("--defocus 500", "--defocus: is of a series; one movie is corrected here. Leave it out"),
        ("--energy=-3e5", "--energy: is -300000.0, but one positive number is needed"),
        ("--dose 1,2", "--dose: is [1.0, 2.0], but one positive number is needed"),
    ],
)
def test_what_a_movie_has_not_is_refused(tmp_path, capsys, flags, line):
    path = stack(tmp_path / "m.mrc", angles=None)
    command = ["prepare", path, "-o", tmp_path / "o.mrc", "--motion", *flags.split()]
    assert told(capsys, command) == f"phaset3m: {line}"


@pytest.mark.parametrize(
    ("shape", "problem"), [((1, 64, 64), "has one frame only"), ((3, 16, 16), "has frames of 16 x 16 pixels")]
)
def test_a_movie_that_cannot_be_corrected_is_named(tmp_path, capsys, shape, problem):
    path = stack(tmp_path / "m.mrc", np.ones(shape, np.float32), angles=None)
    line = told(capsys, ["prepare", path, "-o", tmp_path / "o.mrc", "--motion"])
    assert f"m.mrc: movie: {problem}" in line


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("t.mrc", "Copy the file again"),
        ("t.h5", "Is it the right file? Else copy it again"),
        ("t.tif", "Is it the right file? Else copy it again"),
        ("t.npy", "is not a NumPy array file. Save one array with numpy.save"),
        ("t.toml", "Mend that line, or write the description anew"),
        ("t.mat", "Is it the right file? Else copy it again"),
    ],
)
def test_text_in_place_of_images_tells_what_to_do(tmp_path, capsys, name, remedy):
    (tmp_path / name).write_text("this is no image\n" * 9)
    line = told(capsys, ["convert", tmp_path / name, "-o", tmp_path / "o.h5"])
    assert f"{name}: " in line and remedy in line


def mdoc(path, tilts, more="") -> None:
    text = "PixelSpacing = 2\nVoltage = 300\n"
    for number, tilt in enumerate(tilts):
        text += f"\n[ZValue = {number}]\nTiltAngle = {tilt}\nExposureDose = 3\n{more.format(number)}"
    path.write_text(text)


@pytest.mark.parametrize("of_movies", [False, True])
def test_a_section_without_an_angle_is_named(tmp_path, capsys, of_movies):
    """All that was told is that tilt angles are not in the file."""
    tilts, out = ["-6", "-3", "zero", "3", "6"], tmp_path / "o.h5"
    if of_movies:
        for number in range(5):
            stack(tmp_path / f"m{number}.mrc", angles=None)
        mdoc(tmp_path / "x.mdoc", tilts, "SubFramePath = D:\\m{}.mrc\n")
        source = tmp_path / "x.mdoc"
    else:
        source = stack(tmp_path / "x.mrc", angles=None)
        mdoc(tmp_path / "x.mrc.mdoc", tilts)
    line = told(capsys, ["convert", source, "-o", out])
    assert "mdoc: TiltAngle: is missing or no angle in section 2 of 5 (from 0). Mend it there" in line
    assert main(["convert", str(source), "-o", str(out), "--tilt-angles=-6:6:3"]) == 0
    assert load_series(out).dose_per_image.tolist() == [[3.0]] * 5
    if not of_movies:  # a .tlt tells the tilts
        source.with_suffix(".tlt").write_text("-6\n-3\n0\n3\n6\n")
        assert main(["convert", str(source), "-o", str(out)]) == 0


def test_a_folder_whose_movies_are_missing_tells_their_mdoc(tmp_path, capsys):
    (tmp_path / "raw").mkdir()
    mdoc(tmp_path / "raw" / "x.mdoc", [0, 3], "SubFramePath = D:\\m{}.mrc\n")
    line = told(capsys, ["convert", tmp_path / "raw", "-o", tmp_path / "o.h5"])
    assert "neither stack nor movies of x.mdoc are in it. Put them there" in line


def test_a_text_beside_a_stack_is_named_as_a_file(tmp_path, capsys, monkeypatch):
    """``a.defocus`` was told as --defocus."""
    monkeypatch.chdir(tmp_path)
    stack(tmp_path / "a.mrc")
    (tmp_path / "a.defocus").write_text("1 1 -6 -6 5000 2\n")
    line = told(capsys, ["convert", "a.mrc", "-o", "o.h5", "--energy", "3e5", "--bin", "2"])
    assert line.startswith("phaset3m: a.defocus: views: 1 views for 5 images in a.mrc. Give one for")


@pytest.mark.parametrize("how", [[], ["--bin", "2"]])
@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("phase_shift_deg = 400.0", "phase_shift: is 400.0"),
        ("mtf = [[0, 1], [1]]", "mtf: has shape"),
        ("foo = 3", "foo: unknown key. Known are aberrations, "),
    ],
)
def test_what_a_description_states_wrongly_is_told_of_it(tmp_path, capsys, how, line, problem):
    """With a bin, its first image was blamed; keys that it may have were told as flags."""
    stack(tmp_path / "a.mrc")
    rows = "".join(f'[[image]]\nfile = "a.mrc"\nsection = {k}\ntilt_deg = {k}.0\n' for k in range(5))
    (tmp_path / "d.toml").write_text(f"pixel_size_angstrom = 2.0\nenergy_ev = 3e5\n{line}\n{rows}")
    told_line = told(capsys, ["convert", tmp_path / "d.toml", "-o", tmp_path / "o.h5", *how])
    assert (
        "d.toml: " in told_line and problem.split(" averaged")[0] in told_line and "--" not in told_line[:120]
    )


def test_a_folder_that_may_not_be_entered_is_told(tmp_path, capsys, monkeypatch):
    """As root nothing is forbidden: the system's answer is played."""
    path = stack(tmp_path / "a.mrc")
    stat = Path.stat

    def forbidden(self, **how):
        if self.name == "a.mrc":
            raise PermissionError(13, "Permission denied", str(self))
        return stat(self, **how)

    monkeypatch.setattr(Path, "stat", forbidden)
    line = told(capsys, ["convert", path, "-o", tmp_path / "o.h5", "--energy", "3e5"])
    assert "a.mrc: " in line and "ermission" in line and "unexpected" not in line


@pytest.mark.parametrize(
    ("key", "value", "flags", "problem"),
    [
        ("pixel_size", np.array([1.0, 2.0]), "--pixel-size 2", "pixel_size: has 2 values"),
        ("energy", "high", "--energy 3e5", "energy: holds object, not real numbers"),
        ("spherical_aberration", np.nan, "--cs 1e7", "spherical_aberration: must be one finite number"),
        ("tilt_angles", np.zeros(0), "--tilt-angles=-6:6:3", "tilt_angles: is empty"),
    ],
)
def test_a_value_in_a_series_that_cannot_be_gives_way_to_a_given_one(
    tmp_path, capsys, key, value, flags, problem
):
    import h5py

    source, out = tmp_path / "s.h5", tmp_path / "o.h5"
    assert main(["convert", str(stack(tmp_path / "a.mrc")), "-o", str(source), "--energy", "3e5"]) == 0
    with h5py.File(source, "r+") as file:
        if key in file:
            del file[key]
        file[key] = value
    line = told(capsys, ["convert", source, "-o", out])
    assert f"s.h5: {problem}" in line and f" or {flags.partition('=')[0].split()[0]} (" in line
    assert main(["convert", str(source), "-o", str(out), *flags.split()]) == 0
    series = load_series(out)
    assert series.n_tilt == 5 and series.pixel_size_angstrom == 2.0 and series.energy_ev == 300e3


@pytest.mark.parametrize("how", [[], ["--bin", "2"]])
def test_a_stack_that_is_given_twice_is_no_focal_series(tmp_path, capsys, how):
    path = stack(tmp_path / "a.mrc")
    line = told(capsys, ["convert", path, path, "-o", tmp_path / "o.h5", "--energy", "3e5", *how])
    assert "a.mrc: is given twice" in line


@pytest.mark.parametrize(
    ("command", "line"),
    [
        (
            "convert a.mrc -o o.h5 --energy 300kV",
            "--energy: is '300kV'. Give numbers alone: accelerating",
        ),
        (
            "convert a.mrc -o o.h5 --energy 3e5 --cs 2.7mm",
            "--cs: is '2.7mm'. Give numbers alone: angstrom",
        ),
        ("convert a.mrc -o o.h5 --energy 3e5 --unused 0-4", "--unused: leaves out all images (for a.mrc)"),
        ("convert s.h5 -o o.h5 --intensity-offset 99", "--intensity-offset: leaves a mean of -98 (for s.h5)"),
        ("info a.mrc a.rawtlt --unused 9", "--unused: there is no image 9: the 5 images count from 0"),
    ],
)
def test_numbers_that_cannot_be_meant_say_what_is(tmp_path, capsys, monkeypatch, command, line):
    monkeypatch.chdir(tmp_path)
    stack(tmp_path / "a.mrc")
    assert main(["convert", "a.mrc", "-o", "s.h5", "--energy", "3e5"]) == 0
    assert told(capsys, command.split()).startswith(f"phaset3m: {line}")


@pytest.mark.parametrize(
    "line, said",
    [
        ("section = [1]", "image 1: section: section [1] is no whole number"),
        ("section = {}", "image 1: section: section {} is no whole number"),
        (f"shift_px = [1{'0' * 400}, 0]", "image 1: shift_px: must be two numbers [y, x]"),
        (f"defocus_angstrom = 1{'0' * 400}", "defocus_angstrom: must be numbers, alike for all images"),
    ],
)
def test_odd_values_of_a_series_toml_are_told(tmp_path, capsys, line, said):
    """Each was an unexpected error."""
    stack(tmp_path / "x.mrc")
    (tmp_path / "s.toml").write_text(f'energy_ev = 3e5\n[[image]]\nfile = "x.mrc"\ntilt_deg = 0\n{line}\n')
    assert f"s.toml: {said}" in told(capsys, ["info", tmp_path / "s.toml"])
    (tmp_path / "s.toml").write_text(f'energy_ev = 1{"0" * 400}\n[[image]]\nfile = "x.mrc"\ntilt_deg = 0\n')
    assert "must be one finite number" in told(capsys, ["info", tmp_path / "s.toml"])
    (tmp_path / "s.toml").write_text(f'energy_ev = 3e5\n[[image]]\nfile = "x.mrc"\ntilt_deg = 1{"0" * 400}\n')
    assert "needs tilt_deg (degrees)" in told(capsys, ["info", tmp_path / "s.toml"])


def test_a_nul_in_a_file_name_is_told(tmp_path, capsys):
    (tmp_path / "s.toml").write_text('energy_ev = 3e5\n[[image]]\nfile = "x\\u0000.mrc"\ntilt_deg = 0\n')
    for command in (
        ["info"],
        ["convert", "-o", tmp_path / "o.h5"],
        ["reconstruct", "-o", tmp_path / "v.mrc"],
    ):
        line = told(capsys, [command[0], tmp_path / "s.toml", *command[1:]])
        assert "s.toml: image 1: file: holds a NUL character, which no file name has" in line


def test_a_series_of_which_no_image_is_used_is_refused(tmp_path, capsys):
    """It was converted, and only a reconstruction failed of it."""
    stack(tmp_path / "a.mrc")
    rows = [f'[[image]]\nfile = "a.mrc"\nsection = {k}\ntilt_deg = {3 * k}\nused = false\n' for k in range(5)]
    described, out = tmp_path / "s.toml", tmp_path / "o.h5"
    for command in (["convert", described, "-o", out], ["convert", described, "-o", out, "--bin", "2"],
                    ["info", described]):  # fmt: skip
        described.write_text("energy_ev = 3e5\n" + "".join(rows))
        assert "s.toml: used: uses no image. Use all with --unused none" in told(capsys, command)
    assert not out.exists()
    described.write_text("energy_ev = 3e5\n" + "".join(rows).replace("used = false\n", "", 1))
    assert main(["convert", str(described), "-o", str(out)]) == 0
    with h5py.File(out, "r+") as file:
        file["mask"][...] = 0
    for command in (["info", out], ["convert", out, "-o", tmp_path / "p.h5"]):
        assert "o.h5: mask: uses no image. Use all with --unused none" in told(capsys, command)
        line = told(capsys, [*command, "--unused", "None"])
        assert "--unused: is 'None'. Write numbers of images from 0, e.g. 3,7-9, or none to use all" in line


@pytest.mark.parametrize("name", ["s.toml", "o.h5"])
def test_all_images_can_be_used_whatever_the_file_says(tmp_path, capsys, name):
    """A file of which no image is used could not be opened, and what was advised needed h5py."""
    stack(tmp_path / "a.mrc")
    rows = [f'[[image]]\nfile = "a.mrc"\nsection = {k}\ntilt_deg = {3 * k}\n' for k in range(5)]
    described, out = tmp_path / "s.toml", tmp_path / "o.h5"
    described.write_text("energy_ev = 3e5\n" + "".join(rows))
    assert main(["convert", str(described), "-o", str(out)]) == 0
    with h5py.File(out, "r+") as file:
        file["mask"][...] = 0
    described.write_text("energy_ev = 3e5\n" + "".join(f"{row}used = false\n" for row in rows))
    made = tmp_path / "p.h5"
    assert main(["convert", str(tmp_path / name), "-o", str(made), "--unused", "none"]) == 0
    found = load_series(made)
    assert found.used.all() and found.used.shape == (5, 1)
    assert "5 that the file leaves out are used (--unused none)" in found.metadata["notes"]
    assert load_series(tmp_path / name, used=np.ones((5, 1), bool)).used.all()
    assert main(["info", str(tmp_path / name), "--unused", "none"]) == 0


def test_a_repeat_is_not_used_where_all_images_are(tmp_path):
    stack(tmp_path / "a.mrc")
    rows = "".join(
        f'[[image]]\nfile = "a.mrc"\nsection = {k}\ntilt = {t}\nfocus = {f}\ntilt_deg = {t}\n{more}\n'
        for k, t, f, more in ((0, 0, 0, ""), (1, 0, 1, "used = false"), (2, 1, 0, ""),
                              (2, 1, 1, "used = false\nfiller = true"))
    )  # fmt: skip
    (tmp_path / "s.toml").write_text(f"energy_ev = 3e5\n{rows}")
    for made in (
        load_series(tmp_path / "s.toml", unused="none"),
        load(look(tmp_path / "s.toml"), unused="none"),
    ):
        assert made.used.tolist() == [[True, True], [True, False]]
