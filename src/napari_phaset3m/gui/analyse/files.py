"""What the analysis reads and writes on its own: volumes, cells, atoms."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QObject, Signal

from napari_phaset3m.gui.analyse.inputs import NamedModel, cell_text
from napari_phaset3m.gui.analyse.work import AnalyseWork
from napari_phaset3m.gui.error_words import one_line, tried, with_kind
from napari_phaset3m.gui.layers.publisher import LayerSpec
from napari_phaset3m.gui.layers.volumes import show_opened, turn_to_volume
from napari_phaset3m.gui.mask.sources import add_file
from napari_phaset3m.gui.worker import in_background
from napari_phaset3m.session import Session

if TYPE_CHECKING:
    from napari_phaset3m.io.volume import Volume


class AnalyseFiles(QObject):
    """Reads and writes in a worker thread.

    Parameters
    ----------
    session : Session
    work : AnalyseWork
    """

    #: (text, style role) for the line of the panel.
    said = Signal(str, str)
    opened = Signal(object)

    def __init__(self, session: Session, work: AnalyseWork) -> None:
        super().__init__()
        self._session, self._work = session, work
        self._show_cell: Callable[[str], None] | None = None

    def open_volume(self, path: Path) -> None:
        """Read a volume and show it."""
        self.said.emit(f"Opening {path.name} …", "muted")
        in_background(partial(tried, partial(_volume, path)), self._on_volume, self._on_crash)

    def open_cif(self, path: Path, show: Callable[[str], None]) -> None:
        """Read a cell; ``show`` gets it in words."""
        from napari_phaset3m.analyse.cell import read_cell

        self._show_cell = show
        in_background(partial(tried, partial(read_cell, path)), self._on_cell, self._on_crash)

    def open_model(self, path: Path) -> None:
        """Read known atoms."""
        in_background(partial(tried, partial(_model, path)), self._on_model, self._on_crash)

    def save_xyz(self, path: Path) -> None:
        """Write the atoms."""
        outcome = self._work.outcomes.get("atoms")
        if outcome is None or outcome.failed:
            return
        job = partial(_xyz, path, outcome.value, outcome.of)
        in_background(partial(tried, job), self._on_saved, self._on_crash)

    def _on_volume(self, answer: tuple[Any, Exception | None]) -> None:
        found, error = answer
        if error is not None:
            self._refuse(error)
            return
        volume, path, limits = found
        source = add_file(self._session, volume, path)
        self.said.emit("", "muted")
        self._show(volume, path, limits)
        self.opened.emit(source)

    def _show(self, volume: Volume, path: Path, limits: tuple[float, float]) -> None:
        spec = LayerSpec(
            data=volume.data, name=path.name, axis_labels=("z", "y", "x"),
            scale=(volume.voxel_size_angstrom,) * 3, translate=tuple(volume.origin),
            metadata={"role": "volume file", "path": str(path), "unit": volume.unit},
            limits=limits, looks={"colormap": "gray", "rendering": "mip"},
        )  # fmt: skip
        publisher = self._work.publisher
        turn_to_volume(publisher)
        layer = publisher.show(f"file:{path}", spec, exact=True)
        if layer is not None:
            layer.visible = True
            show_opened(publisher, layer)

    def _on_cell(self, answer: tuple[Any, Exception | None]) -> None:
        cell, error = answer
        if error is not None:
            self._refuse(error)
            return
        self.said.emit("", "muted")
        self._work.choose(cell=cell)
        if self._show_cell is not None:
            self._show_cell(cell_text(cell))

    def _on_model(self, answer: tuple[Any, Exception | None]) -> None:
        model, error = answer
        if error is not None:
            self._refuse(error)
            return
        self.said.emit(f"Model: {model.name}, {len(model.atoms.symbols)} atoms", "muted")
        self._work.choose(model=model)

    def _on_saved(self, answer: tuple[Any, Exception | None]) -> None:
        path, error = answer
        if error is not None:
            self._refuse(error)
        else:
            self.said.emit(f"Saved {path.name}", "good")

    def _on_crash(self, error: Exception) -> None:
        self.said.emit(with_kind(error), "error")
        if not isinstance(error, MemoryError):
            raise error

    def _refuse(self, error: Exception) -> None:
        self.said.emit(one_line(error), "error")


def _volume(path: Path) -> tuple[Volume, Path, tuple[float, float]]:
    from napari_phaset3m.io.volume import load_volume, require_cubic
    from napari_phaset3m.jobs.frames import display_limits

    volume = load_volume(path)
    require_cubic(path)
    return volume, path, display_limits(volume.data)


def _model(path: Path) -> NamedModel:
    from napari_phaset3m.simulate.specimens import read_xyz

    return NamedModel(path.name, read_xyz(path))


def _xyz(path: Path, found: Any, name: str) -> Path:
    from napari_phaset3m.io.xyz import save_xyz

    atoms = found.atoms
    more = np.stack([atoms.species.astype(float), atoms.intensity], axis=1)
    comment = f"{name}: x y z in angstrom from the rotation centre, species, intensity"
    return save_xyz(path, atoms.positions_angstrom, ["X"] * len(atoms), comment=comment, columns=more)
