"""Which fits are of noise, and what stands in for them where the series states nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from napari_phaset3m.prepare.ctf.result import ImageCtf

#: Tilts whose median stands in.
NEAREST = 5
_OWN = ("thon", "exit wave", "edited")


def of_noise(row: Sequence[ImageCtf]) -> list[bool]:
    """For each focus of a tilt: whether it was fitted to rings that nothing supports.

    A focus without rings to trust is supported by one of its tilt that has them: in a table such foci were
    fitted together.
    """
    trusted = any(image.method == "thon" and image.confidence > 0 for image in row)
    return [image.method == "thon" and not trusted for image in row]


def near(
    images: Sequence[Sequence[ImageCtf]], tilt_deg: np.ndarray, tilt: int, foci: Sequence[int]
) -> float | None:
    """Median defocus (angstrom) of the nearest tilts that have one of their own; None: no tilt has.

    Parameters
    ----------
    images : sequence of sequence of ImageCtf
        By tilt, then focus.
    tilt_deg : ndarray
        `(n_tilt,)`.
    tilt : int
        Whose neighbours; its own foci count as well.
    foci : sequence of int
        Whose defocus may stand in.
    """
    known = sorted(
        (float(abs(tilt_deg[other] - tilt_deg[tilt])), row[focus].defocus_angstrom)
        for other, row in enumerate(images)
        for focus in foci
        if row[focus].method in _OWN and not of_noise(row)[focus]
    )[: NEAREST * len(foci)]
    return float(np.median([defocus for _, defocus in known])) if known else None


def with_stand_ins(
    images: tuple[tuple[ImageCtf, ...], ...], tilt_deg: np.ndarray
) -> tuple[tuple[ImageCtf, ...], ...]:
    """A table, after a defocus was set by hand, with that of the nearest tilts in place of fits to noise.

    What stood in before is found anew, and what had no defocus at all gets one. A focus none of whose tilts
    has a defocus of its own stays as it is.
    """
    table = [list(row) for row in images]
    for tilt, row in enumerate(images):
        for focus, (image, noise) in enumerate(zip(row, of_noise(row), strict=True)):
            if not (noise or image.method == "neighbours" or np.isnan(image.defocus_angstrom)):
                continue
            value = near(images, tilt_deg, tilt, [focus])
            if value is not None:
                table[tilt][focus] = replace(
                    without_fit(image) if noise else image, method="neighbours", defocus_angstrom=value
                )
    return tuple(map(tuple, table))


def without_fit(image: ImageCtf) -> ImageCtf:
    """The image without the numbers of a fit to noise; its curve shows why."""
    fit = f"the fit, {image.defocus_angstrom:.0f} Å, cannot be trusted"
    note = f"{fit} ({image.note})" if image.note else fit
    return type(image)(image.tilt, image.focus, note=note, score=image.score, curve=image.curve)
