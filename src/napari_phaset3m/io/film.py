"""Frames to a film: MP4 (H.264), GIF, or a folder of PNG files."""

from __future__ import annotations

import importlib
import importlib.util
import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from napari_phaset3m.core.install import install_command
from napari_phaset3m.errors import ConfigError, OutputError
from napari_phaset3m.io.atomic import atomic_path, output_error
from napari_phaset3m.io.provenance import jsonable

Show = Callable[[str, float], None]
#: Constant rate factor of H.264: 17 is taken as visually lossless.
_CRF = "17"
_TITLE = "napari-phaset3m"


def require_film(path: Path) -> None:
    """Refuse a film that could not be written here.

    Raises
    ------
    OutputError
        The suffix is unknown, or a file stands where the folder of a PNG sequence would.
    ConfigError
        An MP4, and imageio-ffmpeg is not installed.
    """
    suffix = path.suffix.lower()
    if suffix not in (".mp4", ".gif", ""):
        raise OutputError(f"{path}: unknown suffix. Use .mp4, .gif, or a folder's name for a PNG sequence")
    if suffix == "" and path.exists() and not is_sequence(path):
        raise OutputError(f"{path}: is there and is no PNG sequence of ours. Choose another name")
    if suffix == ".mp4" and importlib.util.find_spec("imageio_ffmpeg") is None:
        remedy = install_command("film")
        raise ConfigError(f"MP4 films need imageio-ffmpeg: {remedy}; .gif and a folder of PNG need nothing")


def is_sequence(path: Path) -> bool:
    """Whether a folder holds nothing but frames and their record."""
    names = [entry.name for entry in path.iterdir()] if path.is_dir() else [""]
    return all(n == "film.json" or (n.startswith("frame_") and n.endswith(".png")) for n in names)


def write_film(
    frames: Iterable[np.ndarray],
    count: int,
    path: Path,
    *,
    frames_per_second: float = 15.0,
    record: Mapping[str, Any] | None = None,
    show: Show = lambda text, part: None,
) -> Path:
    """Write a film, atomically; how it was made goes into the file itself.

    Parameters
    ----------
    frames : iterable of ndarray
        `(height, width, 3)` uint8, all of one shape, with even edges for MP4.
    count : int
        How many there are.
    path : Path
        ``.mp4``, ``.gif``, or a folder's name: ``frame_0001.png`` ... with ``film.json``.
    frames_per_second : float
    record : mapping, optional
        Provenance: the comment of an MP4 or GIF.
    show : callable
        Called with what is being done and the done part; may raise to end it, nothing is left then.

    Raises
    ------
    OutputError, ConfigError
        See :func:`require_film`; or the disk refuses.
    """
    require_film(path)
    if not 1 <= frames_per_second <= 60:
        raise ConfigError(f"frames_per_second: is {frames_per_second:g}. Use 1 to 60")
    text = json.dumps(jsonable(dict(record or {})), ensure_ascii=True)
    told = _told(frames, count, show)
    write = {".mp4": _mp4, ".gif": _gif, "": _sequence}[path.suffix.lower()]
    with atomic_path(path) as temporary:
        write(told, temporary, frames_per_second, text)
    return path


def _told(frames: Iterable[np.ndarray], count: int, show: Show) -> Iterator[np.ndarray]:
    for number, frame in enumerate(frames, 1):
        yield np.ascontiguousarray(frame, np.uint8)
        show(f"frame {number} of {count}", number / count)


def _mp4(frames: Iterator[np.ndarray], path: Path, rate: float, text: str) -> None:
    ffmpeg = importlib.import_module("imageio_ffmpeg")
    first = next(frames)
    height, width = first.shape[:2]
    options = ["-crf", _CRF, "-metadata", f"title={_TITLE}", "-metadata", f"comment={text}"]
    options += ["-movflags", "+faststart"]
    writer = ffmpeg.write_frames(
        str(path), (width, height), fps=rate, codec="libx264", pix_fmt_in="rgb24", pix_fmt_out="yuv420p",
        macro_block_size=2, quality=None, output_params=options, ffmpeg_log_level="error",
    )  # fmt: skip
    try:
        writer.send(None)
        for frame in itertools.chain([first], frames):
            writer.send(frame)
    except OSError as error:
        raise output_error(path, error) from error
    finally:
        writer.close()
    if not path.exists() or path.stat().st_size == 0:
        raise OutputError(f"{path}: ffmpeg wrote nothing. Choose another place, or .gif")


def _gif(frames: Iterator[np.ndarray], path: Path, rate: float, text: str) -> None:
    from PIL import Image

    images = (Image.fromarray(frame).quantize(256, dither=Image.Dither.NONE) for frame in frames)
    first = next(images)
    # GIF counts in hundredths of a second
    first.save(
        path, save_all=True, append_images=images, duration=10 * max(2, round(100 / rate)), loop=0,
        comment=text.encode(), optimize=False,
    )  # fmt: skip


def _sequence(frames: Iterator[np.ndarray], path: Path, rate: float, text: str) -> None:
    from PIL import Image

    path.mkdir()
    for number, frame in enumerate(frames, 1):
        Image.fromarray(frame).save(path / f"frame_{number:04d}.png", optimize=False)
    record = {**json.loads(text), "frames_per_second": rate}
    (path / "film.json").write_text(json.dumps(record, indent=2, ensure_ascii=False), encoding="utf-8")
