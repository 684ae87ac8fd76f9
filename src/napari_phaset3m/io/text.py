"""Small text files beside images: read with a limit, numbers taken tolerantly."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator

import numpy as np

from napari_phaset3m.errors import DataError
from napari_phaset3m.io.limits import check_exists

MAX_TEXT = 32 << 20
_COMMA = re.compile(r"[+-]?\d+,\d+([eE][+-]?\d+)?")


def read_text_file(path: str | os.PathLike[str]) -> str:
    """The text of a small file in UTF-8, UTF-16 with its mark, or Latin-1.

    Raises
    ------
    DataError
        It is not there, is a folder, or is too large for text.
    """
    found = check_exists(path)
    if not found.is_file():
        raise DataError("is a folder, not a text file", path=path)
    if found.stat().st_size > MAX_TEXT:
        raise DataError(f"is larger than {MAX_TEXT >> 20} MB, too large for text", path=path)
    data = found.read_bytes()
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        return data.decode(encoding)
    except UnicodeDecodeError:
        return data.decode("latin-1")


def to_number(text: str | None) -> float | None:
    """The first word as a finite float, or None."""
    words = (text or "").replace(",", " ").split(maxsplit=1)
    try:
        number = float(words[0])
    except (ValueError, IndexError):
        return None
    return number if math.isfinite(number) else None


def data_lines(text: str) -> Iterator[tuple[int, list[str]]]:
    """Line number (from 1) and words of each line that is not empty and no ``#`` comment."""
    for number, line in enumerate(text.splitlines(), 1):
        words = line.partition("#")[0].replace(",", " ").split()
        if words:
            yield number, words


def is_decimal_comma(word: str) -> bool:
    """Whether it is written as ``1,5``: one number with a decimal comma, or two."""
    return _COMMA.fullmatch(word) is not None


def one_number(text: str | None) -> float | None:
    """As :func:`to_number`; None for ``1,5``, of which the 1 would be taken."""
    return None if text is not None and is_decimal_comma(text.strip()) else to_number(text)


def refuse_decimal_commas(text: str, path: str | os.PathLike[str]) -> None:
    """Refuse numbers that are written as ``1,5``: read as two numbers, they would be others.

    Raises
    ------
    DataError
        A word is so, and no number has a point.
    """
    lines = [line.partition("#")[0].split() for line in text.splitlines()]
    if any("." in word for words in lines for word in words):
        return
    found = ((n, word) for n, words in enumerate(lines, 1) for word in words if is_decimal_comma(word))
    first = next(found, None)
    if first is not None:
        raise DataError(
            f"holds {first[1]}: a decimal comma, or two numbers",
            path=path,
            field=f"line {first[0]}",
            remedy="Write numbers with a point, and blanks between them",
        )


def number_rows(
    path: str | os.PathLike[str], least: int, most: int, what: str, max_rows: int = 1_000_000
) -> np.ndarray:
    """All lines of a file as rows of finite numbers; shorter rows than the longest end in NaN.

    Parameters
    ----------
    path : path-like
    least, most : int
        How many numbers a line has; further words are left out.
    what : str
        What a line should hold, for the error.
    max_rows : int

    Returns
    -------
    ndarray, shape (n, k)

    Raises
    ------
    DataError
        A line does not hold that many numbers, or the file holds none.
    """
    rows: list[list[float]] = []
    text = read_text_file(path)
    refuse_decimal_commas(text, path)
    for number, words in data_lines(text):
        values = [to_number(word) for word in words[:most]]
        if len(values) < least or any(value is None for value in values):
            raise DataError(f"does not hold {what}", path=path, field=f"line {number}",
                            remedy="Is it the right file?")  # fmt: skip
        rows.append([float(value) for value in values if value is not None])
    if not rows or len(rows) > max_rows:
        raise DataError(f"holds {len(rows)} lines of {what}", path=path, remedy="Is it the right file?")
    width = max(len(row) for row in rows)
    return np.array([row + [math.nan] * (width - len(row)) for row in rows])


def check_count(n_given: int, n_images: int, path: str | os.PathLike[str], what: str, where: str) -> None:
    """Raise :class:`DataError` with both numbers when a file speaks of another number of images.

    Parameters
    ----------
    n_given, n_images : int
        In this file, and in what it belongs to.
    path : path-like
    what : str
        What is counted, e.g. ``"angles"``.
    where : str
        What it belongs to, e.g. the stack's name.
    """
    if n_given != n_images:
        raise DataError(
            f"{n_given} {what} for {n_images} images in {where}",
            path=path,
            field=what.replace(" ", "_"),
            remedy="Give one for each image, or the file that belongs to this stack",
        )
