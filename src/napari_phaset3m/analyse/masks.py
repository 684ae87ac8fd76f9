"""Masks as recipes: a list of steps, kept with the mask, that can be changed and run again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import Field, field_validator, model_validator

from napari_phaset3m.analyse import masks_ops as ops
from napari_phaset3m.analyse.masks_shapes import Patch, Xyz, Zyx
from napari_phaset3m.config import Model, PositiveFloat, PositiveInt
from napari_phaset3m.errors import ConfigError

How = Literal["union", "intersection", "difference"]
#: Reads the mask in a file: `(nz, ny, nx)`, 0..1.
Reader = Callable[[str], np.ndarray]
_HOW = "With the mask so far: union, intersection or difference"
_CENTER = "Centre (x, y, z) from the rotation centre, Å"


class Sphere(Model):
    """A ball."""

    kind: Literal["sphere"] = "sphere"
    diameter_angstrom: float = Field(gt=0, description="Diameter, Å")
    center_angstrom: Xyz = Field((0.0, 0.0, 0.0), description=_CENTER)
    how: How = Field("union", description=_HOW)


class Ellipsoid(Model):
    """An ellipsoid along the axes."""

    kind: Literal["ellipsoid"] = "ellipsoid"
    diameters_angstrom: tuple[PositiveFloat, PositiveFloat, PositiveFloat] = Field(
        description="Diameters along x, y, z, Å"
    )
    center_angstrom: Xyz = Field((0.0, 0.0, 0.0), description=_CENTER)
    how: How = Field("union", description=_HOW)


class Box(Model):
    """A box along the axes."""

    kind: Literal["box"] = "box"
    edges_angstrom: tuple[PositiveFloat, PositiveFloat, PositiveFloat] = Field(
        description="Edges along x, y, z, Å"
    )
    center_angstrom: Xyz = Field((0.0, 0.0, 0.0), description=_CENTER)
    how: How = Field("union", description=_HOW)


class Threshold(Model):
    """Everything above a level of the volume, or of a low-passed copy."""

    kind: Literal["threshold"] = "threshold"
    value: float | Literal["otsu"] = Field("otsu", description="Level in the volume's unit, or otsu")
    lowpass_angstrom: PositiveFloat | None = Field(None, description="Low-pass before it, Å; none: off")
    how: How = Field("union", description=_HOW)


class Largest(Model):
    """Keep the largest connected parts."""

    kind: Literal["largest"] = "largest"
    count: PositiveInt = Field(1, description="How many parts are kept")


class Fill(Model):
    """Fill enclosed holes."""

    kind: Literal["fill"] = "fill"


class Dilate(Model):
    """Grow by a distance."""

    kind: Literal["dilate"] = "dilate"
    distance_angstrom: float = Field(ge=0, description="Distance, Å")


class Erode(Model):
    """Shrink by a distance."""

    kind: Literal["erode"] = "erode"
    distance_angstrom: float = Field(ge=0, description="Distance, Å")


class Soft(Model):
    """A cosine edge outside the mask."""

    kind: Literal["soft"] = "soft"
    width_angstrom: float = Field(ge=0, description="Width over which it falls from 1 to 0, Å")


class Invert(Model):
    """Inside becomes outside."""

    kind: Literal["invert"] = "invert"


class Combine(Model):
    """Combine with the mask in a file."""

    kind: Literal["combine"] = "combine"
    path: str = Field(min_length=1, description="Mask file")
    how: How = Field("union", description=_HOW)


class Painted(Model):
    """Corrections made by hand: voxels added and voxels erased."""

    kind: Literal["painted"] = "painted"
    shape: Zyx = Field(description="Volume (nz, ny, nx) they were painted in")
    added: Patch | None = None
    erased: Patch | None = None

    @classmethod
    def between(cls, before: np.ndarray, after: np.ndarray) -> Painted:
        """The corrections that turn one mask into another of the same shape."""
        old, new = ops.as_inside(before), ops.as_inside(after)
        nz, ny, nx = (int(n) for n in new.shape)
        return cls(shape=(nz, ny, nx), added=Patch.of(new & ~old), erased=Patch.of(old & ~new))


Step = Annotated[
    Sphere
    | Ellipsoid
    | Box
    | Threshold
    | Largest
    | Fill
    | Dilate
    | Erode
    | Soft
    | Invert
    | Combine
    | Painted,
    Field(discriminator="kind"),
]
#: Steps that only know inside and outside, and so would make a soft edge hard again.
_HARD = (Largest, Fill, Dilate, Erode, Soft, Painted)
_SOURCES = (Sphere, Ellipsoid, Box, Threshold, Combine, Painted)


_KINDS: dict[str, type[Model]] = {
    model.model_fields["kind"].default: model
    for model in (
        Sphere,
        Ellipsoid,
        Box,
        Threshold,
        Largest,
        Fill,
        Dilate,
        Erode,
        Soft,
        Invert,
        Combine,
        Painted,
    )
}


def _step(given: Any, number: int) -> Any:
    if not isinstance(given, Mapping):
        return given
    kind = given.get("kind")
    if kind not in _KINDS:
        raise ValueError(f"step {number}: kind must be {', '.join(_KINDS)} (got {kind})")
    try:
        return _KINDS[kind].parse(**given)
    except ConfigError as error:
        raise ValueError(f"step {number} ({kind}): {error}") from None


class Recipe(Model):
    """The steps of a mask, in the order in which they act."""

    steps: tuple[Step, ...] = ()

    @field_validator("steps", mode="before")
    @classmethod
    def _parsed(cls, given: Any) -> Any:
        # One by one, so that an error names the step and its own field.
        if isinstance(given, str | bytes | dict) or not isinstance(given, Iterable):
            raise ValueError(f"must be a list of steps (got {given!r})")
        return tuple(_step(item, number) for number, item in enumerate(given, 1))

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        soft = False
        for number, step in enumerate(self.steps):
            if number == 0 and not isinstance(step, _SOURCES):
                raise ValueError(f"the first step must make a mask (otsu, sphere, file ...), not {step.kind}")
            how = getattr(step, "how", "union")
            if number == 0 and how != "union":
                raise ValueError(f"the first step has no mask to take the {how} with: use union")
            if soft and isinstance(step, _HARD):
                raise ValueError(
                    f"step {number + 1} ({step.kind}) would make the soft edge hard: put soft last"
                )
            soft = soft or (isinstance(step, Soft) and step.width_angstrom > 0)
        return self

    @property
    def needs_volume(self) -> bool:
        """Whether a volume's values are looked at."""
        return any(isinstance(step, Threshold) for step in self.steps)

    def describe(self) -> str:
        """All steps in one line."""
        return " → ".join(describe(step) for step in self.steps)


