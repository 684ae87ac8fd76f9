"""The stage "beads": gold beads are found, followed over the tilts, and the whole is solved at once.

Finding and following: :mod:`.beads`; solving: :mod:`.bead_model`. Beads are looked for in one focus (or in
all, combined), as the coarse alignment chooses it; shifts between foci are kept.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from typing import Any

import numpy as np

from napari_phaset3m.errors import DataError
from napari_phaset3m.prepare.align.bead_model import BeadResult, solve_beads
from napari_phaset3m.prepare.align.beads import Tracks, bead_diameter, find_beads, track
from napari_phaset3m.prepare.align.model import Alignment
from napari_phaset3m.prepare.align.signal import TiltImages, tilt_images
from napari_phaset3m.prepare.align.work import Share, StageEvents, Work, detail
from napari_phaset3m.prepare.events import Progress

#: Diameters that are tried: pixels, and part of the image's shorter side.
SMALLEST_PX, LARGEST_PART = 4.0, 0.125
#: Largest common shift between neighbours, part of the shorter side, when nothing is asked for.
REACH = 0.25


def beads(work: Work, share: Share) -> StageEvents:
    """The stage "beads"; see the module.

    Raises
    ------
    DataError
        Too few beads, or a used tilt that shows fewer than two.
    """
    series, now = work.series, Alignment.of(work.series)
    tilts = tilt_images(series, work.config.coarse, now)
    focus = tilts.focus or 0
    tracks = yield from _tracks(work, tilts, now.shifts_px[:, focus], share)
    settings = work.config.beads
    found = solve_beads(
        tracks, now, series.pixel_size_angstrom,
        rotation=settings.bead_rotation, magnification=settings.bead_magnification,
    )  # fmt: skip
    between = now.shifts_px - now.shifts_px[:, focus, None]
    old = work.alignment
    alignment = old.replace(
        # Of the images as they are aligned now.
        shifts_px=work.given_shifts_px(found.alignment.shifts_px + between),
        rotation_deg=old.rotation_deg + found.alignment.rotation_deg,
        magnification=old.magnification * found.alignment.magnification,
        shift_error_px=found.alignment.shift_error_px,
        axis_error_deg=found.axis_error_deg,
    )
    work = replace(work, told=_told(found, tracks, series.pixel_size_angstrom)).at(alignment)
    yield Progress(f"{len(tracks.places_px)} beads", share.at(1.0), detail(work))
    return work


def _tracks(
    work: Work, tilts: TiltImages, shifts_px: np.ndarray, share: Share
) -> Generator[Progress, None, Tracks]:
    """Beads of all used tilts; places in the images as they are."""
    settings, pixel = work.config.beads, work.original.pixel_size_angstrom
    dark = tilts.images if settings.bead_contrast == "dark" else -tilts.images
    used = np.flatnonzero(tilts.usable)
    lowest = int(used[np.abs(tilts.tilt_deg[used]).argmin()])
    if settings.bead_diameter_angstrom == "auto":
        yield Progress("Diameter of the beads", share.at(0.0))
        diameter = bead_diameter(dark[lowest], SMALLEST_PX, LARGEST_PART * work.short_side)
    else:
        diameter = float(settings.bead_diameter_angstrom) / pixel
        _check_diameter(diameter, work.short_side)
    found: list[np.ndarray] = []
    for number, tilt in enumerate(map(int, used)):
        places = find_beads(dark[tilt], diameter, settings.bead_threshold)
        # From where the tilt's image should sit, so that an alignment that went before is made use of.
        found.append(places - shifts_px[tilt])
        yield Progress("Finding beads", share.at(0.8 * (number + 1) / len(used)))
    asked = settings.bead_max_shift_px
    reach = REACH * work.short_side if asked == "auto" else float(asked)
    followed = track(found, tilts.tilt_deg[used], diameter, reach)
    places = np.full((len(followed.places_px), len(tilts.images), 2), np.nan)
    places[:, used] = followed.places_px + shifts_px[used]
    yield Progress("Following beads", share.at(0.9))
    return Tracks(places, diameter)


def _check_diameter(diameter_px: float, short_side: int) -> None:
    if not 2 <= diameter_px <= short_side / 2:
        raise DataError(
            f"is {diameter_px:.1f} px in images of {short_side} px",
            field="bead_diameter_angstrom",
            remedy="Give the beads' diameter in Å, or auto",
        )


def _told(found: BeadResult, tracks: Tracks, pixel_size_angstrom: float) -> dict[str, Any]:
    residual = found.residual_px[np.isfinite(found.residual_px)]
    return {
        "n_beads": len(tracks.places_px),
        "seen": float(tracks.seen.mean()),
        "diameter_angstrom": tracks.diameter_px * pixel_size_angstrom,
        "residual_px": float(np.sqrt(np.mean(residual**2))),
        "residual_median_px": float(np.median(residual)),
        "axis_angle_deg": found.axis_angle_deg,
        "axis_error_deg": found.axis_error_deg,
    }
