"""By how much one volume is better than others: each quality as a number, and who is ahead."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from textwrap import fill, wrap
from typing import Any

import numpy as np

from napari_phaset3m.analyse.figures import comparison as figures
from napari_phaset3m.analyse.figures import style
from napari_phaset3m.report.model import Picture, Section, Table

#: Characters to a line of a title.
_TITLE = 46


@dataclass(frozen=True, slots=True)
class Score:
    """One quality of several volumes.

    Parameters
    ----------
    quality : str
        In words; names criterion and mask where there are any.
    unit : str
        May be empty.
    values : tuple of (float or None)
        One per volume; None where there is none.
    less_is_better : bool
    total : float or None
        What a perfect volume would have.
    finer : Score or None
        What tells volumes apart that tie here: a count that is full says nothing more.
    remarks : tuple of str
        One per volume, written after its value; empty when there are none.
    """

    quality: str
    unit: str
    values: tuple[float | None, ...]
    less_is_better: bool = False
    total: float | None = None
    finer: Score | None = None
    remarks: tuple[str, ...] = ()

    def leaders(self) -> tuple[int, ...]:
        """Indices of the best volumes: more than one where the digits that are shown are the same."""
        known = {i: v for i, v in enumerate(self.values) if v is not None and np.isfinite(v)}
        if not known:
            return ()
        top = min(known.values()) if self.less_is_better else max(known.values())
        first = next(i for i, v in known.items() if v == top)
        return tuple(i for i in known if self.text(i) == self.text(first))

    def best(self) -> int | None:
        """Index of the best volume; None where nobody has a value, or where there is a tie."""
        found = self.leaders()
        return found[0] if len(found) == 1 else None

    def text(self, index: int) -> str:
        """A value with its unit."""
        value = self.values[index]
        if value is None or not np.isfinite(value):
            return "none"
        shown = f"{value:.0f}" if self.total is not None and value == round(value) else f"{value:.3g}"
        of = "" if self.total is None else f" of {self.total:g}"
        return f"{shown}{of}{' ' + self.unit if self.unit else ''}"

    def told(self, index: int) -> str:
        """A value with its unit and what is remarked on it."""
        return self.text(index) + (self.remarks[index] if self.remarks else "")

    def beside(self, index: int) -> str:
        """The same for a bar, the remark on a line of its own."""
        remark = self.remarks[index].lstrip(", ") if self.remarks else ""
        return f"{self.text(index)}\n{remark}" if remark else self.text(index)

    def statement(self, names: Sequence[str]) -> str:
        """Who is ahead, and by how much of whom; who ties, and what the finer figure says then."""
        leaders = self.leaders()
        if not leaders:
            return f"{self.quality}: no volume has a value."
        rest = [
            f"{name} {self.told(i)}{self._margin(leaders[0], i)}"
            for i, name in enumerate(names)
            if i not in leaders
        ]
        if len(leaders) == 1:
            told = f"{names[leaders[0]]} is ahead with {self.told(leaders[0])}"
        else:
            shared = ("both" if len(leaders) == 2 else "each") + f" {self.text(leaders[0])}"
            told = f"a tie of {_listed([names[i] for i in leaders])} ({shared})"
        text = f"{self.quality}: {'; '.join([told, ', '.join(rest)] if rest else [told])}."
        return text if len(leaders) == 1 or self.finer is None else f"{text} {self._decided(names, leaders)}"

    def _decided(self, names: Sequence[str], leaders: Sequence[int]) -> str:
        """What the finer figure says of those that tie."""
        assert self.finer is not None
        among = self.finer.among(leaders)
        told = ", ".join(f"{names[i]} {self.finer.told(i)}" for i in leaders)
        ahead = among.leaders()
        who = f"{names[leaders[ahead[0]]]} is ahead" if len(ahead) == 1 else "a tie in this too"
        return f"In this tie, {self.finer.quality}: {told}; {who}."

    def among(self, chosen: Sequence[int]) -> Score:
        """The same quality of some of the volumes."""
        remarks = tuple(self.remarks[i] for i in chosen) if self.remarks else ()
        return replace(self, values=tuple(self.values[i] for i in chosen), finer=None, remarks=remarks)

    def _margin(self, best: int, other: int) -> str:
        one, two = self.values[best], self.values[other]
        if one is None or two is None or not np.isfinite(two):
            return ""
        return f" ({'+' if two > one else '−'}{abs(two - one):.3g})"

    def row(self, names: Sequence[str]) -> dict[str, Any]:
        """One row: the quality, a column per volume, and who is ahead."""
        leaders = self.leaders()
        best = "none" if not leaders else names[leaders[0]]
        if len(leaders) > 1:
            best = f"tie: {_listed([names[i] for i in leaders])}"
        return {
            "quality": self.quality + (f" ({self.unit})" if self.unit else ""),
            **dict(zip(names, self.values, strict=True)),
            "perfect": self.total,
            "best": best,
            "remarks": "; ".join(
                f"{name}{remark}" for name, remark in zip(names, self.remarks, strict=False) if remark
            ),
        }


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _height(names: Sequence[str], scores: Sequence[Score]) -> float:
    """Inches that the bars of one quality need, with their title and the lines of their names."""
    title = max(len(wrap(score.quality, _TITLE)) for score in scores)
    labels = sum(max(1.7, len(wrap(name, figures.NAME_WIDTH))) for name in names)
    return 0.75 + 0.18 * title + 0.175 * labels


def section(names: Sequence[str], scores: Sequence[Score], notes: Sequence[str] = ()) -> Section:
    """All qualities in words, one table, and bars."""
    if not scores:
        return Section(
            "better", "By how much",
            problem="nothing says which volume is better: give the truth (--truth), a model (--model) or a "
            "crystal's cell",
        )  # fmt: skip
    lines = tuple(score.statement(names) for score in scores)

    def draw() -> Any:
        rows = (len(scores) + 1) // 2
        figure = style.new_figure(10.2, _height(names, scores) * rows)
        grid = np.ravel(figure.subplots(rows, 2, squeeze=False))
        for axes, score in zip(grid, scores, strict=False):
            unit = f" ({score.unit})" if score.unit else ""
            better = "less is better" if score.less_is_better else "more is better"
            values = [np.nan if v is None else v for v in score.values]
            figures.plot_scores(
                axes, names, values, xlabel=better, total=score.total,
                texts=[score.beside(i) for i in range(len(names))], full_if_none=score.less_is_better,
            )  # fmt: skip
            axes.set_title(fill(f"{score.quality}{unit}", _TITLE), loc="left", fontsize=9.5)
        for axes in grid[len(scores) :]:
            axes.set_axis_off()
        return figure

    table = Table("better", "Each quality, volume by volume", [score.row(names) for score in scores])
    text = (
        "Each quality, volume by volume; a dashed outline is what a perfect volume would have, grey hatching "
        "a volume without any value. Off the lattice: share of points without a peak whose phases agree too."
    )
    data = {"scores": [score.row(names) for score in scores]}
    headline = " ".join(lines[:3])
    return Section("better", "By how much", (*lines, *notes), (Picture("better", text, draw, wide=True),),
                   (table,), data, headline=headline)  # fmt: skip
