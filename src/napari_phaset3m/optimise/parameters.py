"""What can be searched for: where it lives in a series or a config, its unit, and what limits it.

Values are in the unit of the name. Relative ones (offsets, scales) are changes of what
the series states, so that 0 (or 1) leaves it as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from napari_phaset3m.config import ReconstructionConfig
from napari_phaset3m.core.aberrations import KRIVANEK
from napari_phaset3m.core.sections import turn_matrix
from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.io.orient import turn, turn_aberrations

Pair = tuple[TiltFocalSeries, ReconstructionConfig]


@dataclass(frozen=True, slots=True)
class Parameter:
    """One thing to search for.

    Attributes
    ----------
    name : str
        With its unit, e.g. ``cs_angstrom``.
    label, unit : str
        For a person.
    kind : {"optics", "geometry", "image", "solver"}
    get : callable
        Value that a series and a config state now.
    put : callable
        The pair with another value.
    span : float
        Half width of the default range around the stated value.
    least : float
        Smallest value that makes sense.
    refined_as : str
        Its name in ``refine_optics``, empty when no gradient is there.
    """

    name: str
    label: str
    unit: str
    kind: Literal["optics", "geometry", "image", "solver"]
    get: Callable[[TiltFocalSeries, ReconstructionConfig], float]
    put: Callable[[TiltFocalSeries, ReconstructionConfig, float], Pair]
    span: float
    least: float = -np.inf
    refined_as: str = ""

    @property
    def relative_to(self) -> float | None:
        """0 (an offset) or 1 (a factor) where values are relative to the series as it is; else None."""
        return 0.0 if self.get is _zero else 1.0 if self.get is _one else None


def _field(name: str) -> dict[str, Any]:
    """``get`` and ``put`` of a number that the series holds."""
    return {
        "get": lambda series, config: float(getattr(series, name) or 0.0),
        "put": lambda series, config, value: (series.replace(**{name: float(value)}), config),
    }


def _focal_spread(series: TiltFocalSeries, config: ReconstructionConfig) -> float:
    return series.resolved_focal_spread_angstrom


def _part(name: str, part: int) -> dict[str, Any]:
    """``get`` and ``put`` of ``C cos(m phi)`` (part 0) or ``C sin(m phi)`` (part 1)."""
    m, phi = KRIVANEK[name][1], "phi" + name[1:]

    def both(series: TiltFocalSeries) -> np.ndarray:
        value, angle = series.aberrations.get(name, 0.0), series.aberrations.get(phi, 0.0)
        return np.array([value * np.cos(m * angle), value * np.sin(m * angle)])

    def put(series: TiltFocalSeries, config: ReconstructionConfig, value: float) -> Pair:
        now = both(series)
        now[part] = value
        found = {name: float(np.hypot(*now)), phi: float(np.arctan2(now[1], now[0]) / m)}
        return series.replace(aberrations={**series.aberrations, **found}), config

    return {"get": lambda series, config: float(both(series)[part]), "put": put}


def _put_defocus(series: TiltFocalSeries, config: ReconstructionConfig, value: float) -> Pair:
    assert series.defocus_angstrom is not None
    return series.replace(defocus_angstrom=series.defocus_angstrom + value), config


def _put_axis_angle(series: TiltFocalSeries, config: ReconstructionConfig, value: float) -> Pair:
    if not value:
        return series, config
    images, shifts = turn(series.images, value, series.shifts_px)
    changes: dict[str, Any] = {"images": images, "shifts_px": shifts}
    changes["sections"] = series.sections and series.sections.moved(turn_matrix(value))
    changes["aberrations"] = turn_aberrations(series.aberrations, value)
    return series.replace(**changes, tilt_axis_angle_deg=series.tilt_axis_angle_deg + value), config


def _put_axis_offset(series: TiltFocalSeries, config: ReconstructionConfig, value: float) -> Pair:
    assert series.shifts_px is not None
    return series.replace(shifts_px=series.shifts_px + np.array([0.0, value])), config


def _put_tilt_offset(series: TiltFocalSeries, config: ReconstructionConfig, value: float) -> Pair:
    return series.replace(tilt_deg=series.tilt_deg + value), config


def _put_magnification(series: TiltFocalSeries, config: ReconstructionConfig, value: float) -> Pair:
    return series.replace(pixel_size_angstrom=series.pixel_size_angstrom / value), config


def _put_intensity(series: TiltFocalSeries, config: ReconstructionConfig, value: float) -> Pair:
    return series.replace(images=series.images * np.float32(value)), config


def _put_b_factor(series: TiltFocalSeries, config: ReconstructionConfig, value: float) -> Pair:
    """Amplitudes of the image's spectrum fall as ``exp(-B k^2 / 4)``, as a detector would make them."""
    fraction = np.linspace(0, np.sqrt(2), 48)
    k = fraction * 0.5 / series.pixel_size_angstrom
    stated = 1.0 if series.mtf is None else np.interp(fraction, *series.mtf.T)
    return series.replace(mtf=np.column_stack([fraction, stated * np.exp(-value * k**2 / 4)])), config


