"""The central slice after each sweep of a run, kept for a film of the run; bounded in memory."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from napari_phaset3m.jobs import PreviewFrame
    from napari_phaset3m.session import Session

#: Pictures kept of a run: of a longer one every second, fourth, ... sweep.
MOST_PICTURES = 120
#: Of all runs together; the oldest runs lose theirs first.
MOST_BYTES = 64 * 2**20
_KEY = "sweep pictures"


@dataclass(eq=False)
class RunPictures:
    """Central slices z = 0 of one run, by sweep (from 0), each `(ny, nx)` float32.

    Attributes
    ----------
    voxel_size_angstrom : float
        Of the previews, which may be binned.
    by_sweep : dict
        The last picture that was shown of each sweep.
    """

    voxel_size_angstrom: float
    by_sweep: dict[int, np.ndarray] = field(default_factory=dict)
    _stride: int = 1

    def add(self, frame: PreviewFrame) -> None:
        """Keep a preview's slice, unless it is of another grid or of a sweep that is passed over."""
        plane = frame.volume[frame.volume.shape[0] // 2]
        first = next(iter(self.by_sweep.values()), plane)
        if frame.sweep % self._stride or plane.shape != first.shape:
            return
        self.by_sweep[frame.sweep] = np.array(plane, np.float32)
        if len(self.by_sweep) > MOST_PICTURES:
            self._stride *= 2
            self.by_sweep = {n: kept for n, kept in self.by_sweep.items() if n % self._stride == 0}

    @property
    def nbytes(self) -> int:
        """Memory taken."""
        return sum(picture.nbytes for picture in self.by_sweep.values())

    def labelled(self) -> list[tuple[str, np.ndarray]]:
        """The pictures in order, as :func:`.sweep_film` takes them."""
        return [(f"sweep {number + 1}", self.by_sweep[number]) for number in sorted(self.by_sweep)]


class SweepPictures:
    """The pictures of a session's runs."""

    def __init__(self) -> None:
        self._runs: dict[str, RunPictures] = {}

    def add(self, frame: PreviewFrame) -> None:
        """Keep the central slice of a preview; the full-size result is of another grid and left out."""
        if frame.final:
            return
        run = self._runs.setdefault(frame.run_id, RunPictures(frame.voxel_size_angstrom))
        if run.voxel_size_angstrom == frame.voxel_size_angstrom:
            run.add(frame)
        while len(self._runs) > 1 and sum(kept.nbytes for kept in self._runs.values()) > MOST_BYTES:
            del self._runs[next(iter(self._runs))]

    def of(self, run_id: str) -> RunPictures | None:
        """Those of a run; None when none were kept."""
        return self._runs.get(run_id)

    def forget(self, run_id: str) -> None:
        """Let go of a run's pictures."""
        self._runs.pop(run_id, None)


def sweep_pictures_of(session: Session) -> SweepPictures:
    """The pictures of a session, made on first use."""
    found: SweepPictures | None = session.attachments.get(_KEY)
    if found is None:
        found = session.attachments[_KEY] = SweepPictures()
    return found
