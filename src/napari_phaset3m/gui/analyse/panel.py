"""The Analyse step: resolution, peaks, atoms and all else that can be said of a volume."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QUrl, Signal
from qtpy.QtGui import QDesktopServices
from qtpy.QtWidgets import QFileDialog, QMainWindow, QMenu

from napari_phaset3m.analyse.halves import DESCRIPTION, KINDS
from napari_phaset3m.errors import PhaseT3MError
from napari_phaset3m.gui.analyse.compute import TOPICS
from napari_phaset3m.gui.analyse.files import AnalyseFiles
from napari_phaset3m.gui.analyse.halves import halves_job_of
from napari_phaset3m.gui.analyse.inputs import cell_text, parse_cell, why_not_volume
from napari_phaset3m.gui.analyse.refresh import refresh
from napari_phaset3m.gui.analyse.results import ResultLayers, results_of
from napari_phaset3m.gui.analyse.view import view_of
from napari_phaset3m.gui.analyse.widgets import AnalyseWidgets
from napari_phaset3m.gui.analyse.work import work_of
from napari_phaset3m.gui.mask.sources import MaskSource
from napari_phaset3m.gui.panel_dock import ScrollPanel, as_panel
from napari_phaset3m.gui.widgets.binding import follow
from napari_phaset3m.gui.widgets.source_box import SourceBox

if TYPE_CHECKING:
    import napari.components

VOLUME_FILES = "Volumes (*.mrc *.map *.rec *.tif *.tiff *.h5 *.hdf5);;OME-Zarr (*.zarr);;All files (*)"
_HALF_FILES = "MRC (*.mrc);;TIFF (*.tif);;HDF5 (*.h5);;OME-Zarr (*.ome.zarr)"


class AnalysePanel(ScrollPanel):
    """Measures a volume; works alone and in the workspace.

    Parameters
    ----------
    napari_viewer : napari.components.ViewerModel
    """

    #: The state of this step may have changed.
    state_changed = Signal()

    def __init__(self, napari_viewer: napari.components.ViewerModel) -> None:
        super().__init__(napari_viewer)
        self.work = work_of(self._session, napari_viewer)
        self.job = halves_job_of(self._session, self.work)
        self.files = AnalyseFiles(self._session, self.work)
        self.layers: ResultLayers = results_of(self._session, self.work)
        self.ui = AnalyseWidgets()
        self.setWidget(self.ui)
        self._sources = SourceBox(self.ui.choices.volume, self._session, napari_viewer)
        self.ui.thickness.setValue(self.work.inputs.slice_angstrom)
        self.ui.species.setValue(self.work.inputs.species)
        self.ui.aperture.setValue(self.work.inputs.aperture_mrad)
        self.ui.choices.cell.setText(cell_text(self.work.inputs.cell))
        self.ui.defoci.connect_to(self.work)
        self._connect()
        as_panel(self, napari_viewer)
        self._list_sources()
        self._refresh()

    def _connect(self) -> None:
        ui, box, work, job = self.ui, self.ui.choices, self.work, self.job
        box.volume.activated.connect(self._on_volume)
        box.open.clicked.connect(self._on_open)
        box.mask.clicked.connect(self._on_use_mask)
        box.series.clicked.connect(self._on_use_series)
        box.cell.editingFinished.connect(self._on_cell)
        box.cif.clicked.connect(self._on_cif)
        box.halves.setMenu(self._menu())
        ui.job.pause.clicked.connect(job.toggle_pause)
        ui.job.finish.clicked.connect(job.finish)
        ui.job.stop.clicked.connect(job.stop)
        ui.all.clicked.connect(self._on_all)
        ui.report.clicked.connect(self._on_report)
        ui.open_report.clicked.connect(self._on_open_report)
        ui.cancel.clicked.connect(work.cancel)
        ui.thickness.valueChanged.connect(self._on_thickness)
        ui.species.valueChanged.connect(self._on_species)
        ui.model.clicked.connect(self._on_model)
        ui.aperture.valueChanged.connect(self._on_aperture)
        ui.xyz.clicked.connect(self._on_xyz)
        ui.draw.clicked.connect(self.layers.draw_line)
        for row in ui.rows.values():
            row.compute.connect(self._on_compute)
            row.show_.connect(self._on_show)
        for said in (work.said, job.said, self.files.said, ui.defoci.said):
            said.connect(ui.say)
        work.changed.connect(self._refresh)
        work.computed.connect(self._refresh)
        for changed in (work.changed, work.computed):
            changed.connect(self.state_changed)
        work.progressed.connect(self._on_progress)
        job.changed.connect(self._refresh)
        self.files.opened.connect(self._on_opened)
        session, layers = self._session, self._viewer.layers.events
        for signal in (session.run_changed, session.run_removed, session.events.frame):
            follow(signal, self._list_sources)
        for event in (layers.inserted, layers.removed):
            follow(event, self._list_sources)

    def _menu(self) -> QMenu:
        menu = QMenu(self)
        for kind in KINDS:
            menu.addAction(f"Compute {DESCRIPTION[kind]}").triggered.connect(partial(self._on_halves, kind))
        control = menu.addAction("With a control without priors")
        control.setCheckable(True)
        control.setChecked(self.job.with_control)
        control.setToolTip("Reconstruct both halves again without positivity, sparsity and atomic basis")
        control.toggled.connect(self._on_control)
        menu.addSeparator()
        menu.addAction("Open two files…").triggered.connect(self._on_open_halves)
        self._save_halves = menu.addAction("Save both and the FSC…")
        self._save_halves.triggered.connect(self._on_save_halves)
        self._drop_halves = menu.addAction("Without halves")
        self._drop_halves.triggered.connect(self._on_no_halves)
        menu.aboutToShow.connect(self._refresh_menu)
        return menu

    def _refresh_menu(self) -> None:
        why, any_ = self.job.why_not(), self.work.inputs.halves is not None
        menu = self.ui.choices.halves.menu()
        menu.setToolTipsVisible(True)
        for action in menu.actions()[: len(KINDS)]:
            action.setEnabled(not why)
            action.setToolTip(why or f"Reconstruct both in turn, {self.job.settings()}")
        self._save_halves.setEnabled(any_)
        self._drop_halves.setEnabled(any_)

    # what to analyse

    def _list_sources(self, *_: object) -> None:
        self._sources.read()
        self._follow_source()
        known = self.work.inputs.source
        self._sources.show(known, why_not_volume(known) or (known.name if known is not None else ""))

    def _follow_source(self) -> None:
        """Keep the chosen volume up to date; take the first when there is none or it is gone."""
        known = self.work.inputs.source
        same = self._sources.same(known) or self._sources.first
        if (known is None) != (same is None) or (same is not None and known is not None
                                                 and same.data is not known.data):  # fmt: skip
            self.work.choose(source=same)

    def _on_volume(self, index: int) -> None:
        source = self._sources.at(index)
        if source is not None:
            self.ui.say("")
            self.work.choose(source=source)

    def _on_opened(self, source: MaskSource) -> None:
        self.work.choose(source=source)
        self._list_sources()

    def _on_use_mask(self, wanted: bool) -> None:
        self.work.set_use(mask=wanted)

    def _on_use_series(self, wanted: bool) -> None:
        self.work.set_use(series=wanted)

    def _on_cell(self) -> None:
        text = self.ui.choices.cell.text()
        if text == cell_text(self.work.inputs.cell):
            return
        try:
            cell = parse_cell(text)
        except PhaseT3MError as error:
            self.ui.say(str(error))
            return
        self.ui.say("")
        self.work.choose(cell=cell)
        self.ui.choices.cell.setText(cell_text(cell))

    def _on_thickness(self, value: float) -> None:
        self.work.choose(slice_angstrom=value)

    def _on_species(self, value: int) -> None:
        self.work.choose(species=value)

    def _on_aperture(self, value: float) -> None:
        self.work.choose(aperture_mrad=value)

    # files

    def _on_model(self) -> None:
        if self.work.inputs.model is not None:
            self.work.choose(model=None)
            return
        path, _ = QFileDialog.getOpenFileName(self, "Open model", "", "XYZ (*.xyz);;All files (*)")
        if path:
            self.files.open_model(Path(path))

    def _on_open(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Open volume", "", VOLUME_FILES)
        if path:
            self.files.open_volume(Path(path))

    def _on_cif(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Open cell", "", "CIF (*.cif);;All files (*)")
        if path:
            self.files.open_cif(Path(path), self.ui.choices.cell.setText)

    def _on_open_halves(self) -> None:
        paths, _ = QFileDialog.getOpenFileNames(self, "Open both half volumes", "", VOLUME_FILES)
        if paths:
            self.job.open(paths)

    def _on_save_halves(self) -> None:
        path = self._ask("Save both halves", ".mrc", _HALF_FILES)
        if path is not None:
            self.job.save(path)

    def _on_no_halves(self) -> None:
        self.work.choose(halves=None)

    def _on_xyz(self) -> None:
        path = self._ask("Save atoms", "_atoms.xyz", "XYZ (*.xyz)")
        if path is not None:
            self.files.save_xyz(path)

    def _on_report(self) -> None:
        path = self._ask("Write report", "_report.html", "HTML (*.html)")
        if path is not None:
            self.ui.say("")
            self.work.write_report(path if path.suffix else path.with_suffix(".html"))

    def _ask(self, title: str, ending: str, kinds: str) -> Path | None:
        source = self.work.inputs.source
        if source is None:
            return None
        stem = source.path.with_suffix("") if source.path else Path(source.name.replace(" · ", "_"))
        path, _ = QFileDialog.getSaveFileName(self, title, f"{stem}{ending}", kinds)
        return Path(path) if path else None

    def _on_open_report(self) -> None:
        if self.work.report_path is not None:
            QDesktopServices.openUrl(QUrl.fromLocalFile(str(self.work.report_path.resolve())))

    # computing

    def _on_halves(self, kind: Any, *_: object) -> None:
        self.job.start(kind)

    def _on_control(self, wanted: bool) -> None:
        self.job.with_control = wanted

    def _on_compute(self, key: str) -> None:
        self.ui.say("")
        self._on_show(key)
        self.work.compute(*((key, "fourier") if key == "bragg" else (key,)))

    def _on_show(self, key: str) -> None:
        view = view_of(self._session, self._viewer, self.work)
        if view is not None:
            view.show_topic(key)

    def _on_all(self) -> None:
        self.ui.say("")
        self.work.compute(*TOPICS)
        self._on_show("slices")

    # showing

    def _on_progress(self, text: str, part: float) -> None:
        self.ui.show_busy(text, part, self.work.busy)

    def _refresh(self, *_: object) -> None:
        refresh(self.ui, self.work, self.job, self._session)

    def showEvent(self, event: Any) -> None:
        """Learn which window the analysis belongs to."""
        super().showEvent(event)
        window = self.window()
        if isinstance(window, QMainWindow):
            self.work.watch_window(window)
            self.job.watch_window(window)
        self._list_sources()
