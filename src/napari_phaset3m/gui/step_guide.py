"""The slim guide on top of the workspace: what is done, what is next, and why something cannot be done."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QButtonGroup, QHBoxLayout, QPushButton, QSizePolicy, QVBoxLayout, QWidget

from napari_phaset3m.gui.importing.work import import_work_for
from napari_phaset3m.gui.series.metadata_form import missing_for_multislice
from napari_phaset3m.gui.steps.driver import step_driver_for
from napari_phaset3m.gui.theme import LINE_SPACING, label, set_role
from napari_phaset3m.gui.widgets.binding import follow
from napari_phaset3m.prepare.history import history
from napari_phaset3m.reconstruct.problem import needs_microscope
from napari_phaset3m.series_identity import is_of_open_series

if TYPE_CHECKING:
    from napari_phaset3m.core.series import TiltFocalSeries
    from napari_phaset3m.session import RunRecord, Session

State = Literal["done", "next", "active", "blocked"]
OPEN_FIRST = "Open a series first."
#: Steps in the upper of the two rows.
_UPPER = 4
_MARKS: dict[State, str] = {"done": "✓", "next": "○", "active": "●", "blocked": "○"}


@dataclass(frozen=True, slots=True)
class Step:
    """One step as the guide shows it.

    Attributes
    ----------
    name : str
    state : {"done", "next", "active", "blocked"}
    reason : str
        Why it is blocked, or what to do in it.
    """

    name: str
    state: State
    reason: str


def steps(session: Session) -> tuple[Step, ...]:
    """Return the steps that exist with their states; a pure reading of the session."""
    series = session.series is not None
    first = (
        Step("Series", "done", "The series is open; its metadata can be edited.")
        if series
        else Step("Series", "next", "Import raw files, or open a tilt/focal series.")
    )
    return (
        first,
        *(_changing_step(session, name) for name in _CHANGING),
        _reconstruct_step(session),
        _mask_step(session),
        _analyse_step(session),
    )


#: Steps that change the series: topic at the driver, what is done in them.
_CHANGING = {
    "Prepare": ("prepare", "Mend, normalise and bin the images (optional; every step can be undone)."),
    "Align": ("align", "Shifts, tilt axis and tilt angles; check the alignment by eye."),
    "Microscope": ("microscope", "Defocus and astigmatism from the power spectra."),
}


def _changing_step(session: Session, name: str) -> Step:
    if session.series is None:
        return Step(name, "blocked", OPEN_FIRST)
    topic, what = _CHANGING[name]
    driver = session.attachments.get("step driver")
    if driver is not None and driver.topic == topic:
        return Step(name, "active", f"{driver.title} is running.")
    if topic in done_topics(session.series):
        return Step(name, "done", f"Done; it can be done again. {what}")
    return Step(name, "next", what)


def done_topics(series: TiltFocalSeries) -> set[str]:
    """Which of the steps that change a series its history tells of."""
    topics = {"align": "align", "ctf": "microscope", "defocus": "microscope", "import": ""}
    return {topics.get(str(item["step"]).split()[0], "prepare") for item in history(series)}


def _reconstruct_step(session: Session) -> Step:
    if session.active_run is not None:
        return Step("Reconstruct", "active", "A reconstruction is running.")
    if session.series is None:
        return Step("Reconstruct", "blocked", OPEN_FIRST)
    if _finished(session):
        return Step("Reconstruct", "done", "Done; change settings and start again at any time.")
    return Step("Reconstruct", "next", "Check the settings and start.")


def _mask_step(session: Session) -> Step:
    if session.mask is not None or session.analysis_mask is not None:
        return Step("Mask", "done", "A mask is in use; it can be changed at any time.")
    return Step("Mask", "next", "Isolate the particle (optional): mask of a result, a preview or a file.")


def _analyse_step(session: Session) -> Step:
    work = session.attachments.get("analyse work")
    if work is not None and work.busy:
        return Step("Analyse", "active", "Something is being computed.")
    if _has_results(session):
        return Step("Analyse", "done", "There are results; compute more at any time.")
    return Step("Analyse", "next", "Resolution, peaks and atoms of a result, a preview or a file.")


#: What to do with what was found and is not in the series yet.
_WAITING = {
    "Align": "Next: check the alignment by eye, then accept or discard it.",
    "Microscope": "Next: judge the fit by its rings, then apply or drop it.",
}


def waits(session: Session) -> str:
    """The step whose result was not put into the series yet; empty when none was left so."""
    align, ctf = (session.attachments.get(key) for key in ("align work", "ctf work"))
    if align is not None and align.draft is not None:
        return "Align"
    return "Microscope" if ctf is not None and ctf.result is not None and not ctf.applied else ""


def next_step(session: Session) -> str:
    """The step that the hint speaks of: where one goes on; empty while something runs, and at the end."""
    return _advice(session)[0]


def hint(session: Session) -> tuple[str, str]:
    """(one line on what to do now, style role)."""
    _, text, role = _advice(session)
    return text, role


def _advice(session: Session) -> tuple[str, str, str]:
    """Where one goes on, one line on what to do there, and its style role."""
    driver = session.attachments.get("step driver")
    if driver is not None and driver.busy:
        return "", f"{driver.title} is {'paused' if driver.paused else 'running'}.", "muted"
    run = session.run(session.active_run)
    if session.active_run is not None:
        state = "Paused" if run is not None and run.status == "paused" else "Running: watch the volume"
        return "", f"{state}. Finish now keeps it, Stop does not.", "muted"
    importing = session.attachments.get("import")
    if importing is not None and importing.busy:
        return "", "An import is running (step Series); its series is opened at the end.", "muted"
    if session.series is None:
        return "Series", "Next: import raw files or open a tilt/focal series.", "muted"
    step, text, role = _going_on(session, session.series)
    saved = session.message.startswith("Saved")
    return (step, session.message, "muted") if saved else (step, text, role)


def _going_on(session: Session, series: TiltFocalSeries) -> tuple[str, str, str]:
    waiting = waits(session)
    if waiting:
        return waiting, _WAITING[waiting], "warning"
    missing = missing_for_multislice(series)
    if missing and needs_microscope(session.config):
        verb = "is" if len(missing) == 1 else "are"
        lacking = f"{' and '.join(missing)} {verb} missing; only linear methods work without."
        return "Series", lacking, "warning"
    if _finished(session):
        return _after_a_run(session)
    topics = done_topics(series) - {""}
    if not topics:
        start = "Next: prepare and align, or check the settings of step Reconstruct and start."
        return "Prepare", start, "muted"
    if topics == {"prepare"}:
        return "Align", "Next: align, or check the settings of step Reconstruct and start.", "muted"
    return "Reconstruct", "Next: check the settings of step Reconstruct and start.", "muted"


def _finished(session: Session) -> list[RunRecord]:
    """Runs of the series that is open, and not of one before."""
    finished = (record for record in session.runs if record.status == "finished")
    return [record for record in finished if is_of_open_series(session, record)]


def _has_results(session: Session) -> bool:
    """Whether something was found of what is chosen now, and not of a run of a series before."""
    work = session.attachments.get("analyse work")
    if work is None:
        return False
    record = work.record()
    ours = record is None or any(record is other for other in _finished(session))
    return ours and bool(work.fresh())


def _analysed(session: Session, run: RunRecord) -> bool:
    """Whether something is known of this run; what concerns the series alone does not count."""
    if run.resolution:
        return True
    work = session.attachments.get("analyse work")
    if work is None or work.record() is not run:
        return False
    return any(work.outcomes[key].of for key in work.fresh())


def _after_a_run(session: Session) -> tuple[str, str, str]:
    runs = _finished(session)
    result = "result" if len(runs) == 1 else "newest result"
    if _analysed(session, runs[-1]):
        return "", f"Next: export the {result} (Runs), or change settings and start again.", "muted"
    masked = session.mask is not None or session.analysis_mask is not None
    what = "analyse" if masked else "mask and analyse"
    return "Analyse", f"Next: {what} the {result}, or change settings and start again.", "muted"


class StepGuide(QWidget):
    """The steps in two rows, and one line below.

    Parameters
    ----------
    session : Session
    """

    #: Index of the step the user chose.
    chosen = Signal(int)

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self.buttons: list[QPushButton] = []
        self._group = QButtonGroup(self)
        self._group.setExclusive(True)
        self._rows = QHBoxLayout(), QHBoxLayout()
        for row in self._rows:
            row.setSpacing(0)
        for index, step in enumerate(steps(session)):
            button = QPushButton(step.name)
            button.setCheckable(True)
            set_role(button, "step")
            self._group.addButton(button, index)
            button.setSizePolicy(QSizePolicy.Policy.MinimumExpanding, QSizePolicy.Policy.Fixed)
            self._rows[index >= _UPPER].addWidget(button)
            self.buttons.append(button)
        self._group.idClicked.connect(self.chosen)
        self.hint = label("", "muted", wrap=True)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(4, 6, 4, 6)
        layout.setSpacing(LINE_SPACING)
        for row in self._rows:
            layout.addLayout(row)
        layout.addWidget(self.hint)
        events = session.events
        changes = (events.series, events.active_run, events.message, events.config)
        for signal in (*changes, events.mask, events.analysis_mask):
            follow(signal, self.refresh)
        for signal in (session.run_changed, session.run_removed):
            follow(signal, self.refresh)
        step_driver_for(session).changed.connect(self.refresh)
        import_work_for(session).changed.connect(self.refresh)
        self.refresh()

    def add_corner(self, widget: QWidget) -> None:
        """Put a small control at the right end of the lower row."""
        self._rows[1].addWidget(widget)

    def select(self, index: int) -> None:
        """Mark a step as the one that is shown."""
        self.buttons[index].setChecked(True)

    def refresh(self, *_: object) -> None:
        """Read the session again."""
        wanted = next_step(self._session)
        for number, (button, step) in enumerate(zip(self.buttons, steps(self._session), strict=True), 1):
            button.setText(f"{_MARKS[step.state]} {step.name}")
            button.setMinimumWidth(button.fontMetrics().horizontalAdvance(button.text()) + 10)
            button.setEnabled(step.state != "blocked")
            button.setToolTip(step.reason)
            set_role(button, "place", "next" if step.name == wanted and step.state != "active" else "other")
            button.setAccessibleName(f"Step {number}, {step.name}: {step.state}")
        text, role = hint(self._session)
        set_role(self.hint, role)
        self.hint.setText(text)
