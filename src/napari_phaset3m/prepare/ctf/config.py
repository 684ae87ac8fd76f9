"""Parameters of the defocus and CTF fit."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from napari_phaset3m.config import Auto, Model, PositiveFloat, PositiveInt


class CtfConfig(Model):
    """How defocus, astigmatism and phase shift are found."""

    defocus_min_angstrom: float = Field(
        100.0, ge=-1e6, le=1e6, description="Least defocus of the search, Å, underfocus positive"
    )
    defocus_max_angstrom: float = Field(
        40000.0, ge=-1e6, le=1e6, description="Greatest defocus of the search, Å, underfocus positive"
    )
    group: Literal["auto", "joint", "image"] = Field(
        "auto",
        description="joint: one defocus for each tilt, with the stated steps between its foci; image: each "
        "image by itself; auto: joint where the series has several foci and states their defocus",
    )
    fit_step_scale: bool = Field(
        False, description="Joint: fit a factor on the stated defocus steps of each tilt as well"
    )
    method: Literal["auto", "thon", "exit_wave"] = Field(
        "auto",
        description="thon: rings in the power spectrum; exit_wave: consistency of a focal group with one "
        "exit wave; auto: thon, and exit_wave for a series whose rings cannot be trusted",
    )
    astigmatism: Literal["image", "series", "given"] = Field(
        "image",
        description="image: fitted for each image (joint: each tilt); series: one for all (median of the "
        "fits, then held); given: as the series states it. Exit wave: one for all unless given",
    )
    astigmatism_max_angstrom: Auto | Annotated[float, Field(ge=0, le=1e5)] = Field(
        "auto", description="Greatest C12 of the search, Å; auto: three quarters of the defocus"
    )
    amplitude_contrast: float = Field(
        0.07, ge=0, lt=1, description="Amplitude contrast, 0..1, for Thon rings (exit wave: 0)"
    )
    fit_phase_shift: bool = Field(
        False, description="Fit the phase shift of a phase plate, degrees; else the stated one holds"
    )
    resolution_low_angstrom: PositiveFloat | Auto = Field(
        "auto", description="Coarsest detail fitted, Å; auto: from the tile's size"
    )
    resolution_high_angstrom: PositiveFloat | Auto = Field(
        "auto", description="Finest detail fitted, Å; auto: 0.9 of Nyquist"
    )
    tile_px: Annotated[int, Field(ge=32, le=8192)] | Auto = Field(
        "auto", description="Edge of the tiles, pixels; auto: up to 512, more where rings need it"
    )
    tilt_gradient: bool = Field(
        True, description="Let defocus change across the image as it does over a tilted flat specimen"
    )
    nominal_error_angstrom: float = Field(
        400.0, gt=0, le=1e5, description="Exit wave: searched on both sides of the stated defocus, Å"
    )
    stated_error_angstrom: PositiveFloat = Field(
        60.0,
        description="Exit wave: standard deviation of the tilts' stated defoci about one constant, Å; "
        "where noise leaves more than about this, the stated values stay",
    )
    exit_wave_resolution_angstrom: PositiveFloat = Field(
        2.0, description="Exit wave: finest detail compared, Å"
    )
    fit_spherical_aberration: bool = Field(
        False, description="Exit wave: fit one Cs for the series as well (needs three or more foci)"
    )
    exit_wave_steps: PositiveInt = Field(
        8, le=100, description="Exit wave: Gauss-Newton steps at each resolution"
    )

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.defocus_min_angstrom < self.defocus_max_angstrom:
            raise ValueError("defocus_max_angstrom: must be above defocus_min_angstrom")
        low, high = self.resolution_low_angstrom, self.resolution_high_angstrom
        if isinstance(low, float) and isinstance(high, float) and low <= high:
            raise ValueError("resolution_low_angstrom: must be coarser than resolution_high_angstrom")
        return self
