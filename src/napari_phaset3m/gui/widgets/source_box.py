"""The volumes that a step can work on, in a drop-down box."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_phaset3m.gui.mask.sources import MaskSource, sources

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from qtpy.QtWidgets import QComboBox

    from napari_phaset3m.session import Session


class SourceBox:
    """Keeps a box in step with the results, previews, files and layers that there are.

    Parameters
    ----------
    box : QComboBox
        Shows them; which one is chosen is the panel's matter.
    session : Session
    viewer : napari.components.ViewerModel

    Attributes
    ----------
    found : list of MaskSource
        As they were when they were read last; newest results first.
    """

    def __init__(self, box: QComboBox, session: Session, viewer: ViewerModel) -> None:
        self._box, self._session, self._viewer = box, session, viewer
        self.found: list[MaskSource] = []

    def read(self) -> None:
        """Look again; the box is filled anew only where there are others than before."""
        found = sources(self._session, self._viewer)
        if [(s.key, s.name) for s in found] != [(s.key, s.name) for s in self.found]:
            blocked = self._box.blockSignals(True)
            self._box.clear()
            for source in found:
                self._box.addItem(source.name, source.key)
            self._box.blockSignals(blocked)
        self.found = found

    def show(self, chosen: MaskSource | None, tip: str) -> None:
        """Show which one is chosen."""
        self._box.setCurrentIndex(-1 if chosen is None else self._box.findData(chosen.key))
        self._box.setToolTip(tip)

    def at(self, index: int) -> MaskSource | None:
        """The one in a place of the box."""
        return self.found[index] if 0 <= index < len(self.found) else None

    def same(self, known: MaskSource | None) -> MaskSource | None:
        """What a source is now; None where it is gone."""
        return next((s for s in self.found if known is not None and s.key == known.key), None)

    @property
    def first(self) -> MaskSource | None:
        """The first of all."""
        return self.at(0)

    @property
    def newest_result(self) -> MaskSource | None:
        """The first that is no live preview."""
        return next((source for source in self.found if not source.live), None)
