"""Volumes that were matched to a reference."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from napari_phaset3m.analyse.compare import Comparison
from napari_phaset3m.report.subject import Subject


@dataclass(frozen=True, slots=True, eq=False)
class Contest:
    """A reference and the volumes that were brought onto its grid, place and scale.

    Parameters
    ----------
    reference : Subject
    volumes : tuple of Subject
        Those compared. Without a truth the reference is the first volume, and not among them.
    comparisons : tuple of Comparison
        One for each of ``volumes``.
    known : bool
        The reference is the truth: agreement with it means quality.
    """

    reference: Subject
    volumes: tuple[Subject, ...]
    comparisons: tuple[Comparison, ...]
    known: bool

    @property
    def everyone(self) -> tuple[Subject, ...]:
        """All volumes that are judged."""
        return self.volumes if self.known else (self.reference, *self.volumes)

    def matched(self) -> list[tuple[str, np.ndarray]]:
        """Names and data of the reference and of all others, on one grid and scale."""
        pairs = zip(self.volumes, self.comparisons, strict=True)
        return [(self.reference.name, self.reference.volume), *((s.name, c.matched) for s, c in pairs)]
