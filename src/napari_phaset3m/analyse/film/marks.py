"""What is burned into the frames of a film: scale bar, label, letters."""

from __future__ import annotations

import importlib.util
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from napari_phaset3m.analyse.figures.pictures import length_text, round_length

#: Height of the letters as a part of the frame's height, and the least, px.
_LETTERS, _LEAST = 0.045, 11
_FONT = "DejaVuSans.ttf"
LIGHT, DARK = (241, 243, 244), (16, 18, 20)


@lru_cache(maxsize=8)
def font(size: int) -> tuple[Any, bool]:
    """A font, and whether it has Å: DejaVu of the system or matplotlib's, else Pillow's, which has not."""
    from PIL import ImageFont

    found = importlib.util.find_spec("matplotlib")
    folder = Path(found.origin).parent / "mpl-data" / "fonts" / "ttf" if found and found.origin else None
    for name in (_FONT, *([str(folder / _FONT)] if folder else [])):
        try:
            return ImageFont.truetype(name, size), True
        except OSError:
            continue
    return ImageFont.load_default(size=size), False


def position_text(name: str, angstrom: float, *, size: int) -> str:
    """``z = −12.3 Å``; in nm where the font has no Å."""
    if font(size)[1]:
        return f"{name} = {angstrom:.1f} Å".replace("-", "−")
    return f"{name} = {angstrom / 10:.2f} nm"


def letter_size(height: int) -> int:
    """Height of the letters in a frame, px."""
    return max(_LEAST, round(_LETTERS * height))


def burn(frame: np.ndarray, pixel_angstrom: float, label: str, *, light: bool = False) -> np.ndarray:
    """A frame with a scale bar at its lower left and a label at its upper left.

    Parameters
    ----------
    frame : ndarray
        `(height, width, 3)` uint8.
    pixel_angstrom : float
        Edge of a pixel.
    label : str
    light : bool
        The picture is mostly light: write on it in dark.

    Returns
    -------
    ndarray
        `(height, width, 3)` uint8, a copy.
    """
    from PIL import Image, ImageDraw

    height, width = frame.shape[:2]
    ink, paper = (DARK, LIGHT) if light else (LIGHT, DARK)
    letters, edge = letter_size(height), round(0.03 * height) + 2
    image = Image.fromarray(frame)
    draw = ImageDraw.Draw(image)
    kind, angstrom = font(letters)
    looks: dict[str, Any] = {"font": kind, "fill": ink, "stroke_width": max(1, letters // 12)}
    looks["stroke_fill"] = paper
    if label:
        draw.text((edge, edge), label, anchor="la", **looks)
    length = round_length(0.3 * width * pixel_angstrom)
    right, thick = edge + round(length / pixel_angstrom), max(3, height // 110)
    draw.rectangle((edge - 1, height - edge - thick - 1, right + 1, height - edge + 1), fill=paper)
    draw.rectangle((edge, height - edge - thick, right, height - edge), fill=ink)
    text = length_text(length) if angstrom else f"{length / 10:g} nm"
    draw.text(((edge + right) / 2, height - edge - thick - 3), text, anchor="md", **looks)
    return np.asarray(image)
