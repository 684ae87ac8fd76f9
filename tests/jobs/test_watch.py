"""Watching a folder: what is taken, what is waited for, what is left out, and that nothing ends it."""

import shutil
import subprocess
import sys
import time
import warnings

import mrcfile
import numpy as np
import pytest
import tifffile

from napari_phaset3m.errors import ConfigError
from napari_phaset3m.jobs import RunControl
from napari_phaset3m.jobs.watch import (
    Looked,
    QuickVolume,
    WatchConfig,
    hand_over,
    iterate_watch,
)
from napari_phaset3m.jobs.watch.loop import FolderWatch

SIZE = 32


def image(angle: float, size: int = SIZE) -> np.ndarray:
    """A blob whose place follows the tilt, on a noisy background."""
    rng = np.random.default_rng(int(10 * angle) + 1000)
    y, x = np.mgrid[:size, :size] - size / 2
    blob = np.exp(-((x - 5 * np.cos(np.radians(angle))) ** 2 + y**2) / 18)
    return (100 * (1 - 0.4 * blob) + rng.normal(0, 1, (size, size))).astype(np.float32)


def write_mrc(path, data, pixel=4.0):
    with warnings.catch_warnings(), mrcfile.new(path, overwrite=True) as file:
        warnings.simplefilter("ignore", RuntimeWarning)  # NaN is meant
        file.set_data(data)
        file.voxel_size = pixel


class Watched:
    """A folder that is looked through at times of the test's own."""

    def __init__(self, folder, **values):
        self.now = 0.0
        values = {"energy_ev": 3e5, "settle_seconds": 3.0, "give_up_seconds": 30.0} | values
        self.watch = FolderWatch(folder, WatchConfig(**values), lambda: self.now)

    def look(self, seconds=0.0) -> Looked:
        self.now += seconds
        return list(self.watch.look())[-1]

    def settled(self) -> Looked:
        self.look(1.0)
        return self.look(4.0)


def states(looked):
    return {row.file.name: (row.state, row.text) for row in looked.rows}


def test_tilts_in_any_order_make_a_sorted_series(tmp_path):
    watched = Watched(tmp_path)
    for angle in (0.0, 3.0, -3.0, 6.0):
        write_mrc(tmp_path / f"ts_{angle:+.1f}.mrc", image(angle))
        looked = watched.settled()
    assert looked.n_good == 4 and not looked.problem
    series = hand_over(looked.plan)
    assert series.tilt_deg.tolist() == [-3.0, 0.0, 3.0, 6.0]
    assert series.pixel_size_angstrom == pytest.approx(4.0) and series.energy_ev == 3e5
    expected = image(6.0) / image(6.0).mean()
    assert np.corrcoef(series.images[3, 0].ravel(), expected.ravel())[0, 1] > 0.999


