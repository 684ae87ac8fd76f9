"""What a new user gets wrong: one line that says what to do."""

import mrcfile
import numpy as np
import pytest

from napari_phaset3m.cli import main


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    images = np.random.default_rng(0).uniform(1, 2, (5, 32, 32)).astype(np.float32)
    for name, pixel in (("angles.mrc", 2.0), ("pixel.mrc", 0.0)):
        with mrcfile.new(name) as file:
            file.set_data(images)
            file.voxel_size = pixel
    (tmp_path / "pixel.rawtlt").write_text("-6\n-3\n0\n3\n6\n")
    rows = (f"{k} 0 1 {k} 0 1 1 1 0 {3 * k - 6}\n" for k in range(4))
    (tmp_path / "four.aln").write_text("# AreTomo Alignment\n# RawSize = 32 32 4\n" + "".join(rows))
    (tmp_path / "one.tlt").write_text("3\n")
    (tmp_path / "picture.jpg").write_bytes(b"\xff\xd8abc")
    assert main(["convert", "angles.mrc", "-o", "plain.h5", "--tilt-angles=-6:6:3", "--energy", "300e3"]) == 0
    return tmp_path


@pytest.mark.parametrize(
    ("command", "remedy"),
    [
        ("info picture.jpg", "Known are .h5, .mrc"),
        ("info nothing.mrc", "Check the name and the folder"),
        ("view nothing.mrc", "Check the name and the folder"),
        ("convert angles.mrc -o x.h5", "--tilt-angles (degrees: -60:60:2"),
        ("convert angles.mrc -o x.h5 --tilt-angles=-6:6:0", "as first:last:step"),
        ("convert angles.mrc -o x.h5 --tilt-angles=1,2", "Give one angle for each tilt"),
        ("convert pixel.mrc -o x.h5", "--pixel-size (angstrom)"),
        ("convert pixel.mrc -o x.h5 --pixel-size 2", "--energy (accelerating voltage"),
        ("reconstruct plain.h5 -o v.mrc", "--defocus, add it to the series file, or take --method sirt"),
        ("reconstruct plain.h5 -o v.mrc --defocus 500", "Give it with --cs"),
        ("reconstruct plain.h5 -o v.mrc --method sirt --voxel 0.005", "use larger voxels (--voxel)"),
        ("reconstruct plain.h5 -o v.png --method sirt", "Use .mrc, .tif"),
        ("ctf plain.h5 -o x.h5", "Give it with --cs"),
        ("optimise plain.h5 -o x.h5", "fit it first (phaset3m ctf)"),
        ("mask plain.h5 -o m.mrc --otsu", "is a tilt series, not a volume. Reconstruct it first"),
        (
            "convert angles.mrc -o x.h5 --crop 30:10,0:20",
            "--crop: 30:10,0:20 holds no pixel. Give the first row",
        ),
        ("convert pixel.mrc -o x.h5 --pixel-size 2 --energy 3e5 --bin 9", "--bin: 9 leaves 3 x 3 pixels"),
        ("convert pixel.mrc -o x.h5 --pixel-size 2 --energy 3e5 --crop 0:40,0:9", "Give 0:32,0:32 at most"),
        ("prepare plain.h5 -o x.h5 --recipe nothing.yaml", "nothing.yaml: no such file. Check the name"),
        ("prepare plain.h5 -o x.h5 --crop 0,0,9,9", "Switches of steps take none; their parameters do"),
        (
            "prepare plain.h5 -o x.h5 --crop-region 0,0,99,9",
            "--crop-region: 0,0,99,9 reaches out of the image",
        ),
        ("prepare plain.h5 -o x.h5 --normalise-region 0,0,9,9", "--normalise-region: no level is taken"),
        ("prepare plain.h5 -o x.h5 --reference-gain plain.h5", "is a series, not a reference image"),
        ("convert angles.mrc -o x.h5 --tilt-angles=20:-20:10", "--tilt-angles: is '20:-20:10'. Give"),
        ("prepare plain.h5 -o x.h5 --crop-region 3", "--crop-region: must be 4 whole numbers"),
        (
            "align plain.h5 -o x.h5 --stages match --match-bins 9",
            "--match-bins: 9 is too coarse for images of",
        ),
        ("align plain.h5 -o x.h5 --stages grid --grid-bin 9", "--grid-bin: 9 is too coarse for images of"),
        ("align plain.h5 -o x.h5 --import four.aln", "Give the .aln of this stack"),
        ("align plain.h5 -o x.h5 --import one.tlt", "one.tlt: line 1: does not hold six numbers"),
        (
            "info four.aln",
            "four.aln: is an alignment and holds no images. Give it to phaset3m align --import",
        ),
        ("info one.tlt", "one.tlt: describes a stack and holds no images. Name the stack as well"),
        ("info angles.mrc four.aln", "four.aln: sections: 4 sections for 5 images in angles.mrc. Give"),
        ("convert plain.h5 -o x.h5 --defocus 1,2", "or one an image (for plain.h5). Give angstrom"),
        ("convert plain.h5 -o x.h5 --aberration C99=3", "--aberration: C99 unknown; give C10"),
        ("convert plain.h5 -o x.h5 --aberration C12", "Give NAME=VALUE, e.g. C12=50"),
        ("convert angles.mrc -o x.h5 --tilt-angles=-6:6:3 --energy 3e5 --intensity-offset 9",
         "Give --vacuum-intensity, --intensity-offset, or"),
        ("convert pixel.mrc -o x.h5 --gain plain.h5", "--gain: the files are no movies. Images are"),
        ("convert pixel.mrc -o x.h5 --plan p.txt", "p.txt: unknown suffix. --plan is written as .toml"),
        ("prepare plain.h5 -o x.h5 --recipe angles.mrc", "angles.mrc: is no text. Give a file of YAML"),
        ("prepare plain.h5 -o x.h5 --recipe plain.h5", "Give a series that phaset3m prepare wrote"),
        ("watch plain.h5", "Give the one that the microscope writes into"),
    ],
)  # fmt: skip
def test_a_mistake_is_answered_with_what_to_do(folder, capsys, command, remedy):
    capsys.readouterr()
    assert main(command.split()) == 2
    told = capsys.readouterr().err
    assert remedy in told and told.count("\n") == 1 and "Traceback" not in told
    assert not (folder / "x.h5").exists() and not list(folder.glob("v.*"))


