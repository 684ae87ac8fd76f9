"""The table of Bragg peaks: click a row, and the Fourier view goes there."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QAbstractTableModel, QModelIndex, QSortFilterProxyModel, Qt, Signal
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableView, QWidget

#: Heading, unit, what it means.
COLUMNS = (
    ("h k l", "", "Miller indices of one of the Friedel pair"),
    ("d", "Å", "Spacing of the planes"),
    (
        "SNR",
        "",
        "Height over the local background; found from 5 on. Height alone proves no structure",
    ),
    ("phase", "", "Agreement of the phases of two half volumes, from −1 to 1"),
    ("wedge", "", "Whether it lies in the missing wedge"),
    ("found", "", "SNR of at least 5, and phases that agree where they were compared"),
)
HKL, D, SNR, PHASE, WEDGE, FOUND = range(len(COLUMNS))
_SORT_ROLE = Qt.ItemDataRole.UserRole


class PeakModel(QAbstractTableModel):
    """Rows of a ``BraggReport`` for a table."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.peaks: list[dict[str, Any]] = []

    def set_rows(self, rows: list[dict[str, Any]]) -> None:
        """Show these rows (see ``BraggReport.rows``)."""
        self.beginResetModel()
        self.peaks = rows
        self.endResetModel()

    def rowCount(self, parent: QModelIndex | None = None) -> int:
        """Count the peaks."""
        return 0 if parent is not None and parent.isValid() else len(self.peaks)

    def columnCount(self, parent: QModelIndex | None = None) -> int:
        """Count the columns."""
        return len(COLUMNS)

    def headerData(self, section: int, orientation: Any, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Return names with units above, nothing at the left."""
        if orientation != Qt.Orientation.Horizontal:
            return None
        name, unit, tip = COLUMNS[section]
        if role == Qt.ItemDataRole.DisplayRole:
            return f"{name} {unit}".strip()
        return tip if role == Qt.ItemDataRole.ToolTipRole else None

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Return what a cell holds in a role."""
        if not index.isValid():
            return None
        row, column = self.peaks[index.row()], index.column()
        if role == Qt.ItemDataRole.DisplayRole:
            return cell_text(row, column)
        if role == _SORT_ROLE:
            return _sort_key(row, column)
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        return COLUMNS[column][2] if role == Qt.ItemDataRole.ToolTipRole else None


class PeakTable(QTableView):
    """Bragg peaks, sortable by any column."""

    #: The row of the peak that was clicked or reached with the arrow keys.
    chosen = Signal(dict)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.peaks = PeakModel(self)
        self._proxy = QSortFilterProxyModel(self)
        self._proxy.setSourceModel(self.peaks)
        self._proxy.setSortRole(_SORT_ROLE)
        self.setModel(self._proxy)
        self.setSortingEnabled(True)
        self.sortByColumn(D, Qt.SortOrder.DescendingOrder)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.verticalHeader().hide()
        header = self.horizontalHeader()
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setResizeContentsPrecision(0)  # of the rows in sight: asking all holds up the window
        header.setStretchLastSection(True)
        self.clicked.connect(self._on_row)
        self.selectionModel().currentRowChanged.connect(self._on_row)
        self._last: dict[str, Any] | None = None

    def set_rows(self, rows: list[dict[str, Any]]) -> None:
        """Show the rows of a ``BraggReport``."""
        self._last = None
        self.peaks.set_rows(rows)

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


def cell_text(row: dict[str, Any], column: int) -> str:
    """Write a cell."""
    if column == HKL:
        return peak_name(row)
    if column == D:
        return f"{row['d_angstrom']:.3f}"
    if column == SNR:
        return f"{row['snr']:.1f}"
    if column == PHASE:
        phase = row.get("phase_agreement")
        return "not compared" if phase is None else f"{phase:.2f}".replace("-", "−")
    if column == WEDGE:
        return {None: "not known", True: "missing", False: "measured"}[row["in_wedge"]]
    return "yes" if is_found(row) else "no"


def _sort_key(row: dict[str, Any], column: int) -> Any:
    if column == HKL:
        return f"{row['h']:+04d}{row['k']:+04d}{row['l']:+04d}"
    # Qt compares no numbers of NumPy's
    if column == D:
        return float(row["d_angstrom"])
    if column == SNR:
        return float(row["snr"])
    if column == PHASE:
        phase = row.get("phase_agreement")
        return -2.0 if phase is None else float(phase)
    return cell_text(row, column)
