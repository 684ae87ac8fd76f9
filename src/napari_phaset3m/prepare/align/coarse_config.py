"""Parameters of the coarse, model-free alignment."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from napari_phaset3m.config import Auto, Model, PositiveFloat, PositiveInt

SignalName = Literal["auto", "absorption", "variance", "intensity"]


class CoarseConfig(Model):
    """Coarse shifts between tilts, tilt axis, and nothing that needs the optics."""

    focus: Annotated[int, Field(ge=0)] | Auto | Literal["mean"] = Field(
        "auto",
        description="Focus that is aligned, from 0; mean: all foci with the signs of their contrast transfer "
        "undone (they must lie on each other already); auto: mean where optics are stated and they do, "
        "else the one farthest from focus",
    )
    lowpass_per_px: float = Field(0.2, gt=0, le=0.5, description="Low-pass (Gaussian, 1/e), cycles per pixel")
    highpass_per_px: float = Field(
        0.02, ge=0, lt=0.5, description="High-pass (Gaussian, 1/e), cycles per pixel"
    )
    taper: float = Field(0.15, ge=0, le=0.5, description="Border faded out, fraction of the image")
    mass: Auto | bool = Field(
        "auto", description="Start from the centre of mass; auto: where vacuum surrounds the specimen"
    )
    signal: SignalName = Field(
        "auto",
        description="What weighs as mass: 1 − I (absorption), low-passed (I − 1)² (variance), "
        "or I above the background (intensity, HAADF); auto: intensity for a bright specimen, else variance",
    )
    neighbours: int = Field(
        3, ge=1, le=10, description="Every tilt is correlated with so many on either side"
    )
    rounds: PositiveInt = Field(3, description="Rounds of correlation; images are moved in between")
    max_shift_px: PositiveFloat | Auto = Field(
        "auto", description="Largest shift between neighbours, pixels; auto: a quarter of the shorter side"
    )
    common_line: bool = Field(
        True, description="Refine shifts along the axis from the projections onto it, which all tilts share"
    )
    axis: bool = Field(
        True,
        title="Search the axis",
        description="Stage coarse searches the angle of the tilt axis, without a model of the images; off: "
        "the axis stays where it is stated, and auto leaves the stage axis out as well",
    )
    axis_range_deg: float = Field(
        4.0,
        gt=0,
        le=90,
        description="Stage coarse searches the axis so far on either side of the stated one, °",
    )
    consistency_rounds: PositiveInt = Field(
        6, description="Steps of the refinement by consistency of the projections, at each of three bands"
    )
    degrees: int = Field(16, ge=4, le=40, description="Moments across the axis that the refinement compares")
    finest_per_px: float = Field(
        0.4, gt=0.02, le=0.5, description="Highest frequency along the axis that it uses, cycles per pixel"
    )
    work_size_px: int = Field(
        128, ge=32, le=1024, description="Larger images are binned to about this size for the search"
    )
