"""The Prepare step: mend, normalise and cut the images; every step has a preview and can be undone."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from qtpy.compat import isalive
from qtpy.QtCore import QTimer, Signal
from qtpy.QtWidgets import QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from napari_phaset3m.gui.panel_dock import as_panel
from napari_phaset3m.gui.prepare.motion_view import TITLE, MotionView
from napari_phaset3m.gui.prepare.rectangle import RectangleDrawer
from napari_phaset3m.gui.prepare.rows import REGION, StepRow
from napari_phaset3m.gui.prepare.work import PREVIEW, TOPIC, prepare_work_for, why_incomplete
from napari_phaset3m.gui.steps.driver import NO_SERIES
from napari_phaset3m.gui.steps.history_list import HistoryList
from napari_phaset3m.gui.steps.image_nav import ImageNav
from napari_phaset3m.gui.steps.job_bar import JobBar
from napari_phaset3m.gui.theme import (
    GROUP_SPACING,
    LINE_SPACING,
    PANEL_MAX_WIDTH,
    PANEL_MIN_WIDTH,
    label,
    rule,
    set_role,
)
from napari_phaset3m.gui.view_tab import bring_forward, tab_of
from napari_phaset3m.gui.widgets.binding import follow
from napari_phaset3m.gui.widgets.scrolling import Column, DownScroll
from napari_phaset3m.prepare.steps import STEPS
from napari_phaset3m.session import session_for

if TYPE_CHECKING:
    import napari.components


class PreparePanel(Column):
    """Steps to choose, a preview of one, and the history; works alone and in the workspace.

    Parameters
    ----------
    napari_viewer : napari.components.ViewerModel
    """

    state_changed = Signal()

    def __init__(self, napari_viewer: napari.components.ViewerModel) -> None:
        super().__init__()
        self._viewer = napari_viewer
        self._session = session_for(napari_viewer)
        self.work = prepare_work_for(self._session, napari_viewer)
        self.driver = self.work.driver
        self.setMinimumWidth(PANEL_MIN_WIDTH)
        self.setMaximumWidth(PANEL_MAX_WIDTH)
        self.nav = ImageNav(self._session, self.work.publisher, covered_by=PREVIEW)
        self.rows = {name: StepRow(entry, self.work.configs[name]) for name, entry in STEPS.items()}
        self.rectangle = RectangleDrawer(self._session, self.work.publisher)
        self.history = HistoryList(self._session, self)
        self.bar = JobBar(self.driver, TOPIC)
        self._build()
        self._connect()
        as_panel(self, napari_viewer)
        self._refresh()

    def _build(self) -> None:
        layout = QVBoxLayout(self)
        layout.setContentsMargins(8, 8, 8, 8)
        layout.setSpacing(GROUP_SPACING)
        layout.addWidget(self.nav)
        layout.addLayout(self._preview_line())
        steps = QWidget()
        column = QVBoxLayout(steps)
        column.setContentsMargins(0, 0, 4, 0)
        column.setSpacing(LINE_SPACING)
        for row in self.rows.values():
            column.addWidget(row)
        column.addStretch(1)
        area = self._area = DownScroll(steps)
        area.setMinimumHeight(90)  # with the tour in a window of 768 px
        layout.addWidget(area, 1)
        self.run = QPushButton("Run")
        self.run.setMinimumHeight(30)
        layout.addWidget(self.run)
        layout.addWidget(self.bar)
        layout.addWidget(rule())
        layout.addWidget(self.history)

    def _preview_line(self) -> QHBoxLayout:
        self.before, self.after = QPushButton("Before"), QPushButton("After")
        self.preview_text = label("", "muted", wrap=True)
        line = QHBoxLayout()
        line.setSpacing(LINE_SPACING)
        line.addWidget(self.preview_text, 1)
        for button in (self.before, self.after):
            button.setCheckable(True)
            line.addWidget(button)
        return line

    def _connect(self) -> None:
        for row in self.rows.values():
            row.chosen.connect(self.work.choose)
            row.edited.connect(self.work.set_config)
            row.opened.connect(self._on_opened)
            row.draw.connect(self._on_draw)
            row.refusal.connect(self._on_refusal)
        self.before.clicked.connect(self._on_before)
        self.after.clicked.connect(self._on_after)
        self.run.clicked.connect(self._on_run)
        self.driver.changed.connect(self._on_driver)
        self.rectangle.drawn.connect(self._on_drawn)
        for signal in (self.work.changed, self.work.previewed, self.driver.changed):
            signal.connect(self._refresh)
        follow(self._session.events.series, self._refresh)
        follow(self._session.events.active_run, self._refresh)

    def _on_opened(self, name: str, opened: bool) -> None:
        if opened:
            for other, row in self.rows.items():
                if other != name:
                    row.close_body()
            self.work.watch(name)
            QTimer.singleShot(0, partial(self._bring_up, name))
        elif self.work.watched == name:
            self.rectangle.end()
            self.work.watch("")

    def _bring_up(self, name: str) -> None:
        """Scroll so that an unfolded step is seen from its top."""
        if isalive(self) and self._area.widget() is not None:
            self._area.widget().layout().activate()
            bar = self._area.verticalScrollBar()
            bar.setValue(min(self.rows[name].y(), bar.maximum()))

    def _on_refusal(self, text: str) -> None:
        self._refresh()
        if text:
            QTimer.singleShot(0, self._bring_up_problem)

    def _bring_up_problem(self) -> None:
        """Scroll so that it is seen why an entry is refused."""
        row = self.rows.get(self.work.watched) if isalive(self) else None
        if row is not None and row.form is not None and row.refused:
            self._area.widget().layout().activate()
            self._area.ensureWidgetVisible(row.form.problem, 0, 4)

    def _on_run(self) -> None:
        for row in self.rows.values():
            row.close_body()
        self.work.run()

    def _on_driver(self) -> None:
        if self.work.motion and not self.driver.busy and self.driver.last_said[1].startswith("Done: Motion"):
            view = self.view()
            if view is not None:
                bring_forward(view)

    def _on_before(self) -> None:
        self.work.set_after(False)

    def _on_after(self) -> None:
        self.work.set_after(True)

    def _on_draw(self, name: str) -> None:
        self.work.set_after(False)
        self.rectangle.begin(name, getattr(self.work.configs[name], REGION))

    def _on_drawn(self, name: str, region: tuple[int, int, int, int]) -> None:
        form = self.rows[name].form
        if form is not None:  # with what is waiting there for a rectangle
            form.type_value(REGION, region)

    def why_not(self) -> str:
        """Why nothing can be run now; empty when it can."""
        chosen = self.work.selected()
        why = self.driver.why_not()
        if why or not chosen:
            return why or "Tick a step first"
        missing = [
            (STEPS[name].label, self.rows[name].refused or why_incomplete(self.work.configs[name]))
            for name in chosen
        ]
        return next((f"{title}: {text}" for title, text in missing if text), "")

    def _refresh(self, *_: object) -> None:
        work, chosen, why = self.work, self.work.selected(), self.why_not()
        for name, row in self.rows.items():
            row.show_choice(name in work.chosen, why_incomplete(work.configs[name]))
            row.show_config(work.configs[name])
            if row.draw_button is not None:
                no_series = self._session.series is None
                row.draw_button.setEnabled(not no_series)
                row.draw_button.setToolTip(NO_SERIES if no_series else "Draw it on the image")
        count = len(chosen)
        self.run.setText("Run" if not count else f"Run {count} step{'s' if count > 1 else ''}")
        self.run.setEnabled(not why)
        self.run.setToolTip(why or ", then ".join(STEPS[name].label for name in chosen))
        self.nav.setVisible(self._session.series is not None)
        self._refresh_preview()
        if work.motion and self.isVisible():
            self.view()
        self.state_changed.emit()

    def _refresh_preview(self) -> None:
        work = self.work
        why = work.why_not_before()
        what = "the unfolded step" if work.watched else "the last step"
        for button, on, tip in (
            (self.before, not work.after, f"Show the image before {what}"),
            (self.after, work.after, f"Show the image after {what}"),
        ):
            button.setVisible(not work.error)  # the text, which says why, takes the line
            button.setEnabled(not why)
            button.setToolTip(why or tip)
            button.setChecked(on and not why)
        failed = "" if work.watched else work.failure
        wrong = failed or (work.error and STEPS[work.watched].preview is not None)
        set_role(self.preview_text, "error" if wrong else "muted")
        last = self._session.history.current
        if work.watched:
            told = "working it out …" if work.computing else STEPS[work.watched].label
            self.preview_text.setText(work.error or f"Preview: {told}")
        else:
            self.preview_text.setText(
                failed or why or (f"Last step: {last.name}" if last is not None else "")
            )

    def view(self) -> MotionView | None:
        """Drift of the movies, below the canvas; None where there is no window."""
        found = tab_of(self._session, self._viewer, TITLE, lambda: MotionView(self._session, self.work))
        assert found is None or isinstance(found, MotionView)
        return found

    def hideEvent(self, event: Any) -> None:
        """Take the preview off the canvas while another step is looked at."""
        super().hideEvent(event)
        if not isalive(self.work):  # the session is gone with the application
            return
        self.rectangle.end()
        for row in self.rows.values():
            row.close_body()
        self.work.watch("")

    def closeEvent(self, event: Any) -> None:
        """Leave the canvas as it was; what runs goes on."""
        if isalive(self.work):
            self.rectangle.end()
        super().closeEvent(event)
