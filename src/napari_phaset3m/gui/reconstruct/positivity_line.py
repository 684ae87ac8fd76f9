"""Says beside the constraints where a volume should perhaps not be held positive; changes nothing."""

from __future__ import annotations

from qtpy.QtWidgets import QPushButton, QSizePolicy, QVBoxLayout, QWidget

from napari_phaset3m.gui.theme import LINE_SPACING, label
from napari_phaset3m.gui.widgets.binding import follow
from napari_phaset3m.gui.widgets.model_rows import with_value
from napari_phaset3m.reconstruct.negative import told_negative
from napari_phaset3m.session import Session

POSITIVITY = "constraints.positivity"


def doubt_of(told: str) -> str:
    """What :func:`.negative.told_negative` tells, and what to do in a window."""
    return f"{told[:1].upper()}{told[1:]}. “Positive potential” is on: compare with it off."


class PositivityLine(QWidget):
    """One line with a button, there while positivity is on and the series gives a reason against it.

    Parameters
    ----------
    session : Session
    """

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session
        self.text = label("", "warning", wrap=True)
        self.allow = QPushButton("Allow negative values")
        self.allow.setToolTip("Switches Positive potential off (Constraints)")
        self.allow.setSizePolicy(QSizePolicy.Policy.Maximum, QSizePolicy.Policy.Fixed)
        self.allow.clicked.connect(self._on_allow)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(LINE_SPACING)
        layout.addWidget(self.text)
        layout.addWidget(self.allow)
        for name in ("series", "config"):
            follow(session.events[name], self.refresh)
        self.refresh()

    def refresh(self) -> None:
        """Show the reason there is now, if there is one."""
        series = self._session.series
        told = "" if series is None else told_negative(series, self._session.config)
        self.text.setText(doubt_of(told))
        self.setVisible(bool(told))

    def _on_allow(self) -> None:
        self._session.config = with_value(self._session.config, POSITIVITY, False)
