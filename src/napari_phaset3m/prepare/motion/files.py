"""The corrected sum as a file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from napari_phaset3m.io.atomic import atomic_path
from napari_phaset3m.prepare.motion.result import MotionResult


def save_sum(result: MotionResult, path: Path, record: Mapping[str, Any]) -> None:
    """Write the image as MRC (mode 2, with its pixel size), and the record beside it as ``NAME.json``.

    Raises
    ------
    OutputError
        One could not be written, or NAME.json is the record of something else.
    """
    import mrcfile

    from napari_phaset3m.io.provenance import check_record, write_provenance

    check_record(path)
    with atomic_path(path, result.image.nbytes + 1024) as temporary, mrcfile.new(temporary) as mrc:
        mrc.set_data(np.ascontiguousarray(result.image, np.float32))
        if result.pixel_size_angstrom is not None:
            mrc.voxel_size = result.pixel_size_angstrom
        mrc.add_label("napari-phaset3m motion-corrected sum")
    write_provenance(path, record)
