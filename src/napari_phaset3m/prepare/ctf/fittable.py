"""Images that cannot show a contrast transfer function, whatever is fitted."""

from __future__ import annotations

import numpy as np

from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.errors import DataError


def check_has_rings(series: TiltFocalSeries) -> None:
    """Refuse images of dark field, and images without contrast.

    Raises
    ------
    DataError
    """
    if series.is_dark_field:
        raise DataError(
            "images of dark field have no Thon rings: they show no phase",
            field="tilt_series",
            remedy="Fit the CTF of bright-field images",
        )
    assert series.used is not None
    if not any(np.ptp(series.images[tilt, focus]) > 0 for tilt, focus in np.argwhere(series.used)):
        raise DataError(
            "every image is constant, so there is nothing to fit",
            field="tilt_series",
            remedy="Check that the file holds the images",
        )
