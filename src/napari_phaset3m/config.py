"""Frozen, validated parameters: one model drives the API, the CLI and the GUI form."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from napari_phaset3m.errors import ConfigError
from napari_phaset3m.wording import one_line

Auto = Literal["auto"]
#: The registry of methods (reconstruct/methods/registry.py) describes each of them.
MethodName = Literal["multislice", "singleslice", "sirt", "sart", "art", "fbp", "wbp", "resire", "cgls", "tv"]
#: Optics of all images that a gradient refines: Krivanek coefficients (C30 is Cs), and the focal spread.
OpticsName = Literal["C30", "C12", "C21", "C23", "focal_spread"]
PositiveFloat = Annotated[float, Field(gt=0)]
PositiveInt = Annotated[int, Field(ge=1)]


class Model(BaseModel):
    """Base of all parameter models: frozen, and unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False)

    @classmethod
    def parse(cls, **values: Any) -> Self:
        """Validate ``values``; one-line :class:`ConfigError` instead of pydantic's report."""
        try:
            return cls(**values)
        except ValidationError as error:
            raise ConfigError(one_line(error, cls)) from None

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a YAML or JSON file written by :meth:`save`.

        Raises
        ------
        ConfigError
            The file is not a mapping or holds a wrong field.
        """
        path = Path(path)
        if not path.exists():
            raise ConfigError(f"{path}: no such file. Check the name and the folder")
        try:
            data: Any = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        except UnicodeDecodeError:
            raise ConfigError(f"{path}: is no text. Give a file of YAML or JSON") from None
        except (OSError, yaml.YAMLError) as error:
            reason = " ".join(str(error).split())
            raise ConfigError(f"{path}: cannot be read as YAML or JSON ({reason})") from None
        if not isinstance(data, dict):
            raise ConfigError(f"{path}: must hold fields, not a {type(data).__name__}")
        try:
            return cls(**data)
        except ValidationError as error:
            raise ConfigError(f"{path}: {one_line(error, cls)}") from None

    def save(self, path: str | Path) -> None:
        """Write YAML (or JSON when the name ends so)."""
        path = Path(path)
        data = self.model_dump(mode="json")
        text = json.dumps(data, indent=2) if path.suffix == ".json" else yaml.safe_dump(data, sort_keys=False)
        path.write_text(text, encoding="utf-8")


class Schedule(Model):
    """When a constraint acts: sweeps ``start``, ``start + every``, ... before ``stop``."""

    start: int = Field(0, ge=0, description="First sweep it acts in (counted from 0)")
    stop: int | None = Field(None, ge=0, description="First sweep it no longer acts in")
    every: PositiveInt = Field(1, description="Act in every n-th sweep")

    def active(self, sweep: int) -> bool:
        """Whether the constraint acts in this sweep."""
        if sweep < self.start or (self.stop is not None and sweep >= self.stop):
            return False
        return (sweep - self.start) % self.every == 0


class ConstraintConfig(Model):
    """What is imposed on the volume between updates."""

    positivity: bool = Field(True, description="No negative potential")
    positivity_absorption: bool = Field(True, description="No negative absorption")
    mask_soft_edge_angstrom: float = Field(0.0, ge=0, description="Cosine edge added to the mask, Å")
    atomic_basis_sigma_angstrom: PositiveFloat | Auto | None = Field(
        "auto",
        description="Write the potential as Gaussians of this width (standard deviation, Å) with "
        "non-negative amplitudes; auto: chosen from the dose and the voxel; none: off",
    )
    tv_weight: float = Field(0.0, ge=0, description="Total variation, in volts")
    tv_schedule: Schedule = Schedule()
    sparsity: Auto | Annotated[float, Field(ge=0)] = Field(
        "auto",
        description="L1 penalty on the potential, in standard deviations of the noise that the dose "
        "leaves in its gradient; auto: 1 for voxels up to 0.8 Å, else 0 (off)",
    )
    threshold_volts: float = Field(0.0, ge=0, description="Hard threshold: smaller values become 0")
    threshold_schedule: Schedule = Schedule()
    lowpass_angstrom: PositiveFloat | None = Field(None, description="3D Butterworth low-pass, Å")
    highpass_angstrom: PositiveFloat | None = Field(None, description="3D Butterworth high-pass, Å")
    butterworth_order: PositiveInt = Field(4, description="Order of the Butterworth filters")
    filter_dimensions: Literal[2, 3] = Field(3, description="Filter slices (2) or the volume (3)")
    filter_schedule: Schedule = Schedule()
    recentre: bool = Field(False, description="Keep the centre of mass at the rotation centre")
    recentre_schedule: Schedule = Schedule(start=1, stop=6)


class RefineConfig(Model):
    """What is refined between sweeps, from the images themselves."""

    refine_shifts: bool = Field(False, description="Refine the shift of each image")
    refine_defocus: Literal["off", "tilt", "image"] = Field(
        "off", description="Refine defocus: one change for each tilt, or one for each image"
    )
    refine_optics: tuple[OpticsName, ...] = Field(
        (),
        description="Refine optics that all images share: C30 (Cs), C12 (two-fold astigmatism), C21 (coma), "
        "C23 (three-fold astigmatism), focal_spread",
    )
    refine_schedule: Schedule = Schedule(start=2)

    @property
    def on(self) -> bool:
        """Whether anything is refined."""
        return self.refine_shifts or self.refine_defocus != "off" or bool(self.refine_optics)


class ReconstructionConfig(Model):
    """Everything a reconstruction needs besides the series, the mask and the device."""

    method: MethodName = Field("multislice", description="Forward model and algorithm")
    iterations: PositiveInt | Auto = Field(
        "auto",
        description="Sweeps over all tilts (of each stage); auto: 45 where the sparsity penalty acts and the "
        "dose is known, else until held-out images gain nothing; linear methods: a number of their own",
    )
    slices: PositiveInt | Auto = Field(
        "auto",
        description="Slices through the box at the tilt where it is deepest, fewer of the same thickness "
        "at the others; auto: about 2 Å thick",
    )
    voxel_angstrom: PositiveFloat | None = Field(None, description="Voxel, Å; none: the pixel")
    depth_angstrom: PositiveFloat | None = Field(None, description="Box depth, Å; none: image width")
    padding_px: Auto | Annotated[int, Field(ge=0)] = Field(
        "auto",
        description="Border of vacuum added on each side, pixels, so that light which the optics move out of "
        "the field does not come back on the other side; auto: half of how far they move it, at most a "
        "quarter of the image width (linear methods: 0)",
    )
    rotation: Literal["linear", "cubic", "fourier"] = Field("linear", description="Interpolation")
    step: PositiveFloat | Auto = Field("auto", description="Step size relative to 1/(voxels in depth)")
    loss: Literal["auto", "amplitude", "poisson", "intensity"] = Field(
        "auto", description="Data misfit; auto: poisson when the dose is known, else amplitude"
    )
    subset_size: PositiveInt | Auto | Literal["all"] = Field(
        "auto", description="Tilts per update; all: one update per sweep"
    )
    tilt_order: Literal["random", "golden", "given"] = Field("random", description="Order of tilts")
    momentum: Literal["auto", "nesterov", "none"] = Field(
        "auto", description="Extrapolate between sweeps; auto: as the method is published"
    )
    coherence: Literal["envelope", "incoherent"] = Field(
        "envelope", description="Focal spread: coherent envelope, or incoherent sum over defoci"
    )
    quadrature_points: int = Field(5, ge=3, le=15, description="Defoci of the incoherent sum")
    convergence_semiangle_mrad: Annotated[float, Field(ge=0)] | None = Field(
        None,
        description="Illumination half-angle (standard deviation) of spatial coherence, mrad; "
        "none: as the series states, else 0",
    )
    absorption: bool = Field(False, description="Reconstruct an absorptive part as well")
    band_limit: float = Field(
        1.0, gt=0, le=1.4143, description="Propagation band limit, fraction of Nyquist (1.4143: none)"
    )
    multiresolution: tuple[PositiveInt, ...] = Field(
        (), description="Bins to run through before full size, falling, e.g. 4, 2; each with all iterations"
    )
    holdout_fraction: float | Auto = Field(
        "auto",
        description="Fraction of images held out to decide when to stop; they stay out of the volume. "
        "With one image at each tilt: whole tilts, spread evenly over the angles",
    )
    tolerance: float = Field(1e-4, ge=0, description="Stop when the error falls by less per sweep")
    patience: PositiveInt = Field(4, description="Sweeps without gain before stopping")
    projection: Literal["one_minus", "log"] = Field(
        "one_minus", description="Linear methods: 1 − I or −ln I as the projection"
    )
    ctf_correction: Literal["none", "phase_flip", "wiener"] = Field(
        "none", description="Linear methods: contrast transfer undone before the reconstruction"
    )
    wiener_snr: PositiveFloat = Field(10.0, description="Wiener CTF correction: signal-to-noise power ratio")
    amplitude_contrast: float = Field(0.0, ge=0, lt=1, description="CTF correction: amplitude contrast, 0..1")
    relaxation: Annotated[float, Field(gt=0, lt=3)] | Auto = Field(
        "auto", description="Relaxation factor; auto: SIRT 1, SART 0.5, ART 0.2, RESIRE 1, TV 1"
    )
    fbp_filter: Literal["ramp", "shepp-logan", "cosine", "hamming", "hann"] = Field(
        "ramp", description="FBP: window on the ramp"
    )
    wbp_weighting: Literal["exact", "radial"] = Field(
        "exact", description="WBP: exact for the tilts at hand, or radial (r-weighting)"
    )
    wbp_diameter_angstrom: PositiveFloat | None = Field(
        None, description="WBP, exact: diameter of the specimen, Å; none: image width"
    )
    filter_lowpass_angstrom: PositiveFloat | None = Field(
        None, description="FBP and WBP: low-pass of the images (cosine edge), Å"
    )
    tv_strength: float = Field(
        0.002, ge=0, description="TV least squares: weight of the total variation, fraction of max |Aᵀb|"
    )
    seed: int = Field(0, ge=0, description="Seed of every random choice")
    threads: PositiveInt | Auto = Field("auto", description="CPU threads")
    constraints: ConstraintConfig = ConstraintConfig()
    refine: RefineConfig = RefineConfig()

    @field_validator("multiresolution")
    @classmethod
    def _falling(cls, bins: tuple[int, ...]) -> tuple[int, ...]:
        if any(a <= b for a, b in pairwise((*bins, 1))):
            given = ", ".join(map(str, bins))
            raise ValueError(f"bins must fall and end above 1 (full size follows), not {given}")
        return bins


def _is_section(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Model) and kind is not Schedule


def _is_plain(name: str, default: Any) -> bool:
    # Mappings and nested tables (further aberrations, MTF) are for a file.
    return not isinstance(default, dict) and name != "mtf"


def fields_of(model: type[Model]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Path and definition of each plain field of a model; sections are gone into."""
    for name, field in model.model_fields.items():
        kind: Any = field.annotation
        if _is_section(kind):
            for path, inner in fields_of(kind):
                yield (name, *path), inner
        elif _is_plain(name, field.get_default(call_default_factory=True)):
            yield (name,), field


def changed_fields(config: Model) -> dict[str, Any]:
    """Values, by dotted path, of the fields that differ from their defaults."""
    found = {}
    for path, field in fields_of(type(config)):
        value: Any = config
        for name in path:
            value = getattr(value, name)
        if value != field.get_default(call_default_factory=True):
            found[".".join(path)] = value
    return found
