"""What the import dialog does in worker threads: look, read one image, load and write."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.errors import PhaseT3MError
from napari_phaset3m.gui.widgets.field_words import in_import_words
from napari_phaset3m.io.import_config import ImportConfig
from napari_phaset3m.io.import_entry import ImageEntry
from napari_phaset3m.io.import_load import Loaded, LoadProgress, iterate_load
from napari_phaset3m.io.import_plan import ImportPlan
from napari_phaset3m.io.import_sources import Reader
from napari_phaset3m.io.importing import look, write
from napari_phaset3m.jobs import RunControl
from napari_phaset3m.prepare.outliers import mend

#: Longest side of the picture in the dialog, pixels.
PICTURE_PX = 768
_POLL_SECONDS = 0.2


@dataclass(frozen=True, eq=False)
class Imported:
    """The end of an import.

    Attributes
    ----------
    series : TiltFocalSeries
    path : Path or None
        The .h5 file it was written to.
    """

    series: TiltFocalSeries
    path: Path | None


def looked(token: int, paths: Sequence[Path]) -> tuple[int, ImportPlan | None, str]:
    """A plan, or why there is none; ``token`` comes back as it is."""
    try:
        return token, look(list(paths), ask=True), ""
    except (PhaseT3MError, OSError) as error:
        return token, None, in_import_words(error)


def picture_of(token: int, plan: ImportPlan, entry: ImageEntry) -> tuple[int, np.ndarray | None, int, str]:
    """One image for the dialog, `(ny // step, nx // step)` float32, averaged over ``step`` pixels."""
    try:
        image = Reader(plan).read(entry)
    except (PhaseT3MError, OSError, MemoryError) as error:
        return token, None, 1, in_import_words(error)
    step = max(1, -(-max(image.shape) // PICTURE_PX))
    ny, nx = (n // step for n in image.shape)
    blocks = image[: ny * step, : nx * step].reshape(ny, step, nx, step)
    return token, np.asarray(blocks.mean(axis=(1, 3)), np.float32), step, ""


def run_import(
    plan: ImportPlan,
    config: ImportConfig,
    path: Path | None,
    *,
    control: RunControl,
    dark_field: bool = False,
    outliers: bool = False,
) -> Iterator[LoadProgress | Imported]:
    """Load, and write ``NAME.toml`` and ``NAME.h5`` when a path is given; dark field is inverted.

    Yields
    ------
    LoadProgress, and Imported at last unless it was stopped
    """
    series: TiltFocalSeries | None = None
    overrides = {"dark_field": True} if dark_field else {}
    events: Any = iterate_load(plan, config, overrides=overrides, mend=mend if outliers else None)
    try:
        for event in events:
            if isinstance(event, Loaded):
                series = event.series
            else:
                yield LoadProgress(event.text, 0.9 * event.fraction)
            while control.wait_while_paused(_POLL_SECONDS):
                pass
            if control.stopped:
                return
    finally:
        events.close()
    if series is None:
        return
    written = None
    if path is not None:
        yield LoadProgress(f"Writing {path.stem}.h5", 0.95)
        if control.stopped:
            return
        _, written = write(plan, path, config=config, series=series)
    yield Imported(series, written)
