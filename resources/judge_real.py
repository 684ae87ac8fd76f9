"""Which alignment of the real HAADF needle predicts left-out tilts better: ours, coarse alone, or ETSpy's.

    python resources/judge_real.py ../shared/data

Every third tilt is left out in turn; SIRT of the others predicts it (:func:`judge`), at bin 2. Each
alignment is judged with its own axis and with that of the others, either sign.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from scipy.ndimage import shift

from align_real import etspy_shifts  # beside this script
from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.io.series import load_series
from napari_phaset3m.prepare.align.api import align
from napari_phaset3m.prepare.align.apply import resample
from napari_phaset3m.prepare.align.config import AlignConfig
from napari_phaset3m.prepare.align.correlate import correlate
from napari_phaset3m.prepare.align.model import Alignment
from napari_phaset3m.prepare.align.work import Share, Work, judge

#: Axis of ETSpy's alignment, degrees (its file says -2.79; :func:`etspy_sense` measures what that means).
ETSPY_AXIS_DEG = 2.8
CONFIG = AlignConfig(reference={"sweeps": 10})


def told(raw: TiltFocalSeries, name: str, alignment: Alignment) -> None:
    """Judge one alignment and print it."""
    work = Work(raw, CONFIG, alignment)
    # The specimen where it is told least apart, as for every other: the box is the same.
    steps = judge(work.at(alignment), 2, Share(0.0, 1.0))
    while True:
        try:
            next(steps)
        except StopIteration as end:
            found = end.value
            break
    print(f"{name}: unpredicted {found.error:.5f}, information {found.information:.1f} nats", flush=True)


def etspy_sense(place: Path) -> None:
    """By which turn of the raw images ETSpy's aligned ones come out, in the sense of our ``rotation_deg``.

    The turn by 90 degrees at import is a proper rotation, so that the sense is the same after it.
    """
    import h5py
    import mrcfile

    with h5py.File(place / "HAADF_Aligned.hspy") as file:
        group = file["Experiments/__unnamed__"]
        theirs, moved = group["data"][:], group["metadata/Tomography/_sig_shifts/data"][:]
    with mrcfile.open(place / "HAADF.mrc", permissive=True) as file:
        raw = np.asarray(file.data, np.float64)
    inside = np.s_[40:-40, 40:-40]
    window = np.outer(*(np.hanning(n - 80) for n in raw.shape[1:]))
    for tilt in range(5, len(raw), 16):
        for angle in (-ETSPY_AXIS_DEG, 0.0, ETSPY_AXIS_DEG):
            cos, sin = np.cos(np.radians(angle)), np.sin(np.radians(angle))
            turned = resample(shift(raw[tilt], moved[tilt], order=1), np.array([[cos, -sin], [sin, cos]]))
            pair = [(one[inside] - one[inside].mean()) * window for one in (turned, theirs[tilt])]
            alike = correlate(pair[0], pair[1], 8).height
            print(f"ETSpy's image {tilt} against the raw one turned by {angle:+.1f}: {alike:.5f}")


def main() -> None:
    """Print the table."""
    place = Path(sys.argv[1]) / "real" / "haadf_needle"
    etspy_sense(place)
    raw = load_series(place / "HAADF.mrc", dark_field=True)
    given = Alignment.of(raw)
    theirs = given.replace(shifts_px=etspy_shifts(place)[:, None])
    told(raw, "as acquired", given)
    for angle in (0.0, ETSPY_AXIS_DEG, -ETSPY_AXIS_DEG):
        told(raw, f"ETSpy shifts, axis {angle:+.1f}", theirs.with_axis_angle(angle))
    coarse = align(raw, AlignConfig(stages=("coarse",))).result.alignment
    told(raw, f"coarse, axis {coarse.axis_angle_deg:+.2f}", coarse)
    told(raw, "coarse, axis of the other sign", coarse.with_axis_angle(-coarse.axis_angle_deg))
    ours = align(raw, CONFIG).result.alignment
    told(raw, f"coarse and match, axis {ours.axis_angle_deg:+.2f}", ours)


if __name__ == "__main__":
    main()
