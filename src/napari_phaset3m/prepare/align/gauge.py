"""What no alignment can know, and how it is fixed.

- A translation of the specimen moves the images by ``y`` along the tilt axis and by
  ``x cos - z sin`` across it, and the defoci by ``-(x sin + z cos)``: taken out of the shifts.
- A constant offset of all tilt angles only rotates the volume about the tilt axis: the mean tilt stays.
- A common magnification is a change of the pixel size: the mean magnification is 1.
- A common in-plane rotation is *not* free: it is the angle of the tilt axis.
- The handedness (mirror image along the beam, tilts reversed) follows the stated sign of the tilts.
"""

from __future__ import annotations

import numpy as np

from napari_phaset3m.prepare.align.model import Alignment, specimen_translation


def without_freedoms(alignment: Alignment, pixel_size_angstrom: float, mean_tilt_deg: float) -> Alignment:
    """The same alignment with its free parameters fixed as told above.

    Parameters
    ----------
    alignment : Alignment
    pixel_size_angstrom : float
    mean_tilt_deg : float
        Of all tilts, before they were refined.
    """
    used = alignment.used if alignment.used.any() else np.ones_like(alignment.used)
    fixed = alignment.replace(
        tilt_deg=alignment.tilt_deg + (mean_tilt_deg - alignment.tilt_deg.mean()),
        magnification=alignment.magnification / alignment.magnification[used].mean(),
    )
    inverse = np.linalg.inv(fixed.matrices())
    aligned = np.einsum("tfij,tfj->tfi", inverse, fixed.shifts_px[..., ::-1])[..., ::-1]
    translation = specimen_translation(aligned, fixed.tilt_deg, used.astype(np.float64))
    return moved(fixed, translation, pixel_size_angstrom)


def moved(
    alignment: Alignment, translation_px: tuple[float, float, float], pixel_size_angstrom: float
) -> Alignment:
    """The same images with the specimen at another place, defoci along: they are told at the rotation centre.

    Parameters
    ----------
    alignment : Alignment
    translation_px : tuple of float
        (z, y, x), see :meth:`.model.Alignment.moved`.
    pixel_size_angstrom : float
    """
    there = alignment.moved(translation_px)
    if there.defocus_angstrom is None:
        return there
    z, _, x = translation_px
    angle = np.radians(there.tilt_deg)
    raised = pixel_size_angstrom * (x * np.sin(angle) + z * np.cos(angle))
    return there.replace(defocus_angstrom=there.defocus_angstrom - raised[:, None])
