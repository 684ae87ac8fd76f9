"""The Align step: compute an alignment, check it by eye, mend it by hand, write it into the series."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.compat import isalive
from qtpy.QtCore import QTimer, Signal
from qtpy.QtWidgets import QFileDialog, QPushButton, QVBoxLayout, QWidget

from napari_phaset3m.gui.align.check import AlignCheck, check_for
from napari_phaset3m.gui.align.check_end import CheckEnd
from napari_phaset3m.gui.align.files import AlignFiles
from napari_phaset3m.gui.align.nudge import COARSE, FINE, Nudge
from napari_phaset3m.gui.align.stages import StagesBox
from napari_phaset3m.gui.align.view import TITLE, AlignView
from napari_phaset3m.gui.align.widgets import TURN_TIP, AcceptBox, CheckBox, MoveBox, enable, numbers
from napari_phaset3m.gui.align.work import RUN, TOPIC, AlignWork, align_work_for
from napari_phaset3m.gui.canvas.keys import CanvasKeys
from napari_phaset3m.gui.error_words import one_line
from napari_phaset3m.gui.panel_dock import ScrollPanel, as_panel
from napari_phaset3m.gui.series.loader import SAVE_FILTER, loader_for, suffix_of
from napari_phaset3m.gui.steps.driver import NO_SERIES
from napari_phaset3m.gui.steps.history_list import HistoryList, undo_keys
from napari_phaset3m.gui.steps.image_nav import ImageNav
from napari_phaset3m.gui.steps.job_bar import JobBar
from napari_phaset3m.gui.theme import GROUP_SPACING, rule
from napari_phaset3m.gui.view_tab import bring_up, tab_of
from napari_phaset3m.gui.widgets.binding import follow
from napari_phaset3m.gui.widgets.editors import Fold
from napari_phaset3m.prepare.align.tilt_axis import axis_words

if TYPE_CHECKING:
    import napari.components

#: By then wrapped lines have the height that they need.
SETTLED_MS = 150
_STEPS = {"Left": (0.0, -1.0), "Right": (0.0, 1.0), "Up": (-1.0, 0.0), "Down": (1.0, 0.0)}


class AlignPanel(ScrollPanel):
    """Everything that concerns where images sit; works alone and in the workspace.

    Parameters
    ----------
    napari_viewer : napari.components.ViewerModel
    """

    state_changed = Signal()

    def __init__(self, napari_viewer: napari.components.ViewerModel) -> None:
        super().__init__(napari_viewer)
        self.work: AlignWork = align_work_for(self._session, napari_viewer)
        self.check_: AlignCheck = check_for(self._session, self.work)
        self._end = CheckEnd(self, self.check_)
        self.files = AlignFiles(self._session, self.work)
        self._running = False
        self._build()
        self.keys = CanvasKeys(napari_viewer, self._slots())
        self._connect()
        as_panel(self, napari_viewer)
        self._refresh()

    def _build(self) -> None:
        self.nav = ImageNav(self._session, self.work.publisher, draws=False)
        self.check, self.move_, self.ends = CheckBox(), MoveBox(), AcceptBox()
        self.stages = StagesBox(self.work.config)
        self.fold = Fold("Stages and settings", self.stages)
        self.run = QPushButton("Align")
        self.run.setMinimumHeight(30)
        self.bar = JobBar(self.work.driver, TOPIC)
        self.history = HistoryList(self._session)
        inside = QWidget()
        layout = QVBoxLayout(inside)
        layout.setContentsMargins(8, 8, 8, 8)
        layout.setSpacing(GROUP_SPACING)
        shown = (self.nav, self.check, self.move_, rule(), self.fold, self.run, self.bar, self.ends)
        for widget in (*shown, rule(), self.history):
            layout.addWidget(widget)
        layout.addStretch(1)
        self.setWidget(inside)

    def _slots(self) -> dict[str, Any]:
        slots: dict[str, Any] = {}
        for name, (dy, dx) in _STEPS.items():
            slots[name] = Nudge(self.work, self.move_, FINE * dy, FINE * dx)
            slots[f"Shift-{name}"] = Nudge(self.work, self.move_, COARSE * dy, COARSE * dx)
        return slots

    def _connect(self) -> None:
        check, move, ends, work = self.check, self.move_, self.ends, self.work
        check.mode.activated.connect(self._on_look)
        check.against.activated.connect(self._on_look)
        check.stretch.toggled.connect(self._on_look)
        check.smooth.valueChanged.connect(self._on_look)
        check.predict.clicked.connect(self._on_predict)
        for name, button in move.arrows.items():
            button.clicked.connect(self._slots()[name.capitalize()])
        move.keys.toggled.connect(self._on_keys)
        move.used.clicked.connect(work.use)
        move.angle.valueChanged.connect(work.turn_axis)
        move.undo.clicked.connect(work.undo)
        move.redo.clicked.connect(work.redo)
        self.stages.edited.connect(self._on_config)
        self.run.clicked.connect(work.run)
        ends.accept.clicked.connect(work.accept)
        ends.discard.clicked.connect(work.discard)
        ends.read.triggered.connect(self._on_read)
        ends.read_own.triggered.connect(self._on_read_own)
        ends.read_binned.triggered.connect(self._on_read_binned)
        ends.write.triggered.connect(self._on_write)
        ends.save.triggered.connect(self._on_save)
        for signal in (work.changed, self.check_.changed, work.driver.changed):
            signal.connect(self._refresh)
        work.driver.changed.connect(self._on_driver)
        events = self._session.events
        for signal in (events.series, events.shown_image, events.active_run):
            follow(signal, self._refresh)
        undo_keys(self, self._on_undo, self._on_redo)
        loader = loader_for(self._session)
        loader.saved.connect(self._on_saved)
        loader.failed.connect(self._on_save_failed)

    # what the user does

    def _on_driver(self) -> None:
        running = self.work.driver.busy and self.work.driver.title == RUN
        if running != self._running:
            self._running = running
            for wait_ms in (0, SETTLED_MS):
                QTimer.singleShot(wait_ms, self._bring_up)

    def _bring_up(self) -> None:
        """Scroll so that what a run has to say, and what to do then, is seen."""
        if isalive(self) and self.isVisible() and self.widget() is not None:
            self.widget().layout().activate()
            self.ensureWidgetVisible(self.bar if self._running else self.ends, 0, 8)

    def _on_look(self, *_: object) -> None:
        self.check_.set_look(
            mode=self.check.mode.currentData(),
            against=self.check.against.currentData(),
            stretch=self.check.stretch.isChecked(),
            smooth_px=self.check.smooth.value(),
        )

    def _on_predict(self) -> None:
        self.check_.predict(self.check.model.currentData())

    def _on_keys(self, on: bool) -> None:
        self.keys.bind(on and self.isVisible())

    def _on_config(self, config: Any) -> None:
        self.work.config = config
        self._refresh()

    def _on_undo(self) -> None:
        if not self.work.driver.busy:
            (self.work.undo if self.work.can_undo else self._session.undo)()

    def _on_redo(self) -> None:
        if not self.work.driver.busy:
            (self.work.redo if self.work.can_redo else self._session.redo)()

    def _on_read(self) -> None:
        self.files.ask_read(self, self._folder(), None)

    def _on_read_own(self) -> None:
        self.files.ask_read(self, self._folder(), "series")

    def _on_read_binned(self) -> None:
        self.files.ask_read(self, self._folder(), None, binned=True)

    def _on_write(self) -> None:
        self.files.ask_write(self, self._folder())

    def _on_save(self) -> None:
        stem = Path(self._session.series_name).stem or "series"
        start = str(Path(self._folder()) / f"{stem}_aligned.h5")
        path, chosen = QFileDialog.getSaveFileName(self, "Save series as", start, SAVE_FILTER)
        if path:
            loader_for(self._session).save(path, suffix_of(chosen))

    def _on_saved(self, path: str) -> None:
        self.bar.say(f"Saved {Path(path).name}", "good")

    def _on_save_failed(self, error: Exception) -> None:
        self.bar.say(one_line(error), "error")

    def _folder(self) -> str:
        path = self._session.series_path
        return str(path.parent) if path is not None else ""

    # showing

    def _refresh(self, *_: object) -> None:
        work, none = self.work, NO_SERIES if self._session.series is None else ""
        busy = f"{work.driver.title} is running" if work.driver.busy else ""
        why = work.why_not_run()
        enable(self.run, why, "Run the ticked stages from the alignment as it stands")
        enable(self.ends.accept, work.why_not_accept(), "Write the alignment into the series (can be undone)")
        enable(self.ends.discard, work.why_not_accept(), "Go back to the alignment of the series")
        self.ends.accept.setText("Accept" if work.draft is None else "Accept into series")
        self.ends.show_menu(self._session.series, none or busy)
        enable(self.ends.files, none, "Import and export alignments, save the series")
        self.nav.setVisible(not none)
        self.stages.show_series(self._session.series)
        self._refresh_check(none)
        self._refresh_move(none or busy)
        self.state_changed.emit()

    def _refresh_check(self, none: str) -> None:
        check, look = self.check, self.check_.look
        enable(check.mode, none, "How the pictures are shown; in red / cyan, grey means that they agree")
        enable(check.against, none, "What the shown image is compared with")
        check.show_look(look)
        projected = look.against == "prediction"
        alone = look.mode == "image"
        enable(check.stretch, none or ("For neighbours only" if projected or alone else ""),
               "Draw the neighbour out across the axis by the ratio of the cosines")  # fmt: skip
        missing = self.check_.why_not_prediction() if projected and not alone else ""
        enable(check.predict, self.work.driver.why_not(), "Reconstruct quickly and re-project at every tilt")
        stale = (
            "  ·  re-project again: the alignment has changed" if projected and self.check_.stale() else ""
        )
        check.text.setText(none or self.check_.error or missing or f"{self.check_.text}{stale}")

    def _refresh_move(self, why: str) -> None:
        move, work = self.move_, self.work
        far = f"by {FINE} px, with Shift by {COARSE:.0f} px"
        for button in move.arrows.values():
            enable(button, why, f"Move the picture {far}")
        enable(move.keys, why, f"Arrow keys on the canvas move the picture {far}")
        enable(move.which, why, "What is moved")
        enable(move.angle, why, TURN_TIP)
        enable(move.used, why, "Whether this image takes part in alignment and reconstruction")
        enable(move.undo, why or ("" if work.can_undo else "Nothing to undo"), "Undo (Ctrl+Z)")
        enable(move.redo, why or ("" if work.can_redo else "Nothing to redo"), "Redo (Ctrl+Shift+Z)")
        alignment = work.alignment
        if alignment is None:
            for text in (move.numbers, move.axis):
                text.setText("")
            return
        tilt, focus = self._session.shown_image
        tilt, focus = min(tilt, alignment.n_tilt - 1), min(focus, alignment.n_focus - 1)
        move.used.setChecked(bool(alignment.used[tilt, focus]))
        move.show_angle(alignment.axis_angle_deg)
        move.numbers.setText(numbers(alignment, tilt, focus))
        move.axis.setText(axis_words(work.axis.told()) if work.axis is not None else "")

    def view(self) -> AlignView | None:
        """The plots below the canvas; None where there is no window."""
        found = tab_of(
            self._session, self._viewer, TITLE, lambda: AlignView(self._session, self.work, self.check_)
        )
        assert found is None or isinstance(found, AlignView)
        return found

    def showEvent(self, event: Any) -> None:
        """Put the check on the canvas, with the plots below it."""
        super().showEvent(event)
        self._end.watch()
        self.check_.activate(True)
        self.keys.bind(self.move_.keys.isChecked())
        bring_up(self, self.view)

    def hideEvent(self, event: Any) -> None:
        """Give canvas and keys back."""
        super().hideEvent(event)
        self._give_back()

    def _give_back(self) -> None:
        self.keys.bind(False)
        if isalive(self.check_):  # else the session is gone with the application
            self.check_.activate(False)
            self._end.look()

    def closeEvent(self, event: Any) -> None:
        """Give canvas and keys back; what runs goes on, and the draft stays."""
        self._give_back()
        super().closeEvent(event)
