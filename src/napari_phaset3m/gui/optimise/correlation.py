"""Correlations of the shared optics as a table."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtGui import QBrush, QColor
from qtpy.QtWidgets import (
    QAbstractItemView,
    QHeaderView,
    QStyledItemDelegate,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_phaset3m.gui.optimise.words import shared_label
from napari_phaset3m.gui.theme import label, theme_colours
from napari_phaset3m.optimise.uncertainty import EXCHANGEABLE, Determined

#: What stands for the shared optics at the edges of the correlations; x and y are cos and sin.
_SYMBOLS = {"defocus": "Δf", "C30": "Cs", "focal_spread": "spread", "C12": "A", "C21": "B", "C23": "A3"}


class _Coloured(QStyledItemDelegate):
    """Paints the background that an item has, which a style sheet's rule for items would keep away."""

    def initStyleOption(self, option: Any, index: Any) -> None:
        """Leave the background to :meth:`paint`; without a style sheet it would be painted twice."""
        super().initStyleOption(option, index)
        option.backgroundBrush = QBrush()

    def paint(self, painter: Any, option: Any, index: Any) -> None:
        """Paint the background, and the rest on it."""
        brush = index.data(Qt.ItemDataRole.BackgroundRole)
        if brush is not None:
            painter.fillRect(option.rect, brush)
        super().paint(painter, option, index)


class CorrelationTable(QWidget):
    """Correlations of the shared optics, coloured by their size."""

    def __init__(self) -> None:
        super().__init__()
        self.title = label("", "muted", wrap=True)
        self.table = QTableWidget()
        self.table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.table.setItemDelegate(_Coloured(self.table))
        self.table.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
        for header in (self.table.horizontalHeader(), self.table.verticalHeader()):
            header.setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
            header.setMinimumSectionSize(18)
        for policy in (self.table.setHorizontalScrollBarPolicy, self.table.setVerticalScrollBarPolicy):
            policy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        font = self.table.font()
        font.setPointSizeF(0.8 * font.pointSizeF())
        self.table.setFont(font)
        self.setMinimumWidth(190)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        layout.addWidget(self.title)
        layout.addWidget(self.table, 1)

    def show_found(self, found: Determined | None) -> None:
        """Show these; without any there is a line on where they come from."""
        self.table.setVisible(found is not None)
        if found is None:
            self.title.setText("Correlations come with the gradient stage")
            return
        self.title.setText("Correlations; red: exchangeable")
        self.title.setToolTip(f"Beyond {EXCHANGEABLE} the images hardly tell two parameters apart")
        names = [shared_label(name) for name in found.names]
        self.table.setRowCount(len(names))
        self.table.setColumnCount(len(names))
        brief = [_SYMBOLS.get(head, head) + part[1:] for head, part in map(_split, found.names)]
        self.table.setVerticalHeaderLabels(brief)
        self.table.setHorizontalHeaderLabels(brief)
        colours = theme_colours()
        for i in range(len(names)):
            for j in range(len(names)):
                value = float(found.correlation[i, j])
                item = QTableWidgetItem(f"{value:.2f}".replace("-", "−"))
                item.setTextAlignment(int(Qt.AlignmentFlag.AlignCenter))
                item.setToolTip(f"{names[i]} and {names[j]}: {value:.3f}")
                colour = QColor(colours.alarm if i != j and abs(value) > EXCHANGEABLE else colours.accent)
                colour.setAlphaF(0.5 * min(1.0, abs(value)) if i != j else 0.1)
                item.setBackground(QBrush(colour))
                self.table.setItem(i, j, item)


def _split(name: str) -> tuple[str, str]:
    head, _, part = name.partition(" ")
    return head, f" {'xy'[part == 'sin']}" if part else ""
