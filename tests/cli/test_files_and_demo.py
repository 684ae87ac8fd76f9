"""simulate, convert and demo, from files to files."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tifffile

from napari_phaset3m.cli import main, options, system
from napari_phaset3m.io.series import load_series
from napari_phaset3m.io.volume import load_volume
from napari_phaset3m.simulate.config import SimulationConfig


def test_simulate_writes_the_truth_beside(tiny) -> None:
    names = {p.name for p in tiny.parent.iterdir()}
    assert names == {"tiny.h5", "tiny_truth.json", "tiny_truth_V.mrc", "tiny_truth_atoms.xyz"}
    series = load_series(tiny)
    assert (series.n_tilt, series.n_focus, series.image_shape) == (5, 2, (32, 32))
    assert load_volume(tiny.with_name("tiny_truth_V.mrc")).data.max() > 50


def test_simulate_takes_a_file_and_flags_win(tmp_path, capsys) -> None:
    config = tmp_path / "c.yaml"
    config.write_text("acquisition: {n_tilt: 2, image_size_px: 24, defocus_angstrom: [400]}\n"
                      "specimen: {diameter_angstrom: 6}\nnumerics: {supersampling: 1}\n")  # fmt: skip
    output = tmp_path / "s.h5"
    assert main(["simulate", "-o", str(output), "--config", str(config), "--n-tilt", "3", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["series"] == str(output)
    assert load_series(output).n_tilt == 3


def test_simulate_takes_optics_by_the_flags_of_all_commands(tmp_path, capsys) -> None:
    output = tmp_path / "s.h5"
    small = ["--n-tilt", "2", "--image-size", "24", "--diameter", "6", "--supersampling", "1"]
    optics = [
        "--cs",
        "-1.5e5",
        "--cc",
        "1e7",
        "--stated-cs",
        "2e5",
        "--dose",
        "50",
        "--aberration",
        "C12=20,phi12=0.3",
    ]
    asked = [*small, *optics, "--unstated-aberration", "C21=300"]
    assert main(["simulate", "-o", str(output), *asked]) == 0
    series, truth = load_series(output), json.loads((tmp_path / "s_truth.json").read_text())
    assert series.spherical_aberration_angstrom == 2e5
    assert truth["spherical_aberration_angstrom"] == -1.5e5
    assert series.chromatic_aberration_angstrom == 1e7
    assert series.aberrations == {"C12": 20.0, "phi12": 0.3}
    assert truth["aberrations"] == {"C12": 20.0, "phi12": 0.3, "C21": 300.0}
    assert np.all(series.dose_per_image == 50)


@pytest.mark.parametrize(
    "flags",
    [
        ["--n-tilt", "0"],
        ["--aberration", "C12"],
        ["--aberration", "C99=1"],
        ["--unstated-aberration", "C99=50"],
        ["--unstated-aberration", "C12=nan"],
        ["--diameter", "5000"],
        ["--kind", "wood"],
        ["--config", "/nonexistent.yaml"],
    ],
)
def test_simulate_refuses(tmp_path, capsys, flags) -> None:
    assert main(["simulate", "-o", str(tmp_path / "s.h5"), *flags]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("phaset3m: ") and flags[flags[0] == "--config"] in line, "what is wrong is named"
    assert not list(tmp_path.iterdir())


def test_convert(tiny, tmp_path, capsys) -> None:
    output = tmp_path / "c.h5"
    assert main(["convert", str(tiny), "-o", str(output), "--pixel-size", "0.25", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["pixel_size_angstrom"] == 0.25
    old, new = load_series(tiny), load_series(output)
    np.testing.assert_array_equal(old.images, new.images)
    np.testing.assert_allclose(old.tilt_deg, new.tilt_deg)


def test_convert_to_text_and_back(tiny, tmp_path, capsys) -> None:
    text, back = tmp_path / "as text é.toml", tmp_path / "again.h5"
    assert main(["convert", str(tiny), "-o", str(text)]) == 0
    assert sorted(p.name for p in tmp_path.iterdir()) == ["as text é.toml", "as text é_images.mrc"]
    assert main(["convert", str(text), "-o", str(back)]) == 0
    first, last = load_series(tiny), load_series(back)
    np.testing.assert_array_equal(first.images, last.images)
    np.testing.assert_allclose(first.defocus_angstrom, last.defocus_angstrom)
    assert first.spherical_aberration_angstrom == last.spherical_aberration_angstrom


def test_info_tells_a_volume_from_a_series(tiny, tmp_path, capsys) -> None:
    truth = tiny.with_name("tiny_truth_V.mrc")
    assert main(["info", str(truth), "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["shape_zyx"] == [32, 32, 32] and record["voxel_size_angstrom"] == 0.5
    assert record["origin_zyx_angstrom"] == [-7.75] * 3 and record["unit"] == "V"
    # told the angles, it is a series
    told = ["--tilt-angles", ",".join(map(str, range(32))), "--energy", "3e5", "--normalise", "given"]
    assert main(["info", str(truth), *told]) == 0
    assert "n_tilt" in capsys.readouterr().out


@pytest.mark.parametrize("kind", ["cif", "xyz"])
def test_a_structure_that_is_not_there_is_said_so(tmp_path, capsys, kind) -> None:
    flags = ["--kind", kind, "--path", str(tmp_path / f"none.{kind}")]
    assert main(["simulate", "-o", str(tmp_path / "s.h5"), *flags]) == 2
    assert "no such file" in capsys.readouterr().err


def test_help_names_the_choices_of_a_word() -> None:
    texts = {p.name: p.annotation.__metadata__[0].help for p in options.parameters(SimulationConfig)}
    assert "one of co3o4, gold, cif, xyz, vesicles (default: co3o4)" in texts["kind"]
    assert "one of" not in texts["threads"]


def test_convert_a_stack_with_angles(tmp_path, capsys) -> None:
    import mrcfile

    with mrcfile.new(tmp_path / "s.mrc", np.ones((3, 16, 16), np.float32)) as file:
        file.voxel_size = 2.0
    (tmp_path / "a.tlt").write_text("-10\n0\n10\n")
    command = ["convert", str(tmp_path / "s.mrc"), "-o", str(tmp_path / "c.h5"), "--energy", "200000"]
    assert main([*command, "--tilt-angles", str(tmp_path / "a.tlt")]) == 0
    series = load_series(tmp_path / "c.h5")
    assert list(series.tilt_deg) == [-10, 0, 10]
    assert series.energy_ev == 200_000


@pytest.mark.parametrize("name", ["c.mrc", "tiny.h5"])
def test_convert_refuses(tiny, tmp_path, capsys, name) -> None:
    output = tiny if name == "tiny.h5" else tmp_path / name
    before = tiny.read_bytes()
    assert main(["convert", str(tiny), "-o", str(output)]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1
    assert tiny.read_bytes() == before and not list(tmp_path.iterdir())


def test_demo_headless(tiny, tmp_path, capsys) -> None:
    folder = tmp_path / "out"
    flags = ["--headless", "--series", str(tiny), "--iterations", "2", "--json"]
    assert main(["demo", "-o", str(folder), *flags]) == 0
    files = json.loads(capsys.readouterr().out)
    assert {Path(file).name for file in files.values()} == {p.name for p in folder.iterdir()}
    assert set(files) == {"volume", "record", "Fourier slices", "figure"}
    volume = load_volume(files["volume"]).data
    pages = tifffile.imread(files["Fourier slices"])
    assert pages.shape == (3, 32, 32)
    # a page is the power of a projection: the strongest term of kx ky is where the projection has it
    power = np.abs(np.fft.fftshift(np.fft.fft2(volume.sum(axis=0)))) ** 2
    power[16, 16] = 0
    page = pages[0].copy()
    page[16, 16] = page.min()
    assert power[np.unravel_index(page.argmax(), page.shape)] == pytest.approx(power.max(), rel=1e-4)
    assert Path(files["figure"]).read_bytes()[:4] == b"\x89PNG"


def test_demo_into_an_unwritable_folder(tiny, tmp_path, capsys) -> None:
    (tmp_path / "file").write_text("x")
    assert main(["demo", "--headless", "--series", str(tiny), "-o", str(tmp_path / "file" / "out")]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


def test_a_window_without_a_display_is_one_line(tiny, capsys, monkeypatch) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"):
        monkeypatch.delenv(name, raising=False)
    assert main(["demo", "--napari", "--series", str(tiny)]) == 2
    assert "--headless" in capsys.readouterr().err
    assert main(["view", str(tiny)]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


def test_a_display_that_is_not_there_is_noticed(monkeypatch) -> None:
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.setenv("QT_QPA_PLATFORM", "xcb")
    monkeypatch.setenv("DISPLAY", ":987")
    assert not system.has_display()


def test_view_opens_a_series_in_the_workspace_and_volumes_as_layers(tiny, monkeypatch) -> None:
    import napari

    opened, added = [], []
    viewer = SimpleNamespace(add_image=lambda data, **options: added.append((data.shape, options["name"])))
    launch = SimpleNamespace(open_workspace=lambda path, run: opened.append(path) or viewer)
    monkeypatch.setattr(system, "window", lambda: launch)
    monkeypatch.setattr(napari, "run", lambda: None)
    truth = tiny.with_name("tiny_truth_V.mrc")
    assert main(["view", str(truth), str(tiny)]) == 0
    assert opened == [tiny] and added == [((32, 32, 32), "tiny_truth_V.mrc")]
    assert main(["view", str(truth)]) == 0
    assert opened[1] is None