def automatic(voxel_size_angstrom: float) -> Recipe:
    """A recipe that isolates one particle: Otsu after a low-pass of 10 voxels, largest part, filled, soft."""
    edge = voxel_size_angstrom
    return Recipe(
        steps=(
            Threshold(lowpass_angstrom=_rounded(10 * edge)),
            Largest(),
            Fill(),
            Dilate(distance_angstrom=_rounded(4 * edge)),
            Soft(width_angstrom=_rounded(6 * edge)),
        )
    )


def _rounded(value: float) -> float:
    return float(f"{value:.2g}")


def _xyz(values: Xyz) -> str:
    return " × ".join(f"{v:g}" for v in values)


def describe(step: Any) -> str:
    """One step as a person would write it."""
    how = {"union": "or ", "intersection": "and ", "difference": "without "}.get(getattr(step, "how", ""), "")
    where = ""
    if any(getattr(step, "center_angstrom", ())):
        where = f" at ({', '.join(f'{v:g}' for v in step.center_angstrom)}) Å"
    match step:
        case Sphere():
            text = f"sphere of {step.diameter_angstrom:g} Å{where}"
        case Ellipsoid():
            text = f"ellipsoid of {_xyz(step.diameters_angstrom)} Å{where}"
        case Box():
            text = f"box of {_xyz(step.edges_angstrom)} Å{where}"
        case Threshold():
            after = f" after low-pass {step.lowpass_angstrom:g} Å" if step.lowpass_angstrom else ""
            text = ("Otsu's threshold" if step.value == "otsu" else f"above {step.value:g}") + after
        case Combine():
            text = f"mask {step.path}"
        case Largest():
            text = "largest part" if step.count == 1 else f"{step.count} largest parts"
        case Soft():
            text = f"soft edge {step.width_angstrom:g} Å"
        case Dilate() | Erode():
            text = f"{step.kind} {step.distance_angstrom:g} Å"
        case Fill():
            text = "fill holes"
        case Painted():
            text = "painted corrections"
        case _:
            text = str(step.kind)
    return (how if how != "or " else "") + text
