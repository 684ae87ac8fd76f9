"""The table of all images: tilt, defocus, dose, used."""

from __future__ import annotations

from typing import Any

import numpy as np
from qtpy.QtCore import QAbstractTableModel, QModelIndex, QSortFilterProxyModel, Qt, Signal
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableView, QWidget

from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.errors import ConfigError
from napari_phaset3m.gui.widgets.numbers import BY_NAME, check_sign, parse_number, show, show_number

_HEADERS = ("Use", "Tilt", "Focus", "Defocus", "Dose")
_UNITS = ("", "°", "", "nm", "e/Å²")
_TIPS = (
    "Whether the image takes part in the reconstruction (Space)",
    "Tilt angle, degrees",
    "Number of the image at this tilt",
    "Underfocus positive, at the rotation centre, nm",
    "Electrons per Å² in this image",
)
USE, TILT, FOCUS, DEFOCUS, DOSE = range(5)
_SORT_ROLE = Qt.ItemDataRole.UserRole


class ImageModel(QAbstractTableModel):
    """A series as rows, one for each image; edits come out as changes, nothing is stored."""

    #: Fields of the series to replace.
    changed = Signal(dict)
    refused = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.series: TiltFocalSeries | None = None

    def set_series(self, series: TiltFocalSeries | None) -> None:
        """Show another series, or another version of the same one."""
        old = self.series
        same = old is not None and series is not None and old.images.shape[:2] == series.images.shape[:2]
        if same:
            self.series = series
            self.dataChanged.emit(self.index(0, 0), self.index(self.rowCount() - 1, DOSE))
            return
        self.beginResetModel()
        self.series = series
        self.endResetModel()

    def image_at(self, row: int) -> tuple[int, int]:
        """Return (tilt index, focus index) of a row."""
        assert self.series is not None
        return divmod(row, self.series.n_focus)

    def rowCount(self, parent: QModelIndex | None = None) -> int:
        """Count the images."""
        if self.series is None or (parent is not None and parent.isValid()):
            return 0
        return self.series.n_tilt * self.series.n_focus

    def columnCount(self, parent: QModelIndex | None = None) -> int:
        """Count the columns."""
        return len(_HEADERS)

    def headerData(self, section: int, orientation: Any, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Return names with units above, nothing at the left."""
        if orientation != Qt.Orientation.Horizontal:
            return None
        if role == Qt.ItemDataRole.DisplayRole:
            unit = _UNITS[section]
            return f"{_HEADERS[section]} {unit}" if unit else _HEADERS[section]
        return _TIPS[section] if role == Qt.ItemDataRole.ToolTipRole else None

    def _number(self, row: int, column: int) -> float | None:
        assert self.series is not None
        tilt, focus = self.image_at(row)
        if column == TILT:
            return float(self.series.tilt_deg[tilt])
        if column == FOCUS:
            return focus + 1.0
        array = self.series.defocus_angstrom if column == DEFOCUS else self.series.dose_per_image
        return None if array is None else float(array[tilt, focus])

    def used(self, row: int) -> bool:
        """Tell whether the image of a row is used."""
        assert self.series is not None and self.series.used is not None
        return bool(self.series.used[self.image_at(row)])

    def text(self, row: int, column: int) -> str:
        """Write a cell as it is shown."""
        value = self._number(row, column)
        if value is None:
            wanted = column == DEFOCUS and not (self.series is not None and self.series.is_dark_field)
            return "missing" if wanted else "–"
        return show(value, _UNITS[column]) if _UNITS[column] else show_number(value)

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Return what a cell holds in a role."""
        if self.series is None or not index.isValid():
            return None
        row, column = index.row(), index.column()
        if role == Qt.ItemDataRole.ToolTipRole:
            return _TIPS[column]
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        if column == USE:
            if role == Qt.ItemDataRole.CheckStateRole:
                return Qt.CheckState.Checked if self.used(row) else Qt.CheckState.Unchecked
            return int(self.used(row)) if role == _SORT_ROLE else None
        if role in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.EditRole):
            return self.text(row, column)
        if role == _SORT_ROLE:
            value = self._number(row, column)
            return -np.inf if value is None else value
        return None

    def flags(self, index: QModelIndex) -> Qt.ItemFlag:
        """Make Use a check box; tilt, defocus and dose can be typed."""
        flags = Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable
        if index.column() == USE:
            return flags | Qt.ItemFlag.ItemIsUserCheckable
        return flags if index.column() == FOCUS else flags | Qt.ItemFlag.ItemIsEditable

    def setData(self, index: QModelIndex, value: Any, role: int = Qt.ItemDataRole.EditRole) -> bool:
        """Take an edit and announce it as a change of the series."""
        if self.series is None:
            return False
        row, column = index.row(), index.column()
        if column == USE and role == Qt.ItemDataRole.CheckStateRole:
            self.use_rows([row], Qt.CheckState(value) == Qt.CheckState.Checked)
            return True
        if role != Qt.ItemDataRole.EditRole or str(value) == self.text(row, column):
            return False
        try:
            self.changed.emit(self._edit(row, column, str(value)))
        except ConfigError as error:
            self.refused.emit(f"{_HEADERS[column]}: {error}")
            return False
        return True

    def _edit(self, row: int, column: int, text: str) -> dict[str, np.ndarray]:
        assert self.series is not None
        value = parse_number(text, _UNITS[column])
        tilt, focus = self.image_at(row)
        if column == TILT:
            if abs(value) > 360:
                raise ConfigError("must be within ±360°")
            angles = self.series.tilt_deg.copy()
            angles[tilt] = value
            return {"tilt_deg": angles}
        name = "defocus_angstrom" if column == DEFOCUS else "dose_per_image"
        check_sign(BY_NAME[name], [value])
        array = getattr(self.series, name)
        if array is None:
            raise ConfigError("is unknown for all images. Give it under Microscope first")
        array = array.copy()
        array[tilt, focus] = value
        return {name: array}

    def use_rows(self, rows: list[int], use: bool) -> None:
        """Switch images on or off; the last one cannot be switched off."""
        if self.series is None or self.series.used is None:
            return
        used = self.series.used.copy()
        for row in rows:
            used[self.image_at(row)] = use
        if not used.any():
            self.refused.emit("Use: at least one image must be used")
            return
        self.changed.emit({"used": used})


