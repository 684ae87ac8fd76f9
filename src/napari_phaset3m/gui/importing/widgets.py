"""Parts of the import dialog: what holds for all images, questions, size and memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QGridLayout,
    QHBoxLayout,
    QPushButton,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from napari_phaset3m.gui.importing.work import ImportWork
from napari_phaset3m.gui.series.metadata_form import doubt_of
from napari_phaset3m.gui.theme import LINE_SPACING, label, set_role
from napari_phaset3m.gui.widgets.ask_bar import INVERTS
from napari_phaset3m.gui.widgets.binding import format_bytes
from napari_phaset3m.gui.widgets.choice_box import ChoiceBox
from napari_phaset3m.gui.widgets.field_words import import_text
from napari_phaset3m.gui.widgets.numbers import AXIS, BY_NAME, QuantityRow, show
from napari_phaset3m.io.import_config import binned_shape

#: What cannot be confirmed while it is not known.
_NEEDED = ("pixel_size_angstrom", "energy_ev")
#: Fields of the plan that hold for all images.
WHOLE = (
    BY_NAME["pixel_size_angstrom"],
    BY_NAME["energy_ev"],
    BY_NAME["spherical_aberration_angstrom"],
    AXIS,
)


class WholeBox(QWidget):
    """Pixel size, voltage, Cs and axis, to confirm or to mend.

    Parameters
    ----------
    work : ImportWork
    """

    def __init__(self, work: ImportWork) -> None:
        super().__init__()
        self._work = work
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setVerticalSpacing(LINE_SPACING)
        grid.setHorizontalSpacing(8)
        grid.setColumnStretch(1, 1)
        self.rows = {q.name: QuantityRow(grid, 2 * i, q) for i, q in enumerate(WHOLE)}
        for row in self.rows.values():
            row.edit.submitted.connect(self._on_submitted)
            row.edit.refused.connect(self._on_refused)
        self.dark_field = QCheckBox("Dark field (STEM: the specimen is bright)")
        self.dark_field.setToolTip(INVERTS)
        self.dark_field.clicked.connect(self._on_dark_field)
        grid.addWidget(self.dark_field, 2 * len(WHOLE), 0, 1, 3)

    def refresh(self) -> None:
        """Show the plan's values."""
        plan = self._work.plan
        self.dark_field.setEnabled(plan is not None and not self._work.busy)
        self.dark_field.setChecked(plan is not None and plan.dark_field)
        for name, row in self.rows.items():
            value = None if plan is None else getattr(plan, name, plan.fields.get(name))
            row.edit.setEnabled(plan is not None and not self._work.busy)
            row.edit.show_text("" if value is None else show(float(value), row.quantity.unit, 6))
            needed = plan is not None and value is None and row.quantity.needed == "always"
            row.edit.setPlaceholderText("missing" if needed else "not stated")
            doubt = None if value is None else doubt_of(name, value)
            row.say(doubt or "", "doubtful" if doubt else "missing" if needed else "ok")

    def _on_dark_field(self, on: bool) -> None:
        self._work.edit(dark_field=on)

    def _on_submitted(self, values: list[float]) -> None:
        quantity = self.sender().quantity
        row = self.rows[quantity.name]
        changes: dict[str, Any] = {quantity.name: values[0] if values else None}
        problem = self._work.edit(**changes)
        if problem:
            row.say(problem, "wrong")

    def _on_refused(self, problem: str) -> None:
        self.rows[self.sender().quantity.name].say(f"{problem}.", "wrong")


class QuestionsBox(QWidget):
    """What was assumed, to be confirmed one by one.

    Parameters
    ----------
    work : ImportWork
    """

    def __init__(self, work: ImportWork) -> None:
        super().__init__()
        self._work = work
        self._layout = QVBoxLayout(self)
        self._layout.setContentsMargins(0, 0, 0, 0)
        self._layout.setSpacing(LINE_SPACING)
        self.title = label("To confirm", "title")
        self._layout.addWidget(self.title)
        self.buttons: list[QPushButton] = []
        self._shown: tuple[str, ...] = ()
        self._lines: list[QWidget] = []

    def refresh(self) -> None:
        """Show the open questions."""
        questions = () if self._work.plan is None else self._work.plan.questions
        texts = tuple(str(question) for question in questions)
        self.setVisible(bool(texts))
        if texts == self._shown and len(self.buttons) == self._open():
            return
        self._shown = texts
        for line in self._lines:
            self._layout.removeWidget(line)
            line.hide()
            line.deleteLater()
        self._lines, self.buttons = [], []
        plan = self._work.plan
        for question in questions:
            self._add(question.field, import_text(question.text), _is_unknown(plan, question.field))

    def _on_apart(self) -> None:
        self._work.ungroup()

    def _open(self) -> int:
        """How many of the questions can be answered with yes."""
        plan = self._work.plan
        if plan is None:
            return 0
        return sum(not _is_unknown(plan, question.field) for question in plan.questions)

    def _add(self, field: str, text: str, unknown: bool) -> None:
        line = QWidget()
        row = QHBoxLayout(line)
        row.setContentsMargins(0, 0, 0, 0)
        where = "them in the table or" if field == "tilt_deg" else "it"
        end = f"; give {where} on the right" if unknown else ""
        row.addWidget(label(f"{_title(field)}: {text}{end}", "warning", wrap=True), 1)
        self._layout.addWidget(line)
        self._lines.append(line)
        if unknown:
            return
        button = QPushButton("Yes")
        button.setToolTip("This is right; otherwise mend the table or the fields above")
        button.clicked.connect(_answer(self._work, field))
        row.addWidget(button)
        self.buttons.append(button)
        if field == "focus_index" and self._work.plan is not None and self._work.plan.n_focus > 1:
            self.apart = QPushButton("No")
            self.apart.setToolTip("Each image is a tilt of its own")
            self.apart.clicked.connect(self._on_apart)
            row.addWidget(self.apart)


