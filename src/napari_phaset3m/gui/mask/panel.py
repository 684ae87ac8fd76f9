"""The Mask step: isolate the particle, see its outline and volume, correct it by hand, use it."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import QFileDialog, QMainWindow, QMenu, QSizePolicy, QVBoxLayout

from napari_phaset3m.analyse.masks import automatic
from napari_phaset3m.gui.mask.actions import LOAD_FILES, SAVE_FILES, VOLUME_FILES, MaskActions
from napari_phaset3m.gui.mask.compute import why_not_paint
from napari_phaset3m.gui.mask.layer import MASK, begin_painting, end_painting, painting
from napari_phaset3m.gui.mask.recipe import RecipeEditor
from napari_phaset3m.gui.mask.sources import MaskSource
from napari_phaset3m.gui.mask.widgets import MaskWidgets
from napari_phaset3m.gui.mask.work import work_for
from napari_phaset3m.gui.panel_dock import as_panel
from napari_phaset3m.gui.steps.history_list import undo_keys
from napari_phaset3m.gui.theme import PANEL_MAX_WIDTH, PANEL_MIN_WIDTH, set_role
from napari_phaset3m.gui.widgets.binding import follow
from napari_phaset3m.gui.widgets.scrolling import Column
from napari_phaset3m.gui.widgets.source_box import SourceBox
from napari_phaset3m.session import session_for

if TYPE_CHECKING:
    import napari.components

NO_VOLUME = "Reconstruct something, or open a volume, to make a mask of it."


class MaskPanel(Column):
    """Makes a mask step by step; works alone and in the workspace.

    Parameters
    ----------
    napari_viewer : napari.components.ViewerModel
    """

    def __init__(self, napari_viewer: napari.components.ViewerModel) -> None:
        super().__init__()
        self._viewer = napari_viewer
        self._session = session_for(napari_viewer)
        self._analyse_next = False
        self._work = work_for(self._session, napari_viewer)
        self.actions_ = MaskActions(self._session, self._work)
        self._left = False
        self.setMinimumWidth(PANEL_MIN_WIDTH + 30)  # three coordinates stand side by side
        self.setMaximumWidth(PANEL_MAX_WIDTH)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)  # as Workspace
        self.ui = MaskWidgets()
        self._sources = SourceBox(self.ui.volume, self._session, napari_viewer)
        self.recipe = RecipeEditor(self._work)
        self.ui.steps.setWidget(self.recipe)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.ui)
        self._connect()
        as_panel(self, napari_viewer)
        self._list_sources()
        self._refresh()

    def _connect(self) -> None:
        ui, work = self.ui, self._work
        ui.volume.activated.connect(self._on_volume)
        ui.open.clicked.connect(self._on_open)
        ui.undo.clicked.connect(work.undo)
        ui.redo.clicked.connect(work.redo)
        ui.paint.clicked.connect(partial(self._brush, erase=False))
        ui.erase.clicked.connect(partial(self._brush, erase=True))
        ui.use.clicked.connect(self.actions_.use_in_reconstruction)
        ui.analyse.clicked.connect(self.actions_.use_for_analysis)
        ui.crop.clicked.connect(self._on_crop)
        ui.save.clicked.connect(self._on_save)
        ui.load.clicked.connect(self._on_load)
        ui.clear.clicked.connect(self._on_clear)
        ui.add.setMenu(self._menu())
        self.recipe.refused.connect(self._say)
        self.actions_.said.connect(self._say)
        self.actions_.opened.connect(self._on_opened)
        work.changed.connect(self._refresh)
        work.computed.connect(self._on_computed)
        for signal in (self._session.run_changed, self._session.run_removed, self._session.events.frame):
            follow(signal, self._list_sources)
        for signal in (self._session.events.mask, self._session.events.analysis_mask):
            follow(signal, self._refresh)
        for signal in (self._session.events.active_run, self._session.events.series):
            follow(signal, self._on_run)
        for event in (self._viewer.layers.events.inserted, self._viewer.layers.events.removed):
            follow(event, self._on_layers)
        undo_keys(self, work.undo, work.redo)

    def _menu(self) -> QMenu:
        menu = QMenu(self)
        for text, slot in self.recipe.choices():
            menu.addAction(text).triggered.connect(slot)
        menu.addSeparator()
        menu.addAction("Automatic recipe").triggered.connect(self._on_automatic)
        return menu

    # volumes

    def _list_sources(self, *_: object) -> None:
        self._sources.read()
        self._follow_source()
        self._show_source()

    def _follow_source(self) -> None:
        """Keep the volume that is chosen up to date; choose the first when there was none."""
        work, known = self._work, self._work.source
        if known is None:  # a mask that nobody asked for must not cover the volume of another step
            work.set_source(None if self._unseen() else self._sources.first)
            return
        same = self._sources.same(known)
        if same is None and known.live:  # the run has finished: its result takes over
            same = self._sources.first
        if same is not None and not painting(work.publisher.layer(MASK)):
            work.set_source(same) if self._may_follow(same) else None

    def _unseen(self) -> bool:
        # A dock behind another one's tab stays "visible" for Qt, outside of the window.
        return self._left or (self.isVisible() and self.visibleRegion().isEmpty())

    def _may_follow(self, source: MaskSource) -> bool:
        # A live preview is followed while the panel is looked at, and one mask after the other.
        return not source.live or (self.isVisible() and not self._work.busy)

    def _show_source(self) -> None:
        known = self._work.source
        self._sources.show(known, known.name if known is not None else NO_VOLUME)

    def _on_volume(self, index: int) -> None:
        source = self._sources.at(index)
        if source is not None:
            self._say("", "muted")
            self._work.set_source(source)

    def _on_layers(self, *_: object) -> None:
        self._list_sources()
        self._refresh()

    def _on_opened(self, source: MaskSource) -> None:
        self._list_sources()
        self._work.set_source(source)
        self._show_source()

    # files

    def _on_open(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Open volume", "", VOLUME_FILES)
        if path:
            self.actions_.open_volume(Path(path))

    def _on_save(self) -> None:
        path = self._ask_save("Save mask", "mask")
        if path:
            self.actions_.save(path)

    def _on_crop(self) -> None:
        path = self._ask_save("Save the masked volume, cut to the mask", "crop")
        if path:
            self.actions_.crop(path)

    def _ask_save(self, title: str, word: str) -> Path | None:
        source = self._work.source
        if source is None:
            return None
        stem = source.path.with_suffix("") if source.path else Path(source.name.replace(" · ", "_"))
        path, _ = QFileDialog.getSaveFileName(self, title, f"{stem}_{word}.mrc", SAVE_FILES)
        return Path(path) if path else None

    def _on_load(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Load mask or recipe", "", LOAD_FILES)
        if path:
            self.actions_.load(Path(path))

    # steps and painting

    def _on_automatic(self) -> None:
        self.make_automatic()

    def make_automatic(self, *, analyse: bool = False) -> None:
        """Take the automatic recipe; ``analyse``: of the newest result, whose analysis it then confines."""
        self._analyse_next = analyse
        end_painting(self._work.publisher)
        if analyse:
            self._list_sources()
            self._work.set_source(self._sources.newest_result)
            self._show_source()
        if self._work.source is not None:
            self._work.set_steps(automatic(min(self._work.source.voxel)).steps)
        self._take_for_analysis()  # there may be that mask already

    def _take_for_analysis(self) -> None:
        work = self._work
        if self._analyse_next and not work.busy and work.result is not None and not work.preview:
            self._analyse_next = False
            self.actions_.use_for_analysis()

    def _on_clear(self) -> None:
        end_painting(self._work.publisher)
        self.actions_.clear()

    def _brush(self, *_: object, erase: bool) -> None:
        layer: Any = self._work.publisher.layer(MASK)
        if layer is not None and str(layer.mode) == ("erase" if erase else "paint"):
            end_painting(self._work.publisher)
        else:
            if layer is None:  # the user deleted it
                self._work.request(now=True)
            begin_painting(self._work.publisher, erase=erase)
            layer = self._work.publisher.layer(MASK)
            if layer is not None:
                follow(layer.events.mode, self._refresh)
        self._refresh()

    # showing

    def _say(self, text: str, role: str = "error") -> None:
        set_role(self.ui.note, role)
        self.ui.note.setText(text)
        self.ui.note.setVisible(bool(text))

    def why_not(self) -> str:
        """Why there is no mask to use; empty when there is one."""
        work = self._work
        if work.source is None:
            return NO_VOLUME
        if not work.steps:
            return "Add a step that makes a mask."
        if work.error:
            return work.error
        return "" if work.result is not None and not work.preview else "The mask is being worked out."

    def _on_run(self) -> None:
        self._say("", "muted")  # what was said of a run is over with it
        self._refresh()

    def _on_computed(self) -> None:
        self._refresh()
        self._take_for_analysis()
        source = self._work.source
        if source is not None and source.live and not self._work.busy:
            self._list_sources()  # a newer preview may have come meanwhile

    def _refresh(self, *_: object) -> None:
        work, ui, why = self._work, self.ui, self.why_not()
        problem = work.error or (why if work.result is None else "")
        unit = "" if work.source is None else work.source.unit
        ui.show_result(work.result, work.preview, problem, work.busy, unit)
        no_run = "" if self._session.series is not None else "Open a series first (step Series)"
        ui.enable(ui.use, why or no_run, "Confine runs to the mask; one under way from its next sweep on")
        ui.enable(ui.analyse, why, "Confine analysis to the mask")
        ui.enable(ui.crop, why, "Save the volume times the mask, cut to it")
        ui.enable(ui.save, why, "Save the mask with its recipe")
        ui.enable(ui.add, NO_VOLUME if work.source is None else "", "Add a step, ahead of a soft edge")
        ui.enable(ui.undo, "" if work.can_undo else "Nothing to undo", "Undo (Ctrl+Z)")
        ui.enable(ui.redo, "" if work.can_redo else "Nothing to redo", "Redo (Ctrl+Shift+Z)")
        self._refresh_brushes(why or why_not_paint(work.steps))
        self._refresh_use()
        self.recipe.refresh()

    def _refresh_brushes(self, why: str) -> None:
        layer: Any = self._work.publisher.layer(MASK)
        for button, mode, tip in (
            (self.ui.paint, "paint", "Add to the mask with a ball-shaped brush, in slices"),
            (self.ui.erase, "erase", "Take from the mask with a ball-shaped rubber, in slices"),
        ):
            on = layer is not None and str(layer.mode) == mode
            self.ui.enable(button, "" if on else why, tip)
            button.setChecked(on)

    def _refresh_use(self) -> None:
        session, work = self._session, self._work
        used, analysed = session.mask is not None, session.analysis_mask is not None
        nothing = not used and not analysed and not work.steps
        self.ui.enable(
            self.ui.clear, "There is no mask" if nothing else "", "Remove all steps; no mask is used any more"
        )
        self.ui.show_use(used, used and self.actions_.in_reconstruction is not work.result, analysed)

    def showEvent(self, event: Any) -> None:
        """Learn which window the mask belongs to, and catch up with a live preview."""
        super().showEvent(event)
        self._left = False
        window = self.window()
        if isinstance(window, QMainWindow):
            self._work.watch_window(window)
        self._list_sources()

    def hideEvent(self, event: Any) -> None:
        """Another step is looked at."""
        self._left = True
        super().hideEvent(event)

    def closeEvent(self, event: Any) -> None:
        """Put the brush down; the mask stays."""
        end_painting(self._work.publisher)
        super().closeEvent(event)
