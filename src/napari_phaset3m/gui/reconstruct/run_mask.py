"""The mask that goes into runs, as the Reconstruct step shows it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QHBoxLayout, QPushButton, QWidget

from napari_phaset3m.gui.layers.volumes import expected_volume
from napari_phaset3m.gui.theme import ElidedLabel, label
from napari_phaset3m.gui.widgets.binding import follow
from napari_phaset3m.gui.widgets.numbers import show_volume
from napari_phaset3m.session import NamedMask, Session

if TYPE_CHECKING:
    from napari_phaset3m.core.series import TiltFocalSeries

#: Where the Mask step keeps what it works on.
_WORK = "mask work"


def note_mask(session: Session) -> None:
    """Write down name and recipe of the mask just taken, before the Mask step goes on to another."""
    work = session.attachments.get(_WORK)
    result = None if work is None or session.mask is None else work.result
    session.mask_name = work.source.name if work is not None and result is not None and work.source else ""
    session.mask_recipe = {} if result is None else result.as_dict()["recipe"]


def mask_in_use(session: Session, series: TiltFocalSeries) -> NamedMask | None:
    """The mask of runs of a series, with the voxels it has there; None when there is none."""
    if session.mask is None:
        return None
    shape, voxel = expected_volume(series, session.config)
    z, y, x = (n * voxel / m for n, m in zip(shape, session.mask.shape, strict=True))
    return NamedMask(session.mask, (z, y, x), session.mask_name, session.mask_recipe)


def mask_words(mask: NamedMask) -> tuple[str, str]:
    """Name and volume: ``("Mask: Multislice · co3o4", "12.3 nm³")``."""
    z, y, x = mask.voxel_size_angstrom
    volume = float(mask.mask.sum(dtype="f8")) * z * y * x / 1000.0
    return f"Mask: {mask.name}" if mask.name else "Mask", show_volume(volume, 3)


class RunMaskLine(QWidget):
    """Says which mask confines the runs, and takes it out; not there without one.

    Parameters
    ----------
    session : Session
    """

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session
        self.name, self.volume = ElidedLabel(), label()
        self.clear = QPushButton("Clear")
        self.clear.setToolTip(
            "Use no mask; in a run under way from its next sweep on. The Mask step keeps it"
        )
        self.clear.clicked.connect(self._on_clear)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.name, 1)
        layout.addWidget(self.volume)
        layout.addWidget(self.clear)
        for name in ("mask", "mask_name", "series", "config"):
            follow(session.events[name], self.refresh)
        self.refresh()

    def refresh(self) -> None:
        """Show what the session has."""
        series = self._session.series
        mask = None if series is None else mask_in_use(self._session, series)
        self.setVisible(mask is not None)
        if mask is not None:
            name, volume = mask_words(mask)
            self.name.set_full_text(name, f"{name}, {volume}. Nothing is left outside of it")
            self.volume.setText(volume)

    def _on_clear(self) -> None:
        self._session.mask = None
