"""Parameters of a search, as one frozen model for API, command line and window."""

from __future__ import annotations

from typing import Annotated, Literal, Self, get_args

from pydantic import Field, field_validator, model_validator

from napari_phaset3m.config import Auto, Model, OpticsName, PositiveFloat, PositiveInt, RefineConfig
from napari_phaset3m.optimise.parameters import PARAMETERS

OPTICS: tuple[OpticsName, ...] = get_args(OpticsName)


class Range(Model):
    """What is searched for, and where.

    A bound that is not given is the stated value plus or minus the parameter's own span, or with
    ``sigma`` three standard deviations.
    """

    name: str = Field(description="Parameter, with its unit: " + ", ".join(PARAMETERS))
    low: float | None = Field(None, description="Lower bound, in the parameter's unit")
    high: float | None = Field(None, description="Upper bound, in the parameter's unit")
    scale: Literal["linear", "log"] = Field("linear", description="How the range is covered")
    sigma: PositiveFloat | None = Field(
        None,
        description="Prior: standard deviation about the stated value, in the parameter's unit; trials lie "
        "denser where it is likely. None: as likely anywhere in the range",
    )

    @field_validator("name")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in PARAMETERS:
            raise ValueError(f"name: {name!r} is unknown. Known are {', '.join(PARAMETERS)}")
        return name

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.low is not None and self.high is not None and self.low >= self.high:
            raise ValueError(
                f"bounds of {self.name}: {self.low:g} is not below {self.high:g}; give the lower one first"
            )
        if self.scale == "log" and self.low is not None and self.low <= 0:
            raise ValueError(f"bounds of {self.name}: a logarithmic range needs bounds above 0")
        if self.scale == "log" and self.sigma is not None:
            raise ValueError(f"{self.name}: a prior and a logarithmic range exclude each other; give one")
        return self


class TrialConfig(Model):
    """The short reconstruction that judges one point."""

    bin: PositiveInt = Field(2, description="Binning of the images in a trial")
    coarser: tuple[PositiveInt, ...] = Field(
        (2,), description="Further bins to run through before, falling, on top of bin"
    )
    sweeps: PositiveInt = Field(10, description="Sweeps at each sampling")
    padding_px: Auto | Annotated[int, Field(ge=0)] = Field(
        0, description="Border of vacuum in a trial, pixels; auto: as a reconstruction has it (costs twice)"
    )
    crop_px: Annotated[int, Field(ge=16)] | None = Field(
        None, description="Use only the central square of this many pixels"
    )
    holdout_fraction: float = Field(0.1, gt=0, lt=0.5, description="Fraction of images that only judge")
    held_out_sets: PositiveInt | Auto = Field(
        "auto",
        description="Choices of held-out images, each with a reconstruction of its own, that a trial's score "
        "is the mean of; auto: 4 where noise is much stronger than signal, else 1",
    )
    loss: Literal["amplitude", "poisson"] = Field("amplitude", description="What is compared")
    refine_shifts: bool = Field(True, description="Refine image shifts inside a trial")
    refine_defocus: Literal["off", "tilt", "image"] = Field(
        "tilt", description="Refine defocus inside a trial: one change for each tilt, or for each image"
    )
    refine_optics: tuple[OpticsName, ...] = Field(
        ("C12",), description="Shared optics refined inside a trial: " + ", ".join(OPTICS)
    )
    shift_spread_angstrom: PositiveFloat = Field(
        0.5, description="How far image shifts may be off, Å (standard deviation, along each axis)"
    )
    defocus_spread_angstrom: PositiveFloat = Field(
        60.0, description="How far the defocus of a tilt may be off, Å (standard deviation)"
    )

    @property
    def refine(self) -> RefineConfig:
        """What is refined inside a trial, as a reconstruction takes it."""
        return RefineConfig(
            refine_shifts=self.refine_shifts,
            refine_defocus=self.refine_defocus,
            refine_optics=self.refine_optics,
        )


class OptimiseConfig(Model):
    """A search for the best point of a few shared parameters."""

    ranges: tuple[Range, ...] = Field((), description="Parameters to search, with bounds")
    method: Literal["bayes", "random", "grid"] = Field(
        "bayes", description="Gaussian process, uniform random points, or a regular grid"
    )
    backend: Literal["skopt", "optuna"] = Field("skopt", description="Library that proposes points")
    calls: PositiveInt = Field(24, description="Trials (grid: at most)")
    initial: PositiveInt = Field(8, description="Latin-hypercube trials before the model is used")
    acquisition: Literal["gp_hedge", "EI", "LCB"] = Field("EI", description="What the next point maximises")
    stop_gain: float = Field(
        0.002, ge=0, description="Stop when the expected gain is below this fraction of the best score"
    )
    workers: PositiveInt = Field(1, description="Trials at the same time, each on one thread")
    seed: int = Field(0, ge=0, description="Seed of every random choice")
    trial: TrialConfig = TrialConfig()

    @field_validator("ranges")
    @classmethod
    def _once(cls, ranges: tuple[Range, ...]) -> tuple[Range, ...]:
        names = [item.name for item in ranges]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice:
            raise ValueError(f"{twice} is given twice")
        return ranges
