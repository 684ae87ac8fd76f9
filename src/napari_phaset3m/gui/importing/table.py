"""The table of an import: one row for each image, every cell to be mended."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from qtpy.QtCore import QAbstractTableModel, QModelIndex, Qt, Signal
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableView, QWidget

from napari_phaset3m.errors import ConfigError
from napari_phaset3m.gui.widgets.field_words import in_import_words
from napari_phaset3m.gui.widgets.numbers import parse_number, show, show_number
from napari_phaset3m.io.import_entry import ImageEntry
from napari_phaset3m.io.import_plan import ImportPlan

#: Heading, cell of the plan, unit, what it is.
COLUMNS = (
    ("Use", "used", "", "Whether the image takes part (Space)"),
    ("Tilt", "tilt_deg", "°", "Tilt angle, degrees"),
    ("Tilt no.", "tilt_index", "", "Place of the tilt in the series, from 1; one number for a focal group"),
    ("Focus", "focus_index", "", "Place in the focal group of its tilt, from 1"),
    ("Defocus", "defocus_angstrom", "nm", "Underfocus positive, nm"),
    ("Dose", "dose", "e/Å²", "Electrons per Å² in this image"),
    ("Order", "exposure_order", "", "Order of exposure, from 1"),
    ("Section", "section", "", "Image in the file, from 0"),
    ("File", "file", "", "Where the pixels are"),
)  # fmt: skip
_FROM_ONE = ("tilt_index", "focus_index", "exposure_order")
_FIXED = ("file",)
#: Where in the plan an error is: the table shows it.
_CELL = re.compile(r"^images\[\d+\]\.\w+: ")


class ImportModel(QAbstractTableModel):
    """A plan as rows; an edit comes out as a new plan."""

    #: The plan with the cell mended.
    edited = Signal(object)
    refused = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.plan: ImportPlan | None = None

    def set_plan(self, plan: ImportPlan | None) -> None:
        """Show another plan."""
        self.beginResetModel()
        self.plan = plan
        self.endResetModel()

    def entry(self, row: int) -> ImageEntry:
        """The image of a row."""
        assert self.plan is not None
        return self.plan.images[row]

    def rowCount(self, parent: QModelIndex | None = None) -> int:
        """Count the images."""
        if self.plan is None or (parent is not None and parent.isValid()):
            return 0
        return len(self.plan.images)

    def columnCount(self, parent: QModelIndex | None = None) -> int:
        """Count the columns."""
        return len(COLUMNS)

    def headerData(self, section: int, orientation: Any, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Return names with units above, nothing at the left."""
        if orientation != Qt.Orientation.Horizontal:
            return None
        name, _, unit, tip = COLUMNS[section]
        if role == Qt.ItemDataRole.DisplayRole:
            return f"{name} {unit}" if unit else name
        return tip if role == Qt.ItemDataRole.ToolTipRole else None

    def text(self, row: int, column: int) -> str:
        """Write a cell as it is shown."""
        entry, (_, cell, unit, _) = self.entry(row), COLUMNS[column]
        value = getattr(entry, cell)
        if cell == "file":
            name = entry.file.name
            return f"{name} (movie)" if entry.frames == entry.file else name
        if value is None:
            return "missing" if cell == "tilt_deg" else "–"
        if cell in _FROM_ONE:
            return str(value + 1)
        return show(float(value), unit) if unit else show_number(float(value))

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Return what a cell holds in a role."""
        if self.plan is None or not index.isValid():
            return None
        row, column = index.row(), index.column()
        cell = COLUMNS[column][1]
        if role == Qt.ItemDataRole.ToolTipRole:
            return str(self.entry(row).file) if cell == "file" else COLUMNS[column][3]
        if role == Qt.ItemDataRole.TextAlignmentRole:
            side = Qt.AlignmentFlag.AlignLeft if cell == "file" else Qt.AlignmentFlag.AlignRight
            return int(side | Qt.AlignmentFlag.AlignVCenter)
        if cell == "used":
            if role == Qt.ItemDataRole.CheckStateRole:
                return Qt.CheckState.Checked if self.entry(row).used else Qt.CheckState.Unchecked
            return None
        return (
            self.text(row, column)
            if role in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.EditRole)
            else None
        )

    def flags(self, index: QModelIndex) -> Qt.ItemFlag:
        """Make Use a check box, and all but the file something to type in."""
        flags = Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable
        cell = COLUMNS[index.column()][1]
        if cell == "used":
            return flags | Qt.ItemFlag.ItemIsUserCheckable
        return flags if cell in _FIXED else flags | Qt.ItemFlag.ItemIsEditable

    def setData(self, index: QModelIndex, value: Any, role: int = Qt.ItemDataRole.EditRole) -> bool:
        """Take an edit and announce the mended plan."""
        if self.plan is None:
            return False
        row, column = index.row(), index.column()
        name, cell, unit, _ = COLUMNS[column]
        try:
            if cell == "used" and role == Qt.ItemDataRole.CheckStateRole:
                self.use_rows([row], Qt.CheckState(value) == Qt.CheckState.Checked)
                return True
            if role != Qt.ItemDataRole.EditRole or str(value) == self.text(row, column):
                return False
            new = _typed(str(value), cell, unit)
            self.edited.emit(self.plan.edited({row: {cell: new}}))
        except ConfigError as error:
            self.refused.emit(f"{name}: {_CELL.sub('', in_import_words(error))}")
            return False
        return True

    def use_rows(self, rows: list[int], use: bool) -> None:
        """Switch images on or off."""
        if self.plan is not None:
            self.edited.emit(self.plan.edited({row: {"used": use} for row in rows}))


def _typed(text: str, cell: str, unit: str) -> float | int | None:
    if text.strip() in ("", "–", "missing"):
        return None
    number = parse_number(text, unit)
    if cell in (*_FROM_ONE, "section"):
        if number != np.round(number):
            raise ConfigError("needs a whole number")
        if cell in _FROM_ONE and number < 1:
            raise ConfigError(f"counts from 1 (got {show_number(number)})")
        return int(number) - (cell in _FROM_ONE)
    return number


class ImportTable(QTableView):
    """Rows to select and mend; the current one is shown as a picture."""

    #: Row.
    selected = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.images = ImportModel(self)
        self.setModel(self.images)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.setShowGrid(False)
        self.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.setTabKeyNavigation(False)
        self.verticalHeader().hide()
        self.verticalHeader().setDefaultSectionSize(24)
        header = self.horizontalHeader()
        header.setMinimumSectionSize(34)
        header.setHighlightSections(False)
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        self.setAccessibleName("Images to import")
        self.images.modelReset.connect(self._on_reset)
        self.selectionModel().currentRowChanged.connect(self._on_current)
        #: Selected when there are other images.
        self.row = 0

    def _on_reset(self) -> None:
        if self.images.rowCount():
            row = min(self.row, self.images.rowCount() - 1)
            blocked = self.blockSignals(True)
            self.selectRow(row)
            self.blockSignals(blocked)

    def keyPressEvent(self, event: Any) -> None:
        """Switch all selected images on or off with the space bar."""
        rows = [index.row() for index in self.selectionModel().selectedRows()]
        if event.key() == Qt.Key.Key_Space and rows:
            self.images.use_rows(rows, not self.images.entry(rows[0]).used)
            return
        super().keyPressEvent(event)

    def _on_current(self, current: QModelIndex, previous: QModelIndex) -> None:
        if current.isValid():
            self.row = current.row()
            self.selected.emit(current.row())
