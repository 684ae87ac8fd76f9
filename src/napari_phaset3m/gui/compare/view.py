"""Volumes side by side, blinking or subtracted, with their Fourier transforms and the numbers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.compat import isalive
from qtpy.QtCore import QTimer
from qtpy.QtGui import QHideEvent, QKeySequence, QShowEvent
from qtpy.QtWidgets import QHBoxLayout, QShortcut, QSizePolicy, QVBoxLayout

from napari_phaset3m.gui.canvas.owner import CanvasOwner
from napari_phaset3m.gui.compare.actions import CompareActions
from napari_phaset3m.gui.compare.canvas import CompareCanvas
from napari_phaset3m.gui.compare.controls import BLINK, DIFFERENCE, LETTERS, AlignRow, SlotRow, ViewRow
from napari_phaset3m.gui.compare.pane import Pane
from napari_phaset3m.gui.compare.peaks import ComparePeaks
from napari_phaset3m.gui.compare.set import CompareSet, Item
from napari_phaset3m.gui.compare.words import difference_title, number_lines
from napari_phaset3m.gui.layers.publisher import publisher_for
from napari_phaset3m.gui.theme import follow_theme, label
from napari_phaset3m.gui.widgets.binding import follow
from napari_phaset3m.session import session_for

if TYPE_CHECKING:
    import napari.components

INVITATION = "Choose two volumes: results of this window, 3D layers, or files."


class CompareView(CanvasOwner):
    """A window for the comparison of two to four volumes.

    Parameters
    ----------
    napari_viewer : napari.components.ViewerModel
        Whose session and layers are offered; its canvas is left alone.
    """

    canvas: CompareCanvas | None

    def __init__(self, napari_viewer: napari.components.ViewerModel) -> None:
        super().__init__()
        self._session = session_for(napari_viewer)
        self.set = CompareSet(self._session, publisher_for(self._session, napari_viewer), self)
        self.panes: list[Pane] = []
        self._difference: Pane | None = None
        self._turn = 0
        self.slots, self.controls, self.alignment = SlotRow(), ViewRow(), AlignRow()
        self.numbers, self.problem = label("", wrap=True), label("", "error", wrap=True)
        self.peaks = ComparePeaks()
        self.actions = CompareActions(self._session, self.set, self.alignment, self.peaks, self)
        self._build()
        self._blink = QTimer(self)
        self._blink.timeout.connect(self.blink)
        self._connect()
        follow_theme(self, napari_viewer)
        self._on_candidates()
        self._on_measured()
        self._start_with_newest()

    def _build(self) -> None:
        layout = QVBoxLayout(self)
        layout.setContentsMargins(6, 12, 6, 4)
        layout.setSpacing(4)
        layout.addWidget(self.slots)
        layout.addWidget(self.controls)
        middle = QHBoxLayout()
        middle.addLayout(self.place, 1)
        middle.addWidget(self.peaks)
        layout.addLayout(middle, 1)
        layout.addWidget(self.alignment)
        layout.addWidget(self.numbers)
        layout.addWidget(self.problem)
        self.problem.hide()
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setMinimumSize(480, 320)

    def _connect(self) -> None:
        self.slots.chosen.connect(self.set.choose)
        self.slots.file_wanted.connect(self._on_file)
        self.controls.arranged.connect(self._arrange)
        self.controls.adjusted.connect(self._adjust)
        self.controls.blinking.connect(self._on_blinking)
        self.controls.reset.connect(self._on_reset)
        self.alignment.chosen.connect(self.set.choose_turning)
        self.actions.wanted.connect(self._on_peak)
        self.set.chosen.connect(self._on_chosen)
        self.set.candidates_changed.connect(self._on_candidates)
        self.set.updated.connect(self._on_updated)
        self.set.measured.connect(self._on_measured)
        self.set.problem.connect(self._on_problem)
        QShortcut(QKeySequence("B"), self).activated.connect(self.blink)
        follow(self._session.run_removed, self._on_candidates)

    def compare(self, keys: list[str]) -> None:
        """Compare these (see :class:`compare_items.Candidate`), the first being the reference."""
        self.set.choose(keys)

    def showEvent(self, event: QShowEvent | None) -> None:
        """Build the canvas once the window has its shape, and catch up."""
        super().showEvent(event)
        QTimer.singleShot(0, self.catch_up)

    def hideEvent(self, event: QHideEvent | None) -> None:
        """Compute nothing and hold no textures while nobody looks."""
        self.set.active = False
        self.release()
        self._blink.stop()
        super().hideEvent(event)

    def release(self) -> None:
        """Give the canvas back, with its panes."""
        super().release()
        self.panes, self._difference = [], None

    def blink(self) -> None:
        """Go on to the next volume."""
        if self.controls.layouts.currentText() != BLINK or not self.panes:
            return
        self._turn = (self._turn + 1) % len(self.panes)
        self._show_turn()

    def catch_up(self) -> None:
        """Build the canvas if somebody looks, else take up the blinking again."""
        if not self.isVisible():
            return
        if self.canvas is None:
            self.hold(CompareCanvas(self.on_lost))
            self._prepare()
            return
        self.set.wake()
        self._on_blinking()

    def _prepare(self) -> None:
        """Make the columns one by one, then fill them."""
        if not isalive(self) or self.canvas is None:
            return
        if self.canvas.prepare(len(self.set.items)):
            QTimer.singleShot(0, self._prepare)
            return
        self._make_panes()
        self.set.wake()
        self._on_blinking()

    def _start_with_newest(self) -> None:
        ready = [c.key for c in self.set.candidates() if not c.problem and c.fetch() is not None]
        if len(ready) > 1:
            self.set.choose([ready[1], ready[0]])  # the older one is the reference

    def _make_panes(self) -> None:
        if self.canvas is None:
            return
        for pane in (*self.panes, *([self._difference] if self._difference is not None else [])):
            pane.put(None, None)
        self.panes = [Pane(number) for number in range(len(self.set.items))]
        self._difference = Pane(len(self.panes), signed=True)
        for pane, item in zip(self.panes, self.set.items, strict=True):
            pane.set_shot(item.shot)
        self._show_difference()
        self._turn = 0
        self._arrange()

    def _arrange(self) -> None:
        if self.canvas is None:
            return
        kind = self.controls.layouts.currentText()
        columns = [self.panes] if kind == BLINK else [[pane] for pane in self.panes]
        if kind == DIFFERENCE and len(self.panes) > 1 and self._difference is not None:
            columns = [*columns[:2], [self._difference]]
        for pane in self.panes:
            pane.set_shown(True)
        self.canvas.lay_out(
            columns, self.controls.view.currentText(), fourier=self.controls.fourier.isChecked()
        )
        self._set_span()
        self._adjust()
        self._show_turn()
        self._on_blinking()

    def _set_span(self) -> None:
        shots = [item.shot for item in self.set.items if item.shot is not None]
        if shots:
            voxels = [shot.content.voxel_size_angstrom for shot in shots]
            half = max(max(s.content.volume.shape) * v for s, v in zip(shots, voxels, strict=True)) / 2
            self.controls.set_span(half, min(voxels))

    def _adjust(self) -> None:
        if self.canvas is None:
            return
        controls = self.controls
        for pane in (*self.panes, self._difference):
            if pane is not None:
                pane.set_view(controls.view.currentText(), controls.position_angstrom, controls.percentile)
        self.canvas.update()

    def _titles(self) -> list[str]:
        named = [f"{letter}  {item.title}" for letter, item in zip(LETTERS, self.set.items, strict=False)]
        kind = self.controls.layouts.currentText()
        if kind == BLINK:
            return named[self._turn : self._turn + 1]
        return [*named[:2], difference_title(self._measured())] if kind == DIFFERENCE else named

    def _show_turn(self) -> None:
        if self.canvas is None:
            return
        if self.controls.layouts.currentText() == BLINK:
            for number, pane in enumerate(self.panes):
                pane.set_shown(number == self._turn)
        self.canvas.set_titles(self._titles())

    def _on_blinking(self) -> None:
        controls = self.controls
        if controls.layouts.currentText() == BLINK and controls.blink.isChecked() and self.isVisible():
            self._blink.start(controls.interval.value())
        else:
            self._blink.stop()

    def _on_reset(self) -> None:
        if self.canvas is not None:
            self.canvas.frame()

    def _on_peak(self, frequency: tuple[float, float, float], text: str) -> None:
        self.controls.fourier.setChecked(True)
        if self.canvas is not None:
            there = [self.set.frequency_in(item, frequency) for item in self.set.items]
            if self.controls.layouts.currentText() == DIFFERENCE:
                there = [*there[:2], frequency]  # the difference lies as A does
            self.canvas.fly_to(there[: len(self.canvas.columns)], text)

    def _on_file(self, path: str) -> None:
        self.set.open_file(Path(path))

    def _on_chosen(self) -> None:
        self._on_candidates()
        self._make_panes()
        self._on_measured()

    def _on_candidates(self) -> None:
        self.slots.offer(self.set.candidates(), [item.candidate.key for item in self.set.items])

    def _on_updated(self, key: str) -> None:
        # A picture may come between a choice and the panes made for it; these then show it anyway.
        if self.canvas is None or len(self.panes) != len(self.set.items):
            return
        first = not self.canvas.framed()
        for pane, item in zip(self.panes, self.set.items, strict=True):
            if item.candidate.key == key:
                pane.set_shot(item.shot)
        if first:
            self.canvas.frame()
        self._set_span()
        self.canvas.set_titles(self._titles())

    def _measured(self) -> Any:
        second: Item | None = self.set.items[1] if len(self.set.items) > 1 else None
        return None if second is None else self.set.numbers.get(second.candidate.key)

    def _show_difference(self) -> None:
        found = self._measured()
        if self._difference is not None:
            self._difference.set_shot(None if found is None else found.difference)

    def _on_measured(self) -> None:
        self._show_difference()
        lines = number_lines(self.set.items, self.set.numbers)
        self.numbers.setText("\n".join(lines) if lines else INVITATION)
        if self.canvas is not None:
            self.canvas.set_titles(self._titles())

    def _on_problem(self, text: str) -> None:
        self.problem.setText(text)
        self.problem.setVisible(bool(text))
