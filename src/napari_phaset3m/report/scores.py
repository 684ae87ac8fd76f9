"""By how much one volume is better than others: each quality as a number, and who is ahead."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
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
    """

    quality: str
    unit: str
    values: tuple[float | None, ...]
    less_is_better: bool = False
    total: float | None = None

    def best(self) -> int | None:
        """Index of the best volume; None where nobody has a value or all are equal."""
        known = {i: v for i, v in enumerate(self.values) if v is not None and np.isfinite(v)}
        if not known or (len(known) == len(self.values) and len(set(known.values())) == 1):
            return None
        choose = min if self.less_is_better else max
        return choose(known, key=lambda i: known[i])

    def text(self, index: int) -> str:
        """A value with its unit."""
        value = self.values[index]
        if value is None or not np.isfinite(value):
            return "none"
        shown = f"{value:.0f}" if self.total is not None and value == round(value) else f"{value:.3g}"
        of = "" if self.total is None else f" of {self.total:g}"
        return f"{shown}{of}{' ' + self.unit if self.unit else ''}"

    def statement(self, names: Sequence[str]) -> str:
        """Who is ahead, and by how much of whom."""
        best = self.best()
        if best is None:
            same = self.text(0) if self.values else "none"
            return f"{self.quality}: no difference ({same})."
        parts = []
        for i, name in enumerate(names):
            if i != best:
                parts.append(f"{name} {self.text(i)}{self._margin(best, i)}")
        return f"{self.quality}: {names[best]} is ahead with {self.text(best)}; {', '.join(parts)}."

    def _margin(self, best: int, other: int) -> str:
        one, two = self.values[best], self.values[other]
        if one is None or two is None or not np.isfinite(two):
            return ""
        return f" ({'+' if two > one else '−'}{abs(two - one):.3g})"

    def row(self, names: Sequence[str]) -> dict[str, Any]:
        """One row: the quality, a column per volume, and who is ahead."""
        best = self.best()
        return {
            "quality": self.quality + (f" ({self.unit})" if self.unit else ""),
            **dict(zip(names, self.values, strict=True)),
            "perfect": self.total,
            "best": "equal" if best is None else names[best],
        }


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
            values = [np.nan if v is None else v for v in score.values]
            unit = f" ({score.unit})" if score.unit else ""
            better = "less is better" if score.less_is_better else "more is better"
            figures.plot_scores(axes, names, values, xlabel=better, total=score.total)
            axes.set_title(fill(f"{score.quality}{unit}", _TITLE), loc="left", fontsize=9.5)
        for axes in grid[len(scores) :]:
            axes.set_axis_off()
        return figure

    table = Table("better", "Each quality, volume by volume", [score.row(names) for score in scores])
    text = "Each quality, volume by volume; a dashed outline is what a perfect volume would have."
    data = {"scores": [score.row(names) for score in scores]}
    headline = " ".join(lines[:3])
    return Section("better", "By how much", (*lines, *notes), (Picture("better", text, draw, wide=True),),
                   (table,), data, headline=headline)  # fmt: skip
