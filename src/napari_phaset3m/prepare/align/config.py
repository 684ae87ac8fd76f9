"""Parameters of the alignment: one section for each stage."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import Field, field_validator

from napari_phaset3m.config import Auto, Model, PositiveFloat, PositiveInt
from napari_phaset3m.prepare.align.coarse_config import CoarseConfig
from napari_phaset3m.prepare.align.local_config import LocalConfig

#: Stages in the order in which they make sense.
StageName = Literal["coarse", "beads", "focal", "match", "optics", "axis", "grid", "gradient", "local"]
STAGE_NAMES: tuple[str, ...] = get_args(StageName)

#: Bins from coarse to fine.
Bins = tuple[PositiveInt, ...]


def _falling(bins: Bins | Auto) -> Bins | Auto:
    if bins != "auto" and list(bins) != sorted(bins, reverse=True):
        given = ",".join(map(str, bins))
        raise ValueError(f"{given} does not fall: alignment goes from coarse to fine; give the largest first")
    return bins


class ReferenceConfig(Model):
    """The volume that predicts the images."""

    forward: Literal["auto", "multislice", "sirt"] = Field(
        "auto",
        description="Model of the images; auto: multislice where defocus and Cs are stated and the "
        "wave changes within the specimen (pixels of a few Å), else line projections (SIRT)",
    )
    folds: int = Field(
        3,
        ge=2,
        le=20,
        description="Parts the images are dealt into; each is matched to a volume of the others",
    )
    sweeps: PositiveInt = Field(8, description="Sweeps of each reference volume")
    sparsity: Auto | Annotated[float, Field(ge=0)] = Field(
        "auto",
        description="L1 penalty on reference volumes, standard deviations of the noise in their gradient; "
        "auto: 1 where the dose is known and pixels are up to 0.8 Å, else 0",
    )
    positivity: Auto | bool = Field(
        "auto",
        description="Whether volumes of line projections (SIRT) are held positive; auto: unless volumes "
        "that may be negative tell a tenth more of the images left out",
    )


class BeadsConfig(Model):
    """Tracks of gold beads."""

    bead_diameter_angstrom: PositiveFloat | Auto = Field(
        "auto", description="Diameter of the beads, Å; auto: the blobs that stand out most at the lowest tilt"
    )
    bead_contrast: Literal["dark", "bright"] = Field(
        "dark",
        description="How beads look in the series: dark (TEM, and HAADF inverted by dark_field) or bright",
    )
    bead_threshold: PositiveFloat = Field(
        6.0, description="Least strength of a bead, robust standard deviations of all maxima"
    )
    bead_max_shift_px: PositiveFloat | Auto = Field(
        "auto", description="Largest shift between neighbours, pixels; auto: a quarter of the shorter side"
    )
    bead_rotation: bool = Field(False, description="Each tilt has a rotation of its own")
    bead_magnification: bool = Field(False, description="Each tilt has a magnification of its own")


class FocalConfig(Model):
    """Shifts, rotation and magnification between the foci of a tilt, before there is a volume."""

    focal_search_px: PositiveFloat | Auto = Field(
        "auto",
        description="Largest shift between foci, pixels; auto: 0.4 of the shorter side by what is coarse in "
        "them, then a tenth",
    )
    focal_geometry: bool = Field(
        True,
        description="Rotation and magnification between foci, alike at all tilts; images are resampled "
        "where these are more than chance",
    )
    focal_refine: bool = Field(True, description="Refine by a one-tilt reconstruction with free shifts")


class MatchConfig(Model):
    """Projection matching from coarse to fine."""

    match_bins: Bins | Auto = Field(
        "auto", description="Bins, falling, e.g. 8,6,4,3,2; auto: from 12 pixels across the image to bin 2"
    )
    match_rounds: PositiveInt = Field(4, description="Rounds at each bin; the later half is averaged")
    match_search_px: PositiveFloat | Auto = Field(
        "auto", description="Search radius, pixels; auto: a tenth of the image's shorter side"
    )
    match_defocus_angstrom: Annotated[float, Field(ge=0)] | Auto = Field(
        "auto",
        description="Standard deviation of the stated defoci's errors (one for each tilt), Å; "
        "0: defocus is not touched; auto: 80 Å with the multislice model",
    )
    _order = field_validator("match_bins")(_falling)


class OpticsConfig(Model):
    """Cs and twofold astigmatism, which all images share, along with shifts and defoci."""

    optics_cs_sigma_angstrom: PositiveFloat | Auto = Field(
        "auto", description="Standard deviation of the stated Cs, Å; auto: a fifth of it, at least 5e5"
    )
    optics_astigmatism_sigma_angstrom: PositiveFloat = Field(
        100.0, description="Standard deviation of each component of the astigmatism, Å"
    )
    optics_trials: int = Field(
        5,
        ge=1,
        description="Values of Cs (odd), spread over the prior, that optics and gradient start from; "
        "1: the stated one",
    )
    optics_rounds: PositiveInt = Field(6, description="Rounds from the best of them")


class AxisConfig(Model):
    """The angle of the tilt axis at which one multislice volume explains all images best."""

    axis_search_deg: float = Field(
        3.0,
        gt=0,
        le=15,
        description="Stage axis searches so far on either side of where the axis is now, °",
    )
    axis_sweeps: int = Field(
        20,
        ge=4,
        description="Stage axis: sweeps of each volume of its second search; half as many in the first",
    )


class GridConfig(Model):
    """Grid search of 2D shifts for the least reconstruction error (Lee et al. 2025)."""

    grid_bin: PositiveInt = Field(2, description="Bin of the images it works on")
    grid_radius_px: PositiveFloat = Field(2.0, description="Half-width of the error map, pixels")
    grid_step_px: PositiveFloat = Field(0.5, description="Step of the error map, pixels")
    grid_rounds: PositiveInt = Field(2, description="Reconstructions and searches in turn")


class GradientConfig(Model):
    """Gauss-Newton refinement with the multislice model's own derivatives."""

    refine_shifts: bool = Field(True, description="Refine the shift of each image")
    refine_optics: bool = Field(True, description="Refine Cs and twofold astigmatism, which all images share")
    gradient_bins: Bins | Auto = Field(
        "auto",
        description="Bins, falling; auto: the finest of match. Coarser ones lead the optics astray",
    )
    gradient_rounds: PositiveInt = Field(
        6, description="Reconstructions from zero at each bin; the later half at the last bin is averaged"
    )
    gradient_sweeps: PositiveInt = Field(
        20, description="Sweeps of each, with a step after every one from the third on"
    )
    refine_defocus: Literal["off", "tilt", "image"] = Field(
        "tilt", description="Defocus: one change for each tilt, or one for each image"
    )
    refine_tilt: bool = Field(False, description="Refine tilt angles (their mean stays)")
    refine_rotation: bool = Field(False, description="Refine the in-plane rotation of each tilt's images")
    refine_magnification: bool = Field(False, description="Refine the magnification of each tilt (mean 1)")
    _order = field_validator("gradient_bins")(_falling)


