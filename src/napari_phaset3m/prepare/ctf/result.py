"""What a CTF fit found, image by image: table, outliers, corrections by hand, and the changed series."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

import numpy as np

from napari_phaset3m.core.phase_plate import mean_plate_deg
from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.errors import DataError
from napari_phaset3m.prepare.ctf.config import CtfConfig
from napari_phaset3m.prepare.ctf.curves import RingCurve
from napari_phaset3m.prepare.ctf.stand_in import of_noise, with_stand_ins, without_fit
from napari_phaset3m.prepare.history import recorded

Method = Literal["thon", "exit wave", "edited", "stated", "neighbours", "none"]
_NAN = float("nan")


@dataclass(frozen=True, slots=True, eq=False)
class ImageCtf:
    """The CTF of one image.

    Attributes
    ----------
    tilt, focus : int
    method : {"thon", "exit wave", "edited", "stated", "neighbours", "none"}
        ``stated``: not fitted, the series' own value stays; ``neighbours``: nor is one stated, and the
        median of the nearest tilts stands in.
    defocus_angstrom, defocus_error_angstrom : float
        Underfocus positive, at the rotation centre; one standard deviation (nan: unknown).
    c12_angstrom, phi12_rad : float
        Astigmatism; azimuth from +x (columns) towards +y (rows). The defocus in the direction phi is
        ``defocus - C12 cos 2(phi - phi12)``.
    c12_error_angstrom, phi12_error_rad : float
    phase_shift_deg, phase_shift_error_deg : float
    confidence : float
        0..1. Thon rings: ``score``, or 0 when they cannot be trusted. Exit wave:
        ``1 / (1 + (e / 45 A)^2)`` with the error e that the scan of the weak-phase likelihood leaves.
    score : float
        Thon rings: normalised cross-correlation of the equiphase-averaged spectrum with ``sin^2`` up
        to ``resolution_angstrom`` (Rohou and Grigorieff, J. Struct. Biol. 192 (2015) 216).
    significance : float
        Thon rings: answer of the matched filter in standard deviations; noise alone reaches about 5.
    resolution_angstrom : float
        To which rings are fitted (nan: no ring is); exit wave: finest detail compared.
    rings : float
        Number of rings up to there.
    note : str
        Why it is not to be trusted, when it is not.
    curve : RingCurve or None
    """

    tilt: int
    focus: int
    method: Method = "none"
    defocus_angstrom: float = _NAN
    defocus_error_angstrom: float = _NAN
    c12_angstrom: float = 0.0
    phi12_rad: float = 0.0
    c12_error_angstrom: float = _NAN
    phi12_error_rad: float = _NAN
    phase_shift_deg: float = 0.0
    phase_shift_error_deg: float = _NAN
    confidence: float = 0.0
    score: float = _NAN
    significance: float = _NAN
    resolution_angstrom: float = _NAN
    rings: float = 0.0
    note: str = ""
    curve: RingCurve | None = None

    def row(self) -> dict[str, Any]:
        """Plain values; nan becomes None."""
        plain: dict[str, Any] = {}
        for item in fields(self):
            if item.name == "curve":
                continue
            value = getattr(self, item.name)
            plain[item.name] = None if isinstance(value, float) and not np.isfinite(value) else value
        return plain


@dataclass(frozen=True, slots=True, eq=False)
class CtfResult:
    """The CTF of every image of a series.

    Attributes
    ----------
    images : tuple of tuple of ImageCtf
        By tilt, then focus.
    tilt_deg : ndarray
        `(n_tilt,)`.
    config : CtfConfig
    method : str
        ``"thon"`` or ``"exit wave"``: what most of the images were fitted with.
    message : str
        The outcome in a sentence or two; says so when the exit wave had to serve.
    spherical_aberration_angstrom : float or None
        When it was fitted.
    """

    images: tuple[tuple[ImageCtf, ...], ...]
    tilt_deg: np.ndarray
    config: CtfConfig
    method: str
    message: str
    spherical_aberration_angstrom: float | None = None

    def __iter__(self) -> Iterator[ImageCtf]:
        return (image for row in self.images for image in row)

    def array(self, name: str) -> np.ndarray:
        """`(n_tilt, n_focus)` float64 of one numeric field of :class:`ImageCtf`."""
        return np.array([[float(getattr(image, name)) for image in row] for row in self.images])

    @property
    def defocus_angstrom(self) -> np.ndarray:
        """`(n_tilt, n_focus)` at the rotation centre; nan where there is none."""
        return self.array("defocus_angstrom")

    def of_neighbours(self, tilt: int, focus: int, count: int = 4) -> float | None:
        """Median (angstrom) of the nearest tilts of a focus that are known and no outliers; None: no such."""
        good = self.known[:, focus] & ~self.outliers()[:, focus]
        good[tilt] = False
        others = np.flatnonzero(good)
        near = others[np.argsort(np.abs(self.tilt_deg[others] - self.tilt_deg[tilt]))[:count]]
        return float(np.median(self.defocus_angstrom[near, focus])) if near.size else None

    def outliers(self, limit: float = 5.0) -> np.ndarray:
        """`(n_tilt, n_focus)` bool: far from its neighbours in tilt, as against how far others are.

        The deviation from a robust line through the six nearest tilts is compared with ``limit`` robust
        standard deviations (1.4826 times the median absolute one) of all deviations of its focus. Fewer
        than seven tilts are not judged.
        """
        values = self.defocus_angstrom
        flags = np.zeros(values.shape, bool)
        order = np.argsort(self.tilt_deg, kind="stable")
        for focus in range(values.shape[1]):
            column = values[order, focus]
            known = np.flatnonzero(np.isfinite(column))
            if known.size < 7:
                continue
            line, tilts = column[known], self.tilt_deg[order][known]
            near = np.array([_near(tilts, line, i) for i in range(line.size)])
            deviation = np.abs(line - near)
            spread = max(1.4826 * float(np.median(deviation)), 1e-3 * float(np.median(np.abs(line))), 1e-9)
            flags[order[known], focus] = deviation > limit * spread
        return flags

    def edited(self, tilt: int, focus: int, defocus_angstrom: float) -> CtfResult:
        """A copy with the defocus of one image set by hand.

        Where the series states none, images of its focus that were fitted to noise take that of their nearest
        tilts that have one of their own.

        Raises
        ------
        DataError
            There is no such image, or the value is not finite.
        """
        n_tilt, n_focus = len(self.images), len(self.images[0])
        if not (0 <= tilt < n_tilt and 0 <= focus < n_focus):
            raise DataError(
                f"tilt {tilt}, focus {focus} is not among {n_tilt} tilts and {n_focus} foci", field="defocus"
            )
        if not np.isfinite(defocus_angstrom):
            raise DataError(f"is {defocus_angstrom} for tilt {tilt}, focus {focus}", field="defocus",
                            remedy="Give angstrom, underfocus positive")  # fmt: skip
        old = self.images[tilt][focus]
        if of_noise(self.images[tilt])[focus]:
            old = without_fit(old)
        new = replace(old, method="edited", defocus_angstrom=float(defocus_angstrom), note="set by hand",
                      defocus_error_angstrom=_NAN)  # fmt: skip
        table = [list(row) for row in self.images]
        table[tilt][focus] = new
        return replace(self, images=with_stand_ins(tuple(map(tuple, table)), self.tilt_deg))

    def astigmatism(self) -> tuple[float, float]:
        """C12 (angstrom) and phi12 (rad) of the series: median over the images, by components.

        Where no fit can be trusted, that of the images whose stated numbers stay.
        """
        fitted = self._fitted() or [image for image in self if image.method == "stated"]
        if not fitted:
            return 0.0, 0.0
        cos = float(np.median([i.c12_angstrom * np.cos(2 * i.phi12_rad) for i in fitted]))
        sin = float(np.median([i.c12_angstrom * np.sin(2 * i.phi12_rad) for i in fitted]))
        return float(np.hypot(cos, sin)), float(np.mod(0.5 * np.arctan2(sin, cos), np.pi))

    def phase_shift(self) -> tuple[float, float] | None:
        """Of the trusted images: mean phase shift, degrees, and scatter about it (rms); None: not fitted."""
        fitted = [image.phase_shift_deg for image in self._fitted() if image.method == "thon"]
        return mean_plate_deg(fitted) if self.config.fit_phase_shift and fitted else None

    def _fitted(self) -> list[ImageCtf]:
        return [image for image in self if image.method in ("thon", "exit wave") and image.confidence > 0]

    @property
    def known(self) -> np.ndarray:
        """`(n_tilt, n_focus)` bool: a defocus that is more than a fit to noise (trusted, by hand, stated)."""
        noise = np.array([of_noise(row) for row in self.images])
        return np.asarray(np.isfinite(self.defocus_angstrom) & ~noise)

    @property
    def supported(self) -> bool:
        """Whether every image has a defocus that is more than a fit to noise."""
        return bool(self.known.all())

    def apply(self, series: TiltFocalSeries) -> TiltFocalSeries:
        """The series with this defocus and astigmatism, and the step in its history.

        Parameters
        ----------
        series : TiltFocalSeries
            With as many tilts and foci. Images and shifts stay as they are. A series has one astigmatism
            and one phase shift, so those of :meth:`astigmatism` and :meth:`phase_shift` are written; each
            image's own is in the table. Where no fit can be trusted, the stated ones stay.

        Raises
        ------
        DataError
            The numbers differ, or an image has no defocus that can be trusted.
        """
        shape = (len(self.images), len(self.images[0]))
        if (series.n_tilt, series.n_focus) != shape:
            raise DataError(
                f"has {series.n_tilt} tilts and {series.n_focus} foci, but the CTF was fitted to {shape[0]} "
                f"and {shape[1]}",
                field="tilt_series",
                remedy="Fit this series",
            )
        missing = np.argwhere(~self.known)
        if len(missing):
            tilt, focus = missing[0]
            raise DataError(
                f"the image at {self.tilt_deg[tilt]:g}°, focus {focus + 1}, has none that can be trusted",
                field="defocus",
                remedy="Set it by hand, or state the defocus of the series",
            )
        changes: dict[str, Any] = {"defocus_angstrom": self.defocus_angstrom}
        c12, phi12 = self.astigmatism()
        if self.config.astigmatism != "given" and self._fitted():
            others = {k: v for k, v in series.aberrations.items() if k not in ("C12", "phi12")}
            changes["aberrations"] = {**others, "C12": c12, "phi12": phi12}
        if self.spherical_aberration_angstrom is not None:
            changes["spherical_aberration_angstrom"] = self.spherical_aberration_angstrom
        plate = self.phase_shift()
        if plate is not None:
            changes["phase_shift_deg"] = plate[0]
        told = {
            "method": self.method,
            "phase_shift_deg": None if plate is None else plate[0],
            "c12_angstrom": c12,
            "phi12_rad": phi12,
            "fitted": sum(image.method in ("thon", "exit wave") for image in self),
            "edited": [[image.tilt, image.focus] for image in self if image.method == "edited"],
        }
        return recorded(series.replace(**changes), "ctf", self.config, told)

    def rows(self) -> list[dict[str, Any]]:
        """One row for each image, tilt by tilt."""
        flags = self.outliers()
        return [
            {
                "tilt_deg": float(self.tilt_deg[image.tilt]),
                **image.row(),
                "outlier": bool(flags[image.tilt, image.focus]),
            }
            for image in self
        ]

    def as_dict(self) -> dict[str, Any]:
        """JSON-able form."""
        c12, phi12 = self.astigmatism()
        plate = self.phase_shift()
        return {
            "method": self.method,
            "message": self.message,
            "astigmatism": {"c12_angstrom": c12, "phi12_rad": phi12, "phi12_deg": float(np.degrees(phi12))},
            "spherical_aberration_angstrom": self.spherical_aberration_angstrom,
            "phase_shift_deg": plate[0] if plate is not None else None,
            "parameters": self.config.model_dump(mode="json"),
            "images": self.rows(),
        }


def _near(tilt_deg: np.ndarray, line: np.ndarray, index: int) -> float:
    """Where the line through the six nearest others passes (Theil and Sen: medians of slopes and offsets)."""
    others = np.argsort(np.abs(tilt_deg - tilt_deg[index]) + 1e9 * (np.arange(line.size) == index))[:6]
    x, y = tilt_deg[others] - tilt_deg[index], line[others]
    one, two = np.triu_indices(others.size, 1)
    apart = x[two] - x[one]
    with_slope = apart != 0
    slope = float(np.median((y[two] - y[one])[with_slope] / apart[with_slope])) if with_slope.any() else 0.0
    return float(np.median(y - slope * x))
