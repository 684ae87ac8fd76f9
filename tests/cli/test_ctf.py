"""``phaset3m ctf``: what it prints and writes, a single micrograph, and what is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.constants import c, e, h, m_e

from napari_phaset3m.cli import main
from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.io.series import load_series, save_series
from napari_phaset3m.prepare.history import history

CS, PIXEL = 1.2e7, 1.0
GIVEN = ["--pixel-size", "1", "--energy", "300e3", "--cs", "1.2e7"]


def film(defocus: float, seed: int = 0, n: int = 160) -> np.ndarray:
    rng = np.random.default_rng(seed)
    k = np.fft.fftfreq(n, PIXEL)
    k2 = k[:, None] ** 2 + k[None, :] ** 2
    lam = h / np.sqrt(2 * m_e * e * 300e3 * (1 + e * 300e3 / (2 * m_e * c**2))) * 1e10
    sine = np.sin(np.pi * lam * k2 * defocus - 0.5 * np.pi * CS * lam**3 * k2**2)
    image = 1 - np.fft.ifft2(np.fft.fft2(0.1 * rng.standard_normal((n, n))) * np.exp(-6 * k2) * sine).real
    return (image + 0.02 * rng.standard_normal((n, n))).astype(np.float32)


@pytest.fixture
def pair(tmp_path):
    """Two tilts with their microscope, as a series file."""
    path = tmp_path / "pair.h5"
    images = np.stack([film(3000, 1), film(3200, 2)])[:, None]
    save_series(
        TiltFocalSeries(images=images, tilt_deg=[-1.0, 1.0], pixel_size_angstrom=PIXEL, energy_ev=300e3,
                        spherical_aberration_angstrom=CS), path,
    )  # fmt: skip
    return path


def test_series_is_written_with_its_defocus(pair, capsys):
    output, figure = pair.parent / "out.h5", pair.parent / "fit.png"
    flags = ["--range", "500:8000", "--amplitude-contrast", "0", "--figure", str(figure), "--json"]
    assert main(["ctf", str(pair), "-o", str(output), *flags]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["method"] == "thon" and record["parameters"]["defocus_min_angstrom"] == 500
    found = [row["defocus_angstrom"] for row in record["images"]]
    np.testing.assert_allclose(found, [3000, 3200], atol=20)
    series = load_series(output)
    np.testing.assert_allclose(series.defocus_angstrom[:, 0], found)
    assert history(series)[-1]["step"] == "ctf"
    assert figure.read_bytes().startswith(b"\x89PNG")


def test_fits_to_noise_are_printed_and_not_written(tmp_path, capsys):
    path, output = tmp_path / "noise.h5", tmp_path / "out.h5"
    images = (1 + 0.1 * np.random.default_rng(3).standard_normal((2, 1, 160, 160))).astype(np.float32)
    noise = TiltFocalSeries(images=images, tilt_deg=[-1.0, 1.0], pixel_size_angstrom=PIXEL, energy_ev=300e3,
                            spherical_aberration_angstrom=CS)  # fmt: skip
    save_series(noise, path)
    assert main(["ctf", str(path), "-o", str(output)]) == 1
    told = capsys.readouterr()
    assert "0 of 2 images" in told.out and "out.h5 is not written: no fit can be trusted" in told.err
    assert not output.exists()
    assert main(["ctf", str(path), "-o", str(output), "--defocus", "3000"]) == 0
    assert np.allclose(load_series(output).defocus_angstrom, 3000)


def test_a_micrograph_needs_no_tilt(tmp_path, capsys):
    path = tmp_path / "one.npy"
    np.save(path, film(2500))
    svg = tmp_path / "fit.svg"
    assert main(["ctf", str(path), *GIVEN, "--range", "500:8000", "--figure", str(svg)]) == 0
    out = capsys.readouterr().out
    assert "1 of 1 images" in out
    row = next(line.split() for line in out.splitlines() if line.endswith("thon"))
    assert abs(float(row[2]) - 2500) < 25
    assert "<svg" in svg.read_text()
    assert sorted(item.name for item in tmp_path.iterdir()) == ["fit.svg", "one.npy"]


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--range", "9000"], "--range: is '9000'. Give LOW:HIGH"),
        (["--range", "9000:100"], "--range: is '9000:100'. Give LOW:HIGH"),
        (["--joint"], "--joint: joint needs foci with stated steps"),
        (["--method", "exit_wave"], "defocus of the foci is not stated"),
        (["--image", "5"], "--image: is '5'"),
        (["--figure", "x.jpg"], "x.jpg: unknown suffix"),
        (["--amplitude-contrast", "2"], "--amplitude-contrast: must be a number"),
    ],
)
def test_refused_in_one_line_and_nothing_written(pair, capsys, flags, words):
    before = sorted(pair.parent.iterdir())
    assert main(["ctf", str(pair), "-o", str(pair.parent / "out.h5"), *flags]) == 2
    err = capsys.readouterr().err.strip().splitlines()
    assert len(err) == 1 and words in err[0], err
    assert sorted(pair.parent.iterdir()) == before


def test_the_input_is_never_the_output(pair, capsys):
    assert main(["ctf", str(pair), "-o", str(pair)]) == 2
    assert "would overwrite" in capsys.readouterr().err


def test_stack_without_angles_is_refused(tmp_path, capsys):
    path = tmp_path / "two.npy"
    np.save(path, np.stack([film(2500), film(2600)]))
    assert main(["ctf", str(path), *GIVEN]) == 2
    assert "--tilt-angles" in capsys.readouterr().err


def test_missing_cs_is_asked_for(tmp_path, capsys):
    path = tmp_path / "one.npy"
    np.save(path, film(2500))
    assert main(["ctf", str(path), "--pixel-size", "1", "--energy", "300e3"]) == 2
    assert "--cs" in capsys.readouterr().err