class AlignConfig(Model):
    """Everything an alignment needs besides the series."""

    stages: tuple[StageName, ...] | Auto = Field(
        "auto",
        description="Stages to run, in this order, of coarse, beads, focal, match, optics, axis, grid, "
        "gradient, local; auto: match, gradient with the multislice model, else coarse, match. (Stage "
        "axis finds the tilt axis with the multislice model; the search of coarse goes without one)",
    )
    seed: int = Field(0, ge=0, description="Seed of every random choice")
    threads: PositiveInt | Auto = Field("auto", description="CPU threads")
    reference: ReferenceConfig = ReferenceConfig()
    coarse: CoarseConfig = CoarseConfig()
    beads: BeadsConfig = BeadsConfig()
    focal: FocalConfig = FocalConfig()
    match: MatchConfig = MatchConfig()
    optics: OpticsConfig = OpticsConfig()
    axis: AxisConfig = AxisConfig()
    grid: GridConfig = GridConfig()
    gradient: GradientConfig = GradientConfig()
    local: LocalConfig = LocalConfig()

    @field_validator("stages")
    @classmethod
    def _once(cls, stages: tuple[str, ...] | str) -> tuple[str, ...] | str:
        if not stages:
            raise ValueError("name at least one stage")
        if not isinstance(stages, str) and len(set(stages)) < len(stages):
            raise ValueError(f"name each stage once, not {', '.join(stages)}")
        return stages
