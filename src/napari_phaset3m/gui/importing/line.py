"""How far an import is, in the Series panel: its dialog may be closed while it runs."""

from __future__ import annotations

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QProgressBar, QPushButton, QVBoxLayout, QWidget

from napari_phaset3m.gui.importing.work import ImportWork
from napari_phaset3m.gui.theme import LINE_SPACING, ElidedLabel


class ImportLine(QWidget):
    """There while an import runs.

    Parameters
    ----------
    work : ImportWork
    """

    #: The dialog is to be seen again.
    dialog_wanted = Signal()
    #: An import failed: why.
    failed = Signal(str)

    def __init__(self, work: ImportWork) -> None:
        super().__init__()
        self._work, self._was_busy = work, False
        self.text, self.bar = ElidedLabel(""), QProgressBar()
        self.bar.setRange(0, 1000)
        self.show_dialog, self.stop = QPushButton("Show"), QPushButton("Stop")
        self.show_dialog.setToolTip("Open the import dialog again")
        self.stop.setToolTip("End without a series; the one that is open stays")
        self.show_dialog.clicked.connect(self.dialog_wanted)
        self.stop.clicked.connect(work.stop)
        row = QHBoxLayout()
        row.addWidget(self.bar, 1)
        row.addWidget(self.show_dialog)
        row.addWidget(self.stop)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(LINE_SPACING)
        layout.addWidget(self.text)
        layout.addLayout(row)
        work.changed.connect(self.refresh)
        work.progressed.connect(self._on_progress)
        self.refresh()

    def refresh(self) -> None:
        """Appear with an import and go with it; say why it failed."""
        busy, was = self._work.busy, self._was_busy
        self._was_busy = busy
        self.setVisible(busy)
        if busy and not was:
            self._on_progress("Reading", 0.0)
        if was and not busy and self._work.error:
            self.failed.emit(f"Import: {self._work.error}")

    def _on_progress(self, text: str, fraction: float) -> None:
        names = ", ".join(path.name for path in self._work.paths)
        self.text.set_full_text(f"Importing {names}: {text}")
        self.bar.setUpdatesEnabled(False)  # it paints at once, and with it the canvas
        self.bar.setValue(round(1000 * fraction))
        self.bar.setUpdatesEnabled(True)
