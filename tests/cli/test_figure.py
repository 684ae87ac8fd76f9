"""``phaset3m figure`` and ``phaset3m film``."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from napari_phaset3m.cli import main
from napari_phaset3m.io.volume import Volume, save_volume


def blob(seed: int = 0) -> np.ndarray:
    grid = np.indices((20, 24, 28), np.float32)
    made = sum(
        np.exp(-sum((g - c) ** 2 for g, c in zip(grid, at, strict=True)) / 6)
        for at in ((10, 12, 14), (6, 8, 20), (14, 16, 8))
    )
    return (made + np.random.default_rng(seed).normal(0, 0.02, made.shape)).astype(np.float32)


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / name for name in ("vol.mrc", "half1.mrc", "half2.mrc")]
    for seed, path in enumerate(paths):
        save_volume(Volume(data=blob(seed), voxel_size_angstrom=0.5, unit="V"), path, {})
    return paths


def texts(path: Path) -> str:
    root = ElementTree.parse(path).getroot()
    return " ".join("".join(node.itertext()) for node in root.iter("{http://www.w3.org/2000/svg}text"))


def test_svg_has_units_and_the_width_asked_for(files: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "fig.svg"
    volume, *halves = map(str, files)
    assert main(["figure", volume, "-o", str(out), "--halves", *halves]) == 0
    text = texts(out)
    for word in ("potential (V)", "Å⁻¹", "Å", "mean power (V²)", "Fourier shell correlation", "a", "i"):
        assert word in text, word
    width = ElementTree.parse(out).getroot().attrib["width"]
    assert float(width.removesuffix("pt")) / 72 * 25.4 == pytest.approx(180, abs=0.5)
    assert "vol.mrc" in out.read_text(encoding="utf-8")  # where it comes from


def test_png_is_300_dpi_and_as_wide_as_asked(files: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "fig.png"
    flags = ["--panels", "slices,transforms", "--width", "88", "--colours", "cividis"]
    assert main(["figure", str(files[0]), "-o", str(out), *flags]) == 0
    with Image.open(out) as image:
        assert image.info["dpi"] == pytest.approx((300, 300), abs=0.1)
        assert image.width == pytest.approx(88 / 25.4 * 300, abs=2)
        assert json.loads(image.text["Description"])["parameters"]["width_mm"] == 88
        assert len(np.unique(np.asarray(image.convert("RGB")).reshape(-1, 3), axis=0)) > 200


def test_film_of_slices_and_of_sweeps(files: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "film.gif"
    assert main(["film", str(files[0]), "-o", str(out), "--kind", "slices", "--size", "96"]) == 0
    with Image.open(out) as film:
        assert film.n_frames == 20
        record = json.loads(film.info["comment"])
        assert record["inputs"][0]["path"].endswith("vol.mrc")
        assert record["parameters"]["axis"] == "z" and record["parameters"]["size"] == 96
    sweeps = tmp_path / "sweeps.gif"
    assert main(["film", *map(str, files), "-o", str(sweeps), "--kind", "sweeps", "--size", "96"]) == 0
    with Image.open(sweeps) as film:
        assert film.n_frames == 3


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (["figure", "VOL", "-o", "fig.bmp"], "unknown suffix"),
        (["figure", "VOL", "-o", "fig.png", "--panels", "slices,moon"], "moon"),
        (["figure", "VOL", "-o", "fig.png", "--panels", "fsc"], "halves|half volumes"),
        (["figure", "VOL", "-o", "VOL"], "unknown suffix"),
        (["film", "VOL", "-o", "a.gif", "--kind", "walk"], "walk"),
        (["film", "VOL", "-o", "a.gif", "--frames", "0"], "frames: is 0"),
        (["film", "VOL", "-o", "a.gif", "--kind", "slices", "--thickness", "-1"], "--thickness: is"),
        (["film", "VOL", "VOL", "-o", "a.gif"], "sweeps"),
        (["film", "VOL", "-o", "a.avi"], "unknown suffix"),
    ],
)
def test_one_clear_line(
    files: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], given: list[str], told: str
) -> None:
    import re

    before = files[0].read_bytes()
    full = [str(files[0]) if a == "VOL" else str(tmp_path / a) if "." in a else a for a in given]
    assert main(full) == 2
    error = capsys.readouterr().err.strip()
    assert len(error.splitlines()) == 1 and re.search(told, error)
    assert files[0].read_bytes() == before
