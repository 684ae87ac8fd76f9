"""How was this made? A volume's history as text, with the command and the Python that give it again."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import napari
from qtpy.QtWidgets import (
    QApplication,
    QDialog,
    QHBoxLayout,
    QPlainTextEdit,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_phaset3m.errors import DataError
from napari_phaset3m.gui.layers.images import IMAGES
from napari_phaset3m.gui.layers.publisher import METADATA_KEY, publisher_for
from napari_phaset3m.gui.mask.layer import MASK
from napari_phaset3m.gui.runs.row import method_of
from napari_phaset3m.gui.runs.words import setting_words
from napari_phaset3m.gui.theme import GROUP_SPACING, follow_theme, label
from napari_phaset3m.gui.widgets.dialogs import dialog_of, keep_dialog
from napari_phaset3m.prepare.history import history
from napari_phaset3m.project.replay import Recipe, command, describe, python, recipe_of_file, recipe_of_run
from napari_phaset3m.session import RunRecord, session_for

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

    from napari_phaset3m.session import Session

_SIZE = (560, 420)
NOT_KNOWN = (
    "How it was made is not known: it was not made in this window, and no record lies beside its file."
)


@dataclass(frozen=True)
class Made:
    """What is known of a layer or run: its name, its history, and the recipe of it."""

    title: str
    text: str
    recipe: Recipe | None = None
    why_not: str = ""


def made_of_run(session: Session, record: RunRecord) -> Made:
    """How a run's volume was made."""
    text = describe(record, method_of(record), setting_words(record.config))
    recipe = recipe_of_run(record, saved_volume(session, record))
    return Made(f"{method_of(record)} · {record.series_name}", text, recipe, recipe.why_not)


def saved_volume(session: Session, record: RunRecord) -> Path | None:
    """Where the project keeps the run's volume; None when it is not saved yet."""
    project = session.attachments.get("project")
    store = None if project is None else project.store
    place = None if store is None else store.runs.folder(record.run_id) / "volume.mrc"
    return place if place is not None and place.exists() else None


def made_of_layer(session: Session, viewer: ViewerModel, layer: Layer) -> Made:
    """How what a layer shows was made."""
    name = str(layer.name)
    told: dict[str, Any] = layer.metadata.get(METADATA_KEY, {})
    record = session.run(told.get("run_id"))
    if record is not None:
        return made_of_run(session, record)
    key = publisher_for(session, viewer).key_of(layer)
    if key == IMAGES and session.series is not None:
        return Made(name, _series_text(session), why_not="Images are measured, not made")
    if key == MASK:
        return Made(name, _mask_text(session), why_not="A mask is saved with its recipe in step Mask")
    return _made_of_file(name, key, layer, told)


def _series_text(session: Session) -> str:
    assert session.series is not None
    lines = [f"Series: {session.series_path or session.series_name}"]
    for number, item in enumerate(history(session.series), 1):
        given = ", ".join(f"{k} {v}" for k, v in (item.get("parameters") or {}).items() if v is not None)
        lines.append(f"{number}. {item['step']}, {item.get('at', '')}{f': {given}' if given else ''}")
    return "\n".join(lines if len(lines) > 1 else [*lines, "Nothing was done to it since it was read."])


def _mask_text(session: Session) -> str:
    from napari_phaset3m.analyse.masks import describe as words

    work = session.attachments.get("mask work")
    if work is None or work.source is None:
        return NOT_KNOWN
    steps = [f"{number}. {words(step)}" for number, step in enumerate(work.steps, 1)]
    return "\n".join([f"Mask of {work.source.name}", *steps])


