"""What a report holds; how it looks is the business of :mod:`.html`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from napari_phaset3m.errors import PhaseT3MError

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Picture:
    """A figure, drawn when it is written.

    Parameters
    ----------
    name : str
        Stem of its file, and prefix of its ids in the page: letters, digits, dashes.
    caption : str
        What is seen, with everything needed to read it.
    draw : callable
        Returns a matplotlib Figure. Called inside :func:`analyse.figures.style.sheet`.
    wide : bool
        Takes the page's whole width.
    """

    name: str
    caption: str
    draw: Callable[[], Any]
    wide: bool = False

    def svg(self) -> str:
        """The figure, drawn now, see :func:`analyse.figures.style.to_svg`."""
        from napari_phaset3m.analyse.figures import style

        with style.sheet():
            return style.to_svg(self.draw())


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of values; units are in the keys (``d_angstrom``).

    Parameters
    ----------
    name : str
        Stem of its CSV file.
    caption : str
    rows : sequence of mapping
        All with the same keys.
    folded : bool
        Shown on a click only (and always in print).
    """

    name: str
    caption: str
    rows: Sequence[Row]
    folded: bool = False


@dataclass(frozen=True, slots=True)
class Section:
    """One topic. Either it has contents, or ``problem`` says in one line why not.

    Parameters
    ----------
    key, title : str
    statements : tuple of str
        Sentences that can be cited.
    pictures : tuple of Picture
    tables : tuple of Table
    data : mapping
        JSON-able results for machines.
    problem : str or None
    headline : str
        The statement that belongs at the top of the report; may be empty.
    files : tuple of (str, str)
        Names and texts of further files for the report's folder.
    """

    key: str
    title: str
    statements: tuple[str, ...] = ()
    pictures: tuple[Picture, ...] = ()
    tables: tuple[Table, ...] = ()
    data: Mapping[str, Any] = field(default_factory=dict)
    problem: str | None = None
    headline: str = ""
    files: tuple[tuple[str, str], ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """JSON-able: statements, results and, when it was not computed, why."""
        record: dict[str, Any] = {"title": self.title}
        if self.problem is not None:
            return record | {"not_computed": self.problem}
        return record | {"statements": list(self.statements), **self.data}


@dataclass(frozen=True, slots=True)
class Report:
    """A whole report.

    Parameters
    ----------
    title, subtitle : str
    sections : tuple of Section
    provenance : mapping
        Program, inputs with their hashes, settings.
    """

    title: str
    subtitle: str
    sections: tuple[Section, ...]
    provenance: Mapping[str, Any]

    def as_dict(self) -> dict[str, Any]:
        """JSON-able."""
        sections = {section.key: section.as_dict() for section in self.sections}
        return {"title": self.title, "sections": sections, "provenance": dict(self.provenance)}

    def pictures(self) -> list[Picture]:
        """All figures in order."""
        return [picture for section in self.sections for picture in section.pictures]

    def tables(self) -> list[Table]:
        """All tables in order."""
        return [table for section in self.sections for table in section.tables]


def attempt(key: str, title: str, build: Callable[[], Section]) -> Section:
    """The section, or one that says why it could not be computed.

    Only what is the data's fault is told this way; a mistake of the program still ends it.
    """
    try:
        return build()
    except (PhaseT3MError, ArithmeticError, np.linalg.LinAlgError, MemoryError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        return Section(key, title, problem=reason)


def missing(key: str, title: str, needs: str) -> Section:
    """A section that was not asked for, with what it needs."""
    return Section(key, title, problem=needs)
