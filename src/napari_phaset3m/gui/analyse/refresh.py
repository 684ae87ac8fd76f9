"""Brings the Analyse panel up to date with what is chosen, under way and done."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_phaset3m.analyse.fourier import slice_count
from napari_phaset3m.gui.analyse.compute import TOPICS
from napari_phaset3m.gui.analyse.inputs import why_not_mask, why_not_volume
from napari_phaset3m.gui.analyse.widgets import MODEL, AnalyseWidgets, ChoicesBox, HalvesBox, TopicRow, enable
from napari_phaset3m.gui.theme import set_role
from napari_phaset3m.gui.widgets.binding import format_seconds
from napari_phaset3m.gui.widgets.numbers import show
from napari_phaset3m.series_identity import name_of_other

if TYPE_CHECKING:
    from napari_phaset3m.gui.analyse.halves import HalvesJob
    from napari_phaset3m.gui.analyse.work import AnalyseWork
    from napari_phaset3m.session import Session


def refresh(ui: AnalyseWidgets, work: AnalyseWork, job: HalvesJob, session: Session) -> None:
    """Bring all controls up to date with what is chosen, under way and done."""
    ui.show_busy(*work.progress, work.busy)
    _choices(ui.choices, work, session)
    _job(ui.job, job)
    report = "Something is being computed" if work.busy else why_not_volume(work.inputs.source)
    enable(ui.report, report, "Measure everything and write one HTML page")
    some = any(not topic.why_not(work.inputs) for topic in TOPICS.values())
    enable(ui.all, "" if some else why_not_volume(work.inputs.source), "Everything that is possible now")
    ui.open_report.setVisible(work.report_path is not None)
    atoms = work.outcomes.get("atoms")
    none = atoms is None or atoms.failed
    enable(ui.xyz, "Compute first" if none else "", "Write positions, species and intensities")
    model = work.inputs.model
    ui.model.setText(MODEL if model is None else "✕ Model")
    tip = "Compare with known atoms (XYZ, Å from the rotation centre): how many are found, and their RMSD"
    ui.model.setToolTip(tip if model is None else f"Without {model.name}, {len(model.atoms.symbols)} atoms")
    enable(ui.draw, why_not_volume(work.inputs.source), "Draw a line in a slice; the last one counts")
    _thickness(ui, work)
    for key in TOPICS:
        _row(ui.rows[key], work)


def _thickness(ui: AnalyseWidgets, work: AnalyseWork) -> None:
    """Show the thickness that slices of this volume get: one voxel at least, two of an even number."""
    source, wanted = work.inputs.source, work.inputs.slice_angstrom
    if source is None or ui.thickness.hasFocus():
        return
    voxel = min(source.voxel)
    blocked = ui.thickness.blockSignals(True)
    ui.thickness.setValue(slice_count(source.data.shape[0], wanted / voxel) * voxel)
    ui.thickness.blockSignals(blocked)


def _choices(box: ChoicesBox, work: AnalyseWork, session: Session) -> None:
    why = why_not_mask(session.analysis_mask, work.inputs.source)
    enable(box.mask, why, "Confine the analysis to the mask of step Mask")
    box.mask.setChecked(work.inputs.mask is not None)
    box.mask_name.set_full_text("none" if work.inputs.mask is None else work.inputs.mask.name, why or None)
    _series(box, work, session)
    halves = work.inputs.halves
    text = "none" if halves is None else f"{halves.name} of {halves.of}".removesuffix(" of files")
    box.halves_name.set_full_text(text)


def _series(box: ChoicesBox, work: AnalyseWork, session: Session) -> None:
    series, record = session.series, work.record()
    foreign = series is not None and work.own.foreign(record)
    tip = "Tilts and optics of the series belong to this volume"
    text = "none"
    if series is not None:
        low, high = (show(float(end), "°") for end in (series.tilt_deg.min(), series.tilt_deg.max()))
        text = f"{session.series_name}, {low} to {high}°"
    if foreign and record is not None:
        other = name_of_other(session, record)
        tip = f"The volume was made of {other}: tick it only if tilts and optics are the same"
        text = f"another: {text}"
    enable(box.series, "" if series is not None else "Open the tilt series (step Series)", tip)
    box.series.setChecked(work.inputs.series is not None)
    set_role(box.series_name, "warning" if foreign else "")
    box.series_name.set_full_text(text, f"{text}\n{tip}" if foreign else None)


def _job(box: HalvesBox, job: HalvesJob) -> None:
    box.setVisible(job.busy)
    if not job.busy:
        return
    box.message.set_full_text("Paused" if job.paused else job.message)
    box.pause.setText("Resume" if job.paused else "Pause")
    box.bar.setRange(0, 0 if job.progress is None else 1000)
    if job.progress is not None:
        left = job.progress.remaining_seconds
        box.bar.setValue(round(1000 * job.progress.fraction))
        box.bar.setFormat("%p%" if left is None else f"%p%  ·  {format_seconds(left)} left")


def _row(row: TopicRow, work: AnalyseWork) -> None:
    key = row.topic.key
    outcome = work.outcomes.get(key)
    running = work.running == key
    stale = work.stale(key)
    row.done = outcome is not None and not stale and not outcome.failed
    row.run.setText("Computing" if running else "Show" if row.done else "Compute")
    why = "Being computed" if running else "" if row.done else row.topic.why_not(work.inputs)
    enable(row.run, why, "Show it below the canvas" if row.done else row.topic.tip)
    if outcome is None:
        row.say("")
        return
    first = outcome.text.partition("\n")[0].partition(" Window: ")[0]
    text = f"Out of date, of {outcome.of}: {first}" if stale and outcome.of else first
    row.say(text, outcome.text, "error" if outcome.failed else "muted" if stale else "")
