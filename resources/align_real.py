"""Raw to aligned to reconstructed: the figures of docs/alignment_measured.md.

    python resources/align_real.py ../shared/data [needle vesicles focal co3o4] [-o docs/images]

Nothing of the data is copied; the figures show haadf_needle (NIST, free) and the project's own simulation.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

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

#: Rows and columns of the vesicles' frames without the burnt-in scale bar: y0, y1, x0, x1.
CROP = (17, 100, 0, 100)


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


def picture(axes: Any, view: np.ndarray, pixel_angstrom: float, down: str, *, cmap: str, vmax: float) -> None:
    """A view with axes in nm from the rotation centre; ``down`` names the axis of its rows."""
    half_y, half_x = (n * pixel_angstrom / 20 for n in view.shape)
    extent = (-half_x, half_x, half_y, -half_y)
    axes.imshow(view, cmap=cmap, vmin=0, vmax=vmax, extent=extent, interpolation="nearest")
    axes.set(xlabel="x, nm", ylabel=f"{down}, nm")


def shift_plots(axes: Any, tilt_deg: np.ndarray, shifts: dict[str, np.ndarray]) -> None:
    """Shifts `(n, 2)` (y, x) of several alignments against tilt, y above x."""
    for i, (axis, name) in enumerate(zip(axes, ("along the axis, y", "across the axis, x"), strict=True)):
        for (label, values), line in zip(shifts.items(), ("-", "--"), strict=True):
            axis.plot(tilt_deg, values[:, i], line, label=label)
        axis.set(xlabel="tilt, °", ylabel="shift, px", title=f"Shifts {name}")
        axis.legend()


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
    shift_plots(axes[:, 0], raw.tilt_deg, {"phaset3m align": ours, "ETSpy": theirs})
    for row, (name, vol) in enumerate(zip(("as acquired", "aligned"), volumes, strict=True)):
        voxel, top, middle = 2 * raw.pixel_size_angstrom, float(np.percentile(vol, 99.9)), vol.shape[1] // 2
        picture(axes[row, 1], vol[:, middle], voxel, "z", cmap="gray", vmax=top)
        axes[row, 1].set_title(f"SIRT, {name}: across the axis (x–z)")
        picture(axes[row, 2], vol[vol.shape[0] // 2], voxel, "y", cmap="gray", vmax=top)
        axes[row, 2].set_title(f"SIRT, {name}: central slice (x–y)")
    figure.savefig(out / "align_needle.png", dpi=80)


def raw_vesicles(folder: Path) -> TiltFocalSeries:
    """The GIF as it is, without the rows of the burnt-in scale bar; nothing is said about the axis.

    Grey values are contrast-stretched frame by frame: 1000 is added to all, so that contrast is weak, and
    each frame's mean is taken for 1 (assumed).
    """
    from napari_phaset3m.io.importing import load, look

    angles = np.linspace(-60, 60, 61)
    plan = look(folder / "real" / "bf_tilt_vesicles" / "extract.gif", tilt_deg=angles)
    return load(
        plan, crop=CROP, pixel_size_angstrom=72.5, energy_ev=200e3, defocus_angstrom=130e3,
        spherical_aberration_angstrom=2e7, normalise="mean", intensity_offset=-1000.0,
    )  # fmt: skip


def tracked(folder: Path, result: AlignResult) -> tuple[np.ndarray, np.ndarray]:
    """Shifts found, and the mean place of three vesicles marked by eye, `(61, 2)` (y, x) in aligned axes."""
    import real_data  # beside this script

    stack = real_data.vesicle_frames(folder / "real")
    filled = np.where(np.isfinite(stack), stack, np.nanmedian(stack, axis=(1, 2), keepdims=True))
    tracks = np.mean([real_data.follow(filled, mark) for mark in real_data.MARKS], axis=0)
    tracks -= np.add(CROP[::2], np.subtract(CROP[1::2], 1)) / 2  # of the images without the bar
    inverse = np.linalg.inv(result.alignment.matrices()[:, 0])
    both = []
    for given in (result.alignment.shifts_px[:, 0], tracks):
        turned = np.einsum("tij,tj->ti", inverse, given[:, ::-1])[:, ::-1]
        both.append(without_specimen(turned, result.alignment.tilt_deg))
    return both[0], both[1]


def vesicles(folder: Path, out: Path) -> None:
    """Bright-field vesicles, axis not stated: shifts against tracks; SIRT and multislice before and after."""
    import real_data  # beside this script

    raw = raw_vesicles(folder)
    after, result = aligned(raw, AlignConfig(coarse={"axis_range_deg": 45.0}))
    ours, theirs = tracked(folder, result)
    print(result.reference_note, result.axis)
    off, angle = ours - theirs, np.radians(raw.tilt_deg)
    print("shifts by tracks (y, x), px:", theirs.std(0), "RMS off them:", off.std(0))
    model = np.stack([np.ones_like(angle), np.cos(angle), np.sin(angle)], 1)
    (offset, *_), left, *_ = np.linalg.lstsq(model, off[:, 1], rcond=None)
    print(
        f"x: {offset:.1f} px of the axis's offset apart, {np.sqrt(left[0] / len(angle)):.2f} px RMS without"
    )
    sirt = {**real_data.SLAB, "method": "sirt", "iterations": 60}
    wave = {
        **real_data.WAVE,
        "method": "multislice",
        "slices": 12,
        "constraints": {**real_data.FREE, "lowpass_angstrom": 217.0},
    }
    figure, axes = plt.subplots(2, 5, figsize=(20, 8), constrained_layout=True)
    shift_plots(axes[:, 0], raw.tilt_deg, {"phaset3m align": ours, "three vesicles followed": theirs})
    for column, (method, settings) in enumerate((("SIRT", sirt), ("PhaseT3M, absorption", wave))):
        volumes = []
        for name, series in (("as acquired", raw), ("aligned", after)):
            done = reconstruct(series, ReconstructionConfig.parse(threads=2, **settings))
            print(method, name, "misfit", [round(s.error, 4) for s in (done.sweeps[0], done.sweeps[-1])])
            volumes.append(done.volume if done.absorption is None else done.absorption)
        _before_after(axes[:, 1 + 2 * column : 3 + 2 * column], method, volumes)
    figure.savefig(out / "align_vesicles.png", dpi=60)


def _before_after(axes: Any, method: str, volumes: list[np.ndarray]) -> None:
    """Central x-y slice and x-z cut of a volume before and after; dense is dark, as in the micrographs."""
    low, high = np.percentile(volumes[1], (0.5, 99.5))
    for row, (name, vol) in enumerate(zip(("as acquired", "aligned"), volumes, strict=True)):
        middle = vol[vol.shape[0] // 2]
        row_of_most = 20 + int(middle[20:-20].var(axis=1).argmax())
        cuts = ((axes[row, 0], middle, "y"), (axes[row, 1], vol[:, row_of_most], "z"))
        for axis, view, down in cuts:
            half_y, half_x = (n * 7.25 / 2 for n in view.shape)
            axis.imshow(
                -view,
                cmap="gray",
                vmin=-high,
                vmax=-low,
                extent=(-half_x, half_x, half_y, -half_y),
                interpolation="nearest",
            )
            axis.set(xlabel="x, nm", ylabel=f"{down}, nm", title=f"{method}, {name}")


def focal(folder: Path, out: Path) -> None:
    """HRTEM focal series (7 DM3, 1024²): foci against each other, CTF, and again; numbers only."""
    from napari_phaset3m.io.importing import load, look
    from napari_phaset3m.prepare.ctf.api import find_ctf
    from napari_phaset3m.prepare.ctf.config import CtfConfig

    # The set's note gives the defocus step; the file has Cs.
    stated = 1630.0 - 107.5 * 3 * np.arange(7)
    raw = load(
        look(folder / "real" / "hrtem_focal_dm3"), normalise="mean", defocus_angstrom=stated[None],
        focal_spread_angstrom=30.0,
    )  # fmt: skip
    config = AlignConfig(stages=("focal",))
    first, result = aligned(raw, config)
    print(
        "shifts, px:", (result.alignment.shifts_px[0] - result.alignment.shifts_px[0, :1]).round(1).tolist()
    )
    fitted = find_ctf(first, CtfConfig(method="exit_wave"))
    print(fitted.series.defocus_angstrom, fitted.series.aberrations)
    _, result = aligned(fitted.series, config)
    print(
        "shifts, px:", (result.alignment.shifts_px[0] - result.alignment.shifts_px[0, :1]).round(1).tolist()
    )
    print("left-out foci unpredicted:", result.alignment.residual.round(2).tolist())


def co3o4(folder: Path, out: Path) -> None:
    """Simulated Co3O4 with shifts, defocus errors, wrong Cs and astigmatism: PhaseT3M before and after."""
    place = folder / "co3o4"
    raw = load_series(place / "co3o4_perturbed_dev_dose200.h5")
    after, result = aligned(raw, AlignConfig())
    settings = {"iterations": 12}
    volumes = [volume(s, **settings) for s in (raw, after, load_series(place / "co3o4_dev_dose200.h5"))]
    figure, axes = plt.subplots(1, 4, figsize=(16, 4.2), constrained_layout=True)
    top = 0.8 * volumes[2].max()
    names = ("as given", "after phaset3m align", "the unperturbed series")
    for axis, name, vol in zip(axes, names, volumes, strict=False):
        picture(axis, vol.max(0), raw.pixel_size_angstrom, "y", cmap="magma", vmax=top)
        axis.set_title(f"{name}", fontsize=9)
    shifts, tilt = result.alignment.shifts_px, raw.tilt_deg
    for f in range(raw.n_focus):
        error = result.alignment.shift_error_px[:, f, 1]
        axes[3].errorbar(tilt, shifts[:, f, 1], error, fmt=".", label=f"focus {f + 1}")
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
        {"needle": needle, "vesicles": vesicles, "focal": focal, "co3o4": co3o4}[name](
            given.folder, given.output
        )


if __name__ == "__main__":
    main()