@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("convert plain.h5 -o x.h5 --tolerance 1", "--tolerance: plain.h5 is a series already. Leave it out"),
        ("info plain.h5 --tolerance 1", "--tolerance: plain.h5 is a series already. Leave it out"),
        ("convert plain.toml -o x.h5 --tolerance 1", "--tolerance: plain.toml states which images"),
        ("convert RAW --n-focus 5 --tolerance 1", "--tolerance: --n-focus tells which images are foci"),
        ("convert plain.h5 -o x.h5 --n-focus 5", "--n-focus: 5 foci for images that are divided"),
        ("convert RAW --n-focus 0", "--n-focus: 5 sections do not divide by 0 foci"),
        ("convert plain.h5 -o x.h5 --focus-order focus-major", "--focus-order: images are divided"),
        ("convert RAW --focus-order focus-major", "--focus-order: --n-focus is not given"),
        ("convert RAW --bin 2 --focus-order focus-major", "--focus-order: --n-focus is not given"),
        ("convert RAW --bin-method mean", "--bin-method: images are not binned. Give --bin as well"),
        ("convert RAW --defocus-reference exit", "--defocus-reference: no defocus is stated"),
        ("convert RAW --defocus-reference top", "--defocus-reference: is 'top'. Use 'center' or 'exit'"),
        ("convert RAW --dark-field --normalise mean", "--normalise: dark-field images are scaled"),
        ("convert dark.h5 -o x.h5 --dark-field", "--dark-field: the images of dark.h5 were inverted before"),
        ("info pixel.mrc angles.tlt --counts", "--counts: info loads no images of an import. Give it to"),
    ],
)  # fmt: skip
def test_a_flag_that_would_do_nothing_is_refused(folder, capsys, command, told):
    (folder / "angles.tlt").write_text("-6\n-3\n0\n3\n6\n")
    assert main(["convert", "plain.h5", "-o", "plain.toml"]) == 0
    raw = "pixel.mrc -o x.h5 --pixel-size 2 --energy 3e5"
    assert main(f"convert {raw.replace('x.h5', 'dark.h5')} --dark-field".split()) == 0
    capsys.readouterr()
    assert main(command.replace("RAW", raw).split()) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and lines[0].startswith(f"phaset3m: {told}"), lines
    assert not (folder / "x.h5").exists()


