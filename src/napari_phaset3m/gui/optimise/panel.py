"""The tab Optimise of the Microscope step: what is searched, how, what was found."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QFileDialog,
    QHBoxLayout,
    QPushButton,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from napari_phaset3m.gui.align.widgets import enable
from napari_phaset3m.gui.optimise.table import ParameterModel, ParameterTable, WordTable
from napari_phaset3m.gui.optimise.view import TITLE, OptimiseView
from napari_phaset3m.gui.optimise.words import (
    best_rows,
    comparison_rows,
    determined_of,
    determined_rows,
    found_words,
    stage_rows,
    stage_tip,
)
from napari_phaset3m.gui.optimise.work import TOPIC, OptimiseWork, optimise_work_for
from napari_phaset3m.gui.steps.job_bar import JobBar
from napari_phaset3m.gui.theme import GROUP_SPACING, LINE_SPACING, ElidedLabel, label, set_role
from napari_phaset3m.gui.view_tab import bring_up, tab_of
from napari_phaset3m.gui.widgets.binding import follow
from napari_phaset3m.gui.widgets.choice_box import ChoiceBox
from napari_phaset3m.gui.widgets.editors import Fold
from napari_phaset3m.gui.widgets.model_form import ModelForm
from napari_phaset3m.optimise.auto import AutoResult
from napari_phaset3m.optimise.trials import failed_words
from napari_phaset3m.session import session_for

if TYPE_CHECKING:
    import napari.components

_NO_FILE = "Trials are not kept"
_GRADIENT = (
    "align", "optics", "bins", "sweeps", "geometry", "dose", "rounds", "least_gain",
    "fine_rounds", "padded_sweeps", "error_groups",
)  # fmt: skip


class OptimisePanel(QWidget):
    """Choose, start, watch, apply.

    Parameters
    ----------
    napari_viewer : napari.components.ViewerModel
    """

    state_changed = Signal()

    def __init__(self, napari_viewer: napari.components.ViewerModel) -> None:
        super().__init__()
        self._viewer = napari_viewer
        self._session = session_for(napari_viewer)
        self.work: OptimiseWork = optimise_work_for(self._session, napari_viewer)
        self._build()
        self._connect()
        self._refresh()

    def _build(self) -> None:
        self.parameters = ParameterModel(self._session, self.work, self)
        self.table = ParameterTable(self.parameters)
        self.form = ModelForm(
            self.work.plan.config,
            hidden=("search.ranges", "search.calls"),
            titles={"search": "Search", "search.trial": "Trials"},
        )
        self.fold = Fold("Settings", self.form)
        self.problem, self.notes = label("", "warning", wrap=True), label("", "muted", wrap=True)
        self.bar = JobBar(self.work.driver, TOPIC)
        self.best = WordTable()
        self.stages = WordTable(columns=3)
        self.words = label("", "muted", wrap=True)
        self.compared = WordTable(("", "Before", "After"))
        self.comparison = Fold("Compare before and after", self.compared)
        self.start, self.apply, self.revert, self.volume = (
            QPushButton(text) for text in ("Start", "Apply", "Revert", "Show volume")
        )
        self.start.setMinimumHeight(30)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(8, 8, 8, 8)
        layout.setSpacing(GROUP_SPACING)
        layout.addWidget(self.table)
        layout.addLayout(self._how())
        layout.addLayout(self._file())
        for widget in (self.fold, self.problem, self.notes, self.start, self.bar, self.best, self.stages):
            layout.addWidget(widget)
        ends = QHBoxLayout()
        ends.setSpacing(6)
        for button in (self.apply, self.revert, self.volume):
            ends.addWidget(button, 1)
        layout.addWidget(self.words)
        layout.addLayout(ends)
        layout.addWidget(self.comparison)
        layout.addStretch(1)

    def _how(self) -> QHBoxLayout:
        self.mode, self.calls = ChoiceBox(), QSpinBox()
        self.mode.addItem("Search + gradient", True)
        self.mode.addItem("Search only", False)
        self.mode.setToolTip(
            "With gradient (Auto): searches, refines everything by gradient, and repeats while it gains"
        )
        self.mode.setCurrentIndex(0 if self.work.plan.auto else 1)
        self.calls.setRange(1, 999)
        self.calls.setMinimumWidth(84)
        self.calls.setKeyboardTracking(False)
        self.calls.setValue(self.work.plan.config.search.calls)
        self.calls.setToolTip("At most so many in each search")
        row = QHBoxLayout()
        row.setSpacing(LINE_SPACING)
        row.addWidget(self.mode, 1)
        row.addWidget(label("Trials"))
        row.addWidget(self.calls)
        return row

    def _file(self) -> QHBoxLayout:
        self.file, self.keep = ElidedLabel(_NO_FILE), QPushButton("Keep in…")
        self.resume = QCheckBox("Resume")
        self.keep.setToolTip("Choose a file that keeps each trial, so that they can be continued")
        row = QHBoxLayout()
        row.setSpacing(LINE_SPACING)
        row.addWidget(self.file, 1)
        row.addWidget(self.resume)
        row.addWidget(self.keep)
        return row

    def _connect(self) -> None:
        work = self.work
        self.form.edited.connect(self._on_config)
        self.form.refused.connect(self._refresh)
        self.mode.currentIndexChanged.connect(self._on_mode)
        self.calls.valueChanged.connect(self._on_calls)
        self.keep.clicked.connect(self._on_keep)
        self.resume.toggled.connect(self._on_resume)
        self.start.clicked.connect(work.start)
        self.apply.clicked.connect(work.apply)
        self.revert.clicked.connect(work.revert)
        self.volume.clicked.connect(work.show_volume)
        for signal in (work.changed, work.driver.changed):
            signal.connect(self._refresh)
        follow(self._session.events.active_run, self._refresh)

    def _on_config(self, config: Any) -> None:
        self.work.set_plan(config=config)

    def _on_mode(self, *_: object) -> None:
        self.work.set_plan(auto=bool(self.mode.currentData()))

    def _on_calls(self, calls: int) -> None:
        config = self.work.plan.config
        changed = config.model_copy(update={"search": config.search.model_copy(update={"calls": calls})})
        self.form.show_config(changed)
        self.work.set_plan(config=changed)

    def _on_resume(self, ticked: bool) -> None:
        self.work.set_plan(resume=ticked)

    def _on_keep(self) -> None:
        at = self._session.series_path
        start = "" if at is None else str(at.with_suffix(".trials.jsonl"))
        # An existing file is continued or refused, never replaced.
        option = QFileDialog.Option.DontConfirmOverwrite
        name, _ = QFileDialog.getSaveFileName(self, "Keep trials in", start, "Trials (*.jsonl)", "", option)
        self.keep_in(Path(name) if name else None)

    def keep_in(self, path: Path | None) -> None:
        """Keep the trials in a file; None: do not keep them."""
        self.work.set_plan(journal=path, resume=path is not None and path.exists())

    # showing

    def _refresh(self, *_: object) -> None:
        work, plan = self.work, self.work.plan
        why, notes = work.why_not()
        why = why or self.form.problem.text()
        busy = work.driver.busy
        enable(self.start, why, "Search in the background; the series changes when you apply what was found")
        self.problem.setText("" if busy else why)
        set_role(self.problem, "muted" if self._session.series is None else "warning")
        self.problem.setVisible(bool(why) and not busy)
        self.notes.setText("\n".join(notes))
        self.notes.setVisible(bool(notes) and work.result is None)
        self.parameters.refresh()
        for widget in (self.table, self.mode, self.calls, self.keep, self.form):
            widget.setEnabled(not busy)
        for name in _GRADIENT:
            editor = self.form.editor(name)
            enable(editor.widget, "" if plan.auto else "Only used with gradient", editor.tip)
        self.file.set_full_text(
            _NO_FILE if plan.journal is None else plan.journal.name, str(plan.journal or "")
        )
        enable(self.resume, "" if plan.journal is not None and not busy else "Choose a file first",
               "Go on with the trials that the file holds")  # fmt: skip
        blocked = self.resume.blockSignals(True)
        self.resume.setChecked(plan.resume)
        self.resume.blockSignals(blocked)
        self._refresh_found()
        self.state_changed.emit()

    def _refresh_found(self) -> None:
        work, determined = self.work, determined_of(self.work.result)
        now = work.rounds[-1] if work.rounds else None
        rows = [] if now is None else best_rows(now)
        if determined is not None and work.found is not None:
            refined = determined_rows(determined, work.found)
            rows = refined + [row for row in rows if row[0] not in {name for name, _ in refined}]
        self.best.show_rows(rows)
        stages = work.result.stages if isinstance(work.result, AutoResult) else ()
        self.stages.show_rows(stage_rows(stages), [stage_tip(stage) for stage in stages])
        failed = failed_words(trial for one in work.rounds for trial in one.trials)
        self.words.setText("\n".join(filter(None, (*failed, found_words(determined, work.result)))))
        self.words.setVisible(bool(self.words.text()))
        enable(self.apply, work.why_not_apply(), "Write what was found into the series (can be undone)")
        enable(self.revert, work.why_not_revert(), "Take back what was applied, or drop what was found")
        none = "No volume of the best trial was kept: reconstruct" if work.result else "Start first"
        none = none if work.volume is None else ""
        enable(self.volume, none, "Put the volume at the best point into the viewer")
        both = work.start_series is not None and work.found is not None
        self.comparison.setVisible(both)
        if work.start_series is not None and work.found is not None:
            self.compared.show_rows(comparison_rows(work.start_series, work.found))

    def view(self) -> OptimiseView | None:
        """The plots below the canvas; None where there is no window."""
        found = tab_of(self._session, self._viewer, TITLE, lambda: OptimiseView(self._session, self.work))
        assert found is None or isinstance(found, OptimiseView)
        return found

    def showEvent(self, event: Any) -> None:
        """Bring the plots to the front."""
        super().showEvent(event)
        bring_up(self, self.view)
