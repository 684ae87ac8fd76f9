"""Which series a run was made of: told by the images themselves, as files of one name lie in many folders."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

from napari_phaset3m.core.series import TiltFocalSeries

if TYPE_CHECKING:
    from napari_phaset3m.session import Session
    from napari_phaset3m.session_records import RunRecord

#: Rows of each image that go into a mark: noise alone puts their extremes elsewhere in any two images.
_ROWS = 4


def mark_of(series: TiltFocalSeries) -> str:
    """What tells a series from others, however it is scaled: a digest of its shape, tilts and images.

    The pixel and the level of the images are not in it: they are completed or mended when a file is opened
    again. Of some rows of every image it takes where the highest and the lowest value are, which a factor
    leaves alone to the last bit (rounded values would flip), and of all rows together the contrast, to four
    digits.

    Parameters
    ----------
    series : TiltFocalSeries

    Returns
    -------
    str
        Hexadecimal. Takes 5 to 7 ms (the first one 16) for 131 tilts with 3 foci of 1024 x 1024 px.
    """
    ny = series.image_shape[0]
    numbers = np.unique(np.linspace(0, ny - 1, _ROWS + 2).astype(int)[1:-1])
    rows = np.asarray(series.images[:, :, numbers], np.float32)
    digest = hashlib.sha256(repr((series.images.shape, f"{_contrast(rows):.3e}")).encode())
    digest.update(np.ascontiguousarray(series.tilt_deg, "<f8").data)
    for places in (rows.argmax(axis=-1), rows.argmin(axis=-1)):
        digest.update(np.ascontiguousarray(places, "<i4").data)
    return digest.hexdigest()


def _contrast(rows: np.ndarray) -> float:
    """Standard deviation over mean, on average over the images; one without a level counts as 0."""
    mean = np.abs(rows.mean(axis=(2, 3), dtype=np.float64))
    deviation = rows.std(axis=(2, 3), dtype=np.float64)
    return float(np.divide(deviation, mean, out=np.zeros_like(mean), where=mean > 0).mean())


def is_of_open_series(session: Session, record: RunRecord) -> bool:
    """Whether a run was made of the series that is open, whatever was done to it since it was opened.

    A run of a project of an earlier version has no mark: its series' name decides, as it did then.
    """
    if session.series is None:
        return False
    if record.series_mark and session.series_mark:
        return record.series_mark == session.series_mark
    return record.series_name == session.series_name


def name_of_other(session: Session, record: RunRecord) -> str:
    """What to call the series of a run that is not the one that is open; empty when it has no name."""
    if record.series_name != session.series_name or not record.series_name:
        return record.series_name
    path = record.source.path
    if (
        path is not None
        and session.series_path is not None
        and path.resolve() == session.series_path.resolve()
    ):
        return f"{record.series_name} as it was read then, with other images or tilts than now"
    return f"another {record.series_name}" + (f", in {path.parent}" if path is not None else "")
