"""Parameters of a simulated tilt/focal series (frozen, validated, YAML/JSON)."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from pydantic import Field, model_validator

from napari_phaset3m.config import Auto, Model, PositiveFloat, PositiveInt
from napari_phaset3m.core.aberrations import check_coefficients

_DEFAULT_TILTS, _MOST_TILTS = 31, 100_000


class SpecimenConfig(Model):
    """The particle; its centre is the rotation centre unless a film is added."""

    kind: Literal["co3o4", "gold", "cif", "xyz", "vesicles"] = Field(
        "co3o4",
        description="Spinel Co3O4, fcc gold, a unit cell (CIF), atoms (XYZ file), or vesicles in ice",
    )
    path: str | None = Field(None, description="The CIF or XYZ file")
    shape: Literal["sphere", "cuboctahedron"] = Field("sphere", description="Cut out of the crystal")
    diameter_angstrom: PositiveFloat = Field(
        20.0, description="Diameter of sphere or vesicle, or corner to corner of the cuboctahedron, Å"
    )
    lattice_angstrom: PositiveFloat | None = Field(
        None, description="Cubic lattice constant, Å; none: 8.084 (Co3O4), 4.0782 (gold)"
    )
    oxygen_parameter: float = Field(0.2631, gt=0.2, lt=0.3, description="u of the spinel's oxygen")
    orientation_deg: tuple[float, float, float] | None = Field(
        None, description="Intrinsic z-x-z Euler angles from crystal to sample, °; none: random from the seed"
    )
    origin_fraction: tuple[float, float, float] | None = Field(
        None, description="Point of the unit cell at the particle's centre; none: random from the seed"
    )
    centre_angstrom: tuple[float, float, float] = Field(
        (0.0, 0.0, 0.0), description="Offset of everything from the rotation centre (x, y, z), Å"
    )

    @model_validator(mode="after")
    def _file(self) -> SpecimenConfig:
        if self.kind in ("cif", "xyz") and not self.path:
            raise ValueError(f"path: kind {self.kind} needs the file's name")
        return self


class VesicleConfig(Model):
    """HIV-like particles in ice (kind vesicles); potentials are told above that of the ice."""

    n_vesicle: PositiveInt = Field(1, description="Number of vesicles; one lies at the centre")
    diameter_sigma_angstrom: float = Field(0.0, ge=0, description="Standard deviation of the diameter, Å")
    membrane_thickness_angstrom: PositiveFloat = Field(45.0, description="Thickness of the membrane, Å")
    membrane_contrast_volts: float = Field(1.5, description="Membrane above ice, V")
    inner_gap_angstrom: float = Field(30.0, ge=0, description="From membrane to inner shell, Å")
    inner_thickness_angstrom: PositiveFloat = Field(70.0, description="Thickness of the inner shell, Å")
    inner_contrast_volts: float = Field(
        1.5, description="Inner shell above ice, V; equal to the lumen: no shell"
    )
    n_spike: int = Field(
        0, ge=0, le=500, description="Glycoprotein spikes on each vesicle (HIV-1 about 14, SIV about 73)"
    )
    capsid: Literal["none", "cone"] = Field("none", description="cone: a conical capsid in each vesicle")
    lumen_contrast_volts: float = Field(0.2, description="Between and inside the shells, above ice, V")
    edge_softness_angstrom: PositiveFloat = Field(
        5.0, description="Softness of all edges (standard deviation), Å"
    )
    ice_thickness_angstrom: PositiveFloat | Auto = Field(
        "auto", description="Vesicles lie within so much ice; auto: as deep as the field is wide"
    )


class CarbonConfig(Model):
    """Amorphous carbon film, made by random sequential addition."""

    thickness_angstrom: float = Field(0.0, ge=0, description="Film thickness, Å; 0: no film")
    density_g_cm3: PositiveFloat = Field(1.9, description="Mass density, g/cm³")
    minimum_distance_angstrom: PositiveFloat = Field(1.4, description="Between carbon atoms, Å")
    clearance_angstrom: float = Field(2.0, ge=0, description="From the particle's atoms, Å")
    embedding: float = Field(
        0.5, ge=0, le=1, description="Part of the particle's height that is sunk in the film"
    )
    radius_angstrom: PositiveFloat | Auto | Literal["endless"] = Field(
        "auto",
        description="The film is cut to a cylinder about the tilt axis, so that it stays in view at every "
        "tilt; auto: half the field; endless: matter enters the field at high tilt",
    )

    @model_validator(mode="after")
    def _packing(self) -> CarbonConfig:
        number = self.density_g_cm3 * 0.602214 / 12.011
        if np.pi / 6 * self.minimum_distance_angstrom**3 * number > 0.34:
            raise ValueError(
                "density_g_cm3: random addition jams above a packing of 0.38; "
                "lower the density or minimum_distance_angstrom"
            )
        return self


class AcquisitionConfig(Model):
    """Tilts, defoci, detector and dose."""

    tilt_min_deg: float = Field(-66.0, ge=-90, le=90, description="First tilt, °")
    tilt_max_deg: float = Field(66.0, ge=-90, le=90, description="Last tilt, °")
    n_tilt: PositiveInt | None = Field(None, description="Number of tilts; none: 31, or from the step")
    tilt_step_deg: PositiveFloat | None = Field(None, description="Tilt step, °, instead of n_tilt")
    defocus_angstrom: tuple[float, ...] = Field(
        (500.0, 900.0, 1500.0), min_length=1, description="Underfocus positive, at the rotation centre, Å"
    )
    pixel_size_angstrom: PositiveFloat = Field(0.5, description="Pixel, Å")
    image_size_px: int = Field(80, ge=8, le=4096, description="Edge of the square images, pixels")
    dose_per_image: float | None = Field(
        None, gt=0, le=1e9, description="Electrons per Å² in each image (Poisson counts); none: noiseless"
    )
    mtf: tuple[tuple[float, ...], tuple[float, ...]] | None = Field(
        None, description="Detector MTF: fractions of Nyquist, values"
    )

    @model_validator(mode="after")
    def _consistent(self) -> AcquisitionConfig:
        if self.n_tilt is not None and self.tilt_step_deg is not None:
            raise ValueError("n_tilt: give n_tilt or tilt_step_deg, not both")
        if self.tilt_max_deg < self.tilt_min_deg:
            raise ValueError("tilt_max_deg: is below tilt_min_deg")
        count = self.n_tilt or (self.tilt_max_deg - self.tilt_min_deg) / (self.tilt_step_deg or 1.0)
        if count > _MOST_TILTS:
            name = "n_tilt" if self.n_tilt else "tilt_step_deg"
            raise ValueError(f"{name}: makes {count:.0f} tilts. Make {_MOST_TILTS} at most")
        if self.mtf and (len(self.mtf[0]) != len(self.mtf[1]) or np.any(np.diff(self.mtf[0]) <= 0)):
            raise ValueError("mtf: needs as many values as rising frequencies")
        return self

    @property
    def tilts_deg(self) -> np.ndarray:
        """`(n_tilt,)` nominal tilts, degrees."""
        if self.tilt_step_deg is not None:
            span = self.tilt_max_deg - self.tilt_min_deg
            count = int(np.floor(span / self.tilt_step_deg + 1e-6)) + 1
            return self.tilt_min_deg + self.tilt_step_deg * np.arange(count)
        count = self.n_tilt or _DEFAULT_TILTS
        if count == 1:
            return np.array([(self.tilt_min_deg + self.tilt_max_deg) / 2])
        return np.linspace(self.tilt_min_deg, self.tilt_max_deg, count)


class OpticsConfig(Model):
    """The true microscope."""

    energy_ev: PositiveFloat = Field(300e3, description="Accelerating voltage, V")
    spherical_aberration_angstrom: float = Field(1.2e7, description="Cs, Å (1 mm = 1e7 Å)")
    chromatic_aberration_angstrom: float = Field(1.6e7, ge=0, description="Cc, Å")
    energy_spread_ev: float = Field(0.3, ge=0, description="Standard deviation of the energy, eV")
    focal_spread_angstrom: float | None = Field(
        None, ge=0, description="Standard deviation of defocus, Å; none: from Cc and the energy spread"
    )
    convergence_semiangle_mrad: float = Field(
        0.0, ge=0, description="Illumination half-angle (standard deviation), mrad"
    )
    phase_shift_deg: float = Field(
        0.0, ge=-360, le=360, description="Phase shift of a phase plate, ° (0: there is none)"
    )
    aberrations: dict[str, float] = Field(
        default_factory=dict, description="Further Krivanek coefficients: C.. in Å, phi.. in rad"
    )
    coherence: Literal["envelope", "incoherent"] = Field(
        "envelope", description="Focal spread as an envelope, or summed over defoci"
    )
    quadrature_points: int = Field(7, ge=3, le=31, description="Defoci of the incoherent sum")

    @model_validator(mode="after")
    def _names(self) -> OpticsConfig:
        check_coefficients(self.aberrations)
        return self

    @property
    def sigma_f_angstrom(self) -> float:
        """Focal spread in use (standard deviation, Å)."""
        if self.focal_spread_angstrom is not None:
            return self.focal_spread_angstrom
        return self.chromatic_aberration_angstrom * self.energy_spread_ev / self.energy_ev


class InjectedErrorsConfig(Model):
    """What the series does not tell: truth and stated metadata differ by this."""

    shift_sigma_px: float = Field(0.0, ge=0, description="Random image shifts per axis, pixels")
    defocus_sigma_angstrom: float = Field(0.0, ge=0, description="Random defocus error per tilt, Å")
    tilt_offset_deg: float = Field(0.0, description="True minus stated tilt, °")
    stated_spherical_aberration_angstrom: float | None = Field(
        None, description="Cs written in the series, Å; none: the true one"
    )
    unstated_aberrations: dict[str, float] = Field(
        default_factory=dict, description="Aberrations that act but are not written in the series"
    )

    @model_validator(mode="after")
    def _names(self) -> InjectedErrorsConfig:
        check_coefficients(self.unstated_aberrations, "unstated_aberrations")
        return self


class NumericsConfig(Model):
    """How finely it is computed."""

    supersampling: int = Field(3, ge=1, le=8, description="Wave samples per pixel and axis")
    slice_thickness_angstrom: Annotated[float, Field(ge=0.01)] | Auto = Field(
        "auto", description="Multislice step, Å; auto: 1, or a third of the membrane of vesicles"
    )
    padding_px: Annotated[int, Field(ge=0)] | Auto = Field(
        "auto", description="Border computed around the field against wrap-around, pixels"
    )
    thermal_b_angstrom2: float = Field(0.0, ge=0, description="Isotropic Debye-Waller B of all atoms, Å²")
    threads: PositiveInt | Auto = Field("auto", description="CPU threads")


class SimulationConfig(Model):
    """Everything that :func:`napari_phaset3m.simulate.api.simulate` needs."""

    specimen: SpecimenConfig = SpecimenConfig()
    vesicles: VesicleConfig = VesicleConfig()
    carbon: CarbonConfig = CarbonConfig()
    acquisition: AcquisitionConfig = AcquisitionConfig()
    optics: OpticsConfig = OpticsConfig()
    errors: InjectedErrorsConfig = InjectedErrorsConfig()
    numerics: NumericsConfig = NumericsConfig()
    seed: int = Field(0, ge=0, description="Seed of orientation, places, film, errors and noise")

    @model_validator(mode="after")
    def _matter(self) -> SimulationConfig:
        if self.specimen.kind == "vesicles" and self.carbon.thickness_angstrom > 0:
            raise ValueError("carbon.thickness_angstrom: a film needs a particle made of atoms, not vesicles")
        return self

    @property
    def slice_angstrom(self) -> float:
        """Multislice step in use, Å."""
        asked = self.numerics.slice_thickness_angstrom
        if asked != "auto":
            return asked
        return self.vesicles.membrane_thickness_angstrom / 3 if self.specimen.kind == "vesicles" else 1.0