def _made_of_file(name: str, key: str, layer: Layer, told: dict[str, Any]) -> Made:
    place = key.removeprefix("file:") if key.startswith("file:") else layer.source.path or told.get("source")
    if not place:
        return Made(name, NOT_KNOWN, why_not=NOT_KNOWN)
    path = Path(str(place))
    try:
        recipe = recipe_of_file(path)
    except DataError as error:
        return Made(name, f"Read from {path}.\n{NOT_KNOWN}", why_not=str(error))
    changed = setting_words(recipe.config)
    settings = "; ".join(f"{k} {v}" for k, v in changed.items()) or "all defaults"
    lines = [f"Read from {path}", f"Method: {recipe.config.method}", f"Series: {recipe.series}"]
    if recipe.mask is not None:
        lines.append(f"Mask: {recipe.mask}")
    return Made(name, "\n".join([*lines, f"Settings: {settings}"]), recipe, recipe.why_not)


class MadeDialog(QDialog):
    """Text, and what can be copied.

    Parameters
    ----------
    made : Made
    viewer : napari.components.ViewerModel
    parent : QWidget, optional
    """

    def __init__(self, made: Made, viewer: ViewerModel, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.made = made
        self.setWindowTitle("How was this made?")
        self.resize(*_SIZE)
        self.text = QPlainTextEdit(made.text)
        self.text.setReadOnly(True)
        self.text.setAccessibleName("How it was made")
        self.copy_text, self.copy_command, self.copy_python, self.close_ = (
            QPushButton(title) for title in ("Copy text", "Copy command", "Copy Python", "Close")
        )
        self.note = label(
            made.why_not and f"Cannot be repeated by a command: {made.why_not}.", "muted", wrap=True
        )
        self.note.setVisible(bool(made.why_not) and made.recipe is not None)
        for button, tip in (
            (self.copy_command, "A line for the shell that makes this volume again"),
            (self.copy_python, "Lines of Python that make this volume again"),
        ):
            button.setEnabled(made.recipe is not None and not made.why_not)
            button.setToolTip(made.why_not or tip)
        self.copy_text.setToolTip("Put this text into the clipboard")
        layout = QVBoxLayout(self)
        layout.setSpacing(GROUP_SPACING)
        layout.addWidget(label(made.title, "title", wrap=True))
        layout.addWidget(self.text, 1)
        layout.addWidget(self.note)
        row = QHBoxLayout()
        for button in (self.copy_text, self.copy_command, self.copy_python):
            row.addWidget(button)
        row.addStretch(1)
        row.addWidget(self.close_)
        layout.addLayout(row)
        self.copy_text.clicked.connect(self._on_text)
        self.copy_command.clicked.connect(self._on_command)
        self.copy_python.clicked.connect(self._on_python)
        self.close_.clicked.connect(self.accept)
        follow_theme(self, viewer)

    def _on_text(self) -> None:
        self._copy(self.made.text, "The text is in the clipboard")

    def _on_command(self) -> None:
        assert self.made.recipe is not None
        self._copy(command(self.made.recipe), "The command is in the clipboard")

    def _on_python(self) -> None:
        assert self.made.recipe is not None
        self._copy(python(self.made.recipe), "The Python is in the clipboard")

    def _copy(self, text: str, told: str) -> None:
        QApplication.clipboard().setText(text)
        self.note.setText(told)
        self.note.show()


def show_made(viewer: ViewerModel, made: Made) -> MadeDialog:
    """Open the dialog; an earlier one of this viewer goes."""
    session = session_for(viewer)
    window = getattr(viewer, "window", None)
    old = dialog_of(session, "made dialog")
    if old is not None:
        old.close()
        old.deleteLater()
    dialog = MadeDialog(made, viewer, None if window is None else window._qt_window)
    keep_dialog(session, "made dialog", dialog)
    dialog.show()
    dialog.raise_()
    return dialog


def made_command(viewer: napari.Viewer) -> None:
    """Tell how the selected layer was made (a command of napari's menus)."""
    viewer = getattr(viewer, "__wrapped__", viewer)  # napari hands proxies to commands
    layer = viewer.layers.selection.active
    if layer is None:
        from napari.utils.notifications import show_info

        show_info("Select one layer first: PhaseT3M tells how it was made.")
        return
    show_made(viewer, made_of_layer(session_for(viewer), viewer, layer))
