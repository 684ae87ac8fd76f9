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
    z, y, x = specimen_translation(aligned, fixed.tilt_deg, used.astype(np.float64))
    fixed = fixed.moved((z, y, x))
    if fixed.defocus_angstrom is None:
        return fixed
    angle = np.radians(fixed.tilt_deg)
    raised = pixel_size_angstrom * (x * np.sin(angle) + z * np.cos(angle))
    return fixed.replace(defocus_angstrom=fixed.defocus_angstrom - raised[:, None])
