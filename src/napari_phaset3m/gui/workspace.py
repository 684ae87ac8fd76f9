"""The workspace: step guide, one panel at a time, and the views below the canvas."""

from __future__ import annotations

from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any
from weakref import ref

from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import (
    QMainWindow,
    QScrollArea,
    QSizePolicy,
    QStackedWidget,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from napari_phaset3m.gui.key_sheet import show_keys
from napari_phaset3m.gui.keys import help_key, keys_for
from napari_phaset3m.gui.panel_dock import as_panel
from napari_phaset3m.gui.project.bar import ProjectBar
from napari_phaset3m.gui.project.driver import project_for
from napari_phaset3m.gui.project.view import restore_view
from napari_phaset3m.gui.step_guide import StepGuide
from napari_phaset3m.gui.theme import PANEL_MAX_WIDTH, PANEL_MIN_WIDTH, follow_theme, rule, set_role
from napari_phaset3m.gui.tour import add_tour, offer_tour
from napari_phaset3m.gui.views import ViewsWidget, dock_of
from napari_phaset3m.gui.warm_up import WarmUp
from napari_phaset3m.gui.widgets.binding import follow
from napari_phaset3m.gui.widgets.scrolling import DownScroll
from napari_phaset3m.session import session_for

if TYPE_CHECKING:
    import napari.components

    from napari_phaset3m.project import Loaded

#: Step, module below gui and class of its panel, in the order of the guide.
PANELS = (
    ("Series", "series.panel", "SeriesPanel"),
    ("Prepare", "prepare.panel", "PreparePanel"),
    ("Align", "align.panel", "AlignPanel"),
    ("Microscope", "microscope.panel", "MicroscopePanel"),
    ("Reconstruct", "reconstruct.dock", "ReconstructDock"),
    ("Mask", "mask.panel", "MaskPanel"),
    ("Analyse", "analyse.panel", "AnalysePanel"),
)
#: Of a panel that is seen below what stands above it, px; the window then fits a screen of 768.
PAGE_MIN_HEIGHT = 200
VIEWS_TITLE = "PhaseT3M views"
_KEY, _SELF = "views", "workspace"


class Workspace(QWidget):
    """The dock on the right; brings the dock at the bottom along.

    Parameters
    ----------
    napari_viewer : napari.components.ViewerModel
    """

    def __init__(self, napari_viewer: napari.components.ViewerModel) -> None:
        super().__init__()
        self._viewer = napari_viewer
        self._session = session_for(napari_viewer)
        follow_theme(self, napari_viewer)  # for all the panels, which are then made in this style
        self._views: ViewsWidget | None = None
        self.setMinimumWidth(PANEL_MIN_WIDTH)
        self.setMaximumWidth(PANEL_MAX_WIDTH)
        # Else napari adds an empty stretch below, which takes more of the height in each further window.
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)
        self.project = project_for(self._session, napari_viewer)
        self.bar = ProjectBar(self.project)
        self.bar.keys_wanted.connect(self._on_keys)
        self.keys = keys_for(self._session, napari_viewer)
        help_key(self, self._on_keys)
        self.guide = StepGuide(self._session)
        self.views_button = self._make_views_button()
        self.guide.add_corner(self.views_button)
        self.stack = QStackedWidget()
        self.panels: list[QWidget | None] = [None] * len(PANELS)
        for _ in PANELS:
            self.stack.addWidget(_page())
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        for widget in (self.bar, rule(), self.guide, rule()):
            layout.addWidget(widget)
        layout.addWidget(self.stack, 1)
        self.tour = add_tour(self)
        self.guide.chosen.connect(self.show_step)
        self.project.opened.connect(self._on_opened)
        self._session.attachments[_SELF] = ref(self)
        as_panel(self, napari_viewer)
        self.show_step("Series" if self._session.active_run is None else "Reconstruct")
        follow(self._session.events.series, self._fit)
        follow(self._session.events.active_run, self._fit)
        QTimer.singleShot(0, self.show_views)
        self._warm_up = WarmUp(self)
        QTimer.singleShot(0, self._warm_up.start)
        QTimer.singleShot(0, partial(offer_tour, self))

    def _make_views_button(self) -> QToolButton:
        button = QToolButton()
        button.setText("Views")
        button.setCheckable(True)
        set_role(button, "toggle")
        button.setToolTip("Show or hide Fourier, plots and runs below the canvas")
        button.clicked.connect(self._on_views)
        return button

    def _fit(self) -> None:
        """Never so narrow that the names of the steps overlap; the font is known once shown."""
        wanted = max(PANEL_MIN_WIDTH, self.guide.minimumSizeHint().width())
        self.setMinimumWidth(min(wanted, PANEL_MAX_WIDTH))

    def show_step(self, step: int | str) -> None:
        """Bring the panel of a step (its name or place) to the front; made when first looked at."""
        index = step if isinstance(step, int) else [name for name, *_ in PANELS].index(step)
        if self.panels[index] is None:
            _, module, name = PANELS[index]
            panel = getattr(import_module(f"napari_phaset3m.gui.{module}"), name)(self._viewer)
            self.panels[index] = panel
            if hasattr(panel, "state_changed"):
                panel.state_changed.connect(self.guide.refresh)
            page = panel if isinstance(panel, QScrollArea) else _Scrolled(panel)
            self.stack.widget(index).layout().addWidget(page)
        self.stack.setCurrentIndex(index)
        self.guide.select(index)

    @property
    def step(self) -> str:
        """The step that is shown."""
        return PANELS[self.stack.currentIndex()][0]

    def _on_opened(self, loaded: Loaded | None) -> None:
        """Make the panels anew: they show what they were made with."""
        step, told = self.step, {} if loaded is None else loaded.project.view
        for index, panel in enumerate(self.panels):
            if panel is not None:
                self.panels[index] = None
                page = self.stack.widget(index).layout().takeAt(0).widget()
                page.setParent(None)
                page.deleteLater()
        steps = [name for name, *_ in PANELS]
        self.show_step("Series")
        wanted = told.get("step", step if loaded is not None else "Series")
        self.show_step(wanted if wanted in steps else "Series")
        if loaded is not None:  # after what the panels themselves have shown
            QTimer.singleShot(0, partial(self._restore_view, told))

    def _restore_view(self, told: dict[str, Any]) -> None:
        restore_view(self._viewer, self._session, told)
        driver = self._session.attachments.get("driver")
        results = [record for record in self._session.runs if record.volume is not None]
        if driver is not None and results:  # transform and slices of what was made last
            driver.pictures.look_again(results[-1])

    def showEvent(self, event: Any) -> None:
        """Learn which window the project belongs to."""
        super().showEvent(event)
        window = self.window()
        if isinstance(window, QMainWindow):
            self.project.watch_window(window)

    def _on_keys(self) -> None:
        show_keys(self._viewer)

    def keyPressEvent(self, event: Any) -> None:
        """Keys that nothing in the panels wanted."""
        if not self.keys.handle(event):
            super().keyPressEvent(event)

    def panel(self, step: str) -> QWidget | None:
        """Return the panel of a step, unless it was never looked at."""
        return self.panels[[name for name, *_ in PANELS].index(step)]

    def show_views(self) -> None:
        """Put the views below the canvas (no effect without a window)."""
        window = getattr(self._viewer, "window", None)
        if window is None:
            self.views_button.hide()
            return
        self._views = self._find_views() or ViewsWidget(self._viewer)
        self._session.attachments[_KEY] = ref(self._views)
        dock = dock_of(self._views)
        if dock is None:
            window.add_dock_widget(self._views, name=VIEWS_TITLE, area="bottom", add_vertical_stretch=False)
            dock = dock_of(self._views)
            _side_docks_keep_their_height(dock)
        if dock is not None:
            dock.show()
            dock.visibilityChanged.connect(self._on_visibility)
        self.views_button.setChecked(True)

    def _find_views(self) -> ViewsWidget | None:
        if self._views is not None:
            return self._views
        kept = self._session.attachments.get(_KEY)
        return kept() if kept is not None else None

    def _on_views(self, wanted: bool) -> None:
        dock = dock_of(self._views) if self._views is not None else None
        if wanted:
            self.show_views()
        elif dock is not None:
            dock.hide()

    def _on_visibility(self, visible: bool) -> None:
        shown = self._views is not None and dock_of(self._views) is not None and not self._views.isHidden()
        self.views_button.setChecked(shown and visible)

    def sizeHint(self) -> Any:
        """As wide as a panel may be."""
        hint = super().sizeHint()
        hint.setWidth(PANEL_MAX_WIDTH - 6)
        return hint


def _page() -> QWidget:
    """A place for a panel."""
    page = QWidget()
    QVBoxLayout(page).setContentsMargins(0, 0, 0, 0)
    return page


class _Scrolled(DownScroll):
    """A panel that scrolls as a whole where messages above it leave less of the height than it needs."""

    def minimumSizeHint(self) -> Any:
        """As wide as the panel and a bar beside it; a low panel is seen as a whole."""
        hint, panel = super().minimumSizeHint(), self.widget()
        if panel is not None:
            least, bar = panel.minimumSizeHint(), self.verticalScrollBar().sizeHint().width()
            hint.setWidth(max(panel.minimumWidth(), least.width()) + bar)
            hint.setHeight(min(least.height(), PAGE_MIN_HEIGHT))
        return hint


def _side_docks_keep_their_height(dock: QWidget | None) -> None:
    main = dock.parentWidget() if dock is not None else None
    if isinstance(main, QMainWindow):
        main.setCorner(Qt.Corner.BottomRightCorner, Qt.DockWidgetArea.RightDockWidgetArea)
        main.setCorner(Qt.Corner.BottomLeftCorner, Qt.DockWidgetArea.LeftDockWidgetArea)
