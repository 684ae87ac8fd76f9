"""Refuse options that would do nothing: who gives one means something by it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from napari_phaset3m.errors import ConfigError, DataError
from napari_phaset3m.io.raw import RawSeries

ORDERS = ("tilt-major", "focus-major")
REFERENCES = ("center", "exit")


def check_division(raw: RawSeries, given: Mapping[str, Any]) -> None:
    """Check ``n_focus`` and ``focus_order``: they divide the sections of one stack.

    Parameters
    ----------
    raw : RawSeries
    given : mapping
        Options that are not None.

    Raises
    ------
    DataError
        The images have another number of foci already.
    ConfigError
        The order is none, or would do nothing.
    """
    count, order = given.get("n_focus"), given.get("focus_order")
    if order is not None and order not in ORDERS:
        raise ConfigError(f"focus_order: is {order!r}. Use 'tilt-major' or 'focus-major'")
    divided = raw.images.ndim == 4
    if divided and count is not None and int(count) != raw.images.shape[1]:
        raise DataError(
            f"{int(count)} foci for images that are divided into {raw.images.shape[0]} tilts with "
            f"{raw.images.shape[1]} foci already",
            path=raw.path,
            field="n_focus",
            remedy="Leave it out",
        )
    if order is not None and (divided or count is None):
        why = "images are divided into tilts and foci already" if divided else "n_focus is not given"
        raise ConfigError(f"focus_order: {why}, so that it does nothing. Leave it out")


def asks(value: Any) -> bool:
    """Whether the value of an option asks for anything: not None, False, 0 or "auto"; an array does."""
    return np.ndim(value) > 0 or value not in (None, False, 0.0, "", "auto")


def check_meaning(raw: RawSeries, given: Mapping[str, Any], has_defocus: bool) -> None:
    """Check options on what defocus and values mean.

    Parameters
    ----------
    raw : RawSeries
    given : mapping
        Options that are not None.
    has_defocus : bool
        A defocus is given or stated.

    Raises
    ------
    ConfigError
        One cannot be, or would do nothing.
    """
    reference = given.get("defocus_reference")
    if reference is not None and reference not in REFERENCES:
        raise ConfigError(f"defocus_reference: is {reference!r}. Use 'center' or 'exit'")
    if reference is not None and not has_defocus:
        raise ConfigError(
            "defocus_reference: no defocus is stated that it could be about. Give defocus_angstrom as well, "
            "or leave it out"
        )
    if given.get("dark_field") and raw.normalisation == "dark_field":
        raise ConfigError(f"dark_field: the images of {raw.path.name} were inverted before. Leave it out")
    scaling = ("normalise", "vacuum_intensity", "intensity_offset")
    idle = next((name for name in scaling if asks(given.get(name))), None)
    if given.get("dark_field", raw.dark_field) and idle is not None:
        raise ConfigError(
            f"{idle}: dark-field images are scaled by their own levels, so that it does nothing. Leave it out"
        )
