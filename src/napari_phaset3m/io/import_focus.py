"""Which images are foci of one tilt: same angle, another defocus."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import pairwise

import numpy as np

from napari_phaset3m.io.import_entry import ImageEntry, Question

_DATE = re.compile(r"_?(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)\d{1,2}_\d{1,2}\.\d{2}\.\d{2}")
_DEFOCUS = re.compile(
    r"(?:^|[_\- ])(?:d|df|def|defocus|defoc)[_=]?([-+]?\d+(?:\.\d+)?)(nm|um|µm|a|ang)?(?=$|[_\- .])"
    r"|(?:^|[_\- ])([-+]?\d+(?:\.\d+)?)(nm|um|µm)(?=$|[_\- .])",
    re.IGNORECASE,
)
_FOCUS = re.compile(r"(?:^|[_\- ])(?:f|foc|focus)[_=]?(\d{1,3})(?=$|[_\- .])", re.IGNORECASE)
#: Where nothing tells foci apart, so large a part of the tilts must have the same number of images.
_MOSTLY = 2 / 3
_PER = {"nm": 10.0, "um": 1e4, "µm": 1e4, "a": 1.0, "ang": 1.0, "": 10.0}


@dataclass(frozen=True)
class NameParts:
    """What a file name says.

    Attributes
    ----------
    rest : str
        The name without what was recognised and without SerialEM's date: the angle is looked for in it.
    defocus_angstrom : float or None
    is_unit_stated : bool
        Else nanometres are assumed.
    focus : int or None
    """

    rest: str
    defocus_angstrom: float | None = None
    is_unit_stated: bool = True
    focus: int | None = None


def name_parts(stem: str) -> NameParts:
    """Defocus (``_d500``, ``_df-500nm``, ``_1.2um``) and number of the focus (``_f1``) in a file name."""
    rest = _DATE.sub("", stem)
    defocus, stated, focus = None, True, None
    match = _DEFOCUS.search(rest)
    if match:
        value, unit = (match.group(1), match.group(2)) if match.group(1) else (match.group(3), match.group(4))
        defocus, stated = float(value) * _PER[(unit or "").lower()], bool(unit)
        rest = rest[: match.start()] + rest[match.end() :]
    found = _FOCUS.search(rest)
    if found:
        focus = int(found.group(1))
        rest = rest[: found.start()] + rest[found.end() :]
    return NameParts(rest, defocus, stated, focus)


@dataclass(frozen=True)
class Candidate:
    """An image to be placed, with what may tell its focus besides the stated defocus."""

    entry: ImageEntry
    lens_defocus_angstrom: float | None = None
    focus: int | None = None
    time: datetime | None = None


def arrange(
    candidates: Sequence[Candidate], tolerance_deg: float
) -> tuple[list[ImageEntry], list[str], list[Question]]:
    """Give every image its tilt and focus index.

    Images within ``tolerance_deg`` form a tilt, unless the whole series rises in such steps. When most tilts
    have k > 1 images, they are focal groups, and further images of a tilt make one of their own. Foci are
    ordered by the number of the focus in the name or stack, else by stated defocus (least underfocus
    first), else by the lens reading (which only orders them: its zero is arbitrary, so that it is never
    written as their defocus), else by the order of exposure. A tilt that lacks a focus is filled with
    a repeat that is not used. Where nothing but their order tells foci apart, two thirds of the tilts must
    have k images; else each image is a tilt of its own.

    Parameters
    ----------
    candidates : sequence of Candidate
        All with an angle.
    tolerance_deg : float

    Returns
    -------
    entries : list of ImageEntry
    notes : list of str
    questions : list of Question
    """
    groups = _clusters(candidates, tolerance_deg)
    if _is_ramp(groups):
        groups = [[item] for group in groups for item in group]
    sizes = Counter(len(group) for group in groups)
    n_focus = max(sizes, key=lambda size: (sizes[size], size))
    if n_focus == 1:
        return _single(groups)
    how = _ordering(groups)
    if how in ("order", "files") and sizes[n_focus] < _MOSTLY * len(groups):
        return _single(groups)  # frames that follow each other, not foci
    levels = _levels(groups, n_focus, how)
    rows = [row for group in groups for row in _rows(group, n_focus, how, levels)]
    entries = [entry for tilt, row in enumerate(rows) for entry in _place(tilt, row, n_focus, how, levels)]
    notes = []
    short = sum(len(row) < n_focus for row in rows)
    if short:
        notes.append(
            f"{short} of {len(rows)} tilts have fewer than {n_focus} foci: filled with unused repeats"
        )
    text = _explain(len(rows), n_focus, how, tolerance_deg, levels)
    extra = len(rows) - len(groups)
    if extra:
        text += f"; images beyond these make {extra} tilts of their own"
    return entries, notes, [Question("focus_index", text)]


def _is_ramp(groups: Sequence[Sequence[Candidate]]) -> bool:
    """Whether steps inside the groups are like those between them: a fine tilt series, not foci."""
    angles = [[float(item.entry.tilt_deg or 0.0) for item in group] for group in groups]
    inside = [step for group in angles for step in np.diff(group)]
    between = [after[0] - before[-1] for before, after in pairwise(angles)]
    return bool(inside) and bool(between) and float(np.median(inside)) > 0.5 * float(np.median(between))


def _rows(
    group: Sequence[Candidate], n_focus: int, how: str, levels: np.ndarray | None
) -> list[list[Candidate]]:
    """A group as one tilt, or as several when it has more images than foci: the best fitting ones first."""
    rest = sorted(group, key=lambda item: (_value(item, how), *_by_order(item)))
    rows: list[list[Candidate]] = []
    while len(rest) > n_focus:
        kept = list(range(n_focus))
        if levels is not None:
            kept = _nearest(levels.tolist(), np.array([_value(item, how) for item in rest]))
        rows.append([rest[k] for k in kept])
        rest = [item for k, item in enumerate(rest) if k not in kept]
    return [*rows, rest]


def _explain(tilts: int, n_focus: int, how: str, tolerance: float, levels: np.ndarray | None) -> str:
    words = {
        "focus": "numbered in the names or stacks",
        "defocus": "by stated defocus",
        "lens": "by the lens reading, whose zero is arbitrary (it is not taken as defocus)",
        "order": "in the order of exposure",
        "files": "in the order of files and sections",
    }[how]
    text = f"{n_focus} foci at {'each of ' if tilts > 1 else ''}{tilts} tilt{'s' if tilts > 1 else ''} "
    text += f"(angles within {tolerance:g} degrees), {words}"
    if levels is not None and how in ("defocus", "lens"):
        text += f", about {', '.join(f'{value / 10:.4g}' for value in levels)} nm"
    return text


def _clusters(candidates: Sequence[Candidate], tolerance: float) -> list[list[Candidate]]:
    """Groups of equal angle, rising; a group never spans more than the tolerance."""
    ranked = sorted(candidates, key=lambda c: float(c.entry.tilt_deg or 0.0))
    groups: list[list[Candidate]] = []
    for item in ranked:
        start = groups[-1][0].entry.tilt_deg if groups else None
        if start is not None and float(item.entry.tilt_deg or 0.0) - start <= tolerance:
            groups[-1].append(item)
        else:
            groups.append([item])
    return groups


def _single(groups: list[list[Candidate]]) -> tuple[list[ImageEntry], list[str], list[Question]]:
    """One image per tilt; angles that are there twice stay apart."""
    flat = [item for group in groups for item in sorted(group, key=_by_order)]
    twice = [group[0].entry.tilt_deg for group in groups if len(group) > 1]
    questions = []
    if twice:
        angles = ", ".join(f"{angle:g}" for angle in twice[:5])
        text = f"taken more than once at {angles} degrees: kept as tilts of their own"
        questions.append(Question("focus_index", text))
    return [replace(c.entry, tilt_index=k, focus_index=0) for k, c in enumerate(flat)], [], questions


def _by_order(item: Candidate) -> tuple[int, str, int]:
    order = item.entry.exposure_order
    return (order if order is not None else 0, str(item.entry.file), item.entry.section)


def _ordering(groups: Sequence[Sequence[Candidate]]) -> str:
    candidates = [item for group in groups for item in group]
    if all(c.focus is not None for c in candidates) and len({c.focus for c in candidates}) > 1:
        return "focus"
    for name, values in (
        ("defocus", [c.entry.defocus_angstrom for c in candidates]),
        ("lens", [c.lens_defocus_angstrom for c in candidates]),
    ):
        known = [value for value in values if value is not None]
        if len(known) == len(candidates) and _differ(groups, known):
            return name
    ordered = all(c.entry.exposure_order is not None for c in candidates)
    return "order" if ordered else "files"


def _differ(groups: Sequence[Sequence[Candidate]], values: Sequence[float]) -> bool:
    """Whether images of one tilt usually differ by more than 1 angstrom."""
    flat = iter(values)
    spreads = [np.ptp([next(flat) for _ in group]) for group in groups]
    several = [spread for spread, group in zip(spreads, groups, strict=True) if len(group) > 1]
    return bool(several) and float(np.median(several)) > 1.0


def _value(item: Candidate, how: str) -> float:
    if how == "focus":
        return float(item.focus or 0)
    if how == "defocus":
        return float(item.entry.defocus_angstrom or 0.0)
    if how == "lens":
        return float(item.lens_defocus_angstrom or 0.0)
    return 0.0  # the order of exposure, or of files, decides


def _levels(groups: Sequence[Sequence[Candidate]], usual: int, how: str) -> np.ndarray | None:
    """Median value of each focus over the complete tilts."""
    if how in ("order", "files"):
        return None
    full = [sorted(_value(item, how) for item in group) for group in groups if len(group) == usual]
    return np.asarray(np.median(np.array(full), axis=0))


def _place(
    tilt: int, group: Sequence[Candidate], n_focus: int, how: str, levels: np.ndarray | None
) -> list[ImageEntry]:
    ranked = sorted(group, key=lambda item: (_value(item, how), *_by_order(item)))
    places = list(range(len(ranked)))
    if len(ranked) < n_focus and levels is not None:
        places = _nearest([_value(item, how) for item in ranked], levels)
    entries = {
        place: replace(item.entry, tilt_index=tilt, focus_index=place)
        for place, item in zip(places, ranked, strict=True)
    }
    for missing in set(range(n_focus)) - set(entries):
        near = entries[min(entries, key=lambda place: abs(place - missing))]
        level = float(levels[missing]) if levels is not None and how == "defocus" else near.defocus_angstrom
        entries[missing] = replace(
            near, focus_index=missing, defocus_angstrom=level, used=False,
            dose=None if near.dose is None else 0.0,
            prior_dose=None, exposure_order=None, is_filler=True,
        )  # fmt: skip
    return [entries[place] for place in range(n_focus)]


def _nearest(values: Sequence[float], levels: np.ndarray) -> list[int]:
    """Which levels rising values belong to, each level once, with the least squared distance in all."""
    from scipy.optimize import linear_sum_assignment

    cost = (np.asarray(values)[:, None] - levels) ** 2
    return [int(place) for place in linear_sum_assignment(cost)[1]]
