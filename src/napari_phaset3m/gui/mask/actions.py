"""What is done with a finished mask: reconstruction, analysis, crop, files."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, Signal

from napari_phaset3m.analyse.masks import Combine, Recipe
from napari_phaset3m.errors import DataError, PhaseT3MError
from napari_phaset3m.gui.error_words import one_line, tried
from napari_phaset3m.gui.layers.publisher import LayerSpec
from napari_phaset3m.gui.layers.volumes import show_opened
from napari_phaset3m.gui.mask.compute import fitting
from napari_phaset3m.gui.mask.sources import MaskSource, add_file
from napari_phaset3m.gui.mask.work import MaskWork
from napari_phaset3m.gui.worker import in_background
from napari_phaset3m.session import NamedMask, Session

if TYPE_CHECKING:
    from napari_phaset3m.analyse.masks_make import MaskResult
    from napari_phaset3m.io.volume import Volume

VOLUME_FILES = "Volumes (*.mrc *.map *.rec *.tif *.tiff *.h5 *.hdf5);;OME-Zarr (*.zarr);;All files (*)"
SAVE_FILES = "MRC (*.mrc);;TIFF (*.tif);;HDF5 (*.h5);;OME-Zarr (*.ome.zarr)"
LOAD_FILES = "Masks and recipes (*.mrc *.map *.tif *.tiff *.h5 *.yaml *.yml *.json);;All files (*)"


class MaskActions(QObject):
    """Uses, saves and loads the mask of a session; files are read and written in a worker thread.

    Parameters
    ----------
    session : Session
    work : MaskWork
    """

    #: (text, style role) for the line below the buttons.
    said = Signal(str, str)
    opened = Signal(object)

    def __init__(self, session: Session, work: MaskWork) -> None:
        super().__init__()
        self._session, self._work = session, work
        #: The results that are in use, to tell whether they are the ones shown.
        self.in_reconstruction: MaskResult | None = None

    def use_in_reconstruction(self) -> None:
        """Confine the run that is under way, from its next sweep on, and those to come."""
        from napari_phaset3m.reconstruct.forecast import result_grid

        session, work = self._session, self._work
        if work.result is None or work.source is None or session.series is None:
            return
        record = session.run(session.active_run)
        try:
            shape, voxel = result_grid(session.series, record.config if record else session.config)
            mask = fitting(work.result, work.source.live, shape, voxel)
        except PhaseT3MError as error:
            self._refuse(error)
            return
        self.in_reconstruction = work.result
        session.mask = mask
        when = "acts from the next sweep on" if record else "goes into the next run"
        self.said.emit(f"The mask {when}.", "good")

    def use_for_analysis(self) -> None:
        """Confine what is analysed."""
        result, source = self._work.result, self._work.source
        if result is None or source is None:
            return
        self._session.analysis_mask = NamedMask(
            result.mask, result.voxel_size_angstrom, f"mask of {source.name}", result.as_dict()["recipe"]
        )
        self.said.emit("Analysis is confined to the mask.", "good")

    def clear(self) -> None:
        """Forget the steps, and take the mask out of reconstruction and analysis."""
        self._work.set_steps(())
        running = self._session.mask is not None and self._session.active_run is not None
        self.in_reconstruction = None
        self._session.mask = self._session.analysis_mask = None
        self.said.emit("No mask from the next sweep on." if running else "No mask is used.", "muted")

    def save(self, path: Path) -> None:
        """Write the mask with its recipe."""
        self._write(_save_mask, path)

    def crop(self, path: Path) -> None:
        """Write the volume times the mask, cut to it, and show it."""
        self._write(_save_crop, path)

    def open_volume(self, path: Path) -> None:
        """Read a volume to make a mask of."""
        self.said.emit(f"Opening {path.name} …", "muted")
        in_background(partial(tried, partial(_open, path)), self._on_opened, self._on_crash)

    def load(self, path: Path) -> None:
        """Take over the recipe of a mask or file; a mask without one becomes a step itself."""
        self.said.emit(f"Loading {path.name} …", "muted")
        in_background(partial(tried, partial(_load, path)), self._on_loaded, self._on_crash)

    def _write(self, write: Any, path: Path) -> None:
        result, source = self._work.result, self._work.source
        if result is None or source is None or self._work.preview:
            return
        job = partial(write, result, source, path)
        self.said.emit("Saving …", "muted")
        in_background(partial(tried, job), self._on_written, self._on_crash)

    def _on_written(self, outcome: tuple[Any, Exception | None]) -> None:
        done, error = outcome
        if error is not None:
            self._refuse(error)
            return
        path, volume = done
        if volume is not None:
            self._show(volume, path)
        self.said.emit(f"Saved {path.name}", "good")

    def _on_opened(self, outcome: tuple[Any, Exception | None]) -> None:
        volume, error = outcome
        if error is not None:
            self._refuse(error)
            return
        path = Path(volume.metadata["source"])
        source = add_file(self._session, volume, path)
        self._show(volume, path)
        self.said.emit("", "muted")
        self.opened.emit(source)

    def _on_loaded(self, outcome: tuple[Any, Exception | None]) -> None:
        loaded, error = outcome
        if error is not None:
            self._refuse(error)
            return
        path, steps = loaded
        try:
            self._work.set_steps(steps)
        except PhaseT3MError as refused:
            self._refuse(refused)
            return
        count = len(steps)
        self.said.emit(f"{path.name}: {count} step{'' if count == 1 else 's'} taken over", "good")

    def _on_crash(self, error: Exception) -> None:
        self._refuse(error)
        if not isinstance(error, MemoryError):
            raise error

    def _refuse(self, error: Exception) -> None:
        self.said.emit(one_line(error), "error")

    def _show(self, volume: Volume, path: Path) -> None:
        from napari_phaset3m.jobs.frames import display_limits

        edge = (volume.voxel_size_angstrom,) * 3
        spec = LayerSpec(
            data=volume.data,
            name=path.name,
            axis_labels=("z", "y", "x"),
            scale=edge,
            translate=volume.origin,
            metadata={"role": "volume", "path": str(path), "unit": volume.unit},
            limits=display_limits(volume.data),
            looks={"colormap": "gray", "rendering": "mip"},
        )
        publisher = self._work.publisher
        layer = publisher.show(f"file:{path}", spec, exact=True)
        if layer is not None:
            layer.visible = True
            show_opened(publisher, layer)


def _open(path: Path) -> Volume:
    from dataclasses import replace

    from napari_phaset3m.io.volume import load_volume, require_cubic

    volume = load_volume(path)
    require_cubic(path)
    return replace(volume, metadata={**volume.metadata, "source": str(path)})


def _load(path: Path) -> tuple[Path, tuple[Any, ...]]:
    import json

    from napari_phaset3m.io.mask import load_mask
    from napari_phaset3m.io.volume import volume_format

    if volume_format(path) is not None:
        recipe = load_mask(path).recipe
        return path, Recipe.parse(**recipe).steps if recipe else (Combine(path=str(path)),)
    if path.suffix == ".json":
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise DataError(f"cannot be read as JSON ({error})", path=path) from None
        if isinstance(record, dict) and isinstance(record.get("recipe"), dict):
            return path, Recipe.parse(**record["recipe"]).steps
    return path, Recipe.load(path).steps


def _edge(source: MaskSource) -> float:
    if max(source.voxel) / min(source.voxel) > 1.001:
        size = " x ".join(f"{v:g}" for v in reversed(source.voxel))
        raise DataError(
            f"has voxels of {size} Å (x, y, z); files here have cubic ones",
            field="voxel_size", remedy="Resample the volume",
        )  # fmt: skip
    return source.voxel[0]


def _save_mask(result: MaskResult, source: MaskSource, path: Path) -> tuple[Path, None]:
    from napari_phaset3m.io.mask import save_mask

    told = {key: value for key, value in result.as_dict().items() if key != "recipe"}
    save_mask(
        path, result.mask, _edge(source), origin=source.origin, recipe=result.recipe, source=source.path,
        made_of=source.name, **told,
    )  # fmt: skip
    return path, None


def _save_crop(result: MaskResult, source: MaskSource, path: Path) -> tuple[Path, Volume]:
    from napari_phaset3m.io.mask import crop_to_mask, mask_sha256
    from napari_phaset3m.io.provenance import provenance
    from napari_phaset3m.io.volume import Volume, save_volume

    edge = _edge(source)
    whole = Volume(data=source.data, voxel_size_angstrom=edge, unit=source.unit, origin=source.origin)
    cut = crop_to_mask(whole, result.mask)
    record = provenance(
        source.path, None, None, kind="crop", made_of=source.name, recipe=result.recipe,
        mask_sha256=mask_sha256(result.mask), origin_angstrom_zyx=cut.origin,
    )  # fmt: skip
    save_volume(cut, path, record)
    return path, cut