class ImageTable(QTableView):
    """Sortable table; selecting a row shows that image."""

    #: (tilt index, focus index)
    selected = Signal(int, int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.images = ImageModel(self)
        self._proxy = QSortFilterProxyModel(self)
        self._proxy.setSourceModel(self.images)
        self._proxy.setSortRole(_SORT_ROLE)
        self.setModel(self._proxy)
        self.setSortingEnabled(True)
        self.sortByColumn(-1, Qt.SortOrder.AscendingOrder)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.setAlternatingRowColors(False)
        self.setShowGrid(False)
        self.setTabKeyNavigation(False)
        self.verticalHeader().hide()
        self.verticalHeader().setDefaultSectionSize(24)
        header = self.horizontalHeader()
        header.setMinimumSectionSize(30)
        header.setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
        for column, width in ((USE, 38), (TILT, 62), (FOCUS, 48)):
            header.setSectionResizeMode(column, QHeaderView.ResizeMode.Fixed)
            header.resizeSection(column, width)
        header.setHighlightSections(False)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setMinimumHeight(130)
        self.setAccessibleName("Images of the series")
        self.selectionModel().currentRowChanged.connect(self._on_current)

    def selected_rows(self) -> list[int]:
        """Return the rows of the model that are selected."""
        return [self._proxy.mapToSource(i).row() for i in self.selectionModel().selectedRows()]

    def select_image(self, tilt: int, focus: int) -> None:
        """Mark the row of an image without telling anybody."""
        series = self.images.series
        if series is None:
            return
        index = self._proxy.mapFromSource(self.images.index(tilt * series.n_focus + focus, TILT))
        if index.row() == self.currentIndex().row():
            return
        model = self.selectionModel()
        blocked = self.blockSignals(True)
        model.setCurrentIndex(index, model.SelectionFlag.ClearAndSelect | model.SelectionFlag.Rows)
        self.blockSignals(blocked)
        self.scrollTo(index)

    def keyPressEvent(self, event: Any) -> None:
        """Switch all selected images on or off with the space bar."""
        rows = self.selected_rows()
        if event.key() == Qt.Key.Key_Space and rows:
            self.images.use_rows(rows, not self.images.used(rows[0]))
            return
        super().keyPressEvent(event)

    def _on_current(self, current: QModelIndex, previous: QModelIndex) -> None:
        if current.isValid():
            self.selected.emit(*self.images.image_at(self._proxy.mapToSource(current).row()))
