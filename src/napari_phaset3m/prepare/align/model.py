"""The alignment of a series, and how it is applied.

With p the place in the aligned image and g that in the given one, both from the image centre
``(n - 1) / 2`` in array axes (x: column to the right, y: row index)::

    (g_x, g_y) = m [[cos r, -sin r], [sin r, cos r]] (p_x, p_y) + (shift_x, shift_y)

so a feature at p of the aligned image sits at p + shift in the given one where nothing is turned.
When all images are turned alike, r is the angle of the tilt axis as SerialEM and IMOD state it:
the axis has the direction ``(x, y) = (-sin r, cos r)`` in the given images (io/orient.py).

The handedness of a tilt series cannot be found from its projections: the mirror image of the
specimen along the beam, tilted the other way round, gives the same images. It is the stated sign
of the tilt angles that decides, and nothing here changes it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.errors import DataError

#: Below these, a rotation (degrees) or a change of scale moves nothing by a thousandth of a pixel at 4k.
TRIVIAL_ROTATION_DEG = 2e-5
TRIVIAL_MAGNIFICATION = 4e-7


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Alignment:
    """Where the images of a series sit.

    Attributes
    ----------
    shifts_px : ndarray
        `(n_tilt, n_focus, 2)` float64 (y, x): a feature at p of the aligned image sits at p + shift
        in the given one.
    rotation_deg : ndarray
        `(n_tilt, n_focus)` in-plane rotation from the aligned to the given image, from +x towards +y.
    magnification : ndarray
        `(n_tilt, n_focus)` of the given image over the aligned one.
    tilt_deg : ndarray
        `(n_tilt,)`.
    used : ndarray
        `(n_tilt, n_focus)` bool.
    defocus_angstrom : ndarray or None
        `(n_tilt, n_focus)`, underfocus positive, at the rotation centre.
    residual : ndarray
        `(n_tilt, n_focus)` misfit of each image, in the unit of the stage that told it; NaN: unknown.
    shift_error_px : ndarray
        `(n_tilt, n_focus, 2)` (y, x), one standard deviation; NaN: unknown.
    axis_error_deg : float or None
        Of the axis, one standard deviation; None: it was not searched.

    Raises
    ------
    DataError
        Shapes disagree, or a number that must be known is not finite.
    """

    shifts_px: np.ndarray
    rotation_deg: np.ndarray
    magnification: np.ndarray
    tilt_deg: np.ndarray
    used: np.ndarray
    defocus_angstrom: np.ndarray | None = None
    residual: np.ndarray | None = None
    shift_error_px: np.ndarray | None = None
    axis_error_deg: float | None = None

    def __post_init__(self) -> None:
        shape = np.shape(self.shifts_px)
        if len(shape) != 3 or shape[-1] != 2:
            raise DataError(f"has shape {shape}, but (n_tilt, n_focus, 2) is needed", field="shifts_px")
        images = shape[:2]
        self._freeze("shifts_px", shape)
        self._freeze("rotation_deg", images)
        self._freeze("magnification", images)
        self._freeze("tilt_deg", images[:1])
        self._freeze("used", images, np.bool_)
        if self.defocus_angstrom is not None:
            self._freeze("defocus_angstrom", images)
        for name, wanted in (("residual", images), ("shift_error_px", shape)):
            if getattr(self, name) is None:
                object.__setattr__(self, name, np.nan)
            self._freeze(name, wanted, known=False)
        assert isinstance(self.magnification, np.ndarray)
        if self.magnification.min(initial=1.0) <= 0:
            raise DataError("must be positive", field="magnification")

    def _freeze(
        self, name: str, shape: tuple[int, ...], dtype: Any = np.float64, *, known: bool = True
    ) -> None:
        try:
            array = np.array(np.broadcast_to(np.asarray(getattr(self, name), dtype), shape))
        except ValueError:
            given = np.shape(getattr(self, name))
            raise DataError(f"has shape {given}, which does not fit {shape}", field=name) from None
        if known and not np.isfinite(array).all():
            raise DataError("holds NaN or infinite values", field=name)
        array.setflags(write=False)
        object.__setattr__(self, name, array)

    @classmethod
    def of(cls, series: TiltFocalSeries) -> Self:
        """The alignment that a series has now: its shifts, tilts and defocus; nothing is turned."""
        assert series.shifts_px is not None and series.used is not None
        images = (series.n_tilt, series.n_focus)
        return cls(
            shifts_px=series.shifts_px,
            rotation_deg=np.zeros(images),
            magnification=np.ones(images),
            tilt_deg=series.tilt_deg,
            used=series.used,
            defocus_angstrom=series.defocus_angstrom,
        )

    @property
    def n_tilt(self) -> int:
        return int(self.shifts_px.shape[0])

    @property
    def n_focus(self) -> int:
        return int(self.shifts_px.shape[1])

    @property
    def turned(self) -> bool:
        """Whether an image is turned or magnified, so that applying it resamples."""
        turned = np.abs(self.rotation_deg).max(initial=0.0) > TRIVIAL_ROTATION_DEG
        scaled = np.abs(self.magnification - 1).max(initial=0.0) > TRIVIAL_MAGNIFICATION
        return bool(turned or scaled)

    @property
    def axis_angle_deg(self) -> float:
        """Angle of the tilt axis in the given images: the circular mean rotation of those used."""
        used = self.used if self.used.any() else np.ones_like(self.used)
        angle = np.radians(self.rotation_deg[used])
        return float(np.degrees(np.arctan2(np.sin(angle).mean(), np.cos(angle).mean())))

    def matrices(self) -> np.ndarray:
        """`(n_tilt, n_focus, 2, 2)`: (x, y) of the given image from (x, y) of the aligned one."""
        angle = np.radians(self.rotation_deg)
        cos, sin = np.cos(angle), np.sin(angle)
        rows = np.stack((np.stack((cos, -sin), -1), np.stack((sin, cos), -1)), -2)
        return np.asarray(self.magnification[..., None, None] * rows)

    @property
    def aligned_shifts_px(self) -> np.ndarray:
        """`(n_tilt, n_focus, 2)` (y, x) shifts in the axes of the aligned images."""
        inverse = np.linalg.inv(self.matrices())
        return np.asarray(np.einsum("tfij,tfj->tfi", inverse, self.shifts_px[..., ::-1])[..., ::-1])

    def to_given(self, places_px: np.ndarray) -> np.ndarray:
        """`(n_tilt, n_focus, n, 2)` places in the given images of `(n, 2)` aligned ones.

        All (y, x) from the image centres; `(n_tilt, n_focus, n, 2)` when each image has its own.
        """
        places = np.asarray(places_px, np.float64)
        places = np.broadcast_to(places, (self.n_tilt, self.n_focus, *places.shape[-2:]))
        turned = np.einsum("tfij,tfnj->tfni", self.matrices(), places[..., ::-1])
        return np.asarray(turned[..., ::-1] + self.shifts_px[:, :, None, :])

    def replace(self, **changes: Any) -> Alignment:
        """A copy with some fields changed."""
        return replace(self, **changes)

    def with_axis_angle(self, axis_angle_deg: float) -> Alignment:
        """All images turned on so that their mean rotation is ``axis_angle_deg``; shifts stay.

        The error of the axis was that of another angle, and is not known any more.
        """
        turned = self.rotation_deg + (axis_angle_deg - self.axis_angle_deg)
        return self.replace(rotation_deg=turned, axis_error_deg=None)

    def moved(self, translation_px: tuple[float, float, float]) -> Alignment:
        """The same images with the specimen at another place.

        Parameters
        ----------
        translation_px : tuple of float
            (z, y, x) of the specimen frame: every feature of the volume moves on by this much.
        """
        z, y, x = translation_px
        angle = np.radians(self.tilt_deg)
        along = np.full_like(angle, y)
        # The aligned image shows the feature further on by t, so the shift to the given place shrinks.
        step = np.stack((x * np.cos(angle) - z * np.sin(angle), along), -1)
        change = np.einsum("tfij,tj->tfi", self.matrices(), step)[..., ::-1]
        return self.replace(shifts_px=self.shifts_px - change)


def specimen_translation(
    shifts_px: np.ndarray, tilt_deg: np.ndarray, weight: np.ndarray | None = None
) -> tuple[float, float, float]:
    """The specimen's translation that explains shifts best, for what no alignment can know.

    Parameters
    ----------
    shifts_px : ndarray
        `(n_tilt, n_focus, 2)` (y, x) in aligned axes.
    tilt_deg : ndarray
        `(n_tilt,)`.
    weight : ndarray, optional
        `(n_tilt, n_focus)` >= 0.

    Returns
    -------
    tuple of float
        (z, y, x): least squares of x cos - z sin across the axis and y along it, pixels.
    """
    n_tilt, n_focus = shifts_px.shape[:2]
    w = np.ones((n_tilt, n_focus)) if weight is None else np.asarray(weight, np.float64)
    angle = np.repeat(np.radians(tilt_deg), n_focus)
    root = np.sqrt(w.ravel())
    design = np.stack((-np.sin(angle), np.cos(angle)), -1) * root[:, None]
    z, x = np.linalg.lstsq(design, shifts_px[..., 1].ravel() * root, rcond=1e-6)[0]
    total = w.sum()
    y = float((w * shifts_px[..., 0]).sum() / total) if total else 0.0
    return float(z), y, float(x)


def without_translation(alignment: Alignment) -> Alignment:
    """The alignment with the specimen where its used images say least about a translation.

    A translation of the specimen changes no image, so it is no error of an alignment; this fixes it
    so that the shifts are smallest, in the sense of least squares.
    """
    weight = alignment.used.astype(np.float64)
    return alignment.moved(specimen_translation(alignment.aligned_shifts_px, alignment.tilt_deg, weight))
