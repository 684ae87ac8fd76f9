"""The data model: a tilt/focal series with its microscope.

Conventions (frozen, DESIGN section 2): images `(n_tilt, n_focus, ny, nx)` with
the tilt axis along y; lengths in angstrom; defocus positive = underfocus,
referred to the plane of the rotation centre; intensity with vacuum (or, when no
vacuum is in view, the mean) = 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from functools import partial
from types import MappingProxyType
from typing import Any

import numpy as np

from napari_phaset3m.core.precision import to_real
from napari_phaset3m.core.sections import Sections
from napari_phaset3m.errors import DataError

#: 10 m: beyond what any lens can be off focus, and still far within float32.
MOST_DEFOCUS_ANGSTROM = 1e11
#: Edge of the largest image that any reader takes.
MOST_SHIFT_PX = 1 << 20


def _frozen(value: Any, dtype: Any, shape: tuple[int, ...], name: str) -> np.ndarray:
    array = np.array(np.broadcast_to(np.asarray(value, dtype), shape))
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise DataError("holds NaN or infinite values", field=name)
    array.setflags(write=False)
    return array


def _curve(value: Any) -> np.ndarray:
    try:
        table = np.array(value, np.float64)
    except (TypeError, ValueError):
        table = np.empty(0)
    if table.ndim != 2 or table.shape[1] != 2 or len(table) < 2:
        raise DataError(
            f"has shape {table.shape}, but (n, 2) is needed",
            field="mtf",
            remedy="Give two or more rows: fraction of Nyquist, value",
        )
    table = _frozen(table, np.float64, table.shape, "mtf")
    if table.min() < 0 or np.any(np.diff(table[:, 0]) <= 0):
        raise DataError(
            "is no curve",
            field="mtf",
            remedy="Give rising fractions of Nyquist, and values that are not negative",
        )
    return table


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TiltFocalSeries:
    """HRTEM images at many tilts and one or several defoci per tilt.

    Parameters
    ----------
    images : array_like
        `(n_tilt, n_focus, ny, nx)` float32 intensity; vacuum (or mean) = 1.
    tilt_deg : array_like
        `(n_tilt,)` degrees.
    pixel_size_angstrom : float
    energy_ev : float
        Accelerating voltage, volts.
    defocus_angstrom : array_like, optional
        `(n_focus,)` or `(n_tilt, n_focus)`, underfocus positive, referred to
        the rotation centre. None: unknown (linear methods only).
    spherical_aberration_angstrom, chromatic_aberration_angstrom : float, optional
        Cs and Cc.
    energy_spread_ev : float, optional
        Standard deviation of the beam energy.
    focal_spread_angstrom : float, optional
        Standard deviation sigma_f of defocus.
    convergence_semiangle_mrad : float, optional
        Standard deviation of the illumination angle in one direction. None: not known.
    phase_shift_deg : float, optional
        Of a phase plate, degrees: what was scattered goes ahead of the unscattered beam by it (CTFFIND's
        phase shift). None: there is no phase plate.
    mtf : array_like, optional
        Detector MTF, `(n, 2)`: rising fractions of the images' Nyquist frequency, values.
    aberrations : mapping of str to float
        Krivanek coefficients beyond defocus and Cs: magnitudes ``C12`` ... ``C56``
        in angstrom, azimuths ``phi12`` ... in radians (from +x towards +y).
    dose_per_image : array_like, optional
        Scalar or `(n_tilt, n_focus)`, electrons per square angstrom.
    shifts_px : array_like, optional
        `(n_tilt, n_focus, 2)` (y, x) pixels: a feature at p of the aligned image
        sits at p + shift in the given one. Zero when omitted.
    used : array_like, optional
        `(n_tilt, n_focus)` bool. All when omitted.
    tilt_axis_angle_deg : float
        By how much the stack was rotated at import to bring the axis along y.
    normalisation : str
        How intensity was scaled: ``"given"``, ``"counts"``, ``"mean"`` ...
    metadata : mapping
        Anything else worth keeping (source file, gain, labels).
    sections : Sections, optional
        Which section of which file each image was made from. None: not known.

    Raises
    ------
    DataError
        Shapes disagree, values are not finite, or a size is not positive.
    """

    images: np.ndarray
    tilt_deg: np.ndarray
    pixel_size_angstrom: float
    energy_ev: float
    defocus_angstrom: np.ndarray | None = None
    spherical_aberration_angstrom: float | None = None
    chromatic_aberration_angstrom: float | None = None
    energy_spread_ev: float | None = None
    focal_spread_angstrom: float | None = None
    convergence_semiangle_mrad: float | None = None
    phase_shift_deg: float | None = None
    mtf: np.ndarray | None = None
    aberrations: Mapping[str, float] = field(default_factory=dict)
    dose_per_image: np.ndarray | None = None
    shifts_px: np.ndarray | None = None
    used: np.ndarray | None = None
    tilt_axis_angle_deg: float = 0.0
    normalisation: str = "given"
    metadata: Mapping[str, Any] = field(default_factory=dict)
    sections: Sections | None = None

    def __post_init__(self) -> None:
        images = to_real(self.images, "tilt_series")
        if images.ndim != 4 or 0 in images.shape:
            raise DataError(f"needs shape (n_tilt, n_focus, ny, nx), not {images.shape}", field="tilt_series")
        images = images.view()
        images.setflags(write=False)
        object.__setattr__(self, "images", images)
        n_tilt, n_focus = images.shape[:2]
        tilts = np.asarray(self.tilt_deg, np.float64)
        if tilts.shape != (n_tilt,):
            raise DataError(
                f"{tilts.size} angles for {n_tilt} tilts",
                field="tilt_angles",
                remedy="Give one angle for each tilt",
            )
        self._set("tilt_deg", _frozen(tilts, np.float64, (n_tilt,), "tilt_angles"))
        self._freeze_per_image(n_tilt, n_focus)
        if self.mtf is not None:
            self._set("mtf", _curve(self.mtf))
        self._check_shifts()
        self._check_defocus()
        self._check_positive()
        if self.sections is not None and self.sections.shape != (n_tilt, n_focus):
            raise DataError(f"{self.sections.shape} for {(n_tilt, n_focus)} images", field="sections")
        self._set("aberrations", MappingProxyType(dict(self.aberrations)))
        self._set("metadata", MappingProxyType(dict(self.metadata)))

    def __reduce__(self) -> tuple[Any, ...]:
        # A mapping proxy does not pickle; made anew, the copy is checked and frozen as this one is.
        values: dict[str, Any] = {item.name: getattr(self, item.name) for item in fields(self)}
        values |= {"aberrations": dict(self.aberrations), "metadata": dict(self.metadata)}
        return partial(type(self), **values), ()

    def _set(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)

    def _freeze_per_image(self, n_tilt: int, n_focus: int) -> None:
        shape = (n_tilt, n_focus)
        fields: tuple[tuple[str, str, Any, tuple[int, ...]], ...] = (
            ("defocus_angstrom", "defocus_values", np.float64, shape),
            ("dose_per_image", "dose_per_image", np.float64, shape),
            ("shifts_px", "shifts", np.float64, (*shape, 2)),
            ("used", "mask", np.bool_, shape),
        )
        for name, key, dtype, wanted in fields:
            value = getattr(self, name)
            if value is None:
                if name == "shifts_px":
                    value = 0.0
                elif name == "used":
                    value = True
                else:
                    continue
            try:
                self._set(name, _frozen(value, dtype, wanted, key))
            except DataError:
                raise
            except ValueError:
                told = f"which does not fit {wanted}"
                if wanted == shape:
                    told = (
                        f"but {n_tilt} tilts with {n_focus} foci need one value, one a focus, or one an image"
                    )
                raise DataError(f"has shape {np.shape(value)}, {told}", field=key) from None

    def _check_shifts(self) -> None:
        """Refuse what no shift can be; that of a crop far from the centre may exceed the images' own size."""
        assert self.shifts_px is not None
        bad = np.argwhere(np.abs(self.shifts_px) > MOST_SHIFT_PX)
        if len(bad):
            tilt, focus, _ = bad[0]
            y, x = self.shifts_px[tilt, focus]
            raise DataError(
                f"is {y:.10g}, {x:.10g} px (y, x) for tilt {tilt}, focus {focus}, and no image is so large",
                field="shifts",
                remedy="Mend it, or align anew",
            )

    def _check_defocus(self) -> None:
        """Refuse what no defocus can be."""
        if self.defocus_angstrom is None:
            return
        bad = np.argwhere(np.abs(self.defocus_angstrom) > MOST_DEFOCUS_ANGSTROM)
        if len(bad):
            tilt, focus = bad[0]
            value = self.defocus_angstrom[tilt, focus]
            raise DataError(
                f"is {value:.4g} Å for tilt {tilt}, focus {focus}, and no lens is so far off focus",
                field="defocus_values",
                remedy="Give angstrom, underfocus positive",
            )

    def _check_positive(self) -> None:
        if self.dose_per_image is not None:
            bad = np.argwhere((self.dose_per_image < 0) | (self.used & (self.dose_per_image == 0)))
            if len(bad):
                tilt, focus = bad[0]
                raise DataError(
                    f"is {self.dose_per_image[tilt, focus]:g} for tilt {tilt}, focus {focus}",
                    field="dose_per_image",
                    remedy="Give electrons per square angstrom, or mark the image as not used",
                )
        if self.phase_shift_deg is not None and not abs(self.phase_shift_deg) <= 360:
            raise DataError(f"is {self.phase_shift_deg}", field="phase_shift",
                            remedy="Give degrees, -360 to 360")  # fmt: skip
        checks = (
            ("pixel_size", self.pixel_size_angstrom, True),
            ("energy", self.energy_ev, True),
            ("chromatic_aberration", self.chromatic_aberration_angstrom, False),
            ("focal_spread", self.focal_spread_angstrom, False),
            ("energy_spread", self.energy_spread_ev, False),
            ("convergence_semiangle", self.convergence_semiangle_mrad, False),
        )
        for name, value, strictly in checks:
            if value is None:
                continue
            if not np.isfinite(value) or value < 0 or (strictly and value == 0):
                raise DataError(f"is {value}, but must be positive", field=name)

    @property
    def n_tilt(self) -> int:
        return int(self.images.shape[0])

    @property
    def n_focus(self) -> int:
        return int(self.images.shape[1])

    @property
    def image_shape(self) -> tuple[int, int]:
        """(ny, nx)."""
        return int(self.images.shape[2]), int(self.images.shape[3])

    @property
    def tilt_range_deg(self) -> tuple[float, float] | None:
        """Lowest and highest tilt with an image in use, degrees; None when none is."""
        assert self.used is not None
        tilts = self.tilt_deg[self.used.any(axis=1)]
        return (float(tilts.min()), float(tilts.max())) if len(tilts) else None

    @property
    def is_dark_field(self) -> bool:
        """Whether the images are inverted ones of STEM: no phase, no optics; linear methods take them."""
        return self.normalisation == "dark_field"

    @property
    def resolved_focal_spread_angstrom(self) -> float:
        """sigma_f: as given, else from Cc and the energy spread, else 0 (coherent)."""
        if self.focal_spread_angstrom is not None:
            return float(self.focal_spread_angstrom)
        if self.chromatic_aberration_angstrom and self.energy_spread_ev:
            return float(self.chromatic_aberration_angstrom * self.energy_spread_ev / self.energy_ev)
        return 0.0

    def replace(self, **changes: Any) -> TiltFocalSeries:
        """A copy with some fields changed (images are shared unless replaced)."""
        return replace(self, **changes)
