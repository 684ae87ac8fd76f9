"""The table of Bragg peaks: click a row, and the Fourier view goes there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from qtpy.QtCore import QAbstractTableModel, QModelIndex, QSortFilterProxyModel, Qt, Signal
from qtpy.QtGui import QBrush, QColor
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableView, QWidget

from napari_phaset3m.gui.theme import theme_colours

#: Height of a row, px.
_ROW_HEIGHT = 22
_SORT_ROLE = Qt.ItemDataRole.UserRole


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table of peaks.

    Attributes
    ----------
    name, unit, tip : str
        Heading, unit, what it means.
    text, key : callable
        What a row shows, and what it is sorted by.
    faint : callable
        Whether a row's cell is written in a faint colour.
    """

    name: str
    unit: str
    tip: str
    text: Callable[[dict[str, Any]], str]
    key: Callable[[dict[str, Any]], Any]
    faint: Callable[[dict[str, Any]], bool] = lambda row: False


class PeakModel(QAbstractTableModel):
    """Rows of a ``BraggReport`` or a ``PeaksBeside`` for a table."""

    def __init__(self, columns: Sequence[Column], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.columns = tuple(columns)
        self.peaks: list[dict[str, Any]] = []

    def set_rows(self, rows: list[dict[str, Any]], columns: Sequence[Column] | None = None) -> None:
        """Show these rows, in other columns where some are given."""
        self.beginResetModel()
        self.peaks = rows
        self.columns = self.columns if columns is None else tuple(columns)
        self.endResetModel()

    def rowCount(self, parent: QModelIndex | None = None) -> int:
        """Count the peaks."""
        return 0 if parent is not None and parent.isValid() else len(self.peaks)

    def columnCount(self, parent: QModelIndex | None = None) -> int:
        """Count the columns."""
        return len(self.columns)

    def headerData(self, section: int, orientation: Any, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Return names with units above, nothing at the left."""
        if orientation != Qt.Orientation.Horizontal:
            return None
        column = self.columns[section]
        if role == Qt.ItemDataRole.DisplayRole:
            return f"{column.name} {column.unit}".strip()
        return column.tip if role == Qt.ItemDataRole.ToolTipRole else None

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Return what a cell holds in a role."""
        if not index.isValid():
            return None
        row, column = self.peaks[index.row()], self.columns[index.column()]
        if role == Qt.ItemDataRole.DisplayRole:
            return column.text(row)
        if role == _SORT_ROLE:
            return column.key(row)
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        if role == Qt.ItemDataRole.ForegroundRole and column.faint(row):
            return QBrush(QColor(theme_colours().faint))
        return column.tip if role == Qt.ItemDataRole.ToolTipRole else None


class PeakTable(QTableView):
    """Bragg peaks, sortable by any column."""

    #: The row of the peak that was clicked or reached with the arrow keys.
    chosen = Signal(dict)

    def __init__(self, columns: Sequence[Column] | None = None, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.peaks = PeakModel(COLUMNS if columns is None else columns, self)
        self._proxy = QSortFilterProxyModel(self)
        self._proxy.setSourceModel(self.peaks)
        self._proxy.setSortRole(_SORT_ROLE)
        self.setModel(self._proxy)
        self.setSortingEnabled(True)
        self.sortByColumn(1, Qt.SortOrder.DescendingOrder)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.verticalHeader().hide()
        self.verticalHeader().setDefaultSectionSize(_ROW_HEIGHT)
        header = self.horizontalHeader()
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setResizeContentsPrecision(0)  # of the rows in sight: asking all holds up the window
        header.setStretchLastSection(True)
        self.clicked.connect(self._on_row)
        self.selectionModel().currentRowChanged.connect(self._on_row)
        self._last: dict[str, Any] | None = None

    def set_rows(self, rows: list[dict[str, Any]], columns: Sequence[Column] | None = None) -> None:
        """Show the rows of a ``BraggReport``, or any that have the columns' entries."""
        self._last = None
        self.peaks.set_rows(rows, columns)

    def _on_row(self, index: QModelIndex, previous: QModelIndex | None = None) -> None:
        if not index.isValid():
            return
        row = self.peaks.peaks[self._proxy.mapToSource(index).row()]
        if row is self._last and previous is not None:
            return
        self._last = row
        self.chosen.emit(row)


def peak_name(row: dict[str, Any]) -> str:
    """Miller indices as they are written, with a minus in front."""
    return " ".join(str(row[name]).replace("-", "−") for name in "hkl")


def frequency_of(row: dict[str, Any]) -> tuple[float, float, float]:
    """(kz, ky, kx) of a peak, 1/angstrom: the order of a volume's axes."""
    return row["qz_per_angstrom"], row["qy_per_angstrom"], row["qx_per_angstrom"]


def is_found(row: dict[str, Any]) -> bool:
    """High enough, and phases agree where they were compared."""
    return bool(row["found"]) and row.get("phase_agreed") is not False


def number_text(value: float | None, digits: int = 2) -> str:
    """A number with a real minus sign; what was not compared says so."""
    return "not compared" if value is None else f"{value:.{digits}f}".replace("-", "−")


# Keys are Python's numbers: Qt compares none of NumPy's.
HKL = Column(
    "h k l", "", "Miller indices of one of the Friedel pair", peak_name,
    lambda row: f"{row['h']:+04d}{row['k']:+04d}{row['l']:+04d}",
)  # fmt: skip
D = Column(
    "d", "Å", "Spacing of the planes",
    lambda row: number_text(row["d_angstrom"], 3), lambda row: float(row["d_angstrom"]),
)  # fmt: skip
SNR = Column(
    "SNR", "",
    "Height over the local background; found from 5 on, where nothing around is as high. Height alone proves "
    "no structure",
    lambda row: number_text(row["snr"], 1), lambda row: float(row["snr"]),
)  # fmt: skip
PHASE = Column(
    "phase", "", "Agreement of the phases of two half volumes, from −1 to 1",
    lambda row: number_text(row.get("phase_agreement")),
    lambda row: -2.0 if row.get("phase_agreement") is None else float(row["phase_agreement"]),
)  # fmt: skip
_WEDGE = {None: "not known", True: "missing", False: "measured"}
WEDGE = Column(
    "wedge", "", "Whether it lies in the missing wedge",
    lambda row: _WEDGE[row["in_wedge"]], lambda row: _WEDGE[row["in_wedge"]],
)  # fmt: skip
FOUND = Column(
    "found", "",
    "SNR of at least 5, higher than all of the background around, and phases that agree where they were "
    "compared",
    lambda row: "yes" if is_found(row) else "no", lambda row: is_found(row),
)  # fmt: skip
#: The columns of one volume's peaks.
COLUMNS = (HKL, D, SNR, PHASE, WEDGE, FOUND)
