"""IMOD's newst.com, tilt.com and their like.

Format: man pages of IMOD (``newstack``, ``tilt``), https://bio3d.colorado.edu/imod/doc/.
No code of IMOD is used.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from napari_phaset3m.errors import DataError
from napari_phaset3m.io.imod import PathLike
from napari_phaset3m.io.limits import MAX_SECTIONS
from napari_phaset3m.io.text import read_text_file, to_number


@dataclass(frozen=True, eq=False)
class ComFile:
    """What newst.com or tilt.com says; None where it says nothing.

    Attributes
    ----------
    values : mapping
        All keys in lower case with their text.
    input_file, output_file, transform_file, tilt_file, xtilt_file : str or None
    excluded : tuple of int
        Views left out, from 0 (``EXCLUDELIST``, ``EXCLUDELIST2``; the file counts from 1).
    binning : float
        Binning of the images against the stack that pixels in this file refer to.
    offset_deg : float
        First number of ``OFFSET``, added to all tilts.
    placement : tuple of str
        What else places the volume, as it stands there: ``XAXISTILT``, ``SHIFT``, the second number of
        ``OFFSET``, ``THICKNESS`` (unbinned); without those that are 0.
    """

    values: Mapping[str, str] = field(default_factory=dict)
    input_file: str | None = None
    output_file: str | None = None
    transform_file: str | None = None
    tilt_file: str | None = None
    xtilt_file: str | None = None
    excluded: tuple[int, ...] = ()
    binning: float = 1.0
    offset_deg: float = 0.0
    placement: tuple[str, ...] = ()


def _com_lines(path: PathLike) -> Iterator[tuple[str, str]]:
    """Key in lower case and text of each line."""
    for line in read_text_file(path).splitlines():
        text = line.strip()
        if text and text[0] not in "$#":
            words = text.split(maxsplit=1)
            yield words[0].lower(), words[1].strip() if len(words) > 1 else ""


def com_stack(path: PathLike) -> str:
    """Stem of the stack that a .com takes, without its folder; empty: it names none. Lists are not read.

    Raises
    ------
    DataError
        It is no text that can be read.
    """
    return _stem(_input_file(dict(_com_lines(path))) or "")


def _input_file(values: Mapping[str, str]) -> str | None:
    return values.get("inputfile") or values.get("inputprojections")


def _stem(name: str) -> str:
    return Path(name.replace("\\", "/")).stem


def read_com(path: PathLike) -> ComFile:
    """Read newst.com, tilt.com and their like: lines ``Key value``; ``$`` starts programs, ``#`` comments.

    Raises
    ------
    DataError
        It cannot be read, or a list of views or the offset makes no sense.
    """
    values: dict[str, str] = {}
    excluded: set[int] = set()
    for key, value in _com_lines(path):
        values[key] = value
        if key in ("excludelist", "excludelist2"):
            excluded |= {view - 1 for view in _views(value, path)}
    return ComFile(
        values=values,
        input_file=_input_file(values),
        output_file=values.get("outputfile"),
        transform_file=values.get("transformfile"),
        tilt_file=values.get("tiltfile"),
        xtilt_file=values.get("xtiltfile"),
        excluded=tuple(sorted(excluded)),
        binning=to_number(values.get("imagebinned")) or to_number(values.get("binbyfactor")) or 1.0,
        offset_deg=_offset(values.get("offset"), path),
        placement=_placement(values),
    )


def _numbers(text: str | None) -> list[float]:
    found = (to_number(word) for word in (text or "").replace(",", " ").split())
    return [value for value in found if value is not None]


def _offset(text: str | None, path: PathLike) -> float:
    """The first number of ``OFFSET``, degrees; 0 where there is none."""
    if text is None:
        return 0.0
    value = to_number(text)
    if value is None or abs(value) > 360:
        raise DataError(f"is no angle: {text or 'empty'}", path=path, field="OFFSET",
                        remedy="Write degrees, e.g. OFFSET 3.5")  # fmt: skip
    return value


def _placement(values: Mapping[str, str]) -> tuple[str, ...]:
    units = {"xaxistilt": "°", "shift": " px", "thickness": " px"}
    stated = {key: values[key] for key in units if any(_numbers(values.get(key)))}
    found = [f"{key.upper()} {' '.join(text.split())}{units[key]}" for key, text in stated.items()]
    axis = _numbers(values.get("offset"))[1:2]
    return (*found, f"axis shift of OFFSET {axis[0]:g} px") if any(axis) else tuple(found)


def _views(text: str, path: PathLike) -> set[int]:
    """Numbers of a list such as ``1-3,7``."""
    views: set[int] = set()
    for part in text.replace(",", " ").split():
        low, _, high = part.partition("-")
        try:
            first, last = int(low), int(high or low)
        except ValueError:
            problem, remedy = f"is no list of views: {text}", "Write e.g. EXCLUDELIST 1,5-7"
            raise DataError(problem, path=path, field="EXCLUDELIST", remedy=remedy) from None
        if not 1 <= first <= last <= MAX_SECTIONS:
            raise DataError(f"has views that cannot be: {part}", path=path, field="EXCLUDELIST",
                            remedy="Views count from 1")  # fmt: skip
        views |= set(range(first, last + 1))
    return views