def _zero(series: TiltFocalSeries, config: ReconstructionConfig) -> float:
    return 0.0


def _one(series: TiltFocalSeries, config: ReconstructionConfig) -> float:
    return 1.0


def _solver(name: str, default: float, whole: bool = False) -> dict[str, Any]:
    """``get`` and ``put`` of a field of the config (of its constraints for ``sparsity``)."""

    def get(series: TiltFocalSeries, config: ReconstructionConfig) -> float:
        owner = config.constraints if name == "sparsity" else config
        value = getattr(owner, name)
        return default if value is None or isinstance(value, str) else float(value)

    def put(series: TiltFocalSeries, config: ReconstructionConfig, value: float) -> Pair:
        new: Any = round(value) if whole else float(value)
        data = config.model_dump()
        (data["constraints"] if name == "sparsity" else data)[name] = new
        return series, ReconstructionConfig.parse(**data)

    return {"get": get, "put": put}


def _all() -> tuple[Parameter, ...]:
    optics = [
        Parameter("cs_angstrom", "Cs", "Å", "optics", **_field("spherical_aberration_angstrom"),
                  span=5e6, refined_as="C30"),
        Parameter("focal_spread_angstrom", "Focal spread", "Å", "optics", _focal_spread,
                  _field("focal_spread_angstrom")["put"], 40.0, 0.0, "focal_spread"),
        Parameter("convergence_semiangle_mrad", "Convergence", "mrad", "optics",
                  **_field("convergence_semiangle_mrad"), span=0.3, least=0.0),
    ]  # fmt: skip
    names = {"C12": ("Astigmatism", 150.0), "C21": ("Coma", 5e3), "C23": ("Three-fold astigmatism", 5e3)}
    for name, (label, span) in names.items():
        for part, word in enumerate(("cos", "sin")):
            full, title = f"{name.lower()}_{word}_angstrom", f"{label}, {word}"
            optics.append(
                Parameter(full, title, "Å", "optics", **_part(name, part), span=span, refined_as=name)
            )
    rest = (
        Parameter("defocus_offset_angstrom", "Defocus offset", "Å", "optics", _zero, _put_defocus, 300.0),
        Parameter("tilt_axis_angle_deg", "Tilt axis, turned", "°", "geometry", _zero, _put_axis_angle, 2.0),
        Parameter("tilt_axis_offset_px", "Tilt axis, moved", "px", "geometry", _zero, _put_axis_offset, 5.0),
        Parameter("tilt_offset_deg", "Tilt, all images", "°", "geometry", _zero, _put_tilt_offset, 2.0),
        Parameter("magnification", "Magnification", "×", "geometry", _one, _put_magnification, 0.03, 0.5),
        Parameter("intensity_scale", "Intensity", "×", "image", _one, _put_intensity, 0.05, 0.01),
        Parameter("b_factor_angstrom2", "B factor", "Å²", "image", _zero, _put_b_factor, 5.0, 0.0),
        Parameter("step", "Step", "", "solver", **_solver("step", 1.3), span=0.8, least=0.01),
        Parameter("iterations", "Sweeps", "", "solver", **_solver("iterations", 20, True), span=15, least=1),
        Parameter("slices", "Slices", "", "solver", **_solver("slices", 24, True), span=20, least=1),
        Parameter("depth_angstrom", "Thickness", "Å", "solver", **_solver("depth_angstrom", 50.0),
                  span=30.0, least=1.0),
        Parameter("sparsity", "Sparsity", "", "solver", **_solver("sparsity", 1.0), span=1.0, least=0.0),
    )  # fmt: skip
    return (*optics, *rest)


def solver_values(values: Mapping[str, float]) -> dict[str, float]:
    """Those of ``values`` that are settings of the reconstruction: no series states them."""
    return {name: value for name, value in values.items() if PARAMETERS[name].kind == "solver"}


def with_solver(
    series: TiltFocalSeries, config: ReconstructionConfig, values: Mapping[str, float]
) -> ReconstructionConfig:
    """The config with the settings of the reconstruction among ``values``."""
    return put_all(series, config, solver_values(values))[1]


#: By name, in the order they are listed.
PARAMETERS: Mapping[str, Parameter] = {parameter.name: parameter for parameter in _all()}


def put_all(
    series: TiltFocalSeries, config: ReconstructionConfig, values: Mapping[str, float]
) -> tuple[TiltFocalSeries, ReconstructionConfig]:
    """The series and config with these values, put in the order of :data:`PARAMETERS`."""
    for name, parameter in PARAMETERS.items():
        if name in values:
            series, config = parameter.put(series, config, values[name])
    return series, config
