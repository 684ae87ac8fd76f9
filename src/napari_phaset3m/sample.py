"""The sample series that ship with the package (made by resources/make_sample.py)."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from napari_phaset3m.errors import DataError

SampleName = Literal["co3o4", "hiv"]


def sample_path(name: SampleName = "co3o4") -> Path:
    """Path of a simulated sample series.

    Parameters
    ----------
    name : {"co3o4", "hiv"}
        co3o4: Co3O4 sphere of 20 Å, 31 tilts, 3 foci, 500 e/Å² per image. hiv: a mature HIV-like
        particle of 1120 Å in ice with spikes and a conical capsid, 41 tilts (±60°) of 3 e/Å², 3 µm
        underfocus, pixel 8 Å.

    Raises
    ------
    DataError
        The installation lacks the file.
    """
    path = Path(__file__).parent / "data" / f"{name}_sample.h5"
    if not path.is_file():
        raise DataError("the sample series is missing", path=path, remedy="Reinstall napari-phaset3m")
    return path


def _layers(name: SampleName) -> list[tuple[Any, dict[str, Any], str]]:
    from napari_phaset3m.io.napari_hooks import read_layers

    return read_layers(str(sample_path(name)))


def co3o4_sample() -> list[tuple[Any, dict[str, Any], str]]:
    """Layer data of the Co3O4 series, for napari's File ▸ Open Sample."""
    return _layers("co3o4")


def hiv_sample() -> list[tuple[Any, dict[str, Any], str]]:
    """Layer data of the HIV-like series, for napari's File ▸ Open Sample."""
    return _layers("hiv")
