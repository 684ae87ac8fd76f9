"""Whether an MRC file is a volume: files of tilt series often lie beside one and bear its name."""

from __future__ import annotations

import json
from pathlib import Path

from napari_phaset3m.io.provenance import PROGRAM, provenance_path
from napari_phaset3m.io.volume import volume_format
from napari_phaset3m.io.volume_files import is_volume_label


def says_volume(path: Path) -> bool:
    """Whether something says that an MRC file is a volume.

    This program's label, or the record of a run beside it, says so. IMOD's suffix ``.rec`` does as well,
    unless tilt angles fit its sections: some name aligned stacks so.

    Raises
    ------
    DataError
        Its header cannot be read.
    """
    from napari_phaset3m.io.mrc import read_header, read_mrc

    if volume_format(path) != "mrc" or not path.is_file():
        return False
    header = read_header(path)
    if header.shape[0] == 1:  # a motion-corrected image has a record, too
        return False
    if any(map(is_volume_label, header.labels)) or _has_record(path):
        return True
    return path.suffix.lower() == ".rec" and read_mrc(path).fields.get("tilt_deg") is None


def _has_record(path: Path) -> bool:
    """Whether ``NAME.json`` is the record of the run that wrote this file."""
    try:
        known = json.loads(provenance_path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(known, dict) and known.get("program") == PROGRAM and known.get("file") == path.name
