"""The sample series that ships with the package (made by resources/make_sample.py)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from napari_phaset3m.errors import DataError


def sample_path() -> Path:
    """Path of the Co3O4 sample series: 20 Å sphere, 31 tilts, 3 foci, 500 e/Å² per image, simulated.

    Raises
    ------
    DataError
        The installation lacks the file.
    """
    path = Path(__file__).parent / "data" / "co3o4_sample.h5"
    if not path.is_file():
        raise DataError("the sample series is missing", path=path, remedy="Reinstall napari-phaset3m")
    return path


def co3o4_sample() -> list[tuple[Any, dict[str, Any], str]]:
    """Layer data of the sample series, for napari's File ▸ Open Sample."""
    from napari_phaset3m.io.napari_hooks import read_layers

    return read_layers(str(sample_path()))
