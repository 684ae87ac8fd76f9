"""Alignments from and to files, in the background."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject
from qtpy.QtWidgets import QFileDialog, QInputDialog, QMessageBox, QWidget

from napari_phaset3m.errors import PhaseT3MError
from napari_phaset3m.gui.align.origin import Origin
from napari_phaset3m.gui.align.work import TOPIC, AlignWork
from napari_phaset3m.gui.error_words import with_kind
from napari_phaset3m.gui.widgets.field_words import in_alignment_words
from napari_phaset3m.gui.worker import in_background
from napari_phaset3m.prepare.align.formats import export_alignment, export_files, import_alignment

if TYPE_CHECKING:
    from napari_phaset3m.core.series import TiltFocalSeries
    from napari_phaset3m.prepare.align.file_read import MadeFor
    from napari_phaset3m.prepare.align.model import Alignment
    from napari_phaset3m.session import Session

READ_FILES = "Alignments (*.xf *.aln);;All files (*)"
WRITE_FILES = "IMOD transforms, with a .tlt beside (*.xf);;AreTomo (*.aln)"


class AlignFiles(QObject):
    """Reads a file into the draft, and writes the draft.

    Parameters
    ----------
    session : Session
    work : AlignWork
    """

    def __init__(self, session: Session, work: AlignWork) -> None:
        super().__init__()
        self._session, self._work = session, work

    def ask_read(
        self, parent: QWidget, folder: str, made_for: MadeFor | None, *, binned: bool = False
    ) -> None:
        """Ask for a file, for its pixel where it was made for a ``binned`` stack, and read it."""
        path, _ = QFileDialog.getOpenFileName(parent, "Import alignment", folder, READ_FILES)
        if not path:
            return
        ratio, given = None, True
        if binned:
            series = self._session.series
            whose = series.sections.name if series is not None and series.sections else "the series"
            asked = f"One pixel of the images that {Path(path).name} was made for, in pixels of {whose}:"
            ratio, given = QInputDialog.getDouble(parent, "Import alignment", asked, 2.0, 0.001, 1000.0, 4)
        if given:
            self.read(Path(path), made_for, ratio)

    def ask_write(self, parent: QWidget, folder: str) -> None:
        """Ask for a name, and write the alignment there."""
        stem = Path(self._session.series_name).stem or "series"
        start = str(Path(folder) / f"{stem}.xf")
        path, chosen = QFileDialog.getSaveFileName(parent, "Export alignment", start, WRITE_FILES)
        if path:
            ending = ".aln" if "*.aln" in chosen else ".xf"
            found = Path(path)
            found = found if found.suffix in (".xf", ".aln") else found.with_name(found.name + ending)
            if self._may_replace(parent, found):
                self.write(found)

    def _may_replace(self, parent: QWidget, path: Path) -> bool:
        """Ask before files of several stacks are replaced: their names are not the one that was confirmed."""
        series = self._session.series
        try:
            files = export_files(path, series) if series is not None else ()
        except PhaseT3MError:
            return True  # writing tells it
        there = [file.name for file in files if file.stem != path.stem and file.exists()]
        if not there:
            return True
        answer = QMessageBox.question(
            parent, "Export alignment", f"{', '.join(there)}: already there. Replace?"
        )
        return bool(answer == QMessageBox.StandardButton.Yes)

    def read(self, path: Path, made_for: MadeFor | None = None, pixel_ratio: float | None = None) -> None:
        """Make the alignment in a file the draft.

        Parameters
        ----------
        path : Path
        made_for : {"raw", "series"}, optional
            The images that it speaks of: see :func:`.formats.import_alignment`.
        pixel_ratio : float, optional
            Its pixel over theirs.
        """
        series = self._session.series
        if series is not None:
            job = partial(_tried, partial(_imported, path, series, made_for, pixel_ratio), path.name)
            in_background(job, self._on_read, self._on_crash)

    def write(self, path: Path) -> None:
        """Write the draft, or what the series states."""
        series, alignment = self._session.series, self._work.alignment
        if series is not None and alignment is not None:
            job = partial(_tried, partial(_exported, alignment, path, series), path.name)
            in_background(job, self._on_written, self._on_crash)

    def _on_read(self, answer: tuple[tuple[Alignment, list[str]] | None, str, str]) -> None:
        read, name, error = answer
        if read is None:
            self._work.driver.say(TOPIC, error, "error")
            return
        found, notes = read
        self._work.set_draft(found, origin=Origin(told={"imported": name}))
        said = " ".join(f"{note}." for note in notes)
        self._work.driver.say(TOPIC, f"{said} {name}: check it, then accept".strip(), "good")

    def _on_written(self, answer: tuple[tuple[tuple[Path, ...], list[str]] | None, str, str]) -> None:
        written, _, error = answer
        if written is None:
            self._work.driver.say(TOPIC, error, "error")
            return
        paths, notes = written
        said = " ".join((f"Wrote {', '.join(path.name for path in paths)}", *(f"· {note}" for note in notes)))
        self._work.driver.say(TOPIC, said, "good")

    def _on_crash(self, error: Exception) -> None:
        self._work.driver.say(TOPIC, with_kind(error), "error")
        raise error


def _imported(
    path: Path, series: TiltFocalSeries, made_for: MadeFor | None, pixel_ratio: float | None
) -> tuple[Alignment, list[str]]:
    """The alignment in a file, and what was done to make it fit the series."""
    notes: list[str] = []
    found = import_alignment(path, series, made_for=made_for, pixel_ratio=pixel_ratio, note=notes.append)
    return found, notes


def _exported(
    alignment: Alignment, path: Path, series: TiltFocalSeries
) -> tuple[tuple[Path, ...], list[str]]:
    """The files written, and what is to be known of their rows."""
    notes: list[str] = []
    return export_alignment(alignment, path, series, note=notes.append), notes


def _tried(job: Any, name: str) -> tuple[Any, str, str]:
    try:
        return job(), name, ""
    except (PhaseT3MError, OSError) as error:
        return None, name, in_alignment_words(error)
