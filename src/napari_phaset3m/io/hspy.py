"""HyperSpy's .hspy, read with the guards of every HDF5 file here: no links, no objects, no pickles."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from napari_phaset3m.errors import DataError
from napari_phaset3m.io.axes import apply_axes, is_spectra
from napari_phaset3m.io.h5safe import open_h5, read_array
from napari_phaset3m.io.raw import RawSeries


def read_hspy(path: str | Path) -> RawSeries:
    """The first experiment of an ``.hspy``: images as they are, pixel size and tilts from its axes.

    Layout: HyperSpy's documentation, "HSpy - HyperSpy's HDF5 specification": ``Experiments/NAME/data`` and
    groups ``axis-0`` ... with name, scale, offset, units.

    Raises
    ------
    DataError
        Damaged, unsafe, or without images.
    """
    with open_h5(path) as file:
        group = _experiment(file, path)
        data = read_array(group, "data", path)
        if data is None or data.ndim not in (2, 3):
            raise DataError("holds no image or stack of images", path=path, field="data")
        raw = RawSeries(Path(path), data, metadata={"format": "hspy"})
        axes = [dict(group[f"axis-{k}"].attrs) for k in range(data.ndim) if f"axis-{k}" in group]
        plain = [{key: _plain(value) for key, value in axis.items()} for axis in axes]
        if is_spectra(plain):
            raise DataError("holds spectra, not images (an axis is in eV)", path=path, field="data")
        if len(axes) == data.ndim:
            apply_axes(raw, plain)
        energy = group.get("metadata/Acquisition_instrument/TEM")
        value = None if energy is None else energy.attrs.get("beam_energy")
        if value is not None and 0 < float(value) < 1e4:
            raw.fields["energy_ev"] = float(value) * 1e3
    return raw


def _experiment(file: Any, path: str | Path) -> Any:
    import h5py

    experiments = file.get("Experiments")
    for name in list(experiments)[:16] if isinstance(experiments, h5py.Group) else ():
        if not isinstance(experiments.get(name, getlink=True), h5py.HardLink):
            continue
        if isinstance(experiments[name], h5py.Group) and "data" in experiments[name]:
            return experiments[name]
    raise DataError("has no Experiments/NAME/data", path=path, remedy="Is it a HyperSpy .hspy file?")


def _plain(value: Any) -> Any:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value
