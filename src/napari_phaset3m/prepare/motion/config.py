"""Parameters of motion correction."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from napari_phaset3m.config import Auto, Model, PositiveFloat, PositiveInt


class MotionConfig(Model):
    """Motion correction."""

    patches: Annotated[int, Field(ge=1, le=16)] | Auto = Field(
        "auto",
        description="Patches along each side for local motion; 1: whole frames only; auto: 5, or "
        "fewer where they would be smaller than 256 pixels",
    )
    iterations: PositiveInt = Field(10, le=100, description="Most rounds against the sum of the other frames")
    tolerance_px: PositiveFloat = Field(0.005, description="Stop when no shift changes by more, pixels")
    max_shift_px: PositiveFloat | Auto = Field(
        "auto", description="Largest drift looked for, pixels; auto: 15 % of the shorter side"
    )
    bfactor_px2: Annotated[float, Field(ge=0)] | Auto = Field(
        "auto",
        title="B factor (px²)",
        description="Low-pass exp(−B k²/4) of the correlation, pixels² (k in 1/pixel); auto: from the "
        "signal-to-noise ratio of the movie at each frequency",
    )
    smooth: bool = Field(
        True,
        title="Smooth track",
        description="Draw noisy shifts to a smooth track, as far as the movie's own scatter supports it",
    )
    bin: PositiveInt | Auto = Field(
        "auto",
        description="Fourier bin of what is aligned, not of the sum; auto: at most 2048 pixels",
    )
    hot: bool = Field(
        True, title="Hot pixels", description="Replace hot and dead pixels of the sum in every frame first"
    )
    gain: str | None = Field(None, description="Gain reference that multiplies each frame; none: 1")
    dose_per_frame: PositiveFloat | None = Field(
        None, description="e/Å² per frame, for dose weighting; none: frames are summed as they are"
    )
    dose_before: float = Field(
        0.0,
        ge=0,
        description="e/Å² before the first frame (dose weighting); in a series, on top of what it states "
        "for each image",
    )
