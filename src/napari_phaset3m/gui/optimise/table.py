"""Tables of the Optimise tab: what is searched and where, and rows of words."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QAbstractTableModel, QModelIndex, Qt
from qtpy.QtGui import QBrush, QColor
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableView, QTableWidget, QTableWidgetItem, QWidget

from napari_phaset3m.gui.optimise.plan import limits_of
from napari_phaset3m.gui.optimise.units import parsed, shown, shown_unit, title
from napari_phaset3m.gui.optimise.work import OptimiseWork
from napari_phaset3m.gui.theme import theme_colours
from napari_phaset3m.optimise.parameters import PARAMETERS
from napari_phaset3m.session import Session

NAME, STATED, FROM, TO = range(4)
_HEADINGS = ("Search for", "Stated", "From", "To")
#: Heights of a heading and a row of words, px.
_HEAD, _ROW = 22, 21
_NAMES = tuple(PARAMETERS)
_PRIOR_TIP = (
    "What the series states. Double-click and write ± and a standard deviation where you know one: "
    "trials then lie denser about the stated value"
)
_EMPTY_TIP = "Double-click to change; empty: the default"


class ParameterModel(QAbstractTableModel):
    """All parameters: ticked ones are searched, between the two bounds."""

    def __init__(self, session: Session, work: OptimiseWork, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session, self._work = session, work
        self._reasons: dict[str, str] = {}

    def refresh(self) -> None:
        """Read series and plan again."""
        self._reasons = {name: self._work.reason(name) for name in _NAMES}
        self.dataChanged.emit(self.index(0, 0), self.index(len(_NAMES) - 1, TO))

    def rowCount(self, parent: QModelIndex | None = None) -> int:
        """Count the parameters."""
        return 0 if parent is not None and parent.isValid() else len(_NAMES)

    def columnCount(self, parent: QModelIndex | None = None) -> int:
        """Count the columns."""
        return len(_HEADINGS)

    def headerData(self, section: int, orientation: Any, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Return the headings."""
        if orientation == Qt.Orientation.Horizontal and role == Qt.ItemDataRole.DisplayRole:
            return _HEADINGS[section]
        return None

    def text(self, row: int, column: int) -> str:
        """What a cell shows."""
        name, series, config = _NAMES[row], self._session.series, self._session.config
        if column == NAME:
            return title(PARAMETERS[name], short=True)
        if series is None or (name.startswith(("defocus", "cs_")) and self._lacks(name)):
            return "–"
        if column == STATED:
            stated, sigma = PARAMETERS[name].get(series, config), self._work.plan.sigmas.get(name)
            prior = "" if sigma is None else f" ± {shown(name, sigma, 2)}"
            return f"{shown(name, stated, 3 if prior else 4)}{prior}"
        value = limits_of(self._work.plan, name, series, config)[column - FROM]
        return "–" if value is None else shown(name, value, 3)

    def _lacks(self, name: str) -> bool:
        series = self._session.series
        kept = "defocus_angstrom" if name.startswith("defocus") else "spherical_aberration_angstrom"
        return series is None or getattr(series, kept) is None

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Return what a cell holds in a role."""
        name, column = _NAMES[index.row()], index.column()
        chosen = name in self._work.plan.names
        if role in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.EditRole):
            return self.text(index.row(), column)
        if role == Qt.ItemDataRole.CheckStateRole and column == NAME:
            return Qt.CheckState.Checked if chosen else Qt.CheckState.Unchecked
        if role == Qt.ItemDataRole.ToolTipRole:
            unit = shown_unit(name)[0]
            edit = f"{_EMPTY_TIP}. In {unit}" if unit else _EMPTY_TIP
            told = {NAME: title(PARAMETERS[name]), STATED: _PRIOR_TIP}.get(column, edit)
            return self._reasons.get(name) or told
        if role == Qt.ItemDataRole.TextAlignmentRole and column != NAME:
            return int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        if role == Qt.ItemDataRole.ForegroundRole and (self._reasons.get(name) or not chosen):
            colours = theme_colours()
            return QBrush(QColor(colours.alarm if chosen else colours.faint))
        return None

    def flags(self, index: QModelIndex) -> Qt.ItemFlag:
        """Return what can be done with a cell."""
        flags = Qt.ItemFlag.ItemIsSelectable | Qt.ItemFlag.ItemIsEnabled
        if index.column() == NAME:
            return flags | Qt.ItemFlag.ItemIsUserCheckable
        return flags | Qt.ItemFlag.ItemIsEditable

    def setData(self, index: QModelIndex, value: Any, role: int = Qt.ItemDataRole.EditRole) -> bool:
        """Take a tick or a bound; what is no number is not taken."""
        name, plan = _NAMES[index.row()], self._work.plan
        if role == Qt.ItemDataRole.CheckStateRole:
            ticked = Qt.CheckState(value) == Qt.CheckState.Checked
            rest = tuple(known for known in plan.names if known != name)
            self._work.set_plan(names=(*rest, name) if ticked else rest)
            return True
        text = str(value)
        if index.column() == STATED:
            return self._set_prior(name, text)
        typed = parsed(name, text)
        if typed is None and text.strip():
            return False
        if text == self.text(index.row(), index.column()):
            return False  # as it was: a default stays one
        limits = plan.with_limit(name, index.column() - FROM, typed).limits
        chosen = plan.names if name in plan.names else (*plan.names, name)
        self._work.set_plan(limits=limits, names=chosen)
        return True

    def _set_prior(self, name: str, text: str) -> bool:
        """Take what stands behind ±; the stated value itself is not changed here."""
        plan, series = self._work.plan, self._session.series
        before, mark, behind = text.replace("+-", "±").replace("+/-", "±").partition("±")
        sigma = parsed(name, behind) if mark else None
        if series is None or (mark and (sigma is None or sigma <= 0)):
            return False
        stated = PARAMETERS[name].get(series, self._session.config)
        if before.strip() not in ("", shown(name, stated), shown(name, stated, 3)):
            return False
        chosen = plan.names if sigma is None or name in plan.names else (*plan.names, name)
        self._work.set_plan(sigmas=plan.with_prior(name, sigma).sigmas, names=chosen)
        return True


class ParameterTable(QTableView):
    """The view of a :class:`ParameterModel`."""

    def __init__(self, model: ParameterModel) -> None:
        super().__init__()
        self.setModel(model)
        self.setAccessibleName("Parameters to search")
        self.verticalHeader().hide()
        self.verticalHeader().setDefaultSectionSize(22)
        self.setEditTriggers(
            QAbstractItemView.EditTrigger.DoubleClicked
            | QAbstractItemView.EditTrigger.EditKeyPressed
            | QAbstractItemView.EditTrigger.AnyKeyPressed
        )
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        header = self.horizontalHeader()
        header.setSectionResizeMode(NAME, QHeaderView.ResizeMode.Stretch)
        for column, width in ((STATED, 60), (FROM, 48), (TO, 48)):
            header.setSectionResizeMode(column, QHeaderView.ResizeMode.Fixed)
            self.setColumnWidth(column, width)
        self.setFixedHeight(188)
        font = self.font()
        font.setPointSizeF(0.9 * font.pointSizeF())
        self.setFont(font)


class WordTable(QTableWidget):
    """Rows of words, as high as they are; nothing to edit."""

    def __init__(self, headings: tuple[str, ...] = (), columns: int = 2) -> None:
        super().__init__(0, len(headings) or columns)
        self.verticalHeader().hide()
        self.verticalHeader().setMinimumSectionSize(_ROW)
        self.verticalHeader().setDefaultSectionSize(_ROW)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        for policy in (self.setHorizontalScrollBarPolicy, self.setVerticalScrollBarPolicy):
            policy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        header = self.horizontalHeader()
        header.setVisible(bool(headings))
        header.setFixedHeight(_HEAD)
        if headings:
            self.setHorizontalHeaderLabels(list(headings))
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)

    def show_rows(self, rows: list[tuple[str, ...]], tips: list[str] | None = None) -> None:
        """Show these; without any the table is away."""
        self.setRowCount(len(rows))
        for i, row in enumerate(rows):
            for j, text in enumerate(row):
                item = QTableWidgetItem(text)
                if j:
                    item.setTextAlignment(int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter))
                item.setToolTip(tips[i] if tips else "")
                self.setItem(i, j, item)
        above = 0 if self.horizontalHeader().isHidden() else _HEAD
        self.setFixedHeight(above + _ROW * len(rows) + 4)
        self.setVisible(bool(rows))

    def rows(self) -> list[tuple[str, ...]]:
        """What is shown."""
        return [
            tuple(
                cell.text() if (cell := self.item(i, j)) is not None else ""
                for j in range(self.columnCount())
            )
            for i in range(self.rowCount())
        ]
