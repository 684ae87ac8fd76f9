"""The runs of a session: compare, show again, run again, how they were made, save, delete."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QAbstractItemView,
    QFileDialog,
    QHeaderView,
    QMenu,
    QMessageBox,
    QPushButton,
    QTreeWidget,
    QTreeWidgetItem,
    QVBoxLayout,
    QWidget,
)
from superqt import QFlowLayout

from napari_phaset3m.gui.runs.buttons import BUTTONS, delete_question, why_not, why_not_again
from napari_phaset3m.gui.runs.row import COLUMNS, TIPS, icon_size, row_of, thumbnail, tips_of
from napari_phaset3m.gui.steps.driver import step_driver_for
from napari_phaset3m.gui.theme import label
from napari_phaset3m.gui.widgets.binding import follow
from napari_phaset3m.gui.worker import in_background
from napari_phaset3m.project.save_run import save_record
from napari_phaset3m.session import RunRecord, Session

if TYPE_CHECKING:
    from napari_phaset3m.gui.paper.dialog import PaperDialog

FILTERS = "MRC (*.mrc);;TIFF (*.tif);;HDF5 (*.h5);;OME-Zarr (*.ome.zarr)"
_SETTINGS = COLUMNS.index("Settings")
_ID = Qt.ItemDataRole.UserRole


class RunsView(QWidget):
    """A table of runs with what can be done with one.

    Parameters
    ----------
    session : Session
    """

    show_button: QPushButton
    settings_button: QPushButton
    again_button: QPushButton
    compare_button: QPushButton
    made_button: QPushButton
    figure_button: QPushButton
    film_button: QPushButton
    save_button: QPushButton
    remove_button: QPushButton

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session
        self._items: dict[str, QTreeWidgetItem] = {}
        self._pictured: dict[str, int] = {}
        self.table = self._make_table()
        self.note = label("", wrap=True)
        self.note.hide()
        buttons = QFlowLayout()  # a narrow window shows them in two rows
        buttons.setContentsMargins(6, 0, 6, 0)
        buttons.setHorizontalSpacing(4)
        buttons.setVerticalSpacing(4)
        for name, (text, tip) in BUTTONS.items():
            button = self._button(text, tip, getattr(self, f"_on_{name}"))
            setattr(self, f"{name}_button", button)
            buttons.addWidget(button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 4)
        layout.setSpacing(4)
        layout.addWidget(self.table, 1)
        layout.addLayout(buttons)
        layout.addWidget(self.note)
        self._connect()
        for record in session.runs:
            self._on_run(record)
        self._refresh_buttons()

    def _make_table(self) -> QTreeWidget:
        table = QTreeWidget()
        table.setHeaderLabels(list(COLUMNS))
        for column, tip in enumerate(TIPS):
            table.headerItem().setToolTip(column, tip)
        table.setRootIsDecorated(False)
        table.setIconSize(icon_size())
        table.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        table.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        table.setAccessibleName("Runs")
        head = table.header()
        head.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        head.setStretchLastSection(False)
        head.setSectionResizeMode(_SETTINGS, QHeaderView.ResizeMode.Stretch)
        head.setMinimumSectionSize(44)
        return table

    def _connect(self) -> None:
        session = self._session
        self.table.itemSelectionChanged.connect(self._refresh_buttons)
        self.table.itemDoubleClicked.connect(self._on_double_click)
        self.table.customContextMenuRequested.connect(self._on_menu)
        follow(session.run_added, self._on_run)
        follow(session.run_changed, self._on_run)
        follow(session.run_removed, self._on_removed)
        follow(session.opened, self._on_opened)
        for signal in (session.events.series, session.events.active_run):
            follow(signal, self._refresh_buttons)
        step_driver_for(session).changed.connect(self._refresh_buttons)

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
        ids = [item.data(0, _ID) for item in self.table.selectedItems()]
        return [record for record in self._session.runs if record.run_id in ids]

    def say(self, text: str) -> None:
        """One line below the buttons."""
        self.note.setText(text)
        self.note.setVisible(bool(text))

    def _on_opened(self) -> None:
        self.say("")

    # rows

    def _on_run(self, record: RunRecord) -> None:
        item = self._items.get(record.run_id)
        if item is None:
            item = self._items[record.run_id] = QTreeWidgetItem()
            item.setData(0, _ID, record.run_id)
            self.table.insertTopLevelItem(0, item)
            self.table.setCurrentItem(item)
        for column, (text, tip) in enumerate(zip(row_of(record), tips_of(record), strict=True)):
            if item.text(column) != text:
                item.setText(column, text)
            item.setToolTip(column, tip)
        if record.volume is not None and self._pictured.get(record.run_id) != id(record.volume):
            self._pictured[record.run_id] = id(record.volume)
            picture = thumbnail(record)
            if picture is not None:
                item.setIcon(0, picture)
        self._refresh_buttons()

    def _on_removed(self, record: RunRecord) -> None:
        item = self._items.pop(record.run_id, None)
        self._pictured.pop(record.run_id, None)
        if item is not None:
            self.table.takeTopLevelItem(self.table.indexOfTopLevelItem(item))
        self._refresh_buttons()

    # buttons

    def _refresh_buttons(self, *_: object) -> None:
        for name, why in why_not(self._session, self.all_selected()).items():
            button = getattr(self, f"{name}_button")
            button.setEnabled(not why)
            button.setToolTip(why or button.property("tip"))

    def _on_menu(self, place: Any) -> None:
        if self.table.itemAt(place) is None:
            return
        menu = QMenu(self)
        menu.setToolTipsVisible(True)
        for name in BUTTONS:
            button = getattr(self, f"{name}_button")
            action = menu.addAction(button.text())
            action.setEnabled(button.isEnabled())
            action.setToolTip(button.toolTip())
            action.triggered.connect(button.click)
        menu.popup(self.table.viewport().mapToGlobal(place))

    def _viewer(self) -> Any:
        driver = self._session.attachments.get("driver")
        return None if driver is None else driver.publisher.viewer

    def _on_compare(self) -> None:
        from napari_phaset3m.gui.compare.dock import open_compare

        viewer = self._viewer()
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

    def _on_again(self) -> None:
        record, session = self.selected(), self._session
        if record is None or why_not_again(session, record):
            return
        session.config = record.config
        session.mask = None if record.mask is None else record.mask.mask
        if record.mask is not None:
            session.mask_name, session.mask_recipe = record.mask.name, record.mask.recipe
        session.attachments["driver"].start()

    def _on_made(self) -> None:
        from napari_phaset3m.gui.runs.made_dialog import made_of_run, show_made

        record, viewer = self.selected(), self._viewer()
        if record is not None and viewer is not None:
            show_made(viewer, made_of_run(self._session, record))

    def _on_remove(self) -> None:
        records = [record for record in self.all_selected() if not record.active]
        if records and self._sure(records):
            for record in records:
                self._session.remove_run(record.run_id)

    def _sure(self, records: list[RunRecord]) -> bool:
        yes, no = QMessageBox.StandardButton.Yes, QMessageBox.StandardButton.No
        text = delete_question(self._session, records)
        return bool(QMessageBox.question(self, "Delete runs", text, yes | no, no) == yes)

    def _on_figure(self) -> None:
        from napari_phaset3m.gui.paper.figure_dialog import FigureDialog

        self._open_paper(FigureDialog)

    def _on_film(self) -> None:
        from napari_phaset3m.gui.paper.film_dialog import FilmDialog

        self._open_paper(FilmDialog)

    def _open_paper(self, kind: type[PaperDialog]) -> None:
        from napari_phaset3m.gui.paper.dialog import open_paper
        from napari_phaset3m.gui.paper.subject import subject_of_run

        record, viewer = self.selected(), self._viewer()
        if record is not None and viewer is not None:
            open_paper(viewer, subject_of_run(self._session, record), kind)

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
        self.say(f"Saving {path.name}")
        in_background(partial(save_record, record, path), self._on_saved, self._on_error)

    def _on_saved(self, written: list[Path]) -> None:
        others = ", ".join(path.name for path in written[1:])
        self.say(f"Saved {written[0]}{f', with {others}' if others else ''}")

    def _on_error(self, error: Exception) -> None:
        self.say(f"Not saved: {error}")
