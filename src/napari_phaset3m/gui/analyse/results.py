"""Brings results into the viewer: atoms when they are found, and the line whose profile is taken."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import ref

from qtpy.QtCore import QObject, QTimer

from napari_phaset3m.gui.analyse.layers import LINE, begin_line, line_of, show_atoms
from napari_phaset3m.gui.widgets.binding import follow

if TYPE_CHECKING:
    from napari_phaset3m.gui.analyse.work import AnalyseWork
    from napari_phaset3m.session import Session

_KEY = "analyse results"
#: A line that is still being dragged does not start anything yet, ms.
DEBOUNCE_MS = 200


class ResultLayers(QObject):
    """Layers of one analysis; outlives the panels.

    Parameters
    ----------
    work : AnalyseWork
    """

    def __init__(self, work: AnalyseWork) -> None:
        super().__init__()
        self._work = work
        self._followed: Any = None
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(DEBOUNCE_MS)
        self._timer.timeout.connect(self._take_line)
        work.done.connect(self._on_done)

    def draw_line(self) -> None:
        """Give the user a line to draw, and take the profile along it."""
        source = self._work.inputs.source
        if source is None:
            return
        layer = begin_line(self._work.publisher, source)
        if layer is None:
            return
        if self._followed is None or self._followed() is not layer:
            self._followed = ref(layer)
            follow(layer.events.data, self._on_line)
        self._take_line()
        self._work.show("profile")

    def _on_line(self) -> None:
        self._timer.start()

    def _take_line(self) -> None:
        layer, source = self._work.publisher.layer(LINE), self._work.inputs.source
        line = None if layer is None or source is None else line_of(layer, source)
        if line is None or line == self._work.inputs.line:
            return
        self._work.choose(line=line)
        self._work.compute("profile")

    def _on_done(self, key: str) -> None:
        outcome = self._work.outcomes[key]
        if key == "atoms" and not outcome.failed:
            show_atoms(self._work.publisher, outcome.value.atoms, outcome.centre, outcome.of)


def results_of(session: Session, work: AnalyseWork) -> ResultLayers:
    """Return what shows the results of a session, made on first use."""
    found: ResultLayers | None = session.attachments.get(_KEY)
    if found is None:
        found = session.attachments[_KEY] = ResultLayers(work)
    return found
