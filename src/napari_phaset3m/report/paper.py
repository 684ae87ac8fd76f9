"""The publication figure and films of a volume, to files with their provenance inside."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from napari_phaset3m.analyse.figures.publication import (
    FORMATS,
    PAPER_DPI,
    FigureSettings,
    figure_publication,
    paper,
    publication_bytes,
)
from napari_phaset3m.analyse.figures.style import need_matplotlib
from napari_phaset3m.analyse.film.frames import Film
from napari_phaset3m.analyse.fsc import fsc
from napari_phaset3m.errors import DataError, OutputError
from napari_phaset3m.io.atomic import atomic_path
from napari_phaset3m.io.film import write_film
from napari_phaset3m.io.provenance import jsonable

Show = Callable[[str, float], None]


def _quiet(text: str, part: float) -> None:
    """Tell nobody."""


def require_figure(path: Path) -> None:
    """Refuse a figure that could not be written.

    Raises
    ------
    OutputError
        The suffix is unknown.
    ConfigError
        matplotlib is not installed.
    """
    need_matplotlib()
    if path.suffix.lower() not in FORMATS:
        raise OutputError(f"{path}: unknown suffix. Use {', '.join(FORMATS)}")


def figure_bytes(
    volume: np.ndarray,
    voxel_size_angstrom: float,
    settings: FigureSettings,
    suffix: str = ".png",
    *,
    unit: str = "V",
    tilt_range_deg: tuple[float, float] | None = None,
    halves: tuple[np.ndarray, np.ndarray] | None = None,
    record: Mapping[str, Any] | None = None,
    show: Show = _quiet,
) -> bytes:
    """The figure as the bytes of a file; parameters as :func:`.figure_publication` has them.

    Parameters
    ----------
    halves : tuple of ndarray, optional
        Two volumes of the volume's shape, for the FSC.
    record : mapping, optional
        Provenance, into the file's metadata.

    Raises
    ------
    DataError
        The halves are of another shape.
    ConfigError
        matplotlib is not installed, or a setting is not possible.
    """
    need_matplotlib()
    curve = None
    if halves is not None and "fsc" in settings.panels:
        if any(half.shape != volume.shape for half in halves):
            raise DataError("are of another shape than the volume", field="halves")
        show("correlating the halves", 0.0)
        curve = fsc(*halves, voxel_size_angstrom)
    text = json.dumps(jsonable(dict(record or {})), ensure_ascii=True)
    with paper(settings):
        figure = figure_publication(
            volume,
            voxel_size_angstrom,
            settings,
            unit=unit,
            tilt_range_deg=tilt_range_deg,
            fsc=curve,
            show=show,
        )
        return publication_bytes(figure, suffix, text)


def save_figure(path: Path, *args: Any, **kwargs: Any) -> Path:
    """Write the figure, atomically; what follows ``path`` is as for :func:`figure_bytes`.

    Raises
    ------
    OutputError, ConfigError, DataError
    """
    require_figure(path)
    kwargs["suffix"] = path.suffix.lower()
    data = figure_bytes(*args, **kwargs)
    with atomic_path(path, len(data)) as temporary:
        temporary.write_bytes(data)
    return path


def save_film(
    film: Film,
    path: Path,
    *,
    frames_per_second: float = 15.0,
    record: Mapping[str, Any] | None = None,
    show: Show = _quiet,
) -> Path:
    """Draw and write a film, as :func:`.write_film` does."""
    return write_film(film, film.count, path, frames_per_second=frames_per_second, record=record, show=show)


__all__ = [
    "FORMATS",
    "PAPER_DPI",
    "FigureSettings",
    "figure_bytes",
    "require_figure",
    "save_figure",
    "save_film",
]
