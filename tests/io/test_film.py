"""Films on disk, read back by other programs' readers."""

from __future__ import annotations

import importlib
import importlib.util
import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from napari_phaset3m.errors import CancelledError, ConfigError, OutputError
from napari_phaset3m.io.film import write_film

RECORD = {"program": "napari-phaset3m", "unit": "Å"}


def frames(count: int = 6) -> list[np.ndarray]:
    """A bright column that moves to the right."""
    made = np.zeros((count, 64, 96, 3), np.uint8)
    for number in range(count):
        made[number, :, 12 * number : 12 * number + 12] = 240
    return list(made)


def place(frame: np.ndarray) -> int:
    return int(np.argmax(frame[..., 0].mean(axis=0))) // 12


def test_mp4_has_the_frames_and_the_record(tmp_path: Path) -> None:
    ffmpeg = pytest.importorskip("imageio_ffmpeg")
    path = write_film(frames(), 6, tmp_path / "a.mp4", frames_per_second=12, record=RECORD)
    raw = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    read = subprocess.run([ffmpeg.get_ffmpeg_exe(), "-i", str(path), *raw], capture_output=True, check=True)
    told = read.stderr.decode()
    assert "h264" in told and "96x64" in told and "12 fps" in told
    shown = np.frombuffer(read.stdout, np.uint8).reshape(-1, 64, 96, 3)
    assert [place(frame) for frame in shown] == [0, 1, 2, 3, 4, 5]
    assert json.dumps(RECORD).encode() in path.read_bytes()


def test_gif_has_the_frames_and_the_record(tmp_path: Path) -> None:
    path = write_film(frames(), 6, tmp_path / "a.gif", frames_per_second=10, record=RECORD)
    with Image.open(path) as film:
        assert film.n_frames == 6 and film.size == (96, 64) and film.info["duration"] == 100
        assert json.loads(film.info["comment"]) == RECORD
        places = []
        for number in range(6):
            film.seek(number)
            places.append(place(np.asarray(film.convert("RGB"))))
    assert places == [0, 1, 2, 3, 4, 5]


def test_png_sequence_replaces_only_its_own(tmp_path: Path) -> None:
    folder = write_film(frames(), 6, tmp_path / "seq", record=RECORD)
    write_film(frames(3), 3, folder, record=RECORD)
    assert sorted(p.name for p in folder.iterdir()) == [
        "film.json", "frame_0001.png", "frame_0002.png", "frame_0003.png",
    ]  # fmt: skip
    assert json.loads((folder / "film.json").read_text())["unit"] == "Å"
    (folder / "mine.txt").write_text("keep")
    with pytest.raises(OutputError, match="no PNG sequence"):
        write_film(frames(), 6, folder)
    assert (folder / "mine.txt").exists()


@pytest.mark.parametrize("name", ["a.mp4", "a.gif", "seq"])
def test_nothing_is_left_when_it_is_stopped(tmp_path: Path, name: str) -> None:
    def show(text: str, part: float) -> None:
        if part > 0.4:
            raise CancelledError("stopped")

    with pytest.raises(CancelledError):
        write_film(frames(), 6, tmp_path / name, show=show)
    assert list(tmp_path.iterdir()) == []


def test_missing_ffmpeg_is_told_with_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *a: None if name == "imageio_ffmpeg" else find(name, *a)
    )
    with pytest.raises(ConfigError, match=r"imageio-ffmpeg.*pip install") as caught:
        write_film(frames(), 6, tmp_path / "a.mp4")
    assert "\n" not in str(caught.value)
    assert write_film(frames(), 6, tmp_path / "a.gif").exists()


def test_other_suffixes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"\.mp4, \.gif"):
        write_film(frames(), 6, tmp_path / "a.avi")
