"""What a person changed in a series after it was read, as plain data that can be replayed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.errors import DataError
from napari_phaset3m.io.raw import FIELDS


def series_edits(read: TiltFocalSeries, edited: TiltFocalSeries) -> dict[str, Any] | None:
    """Fields of ``edited`` that differ from what was read.

    Returns
    -------
    dict or None
        Values by field (:data:`raw.FIELDS`), in JSON types, None for one that was emptied;
        None when the images are not those that were read.

    See Also
    --------
    apply_edits
    """
    if edited.images.shape != read.images.shape or not np.may_share_memory(edited.images, read.images):
        return None
    pairs = {name: (getattr(read, name), getattr(edited, name)) for name in FIELDS}
    return {name: _plain(new) for name, (old, new) in pairs.items() if not _same(old, new)}


def apply_edits(series: TiltFocalSeries, edits: Mapping[str, Any] | None) -> TiltFocalSeries:
    """The series as it was edited: values are taken as they are, in the orientation of the images.

    Raises
    ------
    DataError
        A field is unknown, or its values do not fit the images.
    """
    unknown = sorted(set(edits or ()) - set(FIELDS))
    if unknown:
        raise DataError(
            f"unknown. Known are {', '.join(FIELDS)}", field=f"series_edits: {', '.join(unknown)}"
        )
    given = dict(edits or {})
    if "aberrations" in given:
        given["aberrations"] = given["aberrations"] or {}
    return series.replace(**given) if given else series


def _same(one: Any, other: Any) -> bool:
    if one is None or other is None:
        return one is other
    if isinstance(one, Mapping):
        return dict(one) == dict(other)
    return np.array_equal(one, other)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): float(number) for key, number in value.items()}
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value
