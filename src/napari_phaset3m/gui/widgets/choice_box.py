"""A drop-down list that shortens what does not fit and shows all of it as a tooltip."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QEvent, Qt
from qtpy.QtWidgets import QComboBox, QStyle, QStyleOptionComboBox, QStylePainter, QToolTip

#: What is around an entry of the open list: mark, margins and scroll bar, px.
_LIST_FRAME = 48


class ChoiceBox(QComboBox):
    """Qt's own cuts a long name off at the arrow, so that two runs of a series look alike."""

    def __init__(self) -> None:
        super().__init__()
        # Qt's default keeps the size of the first show, before napari's style made letters larger.
        self.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToContents)

    def shown_text(self) -> str:
        """The text as it is drawn, with … in the middle where it is too long."""
        option = self._option()
        field = self.style().subControlRect(
            QStyle.ComplexControl.CC_ComboBox, option, QStyle.SubControl.SC_ComboBoxEditField, self
        )
        middle = Qt.TextElideMode.ElideMiddle
        return str(self.fontMetrics().elidedText(option.currentText, middle, max(field.width(), 0)))

    def _option(self) -> Any:
        option = QStyleOptionComboBox()
        self.initStyleOption(option)
        if self.currentIndex() < 0:
            option.currentText = self.placeholderText()
        return option

    def paintEvent(self, event: Any) -> None:
        """Draw as Qt does, with the shortened text."""
        option, painter = self._option(), QStylePainter(self)
        if self.currentIndex() < 0:
            option.palette.setBrush(
                option.palette.ColorRole.ButtonText,
                option.palette.brush(option.palette.ColorRole.PlaceholderText),
            )
        painter.drawComplexControl(QStyle.ComplexControl.CC_ComboBox, option)
        option.currentText = self.shown_text()
        painter.drawControl(QStyle.ControlElement.CE_ComboBoxLabel, option)

    def event(self, event: Any) -> bool:
        """Put the whole text before the tooltip while it is shortened."""
        whole = self.currentText()
        if event.type() == QEvent.Type.ToolTip and whole and self.shown_text() != whole:
            tip = self.toolTip()
            QToolTip.showText(event.globalPos(), whole if tip in ("", whole) else f"{whole}\n\n{tip}", self)
            return True
        return bool(super().event(event))

    def showPopup(self) -> None:
        """Open the list as wide as its longest entry."""
        view, metrics = self.view(), self.fontMetrics()
        longest = max((metrics.horizontalAdvance(self.itemText(i)) for i in range(self.count())), default=0)
        view.setMinimumWidth(max(self.width(), longest + _LIST_FRAME))
        super().showPopup()
