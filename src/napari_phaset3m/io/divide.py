"""Sections of a stack, and what there is for each, as tilts and foci."""

from __future__ import annotations

from typing import Any

import numpy as np

from napari_phaset3m.errors import DataError
from napari_phaset3m.io.limits import check_real
from napari_phaset3m.io.raw import RawSeries


def divide(raw: RawSeries, n_focus: int | None, order: str = "tilt-major") -> Any:
    """Images as `(n_tilt, n_focus, ny, nx)`; sections interleaved when ``n_focus`` is given.

    ``order`` says what follows what in the file: ``"tilt-major"`` all foci of a tilt, then the next
    tilt; ``"focus-major"`` all tilts of a focus, then the next focus.
    """
    images = raw.images
    check_real(images, raw.path, "tilt_series")
    if images.ndim == 2:
        images = images[None]
    if images.ndim == 3:
        n = 1 if n_focus is None else int(n_focus)
        if n < 1 or images.shape[0] % n:
            raise DataError(
                f"{images.shape[0]} sections do not divide by {n} foci",
                path=raw.path,
                field="n_focus",
                remedy="Give n_focus=... in Python or --n-focus",
            )
        count = images.shape[0] // n
        if order == "tilt-major":
            images = images.reshape(count, n, *images.shape[1:])
        else:
            images = images.reshape(n, count, *images.shape[1:]).swapaxes(0, 1)
    if images.ndim != 4 or 0 in images.shape:
        raise DataError(
            f"has shape {raw.images.shape}, but (n_tilt, n_focus, ny, nx) is needed",
            path=raw.path,
            field="tilt_series",
        )
    return images


def divide_values(
    raw: RawSeries, fields: dict[str, Any], shape: tuple[int, int], order: str
) -> dict[str, Any]:
    """Divide what there is for each section as the images are; returned: what metadata has of exposure."""

    def divided(values: Any) -> np.ndarray:
        array = np.asarray(values).reshape(-1)
        return array.reshape(shape) if order == "tilt-major" else array.reshape(shape[::-1]).T

    n_tilt, n_focus = shape
    for name in ("tilt_deg", "dose_per_image", "defocus_angstrom"):
        value = fields.get(name)
        shape_of = () if value is None else np.shape(value)
        if n_focus > 1 and shape_of in ((n_tilt * n_focus,), (n_tilt * n_focus, 1)):
            fields[name] = divided(value)
    found = {}
    for name in ("exposure_order", "prior_dose"):
        values = raw.metadata.get(name)
        if values is not None and np.size(values) == n_tilt * n_focus and np.ndim(values) == 1:
            found[name] = divided(values).tolist()
    return found
