"""Parameters of watching a folder."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from napari_phaset3m.config import Model, PositiveFloat, PositiveInt
from napari_phaset3m.io.limits import MAX_AXIS_DEG

#: Methods that need no microscope and take seconds.
QuickMethod = Literal["sirt", "wbp", "fbp", "cgls"]


class WatchConfig(Model):
    """Which files are taken, when a file counts as written, and how the quick volume is made."""

    pattern: str = Field(
        "*", min_length=1, description="Names of the files to take, e.g. TS_01*; several: separated by commas"
    )
    interval_seconds: float = Field(
        2.0, ge=0.05, le=600, description="Look into the folder so often, s (network drives tell nothing)"
    )
    settle_seconds: float = Field(
        3.0, ge=0, le=600, description="A file counts as written when it has not changed for so long, s"
    )
    give_up_seconds: float = Field(
        60.0, gt=0, description="A file that stays incomplete for so long is called truncated, s"
    )
    pixel_size_angstrom: PositiveFloat | None = Field(
        None, description="Pixel size, Å; none: as the files state it"
    )
    energy_ev: PositiveFloat | None = Field(
        None, description="Accelerating voltage, V; none: as the files state it"
    )
    tilt_axis_angle_deg: float | None = Field(
        None,
        ge=-MAX_AXIS_DEG,
        le=MAX_AXIS_DEG,
        description="Tilt axis from +y towards −x, °; none: as the files state it",
    )
    quick: bool = Field(True, description="Reconstruct quickly while tilts arrive")
    align: bool = Field(True, description="Align coarsely (model-free, without the axis) before")
    min_tilts: PositiveInt = Field(5, ge=3, description="First quick volume from so many tilts on")
    quick_size_px: int = Field(
        96, ge=16, le=512, description="Images are binned to at most so many pixels for it"
    )
    method: QuickMethod = Field("sirt", description="Method of the quick volume")
    iterations: PositiveInt = Field(10, description="Its sweeps (iterative methods)")
    positivity: bool = Field(True, description="Hold its values positive")