def test_a_file_being_written_is_waited_for_and_never_read(tmp_path):
    watched, path = Watched(tmp_path), tmp_path / "ts_-12.0.mrc"
    write_mrc(tmp_path / "whole.mrc", image(-12.0))
    data = (tmp_path / "whole.mrc").read_bytes()
    (tmp_path / "whole.mrc").unlink()
    path.write_bytes(data[: len(data) // 2])
    for seconds in (0.0, 5.0, 5.0):
        looked = watched.look(seconds)
        assert looked.n_good == 0 and "% there" in states(looked)[path.name][1]
    looked = watched.look(60.0)
    assert states(looked)[path.name][0] == "waiting" and "truncated" in states(looked)[path.name][1]
    path.write_bytes(data)
    assert watched.look(1.0).n_good == 0  # complete, but it has only just changed
    assert watched.look(4.0).n_good == 1


@pytest.mark.parametrize("cut", [100, 700, -300])
def test_a_truncated_tiff_is_not_read(tmp_path, cut):
    watched = Watched(tmp_path)
    tifffile.imwrite(tmp_path / "whole.tif", image(3.0))
    data = (tmp_path / "whole.tif").read_bytes()
    (tmp_path / "whole.tif").unlink()
    (tmp_path / "ts_+3.0.tif").write_bytes(data[:cut])
    assert states(watched.settled())["ts_+3.0.tif"][0] == "waiting"
    (tmp_path / "ts_+3.0.tif").write_bytes(data)
    assert watched.settled().n_good == 1


def test_what_is_wrong_is_said_in_one_line(tmp_path):
    watched, bad = Watched(tmp_path), image(9.0)
    bad[4, 4] = np.nan
    write_mrc(tmp_path / "a_+06.0.mrc", image(6.0))
    assert watched.settled().n_good == 1
    write_mrc(tmp_path / "a_+09.0.mrc", bad)
    write_mrc(tmp_path / "a_+12.0.mrc", image(12.0, 16))
    write_mrc(tmp_path / "a_+15.0.mrc", image(15.0), pixel=8.0)
    write_mrc(tmp_path / "a_+18.0.mrc", np.ones((SIZE, SIZE), np.float32))
    shutil.copy(tmp_path / "a_+06.0.mrc", tmp_path / "a_+21.0.mrc")
    write_mrc(tmp_path / "a_nothing.mrc", image(33.0))
    (tmp_path / "a_+24.0.mrc").write_bytes(b"no image at all" * 200)
    looked = watched.settled()
    told = {name: text for name, (state, text) in states(looked).items() if state != "good"}
    for name, words in {
        "a_+09.0.mrc": "NaN",
        "a_+12.0.mrc": "16 x 16 pixels, the series has 32 x 32",
        "a_+15.0.mrc": "pixels of 8 Å, the series has 4 Å",
        "a_+18.0.mrc": "all pixels are alike",
        "a_+21.0.mrc": "same image as a_+06.0.mrc",
        "a_nothing.mrc": "no tilt angle",
        "a_+24.0.mrc": "not an MRC file",
    }.items():
        assert words in told[name] and "\n" not in told[name]
    assert looked.n_good == 1
    write_mrc(tmp_path / "a_+09.0.mrc", image(9.0))
    assert watched.settled().n_good == 2


def test_a_growing_stack_waits_for_its_mdoc(tmp_path):
    watched = Watched(tmp_path, energy_ev=None)
    stack, mdoc = tmp_path / "TS_01.mrc", tmp_path / "TS_01.mrc.mdoc"
    angles, images, text = (
        [0.0, 3.0, -3.0],
        [],
        f"PixelSpacing = 4\nVoltage = 300\nImageSize = {SIZE} {SIZE}\n",
    )
    for number, angle in enumerate(angles):
        images.append(image(angle))
        write_mrc(stack, np.stack(images))
        if number:  # the stack is ahead of its mdoc: what was there before is kept
            looked = watched.settled()
            assert looked.n_good == number and "speaks of" in states(looked)[stack.name][1]
        text += f"\n[ZValue = {number}]\nTiltAngle = {angle}\n"
        mdoc.write_text(text)
        looked = watched.settled()
        assert looked.n_good == number + 1 and not looked.problem
    assert hand_over(looked.plan).tilt_deg.tolist() == [-3.0, 0.0, 3.0]


def test_a_folder_that_vanishes_is_waited_for(tmp_path):
    folder = tmp_path / "disk"
    folder.mkdir()
    watched = Watched(folder)
    for angle in (0.0, 3.0):
        write_mrc(folder / f"ts_{angle:+.1f}.mrc", image(angle))
    assert watched.settled().n_good == 2
    folder.rename(tmp_path / "elsewhere")
    looked = watched.look(5.0)
    assert not looked.is_there and looked.n_good == 2 and "cannot be reached" in looked.problem
    folder.mkdir()  # the empty folder that an unmounted drive leaves behind
    assert not watched.look(5.0).is_there
    folder.rmdir()
    (tmp_path / "elsewhere").rename(folder)
    write_mrc(folder / "ts_+6.0.mrc", image(6.0))
    looked = watched.settled()
    assert looked.is_there and looked.n_good == 3 and not looked.problem


def test_what_is_missing_is_asked_for_and_patterns_choose(tmp_path):
    watched = Watched(tmp_path, energy_ev=None, pattern="A_*, C_*")
    write_mrc(tmp_path / "A_+1.0.mrc", image(1.0))
    write_mrc(tmp_path / "B_+2.0.mrc", image(2.0))
    looked = watched.settled()
    assert looked.n_good == 1 and "--energy" in looked.problem
    with pytest.raises(ConfigError, match="is not there"):
        next(iterate_watch(tmp_path / "nothing"))


_DROPPER = """
import sys, time, shutil
from pathlib import Path
source, target = map(Path, sys.argv[1:])
for file in sorted(source.iterdir()):
    data, name = file.read_bytes(), file.name.split("__")[1]
    if int(file.name[:2]) % 2:  # half of them appear under another name and are renamed
        (target / (name + ".part")).write_bytes(data)
        (target / (name + ".part")).rename(target / name)
        continue
    with open(target / name, "wb") as stream:
        for start in range(0, len(data), len(data) // 3):
            stream.write(data[start:start + len(data) // 3]); stream.flush(); time.sleep(0.05)
"""


def test_a_process_that_drops_tilts_one_by_one(tmp_path):
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir(), target.mkdir()
    angles = [0, 3, -3, 6, -6, 9, -9, 12]
    for number, angle in enumerate(angles):
        write_mrc(source / f"{number:02d}__ts_{angle:+.1f}.mrc", image(angle))
    control, began, volumes, looked = RunControl(), time.monotonic(), [], None
    config = WatchConfig(
        interval_seconds=0.1, settle_seconds=0.3, energy_ev=3e5, iterations=3, quick_size_px=16
    )
    process = subprocess.Popen([sys.executable, "-c", _DROPPER, str(source), str(target)])
    for event in iterate_watch(target, config, control=control):
        assert time.monotonic() - began < 60
        if isinstance(event, Looked):
            looked = event
        elif isinstance(event, QuickVolume):
            volumes.append(event)
            if event.n_tilt == len(angles):
                control.stop()
    assert process.wait(10) == 0
    assert looked.n_good == len(angles) and not looked.problem
    last = volumes[-1]
    assert last.negative.startswith("values may have to be negative: the level of these images is their own")
    assert last.volume.shape == (16, 16, 16) and np.isfinite(last.volume).all() and last.volume.std() > 0
    assert last.voxel_size_angstrom == pytest.approx(8.0)
    series = hand_over(looked.plan, last, bin=2)
    assert series.images.shape == (8, 1, 16, 16)
    assert np.allclose(series.shifts_px, last.shifts_px / 2) and np.abs(series.shifts_px).max() > 0
