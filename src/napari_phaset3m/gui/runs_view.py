"""The runs of a session: compare, show again, take settings over, save."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QAbstractItemView,
    QFileDialog,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QPushButton,
    QTreeWidget,
    QTreeWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_phaset3m.gui.binding import follow, format_seconds
from napari_phaset3m.gui.compare_set import MOST
from napari_phaset3m.gui.volume_layer import METHOD_LABELS
from napari_phaset3m.gui.worker import in_background
from napari_phaset3m.project.save_run import save_record
from napari_phaset3m.session import RunRecord, Session

COLUMNS = ("Run", "Series", "Sweeps", "Error", "Held out", "Time", "Device", "State")
FILTERS = "MRC (*.mrc);;TIFF (*.tif);;HDF5 (*.h5);;OME-Zarr (*.ome.zarr)"


class RunsView(QWidget):
    """A table of runs with what can be done with one.

    Parameters
    ----------
    session : Session
    """

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session
        self._items: dict[str, QTreeWidgetItem] = {}
        self.table = QTreeWidget()
        self.table.setHeaderLabels(list(COLUMNS))
        self.table.setRootIsDecorated(False)
        self.table.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.table.header().setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        self.table.header().setStretchLastSection(True)
        self.note = QLabel()
        self.note.setWordWrap(True)
        buttons = QHBoxLayout()
        buttons.setContentsMargins(6, 0, 6, 4)
        self.show_button = self._button("Show", "Bring the volume back into the viewer", self._on_show)
        self.settings_button = self._button(
            "Use settings", "Put this run's settings into the Reconstruct panel", self._on_settings
        )
        self.save_button = self._button("Save volume…", "MRC, TIFF, HDF5 or OME-Zarr", self._on_save)
        self.remove_button = self._button(
            "Remove", "Forget the run and free its volume; layers stay", self._on_remove
        )
        self.compare_button = self._button(
            "Compare…", "Side by side with linked views; the older run is the reference", self._on_compare
        )
        for button in (self.show_button, self.settings_button, self.save_button, self.remove_button):
            buttons.addWidget(button)
        buttons.addWidget(self.compare_button)
        buttons.addWidget(self.note, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(self.table, 1)
        layout.addLayout(buttons)
        self.table.itemSelectionChanged.connect(self._refresh_buttons)
        self.table.itemDoubleClicked.connect(self._on_double_click)
        follow(session.run_added, self._on_run)
        follow(session.run_changed, self._on_run)
        follow(session.run_removed, self._on_removed)
        for record in session.runs:
            self._on_run(record)
        self._refresh_buttons()

    def _button(self, text: str, tip: str, slot: Any) -> QPushButton:
        button = QPushButton(text)
        button.setToolTip(tip)
        button.setProperty("tip", tip)
        button.clicked.connect(slot)
        return button

    def selected(self) -> RunRecord | None:
        """The run of the selected row, when it is one."""
        records = self.all_selected()
        return records[0] if len(records) == 1 else None

    def all_selected(self) -> list[RunRecord]:
        """The runs of the selected rows, oldest first."""
        ids = [item.data(0, Qt.ItemDataRole.UserRole) for item in self.table.selectedItems()]
        return [record for record in self._session.runs if record.run_id in ids]

    def _on_run(self, record: RunRecord) -> None:
        item = self._items.get(record.run_id)
        if item is None:
            item = self._items[record.run_id] = QTreeWidgetItem()
            item.setData(0, Qt.ItemDataRole.UserRole, record.run_id)
            self.table.insertTopLevelItem(0, item)
            self.table.setCurrentItem(item)
        for column, text in enumerate(row_of(record)):
            item.setText(column, text)
        item.setToolTip(len(COLUMNS) - 1, record.error or record.reason)
        self._refresh_buttons()

    def _on_removed(self, record: RunRecord) -> None:
        item = self._items.pop(record.run_id, None)
        if item is not None:
            self.table.takeTopLevelItem(self.table.indexOfTopLevelItem(item))
        self._refresh_buttons()

    def _refresh_buttons(self) -> None:
        record, several = self.selected(), self.all_selected()
        reason = no_volume = active = ""
        if record is None:
            reason = no_volume = active = "Select one run" if several else "Select a run first"
        if record is not None:
            no_volume = "" if record.volume is not None else "This run has no full-size volume"
            active = "The run is under way" if record.active else ""
        for button, why in (
            (self.show_button, no_volume),
            (self.save_button, no_volume),
            (self.settings_button, reason),
            (self.remove_button, active),
            (self.compare_button, self._why_not_compare(several)),
        ):
            button.setEnabled(not why)
            button.setToolTip(why or button.property("tip"))

    def _why_not_compare(self, several: list[RunRecord]) -> str:
        if len(several) > MOST:
            return f"At most {MOST} volumes can be compared"
        if self._session.attachments.get("driver") is None:
            return "There is no viewer to compare in"
        return ""

    def _on_compare(self) -> None:
        from napari_phaset3m.gui.compare_dock import open_compare

        viewer = self._session.attachments["driver"].publisher.viewer
        keys = [f"run:{record.run_id}" for record in self.all_selected()]
        if viewer is not None:
            open_compare(viewer, keys if len(keys) > 1 else None)

    def _on_double_click(self, *_: object) -> None:
        if self.show_button.isEnabled():
            self._on_show()

    def _on_show(self) -> None:
        record, driver = self.selected(), self._session.attachments.get("driver")
        if record is not None and driver is not None:
            driver.show(record)

    def _on_settings(self) -> None:
        record = self.selected()
        if record is not None:
            self._session.config = record.config

    def _on_remove(self) -> None:
        record = self.selected()
        if record is not None:
            self._session.remove_run(record.run_id)

    def _on_save(self) -> None:
        record = self.selected()
        if record is None or record.volume is None:
            return
        name = f"{Path(record.series_name or 'volume').stem}_{record.config.method}.mrc"
        path, _ = QFileDialog.getSaveFileName(self, "Save volume", name, FILTERS)
        if path:
            self.save(record, Path(path))

    def save(self, record: RunRecord, path: Path) -> None:
        """Write the volume of a run, in a worker thread."""
        self.note.setText(f"Saving {path.name}")
        in_background(partial(save_record, record, path), self._on_saved, self._on_error)

    def _on_saved(self, written: list[Path]) -> None:
        others = ", ".join(path.name for path in written[1:])
        self.note.setText(f"Saved {written[0]}{f', with {others}' if others else ''}")

    def _on_error(self, error: Exception) -> None:
        self.note.setText(f"Not saved: {error}")


def row_of(record: RunRecord) -> tuple[str, ...]:
    """The texts of a run's row, one per column."""
    last = record.sweeps[-1] if record.sweeps else None
    held = last.held_out_error if last else None
    return (
        METHOD_LABELS.get(record.config.method, record.config.method),
        record.series_name,
        str(len(record.sweeps)),
        f"{last.error:.3g}" if last else "",
        f"{held:.3g}" if held is not None else "",
        format_seconds(record.seconds) if record.sweeps else "",
        record.device,
        record.error or (f"{record.status}: {record.reason}" if record.reason else record.status),
    )