@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("ctf dark.h5", "tilt_series: images of dark field have no Thon rings: they show no phase. Fit the"),
        ("ctf dark.h5 --method exit_wave", "tilt_series: images of dark field have no Thon rings"),
        ("optimise dark.h5 -o x.h5 --cs 1e7 --defocus 500 --free cs_angstrom",
         "multislice retrieves a phase, and dark field shows none. Search the optics of bright-field images"),
        ("optimise dark.h5 -o x.h5", "multislice retrieves a phase, and dark field shows none. Search"),
        ("reconstruct dark.h5 -o v.mrc", "--method: multislice retrieves a phase, and dark field shows none"),
    ],
)  # fmt: skip
def test_dark_field_is_refused_before_optics_are_asked_for(folder, capsys, command, told):
    """A Cs was asked for, and only with one it was said that none serves."""
    assert (
        main(
            ["convert", "pixel.mrc", "-o", "dark.h5", "--pixel-size", "2", "--energy", "3e5", "--dark-field"]
        )
        == 0
    )
    capsys.readouterr()
    assert main(command.split()) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"phaset3m: {told}")


def test_flags_show_in_the_table_of_info_and_the_tolerance_acts(folder, capsys):
    capsys.readouterr()
    flags = "--pixel-size 2 --energy 3e5 --cs 2.7e7 --defocus 500 --dose 20 --unused 3"
    assert main(f"info pixel.mrc pixel.rawtlt {flags}".split()) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "pixel: 2 A" in lines and "energy: 300000 V" in lines
    rows = [line.split() for line in lines[-5:]]
    assert {(row[3], row[4]) for row in rows} == {("500", "20")}
    assert [row[7] for row in rows] == ["yes"] * 3 + ["no", "yes"]
    (folder / "pixel.rawtlt").write_text("-6\n-5.8\n0\n0.2\n6\n")
    for tolerance, tilts in (("0.1", 5), ("0.3", 3)):
        assert main(f"info pixel.mrc --tolerance {tolerance}".split()) == 0
        assert capsys.readouterr().out.startswith(f"{tilts} tilts")


