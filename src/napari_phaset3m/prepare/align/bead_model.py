"""The projection model of tracked beads: 3D places, shifts, axis, and if asked rotation and scale.

``given = m R(axis + r) (X cos - Z sin, Y) + shift``; solved by robust least squares (Huber; what
lies far off is left out), as fiducial alignment does since Lawrence (in Frank, Electron Tomography, 1992).
Fixed by convention: the centre of all beads at the rotation centre; the tilts as stated (their common
offset turns the volume); the mirror image, which the sign of the tilts decides.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from napari_phaset3m.errors import DataError
from napari_phaset3m.prepare.align.beads import Tracks
from napari_phaset3m.prepare.align.model import Alignment

_TIE = 1e3
#: Rounds of leaving out what lies farther off than so many standard deviations, of at least so many pixels;
#: a bead or tilt of which less would be left keeps all.
_TRIMS, _FAR, _LEAST_SPREAD_PX, _LEAST_SEEN = 3, 4.5, 0.05, 3


@dataclass(frozen=True, slots=True, eq=False)
class BeadResult:
    """What the beads told.

    Attributes
    ----------
    alignment : Alignment
    places_px : ndarray
        `(n_bead, 3)` (z, y, x) of the specimen frame from the rotation centre, pixels.
    residual_px, residual_angstrom : ndarray
        `(n_bead, n_tilt)` distance between seen and modelled; NaN where not seen.
    axis_angle_deg, axis_error_deg : float
    """

    alignment: Alignment
    places_px: np.ndarray
    residual_px: np.ndarray
    residual_angstrom: np.ndarray
    axis_angle_deg: float
    axis_error_deg: float


class _Model:
    def __init__(self, tracks: Tracks, tilt_deg: np.ndarray, rotation: bool, magnification: bool) -> None:
        self.seen, self.data = tracks.seen, tracks.places_px
        self.n_bead, self.n_tilt = self.seen.shape
        self.angle = np.radians(tilt_deg)
        self.rotation, self.magnification = rotation, magnification

    def start(self) -> np.ndarray:
        count = 3 * self.n_bead + 2 * self.n_tilt + 1 + self.n_tilt * (self.rotation + self.magnification)
        values = np.zeros(count)
        first = int(np.argmin(np.abs(self.angle)))
        shift = np.nanmedian(self.data, axis=0)
        flat = np.where(self.seen[:, first, None], self.data[:, first] - shift[first], 0.0)
        values[: 3 * self.n_bead] = np.stack((np.zeros(self.n_bead), flat[:, 0], flat[:, 1]), -1).ravel()
        values[3 * self.n_bead : 3 * self.n_bead + 2 * self.n_tilt] = np.nan_to_num(shift).ravel()
        return values

    def parts(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """3D places, shifts (y, x), rotations (rad, with the axis), magnifications."""
        places, rest = np.split(values, [3 * self.n_bead])
        shifts, rest = np.split(rest, [2 * self.n_tilt])
        turn = np.full(self.n_tilt, rest[0])
        rest = rest[1:]
        if self.rotation:
            turn = turn + rest[: self.n_tilt] - rest[: self.n_tilt].mean()
            rest = rest[self.n_tilt :]
        scale = np.exp(rest - rest.mean()) if self.magnification else np.ones(self.n_tilt)
        return places.reshape(-1, 3), shifts.reshape(-1, 2), turn, scale

    def predict(self, values: np.ndarray) -> np.ndarray:
        places, shifts, turn, scale = self.parts(values)
        z, y, x = places.T[..., None]
        across = x * np.cos(self.angle) - z * np.sin(self.angle)
        cos, sin = np.cos(turn) * scale, np.sin(turn) * scale
        return np.stack((sin * across + cos * y + shifts[:, 0], cos * across - sin * y + shifts[:, 1]), -1)

    def residual(self, values: np.ndarray) -> np.ndarray:
        rest = (self.predict(values) - self.data)[self.seen].ravel()
        # The centre of the beads, and what means of rotations and scales leave free.
        ties = [self.parts(values)[0].mean(0)]
        extra = values[3 * self.n_bead + 2 * self.n_tilt + 1 :]
        if extra.size:
            ties.append(extra.reshape(-1, self.n_tilt).mean(1))
        return np.concatenate((rest, np.concatenate(ties) * _TIE))


def solve_beads(
    tracks: Tracks,
    start: Alignment,
    pixel_size_angstrom: float,
    *,
    rotation: bool = False,
    magnification: bool = False,
) -> BeadResult:
    """Align by beads.

    Parameters
    ----------
    tracks : Tracks
    start : Alignment
        Tilts, used images and defocus; all foci get the same alignment.
    pixel_size_angstrom : float
    rotation, magnification : bool
        Whether each tilt has its own, besides the common axis.

    Raises
    ------
    DataError
        Too few beads, or a used tilt that shows fewer than two.
    """
    _check(tracks, start)
    model = _Model(tracks, start.tilt_deg, rotation, magnification)
    fit, distance = _solved(model, tracks)
    places, shifts, turn, scale = model.parts(fit.x)
    axis_at = 3 * model.n_bead + 2 * model.n_tilt
    freedom = max(1, fit.fun.size - fit.x.size)
    variance = 2 * fit.cost / freedom * np.linalg.pinv(fit.jac.T @ fit.jac)
    deviation = np.sqrt(np.maximum(np.diag(variance), 0))
    shape = (start.n_tilt, start.n_focus)
    error = deviation[3 * model.n_bead : axis_at].reshape(-1, 1, 2)
    count = tracks.seen.sum(0)
    each = np.sqrt(np.where(count > 0, np.nansum(distance**2, axis=0) / np.maximum(count, 1), np.nan))
    alignment = start.replace(
        shifts_px=np.broadcast_to(shifts[:, None], (*shape, 2)),
        rotation_deg=np.broadcast_to(np.degrees(turn)[:, None], shape),
        magnification=np.broadcast_to(scale[:, None], shape),
        shift_error_px=np.broadcast_to(error, (*shape, 2)),
        residual=np.broadcast_to(each[:, None], shape),
    )
    axis, axis_error = float(np.degrees(fit.x[axis_at])), float(np.degrees(deviation[axis_at]))
    return BeadResult(alignment, places, distance, distance * pixel_size_angstrom, axis, axis_error)


def _solved(model: _Model, tracks: Tracks) -> tuple[Any, np.ndarray]:
    """The fit, and the distance of every bead that was seen from the model, pixels.

    Where beads cross, one is taken for the other: what lies far off the first fit is left out.
    """
    from scipy.optimize import least_squares

    seen = tracks.seen
    options: dict[str, Any] = {"method": "trf", "x_scale": "jac", "max_nfev": 200}
    fit = least_squares(model.residual, model.start(), **options)
    for number in range(1 + _TRIMS):
        spread = 1.4826 * float(np.median(np.abs(fit.fun[: 2 * int(model.seen.sum())]))) + 1e-6
        fit = least_squares(model.residual, fit.x, loss="huber", f_scale=1.5 * spread, **options)
        distance = np.where(seen, np.linalg.norm(model.predict(fit.x) - tracks.places_px, axis=-1), np.nan)
        near = seen & (distance < _FAR * max(spread, _LEAST_SPREAD_PX))
        poor = (near.sum(0) < _LEAST_SEEN)[None] | (near.sum(1) < _LEAST_SEEN)[:, None]
        kept = np.where(poor, seen, near)
        if number == _TRIMS or np.array_equal(kept, model.seen):
            break
        model.seen = kept
        fit.fun = model.residual(fit.x)
    return fit, distance


def _check(tracks: Tracks, start: Alignment) -> None:
    seen = tracks.seen
    if len(seen) < 3:
        raise DataError(
            f"{len(seen)} beads were followed, and at least three are needed",
            field="beads",
            remedy="Lower bead_threshold, give the diameter of the beads, or leave the stage out",
        )
    poor = np.flatnonzero((seen.sum(0) < 2) & start.used.any(1))
    if poor.size:
        raise DataError(
            f"tilt {poor[0]} shows {int(seen[:, poor[0]].sum())} of them",
            field="beads",
            remedy="Mark it as not used, or lower the threshold",
        )
