"""Whether the open series goes into an analysis: by itself only where the volume was made of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_phaset3m.series_identity import is_of_open_series

if TYPE_CHECKING:
    from napari_phaset3m.core.series import TiltFocalSeries
    from napari_phaset3m.session import RunRecord, Session


class OwnSeries:
    """What the user wants of the series that is open; tilts of another one would be a wrong wedge.

    Parameters
    ----------
    session : Session

    Attributes
    ----------
    wanted : bool
        The series goes along with volumes that were made of it, or of no run.
    """

    def __init__(self, session: Session) -> None:
        self._session, self.wanted = session, True
        #: A run of another series that the open one is used for all the same.
        self._mixed: RunRecord | None = None

    def foreign(self, record: RunRecord | None) -> bool:
        """Whether a run was made of another series than the one that is open."""
        if record is None or not (record.series_mark or record.series_name):
            return False
        return not is_of_open_series(self._session, record)

    def want(self, wanted: bool, record: RunRecord | None) -> None:
        """Take it along, or leave it out; for a run of another series this holds for that run alone."""
        if not self.foreign(record):
            self.wanted = wanted
            return
        self._mixed = record if wanted else None
        self.wanted = self.wanted or wanted

    def series(self, record: RunRecord | None) -> TiltFocalSeries | None:
        """The series that goes with a run, or with a volume of no run."""
        used = self.wanted and (not self.foreign(record) or record is self._mixed)
        return self._session.series if used else None