@pytest.mark.parametrize("how", ["plain.h5", "plain.toml", "pixel.mrc", "pixel.mrc --bin 2"])
@pytest.mark.parametrize(
    ("flags", "told"),
    [
        ("--phase-plate 400", "--phase-plate: is 400.0 (for FILE). Give degrees, -360 to 360"),
        ("--energy=-5", "--energy: is -5.0, but "),
        ("--cs nan", "--cs: must be one finite number"),
        ("--cc=-4", "--cc: is -4.0, but must be positive (for FILE). Give angstrom"),
        ("--pixel-size=-2", "--pixel-size: is -2"),
        ("--pixel-size 0", "--pixel-size: is 0"),
        ("--tilt-axis-angle inf", "--tilt-axis-angle: "),
        ("--tilt-angles=1,2", "--tilt-angles: 2 angles for 5 images"),
        ("--tilt-angles=1,2,3,4,900", "--tilt-angles: must be finite degrees within ±360"),
        ("--defocus 1,2", "--defocus: has shape (2,), but 5 tilts with 1 foci need one value, one a focus"),
        ("--dose=-3", "--dose: is -3 for tilt 0, focus 0"),
        ("--vacuum-intensity=-3", "--vacuum-intensity: is -3, but must be positive"),
        ("--normalise mean --vacuum-intensity 3", "--vacuum-intensity: normalise = 'mean' takes none"),
    ],
)  # fmt: skip
def test_a_value_that_cannot_be_is_told_of_the_flag_that_gave_it(folder, capsys, how, flags, told):
    """The file was blamed for it."""
    assert main(["convert", "plain.h5", "-o", "plain.toml"]) == 0
    command = f"convert {how} -o x.h5 " + ("--energy 3e5 --pixel-size 2 " if "pixel" in how else "") + flags
    capsys.readouterr()
    assert main(command.split()) == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[-1].startswith(f"phaset3m: {told.replace('FILE', how.split()[0])}")
    assert [line for line in lines[:-1] if not line.startswith("To confirm: --tilt-axis-angle")] == []
    assert not (folder / "x.h5").exists()


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        ("--phase-plate 400", "--phase-plate: is 400.0 (for pixel.mrc). Give degrees, -360 to 360"),
        ("--cs nan", "--cs: must be one finite number"),
        ("--cc=-4", "--cc: is -4.0, but must be positive (for pixel.mrc). Give angstrom"),
        ("--focal-spread=-4", "--focal-spread: is -4.0, but must be positive"),
        ("--aberration C99=4", "--aberration: C99 unknown; give C10, "),
        ("--defocus nan", "--defocus: holds NaN"),
        ("--defocus 1,2", "--defocus: has shape (2,), but 5 tilts"),
        ("--dose=-3", "--dose: is -3 for tilt 0, focus 0"),
        ("--unused 0-4", "--unused: leaves out all images"),
        ("--defocus-reference exit", "--defocus-reference: no defocus is stated"),
        ("--energy=-5", "--energy: is -5.0, but a positive number"),
    ],
)
def test_info_refuses_what_convert_refuses_before_an_image_is_read(folder, capsys, monkeypatch, flags, told):
    """``info`` showed the table of an import with a phase plate of 400 degrees."""
    from napari_phaset3m.io.import_sources import Reader

    monkeypatch.setattr(Reader, "read", lambda *_: pytest.fail("an image was read"))
    (folder / "pixel.rawtlt").write_text("-6\n-3\n0\n3\n6\n")
    files = "pixel.mrc pixel.rawtlt"
    assert main(f"info {files}".split()) == 0  # what is merely not stated is shown so
    assert "energy: not stated" in capsys.readouterr().out
    lines = set()
    for command in (f"info {files}", f"convert {files} -o x.h5 --energy 3e5 --pixel-size 2"):
        assert main(f"{command} {flags}".split()) == 2
        lines.add(capsys.readouterr().err)
    assert len(lines) == 1 and lines.pop().startswith(f"phaset3m: {told}")


def test_an_aberration_of_a_file_that_is_none_is_refused(folder, capsys):
    assert main(["convert", "plain.h5", "-o", "plain.toml"]) == 0
    text = (folder / "plain.toml").read_text()
    (folder / "plain.toml").write_text(f"aberrations = {{C99 = 4.0}}\n{text}")
    capsys.readouterr()
    for command in ("info plain.toml", "convert plain.toml -o x.h5", "convert plain.toml -o x.h5 --bin 1"):
        assert main(command.split()) == 2
        assert capsys.readouterr().err.startswith(
            "phaset3m: plain.toml: aberrations: C99 unknown; give C10, "
        )


def test_what_a_file_states_wrongly_is_told_of_the_file(folder, capsys):
    assert main(["convert", "plain.h5", "-o", "plain.toml"]) == 0
    text = (folder / "plain.toml").read_text()
    (folder / "plain.toml").write_text(f"phase_shift_deg = 400.0\n{text}")
    capsys.readouterr()
    assert main(["convert", "plain.toml", "-o", "x.h5", "--cs", "1e7"]) == 2
    assert "plain.toml: phase_shift: is 400.0" in capsys.readouterr().err
    assert main(["convert", "plain.toml", "-o", "x.h5", "--phase-plate", "90"]) == 0


def test_angles_may_be_a_range(folder, capsys):
    capsys.readouterr()
    assert main(["info", "plain.h5"]) == 0
    assert "[-6.0, 6.0]" in capsys.readouterr().out


def test_tilts_that_are_all_one_are_doubted(folder, capsys):
    """A focal series that is read as tilts tells nothing of the depth."""
    for angles, doubted in (("1,1,1,1,1", True), ("1,1,1,1,2", False)):
        assert main(["convert", "plain.h5", "-o", "x.h5", f"--tilt-angles={angles}"]) == 0
        told = "warning: all 5 tilts are at 1 degrees. Images of one tilt are its foci: --n-focus 5 at import"
        assert (told in capsys.readouterr().err) == doubted
