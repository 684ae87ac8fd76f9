"""Movies in files: phaset3m prepare --motion, and a series whose images come from movies."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import mrcfile
import numpy as np
import pytest
import tifffile

sys.path.insert(0, str(Path(__file__).parent))
from _movies import movie, settling
from _prepare_series import make

from napari_phaset3m.cli import main
from napari_phaset3m.errors import DataError
from napari_phaset3m.io.import_config import ImportConfig, shrink
from napari_phaset3m.io.series import load_series, save_series
from napari_phaset3m.prepare.events import drain
from napari_phaset3m.prepare.history import history, recorded
from napari_phaset3m.prepare.motion.config import MotionConfig
from napari_phaset3m.prepare.motion.step import run


def write(path, frames, pixel=1.2):
    with mrcfile.new(path) as mrc:
        mrc.set_data(frames.astype(np.int8))
        mrc.voxel_size = pixel
    return path


@pytest.fixture(scope="module")
def frames():
    return movie(n=256, dose=4.0, drift=settling(8))


def test_one_movie_to_one_image(tmp_path, frames, capsys):
    source, out = write(tmp_path / "m.mrc", frames), tmp_path / "sum.mrc"
    assert main(["prepare", str(source), "-o", str(out), "--motion", "--motion-patches", "1", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    gap = np.array(told["shifts_px"]) - settling(8)
    assert np.sqrt((gap**2).mean()) < 0.1
    with mrcfile.open(out) as mrc:
        assert mrc.data.shape == (256, 256) and mrc.voxel_size.x == pytest.approx(1.2)
        assert mrc.data.mean() == pytest.approx(frames.sum(axis=0).mean(), rel=5e-3)
    record = json.loads((tmp_path / "sum.json").read_text())
    assert record["parameters"]["patches"] == 1 and len(record["drift_angstrom"]) == 8
    assert record["inputs"][0]["path"] == str(source)


def test_an_image_needs_motion_and_one_movie(tmp_path, frames, capsys):
    source = write(tmp_path / "m.mrc", frames)
    assert main(["prepare", str(source), "-o", str(tmp_path / "s.mrc"), "--bin"]) == 2
    assert "--motion alone" in capsys.readouterr().err
    assert main(["prepare", str(source), "-o", str(source), "--motion"]) == 2


def test_images_of_a_series_come_from_their_movies(tmp_path, frames):
    paths = [str(write(tmp_path / f"m{i}.mrc", np.rot90(frames, i, (1, 2)))) for i in range(2)]
    images = np.full((3, 1, 256, 256), 0.9, np.float32)
    series = make(
        images, metadata={"movies": [[paths[0]], [{"path": paths[1], "frame_range": (0, 5)}], [None]]}
    )
    done = drain(run(series, MotionConfig(patches=1)))
    found = done.series.images
    np.testing.assert_allclose(found.mean((-2, -1)), 0.9, rtol=1e-4)
    assert found[0, 0].std() > 0.1 and np.ptp(found[2, 0]) == 0
    assert len(done.result[0, 0]["shifts_px"]) == 8 and len(done.result[1, 0]["shifts_px"]) == 6
    told = history(done.series)[-1]["told"]
    assert told["movies_corrected"] == 2
    save_series(done.series, tmp_path / "s.h5")
    assert history(load_series(tmp_path / "s.h5"))[-1]["step"] == "motion"
    # A binned series no longer fits its movies.
    with pytest.raises(DataError, match=r"256 x 256 pixels, the series has 128 x 128.*Correct motion first"):
        drain(run(series.replace(images=images[..., ::2, ::2]), MotionConfig(patches=1)))
    with pytest.raises(DataError, match="after crop"):
        drain(run(recorded(series, "crop"), MotionConfig(patches=1)))
    turned = series.replace(images=images, tilt_axis_angle_deg=90.0)
    again = drain(run(turned, MotionConfig(patches=1))).series.images
    np.testing.assert_allclose(again[0, 0], np.rot90(found[0, 0]), rtol=1e-4)


def test_movies_must_be_one_for_each_image():
    with pytest.raises(DataError, match="1 movies for 2 tilts"):
        drain(run(make(np.ones((2, 1, 64, 64)), metadata={"movies": [["a.mrc"]]}), MotionConfig()))


def test_movies_imported_by_mdoc_are_corrected_binned_and_turned_alike(tmp_path, frames):
    lines = ["PixelSpacing = 1.2", "Voltage = 300", "ImageSize = 256 256", "DataMode = 0", ""]
    for number, tilt in enumerate((-10.0, 0.0, 10.0)):
        write(tmp_path / f"f{number}.mrc", frames)
        lines += [f"[ZValue = {number}]", f"TiltAngle = {tilt}", "ExposureDose = 2", "RotationAngle = 180",
                  f"SubFramePath = D:\\frames\\f{number}.mrc", "NumSubFrames = 8",
                  f"DateTime = 01-Jan-24  10:0{number}:00", ""]  # fmt: skip
    (tmp_path / "ts.mdoc").write_text("\n".join(lines))
    out, plain = tmp_path / "out.h5", tmp_path / "plain.h5"
    base = [str(tmp_path / "ts.mdoc"), "--pixel-size", "1.2", "--energy", "300e3"]
    assert main(["prepare", *base, "-o", str(out), "--motion", "--motion-patches", "1"]) == 0
    assert main(["convert", *base, "-o", str(plain)]) == 0
    corrected, given = load_series(out), load_series(plain)
    assert corrected.tilt_axis_angle_deg == pytest.approx(90)
    assert [item["step"] for item in history(corrected)] == ["import", "motion"]
    np.testing.assert_allclose(corrected.images.mean((-2, -1)), given.images.mean((-2, -1)), rtol=1e-3)

    # Same orientation: the corrected sum is more like the plain sum than its mirror or other turns are.
    def alike(image):
        return np.corrcoef(corrected.images[0, 0].ravel(), image.ravel())[0, 1]

    image = given.images[0, 0]
    assert alike(image) > 0.3 > 0.1 + max(alike(np.rot90(image, k)) for k in (1, 2, 3))
    assert alike(image) > 0.2 + alike(image.T)


@pytest.mark.parametrize("stated", ["prior_dose", "exposure_order", None])
def test_frames_of_a_series_are_weighted_by_the_dose_before_each_image(tmp_path, stated):
    """One dose before was taken for all tilts, and movies without a pixel size were refused."""
    frames = np.random.default_rng(0).poisson(3.0, (6, 128, 128)).astype(np.uint8)  # vacuum: no shift
    paths = [tmp_path / f"m{number}.tif" for number in range(3)]
    for path in paths:
        tifffile.imwrite(path, frames[:, ::-1])  # rows of a TIFF count from the top
    known = {"prior_dose": [[24.0], [0.0], [48.0]], "exposure_order": [[1], [0], [2]]}
    metadata = {"movies": [[str(path)] for path in paths]} | ({stated: known[stated]} if stated else {})
    series = make(
        np.ones((3, 1, 64, 64), np.float32), pixel_size_angstrom=3.0, dose_per_image=24.0, metadata=metadata
    )
    series = recorded(series, "import", ImportConfig(bin=2))  # the frames' pixels have 1.5 Å
    config = MotionConfig(patches=1, dose_per_frame=4.0, dose_before=2.0)
    done = drain(run(series, config))
    for number, before in enumerate((26.0, 2.0, 50.0) if stated else (2.0, 2.0, 2.0)):
        k = np.hypot(np.fft.fftfreq(128, 1.5)[:, None], np.fft.rfftfreq(128, 1.5)[None])
        with np.errstate(divide="ignore"):
            critical = 0.245 * k**-1.665 + 2.81
        q = np.exp(-(before + 4 * (np.arange(6) + 0.5))[:, None, None] / (2 * critical))
        summed = np.fft.irfft2((np.fft.rfft2(frames) * q).sum(axis=0) / np.sqrt((q**2).sum(axis=0) / 6))
        wanted = shrink(summed.astype(np.float32), ImportConfig(bin=2))
        np.testing.assert_allclose(done.series.images[number, 0], wanted / wanted.mean(), atol=1e-3)
    told = history(done.series)[-1]["told"]["dose_before_from"]
    assert told.startswith("the series'" if stated else "dose_before alone")
