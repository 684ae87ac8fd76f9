"""Results of the analysis below the canvas: what they say at the left, what they look like at the right."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QHBoxLayout, QStackedWidget, QVBoxLayout, QWidget

from napari_phaset3m.gui.analyse.compute import TOPICS
from napari_phaset3m.gui.analyse.curves import PLOTS
from napari_phaset3m.gui.analyse.fourier3d import FourierPage
from napari_phaset3m.gui.analyse.plot import CurveView
from napari_phaset3m.gui.analyse.slices import SlicesView
from napari_phaset3m.gui.analyse.work import AnalyseWork, Outcome
from napari_phaset3m.gui.theme import label, set_role
from napari_phaset3m.gui.view_tab import bring_forward, tab_of
from napari_phaset3m.gui.widgets.choice_box import ChoiceBox
from napari_phaset3m.gui.widgets.scrolling import DownScroll

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from napari_phaset3m.session import Session

TITLE = "Analysis"
#: Of the column with the text in a narrow and in a wide view, px.
TEXT_WIDTH = (180, 290)
NOTHING = "Nothing computed yet: press Compute in step Analyse."
#: Topics that share the page of the transform.
_ON_CANVAS = ("fourier", "bragg")


class AnalyseView(QWidget):
    """One topic at a time, with its full statement.

    Parameters
    ----------
    work : AnalyseWork
    """

    def __init__(self, work: AnalyseWork) -> None:
        super().__init__()
        self._work = work
        self._drawn: Outcome | None = None
        self.topic = ChoiceBox()
        for key, topic in TOPICS.items():
            self.topic.addItem(topic.title, key)
        self.topic.setAccessibleName("Topic")
        self.head = label("", "muted", wrap=True)
        self.text = label("", wrap=True)
        self.text.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.text.setAlignment(Qt.AlignmentFlag.AlignTop)
        self.curves, self.slices, self.fourier, self.empty = (
            CurveView(),
            SlicesView(),
            FourierPage(),
            QWidget(),
        )
        self.pages = QStackedWidget()
        for page in (self.empty, self.curves, self.slices, self.fourier):
            self.pages.addWidget(page)
        self._lay_out()
        self.topic.currentIndexChanged.connect(self.refresh)
        work.done.connect(self._on_done)
        work.changed.connect(self._refresh_head)
        work.wanted.connect(self.show_topic)
        self.refresh()

    def _lay_out(self) -> None:
        area = DownScroll(self.text)
        column = QVBoxLayout()
        column.setSpacing(2)
        for widget in (self.topic, self.head):
            column.addWidget(widget)
        column.addWidget(area, 1)
        self._side = QWidget()
        column.setContentsMargins(4, 2, 4, 0)
        self._side.setLayout(column)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._side)
        layout.addWidget(self.pages, 1)

    def resizeEvent(self, event: Any) -> None:
        """Leave most of a narrow view to the picture."""
        super().resizeEvent(event)
        narrow, wide = TEXT_WIDTH
        self._side.setFixedWidth(round(min(wide, max(narrow, 0.27 * self.width()))))

    @property
    def key(self) -> str:
        """The topic that is shown."""
        return str(self.topic.currentData())

    def show_topic(self, key: str) -> None:
        """Turn to a topic and bring this view to the front."""
        self.topic.setCurrentIndex(self.topic.findData(key))
        self.refresh()
        bring_forward(self)

    def _on_done(self, key: str) -> None:
        if key == self.key or (key in _ON_CANVAS and self.key in _ON_CANVAS):
            self.refresh()

    def refresh(self, *_: object) -> None:
        """Show what there is of the topic."""
        outcome = self._work.outcomes.get(self.key)
        good = outcome is not None and not outcome.failed
        self.text.setText(outcome.text.replace("\n", "\n\n") if outcome is not None else NOTHING)
        set_role(self.text, "" if good else "error" if outcome is not None else "muted")
        if not good or outcome is None:
            self.pages.setCurrentWidget(self.empty)
        elif self.key in _ON_CANVAS:
            self._show_transform()
        else:
            self._draw(outcome)
        self._refresh_head()

    def _draw(self, outcome: Outcome) -> None:
        page = self.slices if self.key == "slices" else self.curves
        if outcome is not self._drawn:
            self._drawn = outcome
            if self.key == "slices":
                self.slices.show_slices(outcome.value)
            else:
                self.curves.show_plots(PLOTS[self.key](outcome.value))
        self.pages.setCurrentWidget(page)

    def _show_transform(self) -> None:
        power, peaks = (self._work.outcomes.get(key) for key in _ON_CANVAS)
        self.pages.setCurrentWidget(self.fourier)
        self.fourier.show_peaks(None if peaks is None or peaks.failed else peaks.value.rows())
        self.fourier.show_result(None if power is None or power.failed else power.value)

    def _refresh_head(self) -> None:
        outcome = self._work.outcomes.get(self.key)
        if outcome is None:
            self.head.setText("")
            return
        stale = self._work.stale(self.key)
        set_role(self.head, "warning" if stale else "muted")
        of = f"of {outcome.of}" if outcome.of else "of the series"
        self.head.setText(f"Out of date, {of}: compute again" if stale else of)

    def closeEvent(self, event: Any) -> None:
        """Release the canvas."""
        self.fourier.release()
        super().closeEvent(event)


def view_of(session: Session, viewer: ViewerModel, work: AnalyseWork) -> AnalyseView | None:
    """Return the view of a session; made on first use, see :func:`.view_tab.tab_of`."""
    found = tab_of(session, viewer, TITLE, lambda: AnalyseView(work))
    assert found is None or isinstance(found, AnalyseView)
    return found
