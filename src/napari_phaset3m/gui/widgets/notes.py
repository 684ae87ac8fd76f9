"""Short messages with something to do about them, one below the other; gone once they are settled."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from qtpy.QtWidgets import QHBoxLayout, QPushButton, QToolButton, QVBoxLayout, QWidget

from napari_phaset3m.gui.theme import LINE_SPACING, label, set_role

Action = tuple[str, Callable[[], None]]
#: More lines than these are not shown at a time.
MOST = 3


class Note(QWidget):
    """One message.

    Parameters
    ----------
    text : str
    role : str
        Style role of the text.
    actions : sequence of (str, callable)
        Buttons below; the note goes when one is pressed.
    """

    def __init__(self, text: str, role: str, actions: Sequence[Action] = ()) -> None:
        super().__init__()
        self.role, self.text = role, label(text, role, wrap=True)
        self.dismiss = QToolButton()
        self.dismiss.setText("×")
        self.dismiss.setToolTip("Hide this message")
        self.dismiss.setAccessibleName("Hide this message")
        set_role(self.dismiss, "toggle")
        self.dismiss.clicked.connect(self.close_note)
        self.buttons: list[QPushButton] = []
        head = QHBoxLayout()
        head.addWidget(self.text, 1)
        head.addWidget(self.dismiss)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(LINE_SPACING)
        layout.addLayout(head)
        row = QHBoxLayout()
        for title, slot in actions:
            button = QPushButton(title)
            button.clicked.connect(self._pressed(slot))
            self.buttons.append(button)
            row.addWidget(button)
        row.addStretch(1)
        if actions:
            layout.addLayout(row)

    def _pressed(self, slot: Callable[[], None]) -> Callable[..., None]:
        def pressed(*_: object) -> None:
            self.close_note()
            slot()

        return pressed

    def close_note(self) -> None:
        """Take it away."""
        self.hide()
        self.setParent(None)
        self.deleteLater()


class Notes(QWidget):
    """The messages that are there now."""

    def __init__(self) -> None:
        super().__init__()
        self._layout = QVBoxLayout(self)
        self._layout.setContentsMargins(6, 0, 2, 0)
        self._layout.setSpacing(LINE_SPACING)

    def shown(self) -> list[Note]:
        """Messages, oldest first."""
        items = (self._layout.itemAt(index) for index in range(self._layout.count()))
        widgets = (item.widget() for item in items if item is not None)
        return [widget for widget in widgets if isinstance(widget, Note)]

    def add(self, text: str, role: str = "muted", actions: Sequence[Action] = ()) -> Note:
        """Show a message in place of the same text, and an error in place of the one before."""
        for note in self.shown():
            if note.text.text() == text or (role == "error" == note.role):
                note.close_note()
        made = Note(text, role, actions)
        self._layout.addWidget(made)
        while len(self.shown()) > MOST:
            self.shown()[0].close_note()
        return made

    def clear(self, beginning: str = "") -> None:
        """Take all of them away, or those that begin so."""
        for note in self.shown():
            if note.text.text().startswith(beginning):
                note.close_note()
