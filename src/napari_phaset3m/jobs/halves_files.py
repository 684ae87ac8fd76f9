"""Half volumes and their Fourier shell correlation on disk, with where they come from."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from napari_phaset3m.analyse.fsc_curve import FscCurve
from napari_phaset3m.core.backend import Device
from napari_phaset3m.errors import OutputError
from napari_phaset3m.reconstruct.events import Finished

PathLike = str | os.PathLike[str]


class HalvesFiles:
    """Where the results of both halves go: beside a volume ``VOL.mrc``.

    ``VOL_half1.mrc`` and ``VOL_half2.mrc``, each with its ``.json``; ``VOL_fsc.csv`` and ``VOL_fsc.json``.

    Parameters
    ----------
    output : path-like
        A volume's name; its suffix chooses the format. It is not written itself.
    series_path : path-like, sequence of path-like or None
        The input, named with its SHA-256.
    device : Device

    Raises
    ------
    OutputError
        The suffix is no volume format, or the folder is missing.
    """

    def __init__(
        self, output: PathLike, series_path: PathLike | Sequence[PathLike] | None, device: Device
    ) -> None:
        from napari_phaset3m.io.provenance import provenance_path
        from napari_phaset3m.io.volume import volume_format

        path = Path(output)
        if volume_format(path) is None:
            raise OutputError(f"{path}: is no volume format. Use .mrc, .tif, .h5 or .ome.zarr")
        if not path.parent.is_dir():
            raise OutputError(f"{path.parent}: is no folder. Make it first")
        stem = provenance_path(path).with_suffix("")
        self._stem, self._suffix = stem, path.name[len(stem.name) :]
        self._series, self._device = series_path, device
        self.written: list[Path] = []

    def _named(self, part: str, suffix: str) -> Path:
        return self._stem.with_name(f"{self._stem.name}_{part}{suffix}")

    def save_half(self, half: int, done: Finished, config: Any, **extra: Any) -> None:
        """Write one half's volume and provenance; raises :class:`OutputError`."""
        from napari_phaset3m.io.provenance import provenance
        from napari_phaset3m.io.volume import Volume, save_volume

        record = provenance(
            self._series, config, self._device,
            half=half + 1, reason=done.reason, unit=done.unit,
            resolved=done.settings.get("resolved", {}),
            voxel_size_angstrom=done.voxel_size_angstrom, volume_shape_zyx=done.volume.shape,
            error_per_iteration=[s.error for s in done.sweeps],
            held_out_error_per_iteration=[s.held_out_error for s in done.sweeps],
            seconds_per_iteration=[s.seconds for s in done.sweeps],
            peak_memory_bytes=max((s.memory_bytes for s in done.sweeps), default=0),
            **extra,
        )  # fmt: skip
        volume = Volume(data=done.volume, voxel_size_angstrom=done.voxel_size_angstrom, unit=done.unit)
        self.written.append(save_volume(volume, self._named(f"half{half + 1}", self._suffix), record))

    def save_curve(self, curve: FscCurve, config: Any, **extra: Any) -> None:
        """Write the curve as a table and, with its resolutions and provenance, as JSON."""
        from napari_phaset3m.io.atomic import write_text
        from napari_phaset3m.io.provenance import jsonable, provenance

        table, record = self._named("fsc", ".csv"), self._named("fsc", ".json")
        rows = curve.rows()
        text = io.StringIO()
        writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        write_text(table, text.getvalue())
        content = provenance(self._series, config, self._device, fsc=curve.as_dict(), **extra)
        write_text(
            record, json.dumps(jsonable(content), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
        )
        self.written += [table, record]
