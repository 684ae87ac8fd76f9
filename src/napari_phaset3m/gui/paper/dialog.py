"""What the windows for figures and films share: settings, a preview, and Save with its progress."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QRect, Qt
from qtpy.QtGui import QPainter, QPixmap
from qtpy.QtWidgets import (
    QDialog,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QMainWindow,
    QProgressBar,
    QPushButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from napari_phaset3m.gui.paper.subject import PaperSubject
from napari_phaset3m.gui.paper.work import Job, PaperWork
from napari_phaset3m.gui.theme import GROUP_SPACING, LINE_SPACING, ElidedLabel, follow_theme, label, set_role
from napari_phaset3m.gui.widgets.binding import format_seconds
from napari_phaset3m.gui.widgets.dialogs import dialog_of, keep_dialog
from napari_phaset3m.session import session_for

if TYPE_CHECKING:
    from napari.components import ViewerModel

_SIZE = (860, 560)
_FORM_WIDTH = 312
#: Seconds before an estimate of what is left is told.
_SURE = 1.0


class Picture(QWidget):
    """A pixmap as large as there is room for."""

    def __init__(self) -> None:
        super().__init__()
        self.pixmap = QPixmap()
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setMinimumSize(280, 240)

    def show_pixmap(self, pixmap: QPixmap) -> None:
        """Show another picture."""
        self.pixmap = pixmap
        self.update()

    def paintEvent(self, event: Any) -> None:
        """Draw it in the middle."""
        if self.pixmap.isNull():
            return
        ratio = self.devicePixelRatioF()
        size = self.pixmap.size().scaled(self.size() * ratio, Qt.AspectRatioMode.KeepAspectRatio)
        shown = self.pixmap.scaled(size, Qt.AspectRatioMode.KeepAspectRatio,
                                   Qt.TransformationMode.SmoothTransformation)  # fmt: skip
        width, height = round(size.width() / ratio), round(size.height() / ratio)
        place = QRect((self.width() - width) // 2, (self.height() - height) // 2, width, height)
        QPainter(self).drawPixmap(place, shown)


class PaperDialog(QDialog):
    """Base of both windows; one of them makes ``form``, the jobs and the name of the file.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
    subject : PaperSubject
    parent : QWidget, optional
    """

    #: Set by those that derive from it.
    TITLE = ""

    def __init__(self, viewer: ViewerModel, subject: PaperSubject, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.subject = subject
        self.work = PaperWork(self)
        self._began = 0.0
        self.setWindowTitle(self.TITLE)
        self.resize(*_SIZE)
        self.form = QFormLayout()
        self.form.setVerticalSpacing(LINE_SPACING + 2)
        self.fields = QWidget()
        self.fields.setLayout(self.form)
        self.fields.setFixedWidth(_FORM_WIDTH)
        self._build()
        self.make_form()
        for signal, slot in (
            (self.work.progressed, self._on_progress), (self.work.previewed, self._on_preview),
            (self.work.saved, self._on_saved), (self.work.said, self.say), (self.work.changed, self.refresh),
        ):  # fmt: skip
            signal.connect(slot)
        follow_theme(self, viewer)
        self.on_changed()

    def _build(self) -> None:
        name = ElidedLabel()
        set_role(name, "title")
        name.set_full_text(self.subject.name)
        self.picture, self.note = Picture(), label("", "muted", wrap=True)
        middle = QHBoxLayout()
        left = QVBoxLayout()
        left.addWidget(self.fields)
        left.addStretch(1)
        middle.addLayout(left)
        middle.addWidget(self.picture, 1)
        self.bar = QProgressBar()
        self.bar.setRange(0, 1000)
        self.bar.setTextVisible(False)
        self.bar.setFixedHeight(4)
        keeps_place = self.bar.sizePolicy()
        keeps_place.setRetainSizeWhenHidden(True)
        self.bar.setSizePolicy(keeps_place)
        self.save_button, self.cancel_button, self.close_button = (
            QPushButton(text) for text in ("Save…", "Cancel", "Close")
        )
        self.cancel_button.setToolTip("End; nothing is written")
        foot = QHBoxLayout()
        foot.addWidget(self.note, 1)
        for button, slot in (
            (self.cancel_button, self.work.cancel), (self.save_button, self._on_save),
            (self.close_button, self.close),
        ):  # fmt: skip
            button.setAutoDefault(False)
            button.clicked.connect(slot)
            foot.addWidget(button)
        layout = QVBoxLayout(self)
        layout.setSpacing(GROUP_SPACING)
        layout.addWidget(name)
        layout.addLayout(middle, 1)
        layout.addWidget(self.bar)
        layout.addLayout(foot)

    # made by those that derive

    def make_form(self) -> None:
        """Fill the form."""
        raise NotImplementedError

    def why_not(self) -> str:
        """Why nothing can be made with these settings; empty when it can."""
        raise NotImplementedError

    def told(self) -> str:
        """One line on what will be written."""
        raise NotImplementedError

    def preview_job(self) -> Job:
        """Gives what :meth:`pixmap_of` takes."""
        raise NotImplementedError

    def pixmap_of(self, found: Any) -> QPixmap:
        """A preview as a picture."""
        raise NotImplementedError

    def file_name(self) -> tuple[str, str]:
        """(proposed name, filter) of the file."""
        raise NotImplementedError

    def with_suffix(self, path: Path) -> Path:
        """The path with a suffix that can be written."""
        raise NotImplementedError

    def require(self, path: Path) -> None:
        """Refuse a path, or a missing package, before the work begins."""
        raise NotImplementedError

    def save_job(self, path: Path) -> Job:
        """Writes the file and gives its path."""
        raise NotImplementedError

    # what the user does

    def on_changed(self, *_: object) -> None:
        """A setting changed: another preview."""
        self.refresh()
        why = self.why_not()
        if not self.work.saving:
            self.say(why or self.told(), "warning" if why else "muted")
        if why:
            self.work.cancel_preview()
            self.picture.show_pixmap(QPixmap())
        else:
            self.work.preview(self.preview_job())

    def _on_save(self) -> None:
        name, kinds = self.file_name()
        path, _ = QFileDialog.getSaveFileName(self, self.TITLE, name, kinds)
        if path:
            self.save(Path(path))

    def save(self, path: Path) -> None:
        """Write the file, in a worker thread."""
        path = self.with_suffix(path)
        require = self.require
        write = self.save_job(path)

        def job(show: Any) -> Path:
            require(path)
            return Path(write(show))

        self._began = time.monotonic()
        self.work.save(job)

    # showing

    def say(self, text: str, role: str = "muted") -> None:
        """One line below."""
        set_role(self.note, role)
        self.note.setText(text)
        self.note.setToolTip(text)

    def refresh(self) -> None:
        """Show what can be done now."""
        why, saving = self.why_not(), self.work.saving
        self.save_button.setEnabled(not why and not saving)
        self.save_button.setToolTip(why or "Choose a name and write it")
        self.cancel_button.setVisible(saving)
        self.fields.setEnabled(not saving)
        self.bar.setVisible(saving)
        if not saving:
            self.bar.setValue(0)

    def _on_progress(self, text: str, part: float) -> None:
        self.bar.setValue(round(1000 * part))
        gone = time.monotonic() - self._began
        left = f", {format_seconds(gone * (1 - part) / part)} left" if part > 0 and gone > _SURE else ""
        self.say(f"{text[:1].upper()}{text[1:]}{left}")

    def _on_preview(self, found: Any) -> None:
        self.picture.show_pixmap(self.pixmap_of(found))

    def _on_saved(self, path: Path) -> None:
        self.say(f"Saved {path}", "good")

    def showEvent(self, event: Any) -> None:
        """Learn which window it belongs to."""
        super().showEvent(event)
        window = self.parentWidget().window() if self.parentWidget() is not None else None
        if isinstance(window, QMainWindow):
            self.work.watch_window(window)

    def done(self, result: int) -> None:
        """Give up what is going on: also when Escape closes it."""
        self.work.cancel()
        super().done(result)

    def closeEvent(self, event: Any) -> None:
        """Give up what is going on."""
        self.work.cancel()
        super().closeEvent(event)


def open_paper(viewer: ViewerModel, subject: PaperSubject, kind: type[PaperDialog]) -> PaperDialog:
    """Open a window of a kind; an earlier one of this viewer goes.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
    subject : PaperSubject
    kind : type
        FigureDialog or FilmDialog.
    """
    session, key = session_for(viewer), f"{kind.TITLE.lower()} dialog"
    old = dialog_of(session, key)
    if old is not None:
        old.close()
    window = getattr(viewer, "window", None)
    dialog = kind(viewer, subject, None if window is None else window._qt_window)
    keep_dialog(session, key, dialog)
    dialog.show()
    dialog.raise_()
    return dialog