def _is_unknown(plan: Any, field: str) -> bool:
    """Whether a question is about something that has to be given, so that "Yes" is no answer."""
    if field == "tilt_deg":
        return any(entry.tilt_deg is None for entry in plan.images)
    return field in _NEEDED and getattr(plan, field) is None


def _answer(work: ImportWork, field: str) -> Callable[..., None]:
    def answer(*_: object) -> None:
        work.edit(confirm=(field,))

    return answer


#: Cells of the plan as a person would call them.
_TITLES = {
    "focus_index": "Focal groups", "tilt_index": "Tilts", "tilt_deg": "Tilt angle",
    "exposure_order": "Order of exposure", "mdoc": "Not found", "used": "Use",
}  # fmt: skip


def _title(field: str) -> str:
    known = {quantity.name: quantity.label for quantity in WHOLE} | _TITLES
    return known.get(
        field, field.replace("_", " ").removesuffix(" angstrom").removesuffix(" deg").capitalize()
    )


class SizeBox(QWidget):
    """Bin, crop and what that needs of the memory.

    Parameters
    ----------
    work : ImportWork
    """

    #: The rectangle is to be shown (in the middle), or taken away.
    crop_wanted = Signal(bool)

    def __init__(self, work: ImportWork) -> None:
        super().__init__()
        self._work = work
        self.bin = QSpinBox()
        self.bin.setRange(1, 64)
        self.bin.setPrefix("bin ")
        self.bin.setToolTip("Images are made smaller by this number while they are read")
        self.method = ChoiceBox()
        for text, key in (("Fourier", "fourier"), ("mean", "mean")):
            self.method.addItem(text, key)
        self.method.setToolTip("Fourier: cut the spectrum, nothing aliases; mean: average blocks of pixels")
        self.crop = QCheckBox("Crop")
        self.crop.setToolTip("Keep the rectangle on the image; drag it and its corners")
        self.outliers = QCheckBox("Hot pixels")
        self.outliers.setToolTip(
            "Replace hot and dead pixels and X-ray hits before images are turned by the tilt axis: an angle "
            "other than a quarter turn spreads them"
        )
        self.outliers.clicked.connect(self._on_outliers)
        self.text = label("", "muted", wrap=True)
        row = QHBoxLayout()
        row.setSpacing(8)
        for widget in (self.bin, self.method, self.crop, self.outliers):
            row.addWidget(widget)
        row.addStretch(1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(LINE_SPACING)
        layout.addLayout(row)
        layout.addWidget(self.text)
        self.bin.valueChanged.connect(self._on_bin)
        self.method.activated.connect(self._on_method)
        self.crop.clicked.connect(self.crop_wanted)

    def _on_bin(self, value: int) -> None:
        self._work.set_config(bin=value)

    def _on_outliers(self, on: bool) -> None:
        self._work.outliers = on

    def _on_method(self, *_: object) -> None:
        self._work.set_config(bin_method=self.method.currentData())

    def refresh(self) -> None:
        """Show settings and forecast."""
        work, plan = self._work, self._work.plan
        for widget in (self.bin, self.method, self.crop, self.outliers):
            widget.setEnabled(plan is not None and not work.busy)
        if not work.refused:
            blocked = self.bin.blockSignals(True)
            self.bin.setValue(work.config.bin)
            self.bin.blockSignals(blocked)
            self.method.setCurrentIndex(self.method.findData(work.config.bin_method))
        self.crop.setChecked(work.config.crop is not None)
        self.outliers.setChecked(work.outliers)
        if plan is None:
            self.text.setText("")
            return
        if work.refused:
            set_role(self.text, "error")
            self.text.setText(work.refused)
            return
        ny, nx = binned_shape(plan.image_shape, work.config)
        needed, there = work.memory()
        pixel = plan.pixel_size_angstrom
        size = f"{nx} × {ny} px" + (f" of {show(pixel * work.config.bin, 'Å')} Å" if pixel else "")
        count = len(plan.images)
        text = f"{count} image{'s' if count > 1 else ''}  ·  {size}"
        text += f"  ·  {format_bytes(needed)} of memory while loading"
        set_role(self.text, "error" if needed > there else "muted")
        self.text.setText(f"{text}, {format_bytes(there)} can be had" if needed > there else text)
