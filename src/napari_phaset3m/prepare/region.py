"""Rectangles on images: top, left, height, width in pixels."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from napari_phaset3m.errors import DataError

_Start = Annotated[int, Field(ge=0)]
_Size = Annotated[int, Field(ge=1)]
#: Top, left, height, width.
RegionPx = tuple[_Start, _Start, _Size, _Size]


def checked_region(
    region: tuple[int, int, int, int], shape: tuple[int, int], field: str, smallest: int = 1
) -> tuple[int, int, int, int]:
    """The region, if it lies in the image.

    Raises
    ------
    DataError
        It reaches out of the image, or is smaller than ``smallest`` on a side.
    """
    top, left, height, width = region
    if top + height > shape[0] or left + width > shape[1]:
        raise DataError(
            f"{top},{left},{height},{width} reaches out of the image of {shape[0]} x {shape[1]} pixels",
            field=field,
            remedy="Give top,left,height,width inside the image",
        )
    if min(height, width) < smallest:
        raise DataError(
            f"of {height} x {width} pixels is too small",
            field=field,
            remedy=f"Use {smallest} pixels or more on each side",
        )
    return region
