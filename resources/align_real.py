"""Raw to aligned to reconstructed: the figures of docs/alignment.md.

    python resources/align_real.py ../shared/data [needle co3o4] [-o docs/images]

Nothing of the data is copied; the figures show haadf_needle (NIST, free) and the project's own simulation.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import matplotlib
import numpy as np

from napari_phaset3m.config import ReconstructionConfig
from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.io.series import load_series
from napari_phaset3m.prepare.align.api import align
from napari_phaset3m.prepare.align.config import AlignConfig
from napari_phaset3m.prepare.align.result import AlignResult
from napari_phaset3m.reconstruct.api import reconstruct

matplotlib.use("Agg")
import matplotlib.pyplot as plt


def aligned(series: TiltFocalSeries, config: AlignConfig) -> tuple[TiltFocalSeries, AlignResult]:
    """Align, and tell what every stage bought."""
    begun = time.process_time()
    done = align(series, config)
    for stage in done.result.stages:
        print(stage)
    print(f"{time.process_time() - begun:.0f} s of CPU time")
    return done.series, done.result


def without_specimen(shifts: np.ndarray, tilt_deg: np.ndarray) -> np.ndarray:
    """`(n, 2)` (y, x) shifts without what a translation of the specimen explains."""
    angle = np.radians(tilt_deg)
    model = np.stack([np.cos(angle), -np.sin(angle)], 1)
    x = shifts[:, 1] - model @ np.linalg.lstsq(model, shifts[:, 1], rcond=None)[0]
    return np.stack([shifts[:, 0] - shifts[:, 0].mean(), x], 1)


def etspy_shifts(folder: Path) -> np.ndarray:
    """`(77, 2)` (y, x) where a feature sits in the raw image, turned by 90 degrees as at import."""
    import h5py

    with h5py.File(folder / "HAADF_Aligned.hspy") as file:
        told = file["Experiments/__unnamed__/metadata/Tomography/_sig_shifts/data"][:]
    # ETSpy moves images by its (row, column); the turn at import makes (y, x) = (column, -row) of places.
    return np.stack([told[:, 1], -told[:, 0]], 1)


def volume(series: TiltFocalSeries, **settings: object) -> np.ndarray:
    """Reconstruction of a series."""
    return reconstruct(series, ReconstructionConfig.parse(threads=2, **settings)).volume


def needle(folder: Path, out: Path) -> None:
    """HAADF needle: shifts against ETSpy's, and SIRT before and after."""
    place = folder / "real" / "haadf_needle"
    raw = load_series(place / "HAADF.mrc", dark_field=True)
    after, result = aligned(raw, AlignConfig(reference={"sweeps": 10}))
    ours = without_specimen(result.alignment.shifts_px[:, 0], raw.tilt_deg)
    theirs = without_specimen(etspy_shifts(place), raw.tilt_deg)
    off = np.sqrt(np.mean((ours - theirs) ** 2, axis=0))
    print("axis", result.alignment.axis_angle_deg, "RMS off ETSpy's shifts (y, x), px:", off)
    volumes = [
        volume(s, method="sirt", iterations=30, voxel_angstrom=2 * s.pixel_size_angstrom)
        for s in (raw, after)
    ]
    figure, axes = plt.subplots(2, 3, figsize=(13, 8), constrained_layout=True)
    for axis, name, i in ((axes[0, 0], "along the axis, y", 0), (axes[1, 0], "across the axis, x", 1)):
        axis.plot(raw.tilt_deg, ours[:, i], label="phaset3m align")
        axis.plot(raw.tilt_deg, theirs[:, i], "--", label="ETSpy")
        axis.set(xlabel="tilt, °", ylabel="shift, px", title=f"Shifts {name}")
        axis.legend()
    for row, (name, vol) in enumerate(zip(("as acquired", "aligned"), volumes, strict=True)):
        middle = vol.shape[1] // 2
        axes[row, 1].imshow(vol[:, middle], cmap="gray", vmin=0, vmax=np.percentile(vol, 99.9))
        axes[row, 1].set_title(f"SIRT, {name}: across the axis (x–z)")
        axes[row, 2].imshow(vol[vol.shape[0] // 2], cmap="gray", vmin=0, vmax=np.percentile(vol, 99.9))
        axes[row, 2].set_title(f"SIRT, {name}: central slice (x–y)")
    figure.savefig(out / "align_needle.png", dpi=80)


def co3o4(folder: Path, out: Path) -> None:
    """Simulated Co3O4 with shifts, defocus errors, wrong Cs and astigmatism: PhaseT3M before and after."""
    place = folder / "co3o4"
    raw = load_series(place / "co3o4_perturbed_dev_dose200.h5")
    after, result = aligned(raw, AlignConfig())
    settings = {"iterations": 12}
    volumes = [volume(s, **settings) for s in (raw, after, load_series(place / "co3o4_dev_dose200.h5"))]
    figure, axes = plt.subplots(1, 4, figsize=(16, 4.2), constrained_layout=True)
    top = np.percentile(volumes[2], 99.8)
    names = ("as given", "after phaset3m align", "unperturbed series (another orientation in z)")
    for axis, name, vol in zip(axes, names, volumes, strict=False):
        axis.imshow(vol.max(0), cmap="magma", vmin=0, vmax=top)
        axis.set_title(f"{name}", fontsize=9)
    shifts, tilt = result.alignment.shifts_px, raw.tilt_deg
    for f in range(raw.n_focus):
        error = result.alignment.shift_error_px[:, f, 1]
        axes[3].errorbar(tilt, shifts[:, f, 1], error, fmt=".", label=f"focus {f}")
    axes[3].set(xlabel="tilt, °", ylabel="shift x, px", title="Shifts found, with error bars")
    axes[3].legend()
    figure.savefig(out / "align_co3o4.png", dpi=80)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("examples", nargs="*", default=["needle", "co3o4"])
    parser.add_argument("-o", "--output", type=Path, default=Path("docs/images"))
    given = parser.parse_args()
    for name in given.examples:
        {"needle": needle, "co3o4": co3o4}[name](given.folder, given.output)


if __name__ == "__main__":
    main()
