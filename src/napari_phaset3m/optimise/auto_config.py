"""Parameters of the pipeline, and how they change from round to round."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from napari_phaset3m.config import Model, OpticsName, PositiveInt, ReconstructionConfig
from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.optimise.config import OPTICS, OptimiseConfig, Range
from napari_phaset3m.optimise.noise import is_noisy
from napari_phaset3m.optimise.parameters import PARAMETERS
from napari_phaset3m.optimise.search import SearchResult


class AutoConfig(Model):
    """What the pipeline does."""

    search: OptimiseConfig = OptimiseConfig(ranges=(Range(name="cs_angstrom"),))
    align: Literal["auto", "always", "never"] = Field(
        "auto", description="Projection matching before the search; auto: where no shift is stated"
    )
    optics: tuple[OpticsName, ...] = Field(
        ("C30", "C12"), description="Shared optics that the gradient stage refines: " + ", ".join(OPTICS)
    )
    bins: tuple[PositiveInt, ...] = Field((2,), description="Bins of the gradient stage before 1")
    sweeps: PositiveInt = Field(10, description="Sweeps of the gradient stage at each sampling")
    geometry: tuple[Literal["tilt", "rotation", "magnification"], ...] = Field(
        (),
        description="Refined for each tilt after the gradient stage: tilt (its angle), rotation (of its "
        "images in their plane), magnification",
    )
    dose: bool = Field(False, description="Refine the dose of each image after the gradient stage")
    rounds: PositiveInt = Field(2, description="Rounds of search and gradient, at most")
    fine_rounds: int = Field(
        6,
        ge=0,
        description="Rounds of matching at full sampling at the end, in strong noise; 0: none",
    )
    padded_sweeps: int = Field(
        24,
        ge=0,
        description="Sweeps at each sampling of a last gradient stage, whose border keeps light that leaves "
        "the field from coming back; none in strong noise; 0: none",
    )
    error_groups: int = Field(
        5, ge=0, description="Parts of the images left out in turn for the error bars; 0 or 1: curvature only"
    )
    least_gain: float = Field(
        0.002, ge=0, description="Stop when a round lowers the held-out error by a smaller fraction"
    )

    def finer(
        self, found: SearchResult, series: TiltFocalSeries, config: ReconstructionConfig
    ) -> AutoConfig | None:
        """The same with trials at the next finer sampling, around what the series states now.

        In half the range; in strong noise in the whole of it, since coarse trials told little.

        Returns
        -------
        AutoConfig, or None at full size.
        """
        trial = self.search.trial
        if trial.bin == 1:
            return None
        finer = trial.model_copy(update={"bin": trial.bin - 1, "coarser": (2,)})
        share = 1.0 if is_noisy(series, trial.bin) else 0.5
        ranges = []
        for item in self.search.ranges:
            at = PARAMETERS[item.name].get(series, config)
            low, high = narrowed(found.limits[item.name], at, share)
            least = found.limits[item.name][0] if item.scale == "log" else PARAMETERS[item.name].least
            low = max(low, least)
            # The prior has spoken: it is about what was stated, not about what was found since.
            ranges.append(item.model_copy(update={"low": low, "high": high, "sigma": None}))
        search = self.search.model_copy(update={"trial": finer, "ranges": tuple(ranges)})
        return self.model_copy(update={"search": search})

    def with_defocus(self, series: TiltFocalSeries) -> AutoConfig:
        """The same, with the common defocus searched beside Cs in strong noise.

        Few electrons tell their sum better than either, and stated (or matched) defoci that belong to a
        wrong Cs would hold it there: Gauss-Newton moves the defoci of a noisy series only slowly.
        """
        names, trial = {item.name for item in self.search.ranges}, self.search.trial
        alone = "cs_angstrom" in names and "defocus_offset_angstrom" not in names
        if not alone or trial.refine_defocus == "off" or not is_noisy(series, trial.bin):
            return self
        ranges = (*self.search.ranges, Range(name="defocus_offset_angstrom", low=-150, high=150))
        return self.model_copy(update={"search": self.search.model_copy(update={"ranges": ranges})})


def narrowed(limits: tuple[float, float], at: float, share: float) -> tuple[float, float]:
    """A share of a range, around a value and within its bounds where it is smaller than they are."""
    half = share * (limits[1] - limits[0]) / 2
    middle = at if share >= 1 else min(max(at, limits[0] + half), limits[1] - half)
    return middle - half, middle + half
