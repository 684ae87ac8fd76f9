"""Parameters of motion correction."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from napari_phaset3m.config import Auto, Model, PositiveFloat, PositiveInt
from napari_phaset3m.io.movies import MovieConfig, whole


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
    gain: str | None = Field(None, description="Gain reference of the frames; none: the import's, else 1")
    gain_rotate: Annotated[Literal["auto", 0, 1, 2, 3], BeforeValidator(whole)] = Field(
        "auto",
        title="Gain quarter turns",
        description="Quarter turns of the gain reference, counter-clockwise on screen, before the flip; "
        "auto: as at import, else 0",
    )
    gain_flip: Literal["auto", "none", "up-down", "left-right"] = Field(
        "auto", description="Flip of the gain reference, after the turn; auto: as at import, else none"
    )
    gain_mode: Literal["auto", "multiply", "divide"] = Field(
        "auto",
        description="Frames are multiplied by the reference, or divided; auto: as at import, else multiply",
    )
    eer_upsampling: Annotated[Literal["auto", 1, 2, 4], BeforeValidator(whole)] = Field(
        "auto",
        title="EER upsampling",
        description="Pixels per detector pixel along each side (EER); auto: as at import, else 1",
    )
    eer_group: PositiveInt | Auto = Field(
        "auto",
        title="EER frames per fraction",
        description="Raw frames summed into one that is aligned (EER); auto: as at import, else from the "
        "dose, else 40 fractions",
    )
    dose_per_frame: PositiveFloat | None = Field(
        None, description="e/Å² per frame, for dose weighting; none: frames are summed as they are"
    )
    dose_before: float = Field(
        0.0,
        ge=0,
        description="e/Å² before the first frame (dose weighting); in a series, on top of what it states "
        "for each image",
    )

    def movies(self, kept: MovieConfig | None = None) -> MovieConfig:
        """How movies are read: what is not ``auto`` here, else as at import (``kept``)."""
        own = {name: getattr(self, name) for name in MovieConfig.model_fields if hasattr(self, name)}
        given = {name: value for name, value in own.items() if value != "auto"}
        return (kept or MovieConfig()).model_copy(update=given)
