"""The Microscope step: defocus and astigmatism from the images, judged by their Thon rings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QDoubleSpinBox,
    QGridLayout,
    QHBoxLayout,
    QPushButton,
    QTabBar,
    QVBoxLayout,
    QWidget,
)

from napari_phaset3m.gui.align.widgets import enable, tool
from napari_phaset3m.gui.microscope.ctf_view import TITLE, CtfView
from napari_phaset3m.gui.microscope.ctf_words import in_nm, words
from napari_phaset3m.gui.microscope.ctf_work import DOUBTFUL, TOPIC, CtfWork, ctf_work_for
from napari_phaset3m.gui.optimise.panel import OptimisePanel
from napari_phaset3m.gui.panel_dock import ScrollPanel, as_panel
from napari_phaset3m.gui.plots.tilt_plot import PicturePlot
from napari_phaset3m.gui.steps.driver import NO_SERIES
from napari_phaset3m.gui.steps.history_list import HistoryList, undo_keys
from napari_phaset3m.gui.steps.image_nav import ImageNav
from napari_phaset3m.gui.steps.job_bar import JobBar
from napari_phaset3m.gui.theme import (
    GROUP_SPACING,
    LINE_SPACING,
    label,
    rule,
    set_role,
)
from napari_phaset3m.gui.view_tab import bring_up, tab_of
from napari_phaset3m.gui.widgets.binding import follow
from napari_phaset3m.gui.widgets.calm_wheel import calm_wheel
from napari_phaset3m.gui.widgets.editors import Fold
from napari_phaset3m.gui.widgets.model_form import ModelForm

if TYPE_CHECKING:
    import napari.components

#: Height of the picture of the rings, px.
_RINGS = 210


class MicroscopePanel(ScrollPanel):
    """Fit, look, correct, apply; works alone and in the workspace.

    Parameters
    ----------
    napari_viewer : napari.components.ViewerModel
    """

    state_changed = Signal()

    def __init__(self, napari_viewer: napari.components.ViewerModel) -> None:
        super().__init__(napari_viewer)
        self.work: CtfWork = ctf_work_for(self._session, napari_viewer)
        self._build()
        self._connect()
        as_panel(self, napari_viewer)
        self._refresh()
        self.work.request()

    def _build(self) -> None:
        self.nav = ImageNav(self._session, self.work.publisher)
        self.form = ModelForm(self.work.config)
        self.fold = Fold("Settings of the fit", self.form)
        self.fit = QPushButton("Fit defocus")
        self.fit.setMinimumHeight(30)
        self.bar = JobBar(self.work.driver, TOPIC)
        self.rings = PicturePlot(square=True)
        self.rings.setFixedHeight(_RINGS)
        self.rings.title.setText("measured  |  fitted")
        self.rings.title.setAlignment(Qt.AlignmentFlag.AlignHCenter)
        self.numbers = label("", wrap=True)
        self.numbers.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.note = label("", "warning", wrap=True)
        self.apply, self.revert = QPushButton("Apply"), QPushButton("Drop fit")
        self.history = HistoryList(self._session)
        inside = QWidget()
        layout = QVBoxLayout(inside)
        layout.setContentsMargins(8, 8, 8, 8)
        layout.setSpacing(GROUP_SPACING)
        layout.addWidget(self.nav)
        layout.addWidget(self.fold)
        ends = QHBoxLayout()
        ends.setSpacing(6)
        for button in (self.fit, self.apply, self.revert):
            ends.addWidget(button, 1)
        layout.addLayout(ends)
        for widget in (self.bar, self.rings, self.numbers, self.note):
            layout.addWidget(widget)
        layout.addLayout(self._hand())
        layout.addWidget(rule())
        layout.addWidget(self.history)
        layout.addStretch(1)
        self._add_tabs(inside)

    def _add_tabs(self, inside: QWidget) -> None:
        self._inside = inside
        self._optimise: OptimisePanel | None = None
        self.tabs, whole = QTabBar(), QWidget()
        self._column = QVBoxLayout(whole)
        self._column.setContentsMargins(0, 0, 0, 0)
        self._column.setSpacing(0)
        # Not a tab widget: it would make the shorter page as high as the other.
        for widget in (self.tabs, inside):
            self._column.addWidget(widget)
        for title in ("Defocus / CTF", "Optimise"):
            self.tabs.addTab(title)
        self.tabs.setDrawBase(False)
        self.tabs.currentChanged.connect(self._on_tab)
        self._on_tab(0)
        self.setWidget(whole)

    @property
    def optimise(self) -> OptimisePanel:
        """The page of the optimiser, made when first looked at: with it the panel would hold the window."""
        if self._optimise is None:
            self._optimise = OptimisePanel(self._viewer)
            self._optimise.hide()
            calm_wheel(self._optimise)
            self._column.addWidget(self._optimise)
        return self._optimise

    def _on_tab(self, index: int) -> None:
        self._inside.setVisible(index == 0)
        if index == 1 or self._optimise is not None:
            self.optimise.setVisible(index == 1)
        if self.isVisible():
            bring_up(self, self._view_of_page)

    def _hand(self) -> QGridLayout:
        self.defocus = QDoubleSpinBox()
        self.defocus.setRange(-1e5, 1e5)
        self.defocus.setDecimals(1)
        self.defocus.setSingleStep(1.0)
        self.defocus.setSuffix(" nm")
        self.defocus.setKeyboardTracking(False)
        self.neighbours = QPushButton("From neighbours")
        self.undo = tool("↶")
        self.next = QPushButton("Next doubtful")
        grid = QGridLayout()
        grid.setHorizontalSpacing(6)
        grid.setVerticalSpacing(LINE_SPACING)
        grid.setColumnStretch(1, 1)
        grid.addWidget(label("Defocus"), 0, 0)
        grid.addWidget(self.defocus, 0, 1)
        grid.addWidget(self.undo, 0, 2)
        row = QHBoxLayout()
        row.setSpacing(6)
        row.addWidget(self.neighbours)
        row.addWidget(self.next)
        grid.addLayout(row, 1, 0, 1, 3)
        return grid

    def _connect(self) -> None:
        work = self.work
        self.form.edited.connect(self._on_config)
        self.form.refused.connect(self._refresh)
        self.fit.clicked.connect(work.fit)
        self.defocus.valueChanged.connect(self._on_defocus)
        self.neighbours.clicked.connect(self._on_neighbours)
        self.undo.clicked.connect(work.undo)
        self.next.clicked.connect(self._on_next)
        self.apply.clicked.connect(work.apply)
        self.revert.clicked.connect(work.revert)
        for signal in (work.changed, work.drawn, work.driver.changed):
            signal.connect(self._refresh)
        undo_keys(self, self._on_undo, self._on_redo)
        events = self._session.events
        for event in (events.series, events.shown_image, events.active_run):
            follow(event, self._refresh)

    def _on_undo(self) -> None:
        if self.work.can_undo:
            self.work.undo()
        elif not self.work.driver.busy:
            self._session.undo()

    def _on_redo(self) -> None:
        if not self.work.driver.busy:
            self._session.redo()

    def _on_config(self, config: Any) -> None:
        self.work.config = config
        self.work.request()

    def _on_defocus(self, value: float) -> None:
        self.work.edit(*self.work.place(), 10 * value)

    def _on_neighbours(self) -> None:
        self.work.from_neighbours(*self.work.place())

    def _on_next(self) -> None:
        found, here = self.work.outliers(), self.work.place()
        if found:
            after = found.index(here) + 1 if here in found else 0
            self._session.shown_image = found[after % len(found)]

    # showing

    def _refresh(self, *_: object) -> None:
        work, why = self.work, self.work.why_not_fit()
        refused = self.form.problem.text()
        enable(self.fit, why or refused, "Fit every image; the series changes when you apply it")
        hand = work.why_not_apply() if work.result is None or work.driver.busy else ""
        for widget, tip in (
            (
                self.defocus,
                "Underfocus positive, at the rotation centre, nm; the fitted half of the rings follows",
            ),
            (self.neighbours, "Median of the nearest tilts of this focus"),
        ):
            enable(widget, hand, tip)
        enable(self.undo, hand or ("" if work.can_undo else "No correction to undo"), "Undo the correction")
        doubtful = len(work.outliers())
        none = hand or ("" if doubtful else "No image is doubtful")
        enable(self.next, none, f"{doubtful} images are far from their neighbours or poorly fitted")
        self.next.setText(f"Next doubtful ({doubtful})" if doubtful else "Next doubtful")
        enable(
            self.apply, work.why_not_apply(), "Write defocus and astigmatism into the series (can be undone)"
        )
        enable(self.revert, hand, "Drop the fit; the series stays as it is")
        self.nav.setVisible(self._session.series is not None)
        self._refresh_rings()
        self.state_changed.emit()

    def _refresh_rings(self) -> None:
        work, image = self.work, self.work.shown()
        picture = work.picture
        self.rings.setVisible(picture is not None)
        if picture is not None:
            half = picture.step_per_angstrom * picture.measured.shape[0] / 2
            data = np.nan_to_num(picture.halves(), nan=0.0)
            self.rings.show_picture(data, (-half, -half, 2 * half, 2 * half), (-0.25, 1.25))
            self.rings.title.setText(f"measured  |  fitted      edge {1 / half:.2f} Å")
        self.numbers.setText(words(image) if image is not None else "")
        missing = NO_SERIES if self._session.series is None else work.error
        if image is not None and not missing and work.result is not None:
            missing = in_nm(image.note) if image.confidence < DOUBTFUL or image.method != "thon" else ""
        set_role(self.note, "muted" if self._session.series is None else "warning")
        self.note.setText(missing)
        self.note.setVisible(bool(missing))
        blocked = self.defocus.blockSignals(True)
        known = image is not None and np.isfinite(image.defocus_angstrom)
        self.defocus.setValue(image.defocus_angstrom / 10 if image is not None and known else 0.0)
        self.defocus.blockSignals(blocked)

    def view(self) -> CtfView | None:
        """The plots below the canvas; None where there is no window."""
        found = tab_of(self._session, self._viewer, TITLE, lambda: CtfView(self._session, self.work))
        assert found is None or isinstance(found, CtfView)
        return found

    def showEvent(self, event: Any) -> None:
        """Bring the plots to the front."""
        super().showEvent(event)
        self.work.request()
        bring_up(self, self._view_of_page)

    def _view_of_page(self) -> CtfView | None:
        return self.view() if self.tabs.currentIndex() == 0 else None
