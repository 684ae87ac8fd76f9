"""Reconstruct the experimental data sets and draw the figures of docs/real_data.md.

    python resources/real_data.py ../shared/data/real [vesicles needle liquid] [-o docs/images]

Nothing of the data is copied; the figures show bf_tilt_vesicles (Apache-2), haadf_needle
(NIST, free) and liquid_N6 (MIT / GPL-3).
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from napari_phaset3m import ReconstructionConfig, TiltFocalSeries, reconstruct
from napari_phaset3m.analyse.fourier import central_slices

#: Rows and columns of the scale bar burnt into the vesicle frames.
BAR = (slice(84, 98), slice(2, 23))
#: Turn of the vesicle frames that brings the tilt axis upright, degrees: the best of a scan
#: by the residual of 8 SIRT iterations (see docs/real_data.md).
AXIS_DEG = 30.0


def vesicles(folder: Path) -> TiltFocalSeries:
    """Bright-field vesicles: 61 GIF frames, -60..60 degrees by 2, 72.5 angstrom per pixel.

    Assumed: positive sense of tilt, Cs 2 mm, no absorption. The frames
    were contrast-stretched, so intensity is only known up to a factor and an offset: each
    frame is divided by its median and its contrast brought to a standard deviation of 0.05.
    Membranes are bright in the frames, so their contrast is inverted.
    The scale bar burnt into the lower left is replaced by the frame's median.
    """
    from PIL import Image, ImageSequence
    from scipy.ndimage import rotate

    with Image.open(folder / "bf_tilt_vesicles" / "extract.gif") as gif:
        stack = np.stack([np.asarray(f.convert("L"), np.float32) for f in ImageSequence.Iterator(gif)])
    stack[:, BAR[0], BAR[1]] = np.nan
    middle = np.nanmedian(stack, axis=(1, 2), keepdims=True)
    stack = np.where(np.isnan(stack), middle, stack)
    contrast = (stack - middle) / stack.std(axis=(1, 2), keepdims=True)
    images = np.clip(1 - 0.05 * contrast, 0.5, 1.5)[:, None]
    images = rotate(images, AXIS_DEG, axes=(3, 2), reshape=False, order=1, cval=1.0)
    return TiltFocalSeries(
        images=images,
        tilt_deg=np.linspace(-60, 60, len(stack)),
        pixel_size_angstrom=72.5,
        energy_ev=200e3,
        defocus_angstrom=np.array([130e3]),
        spherical_aberration_angstrom=2e7,
        normalisation="median",
    )


def as_projections(stack: np.ndarray, tilt_deg: np.ndarray, pixel: float) -> TiltFocalSeries:
    """Dark-field intensity as ``1 - I`` projections: background 0, brightest percentile 1."""
    background = np.percentile(stack, 5)
    scale = np.percentile(stack, 99.5) - background
    images = (1 - (stack - background) / scale)[:, None]
    return TiltFocalSeries(
        images=images,
        tilt_deg=tilt_deg,
        pixel_size_angstrom=pixel,
        energy_ev=300e3,
        normalisation="dark field",
    )


def centre_of_mass_shifts(stack: np.ndarray) -> np.ndarray:
    """Whole-pixel (y, x) shifts of each frame's centre of mass from the image centre."""
    weight = np.clip(stack - np.percentile(stack, 50, axis=(1, 2), keepdims=True), 0, None)
    total = weight.sum(axis=(1, 2))
    y, x = (np.arange(n) - (n - 1) / 2 for n in stack.shape[1:])
    return np.stack([(weight.sum(2) * y).sum(1) / total, (weight.sum(1) * x).sum(1) / total], axis=1)


def needle(folder: Path) -> TiltFocalSeries:
    """HAADF needle: frames centred across the axis on their centre of mass, axis vertical."""
    import mrcfile

    base = folder / "haadf_needle"
    with mrcfile.open(base / "HAADF.mrc", permissive=True) as mrc:
        stack = np.asarray(mrc.data, np.float32)
    tilts = np.loadtxt(base / "HAADF.rawtlt")
    stack = stack[: len(tilts)].swapaxes(1, 2)  # the tilt axis runs along the rows
    shifts = centre_of_mass_shifts(stack)
    stack = np.stack([np.roll(f, -round(s[1]), axis=-1) for f, s in zip(stack, shifts, strict=True)])
    return as_projections(stack, tilts, 33.6)


def liquid(folder: Path) -> TiltFocalSeries:
    """HAADF particles in liquid: aligned, -46..44 degrees, 2.6 angstrom per pixel."""
    from scipy.io import loadmat

    path = folder / "liquid_N6" / "N6_liquid_sample_stack.mat"
    fields = loadmat(path, squeeze_me=True)["stack"]
    stack = np.ascontiguousarray(np.moveaxis(fields["data"].item(), -1, 0), np.float32)
    return as_projections(stack, fields["angles"].item().astype(float), 2.6)


RUNS: dict[str, tuple[Any, dict[str, dict[str, Any]]]] = {
    "vesicles": (
        vesicles,
        {
            "multislice": {"method": "multislice", "slices": 10, "iterations": 15},
            "singleslice": {"method": "singleslice", "iterations": 15},
            "sirt": {"method": "sirt", "iterations": 30},
        },
    ),
    "needle": (needle, {"sirt": {"method": "sirt", "iterations": 12}}),
    "liquid": (liquid, {"sirt": {"method": "sirt", "iterations": 8}}),
}


def draw(volumes: dict[str, np.ndarray], voxel: float, path: Path) -> None:
    """Orthoslices, one row for each method, on the 1st to 99.7th percentile."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(len(volumes), 3, figsize=(10, 3.5 * len(volumes)), squeeze=False)
    for row, (name, volume) in zip(axes, volumes.items(), strict=True):
        views = central_slices(volume, 3)
        low, high = np.percentile(np.concatenate([v.ravel() for v in views]), [1, 99.7])
        for axis, plane, title in zip(row, views, ("xy", "xz", "yz"), strict=True):
            view = plane.T if title == "yz" else plane  # y downwards, as in xy
            extent = [0, view.shape[1] * voxel / 10, view.shape[0] * voxel / 10, 0]
            axis.imshow(view, cmap="gray", vmin=low, vmax=high, extent=extent, interpolation="nearest")
            axis.set_title(f"{name}, {title}")
            axis.set_xlabel("z (nm)" if title == "yz" else "x (nm)")
            axis.set_ylabel("z (nm)" if title == "xz" else "y (nm)")
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)


def main() -> None:
    """Reconstruct what was asked for and write figures and a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("names", nargs="*", default=list(RUNS))
    parser.add_argument("-o", "--output", type=Path, default=Path("docs/images"))
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    for name in options.names:
        load, runs = RUNS[name]
        series, volumes = load(options.folder), {}
        for method, settings in runs.items():
            result = reconstruct(series, ReconstructionConfig(**settings), device="cpu")
            errors = [s.error for s in result.sweeps]
            seconds = float(np.median([s.seconds for s in result.sweeps]))
            volumes[method] = result.volume
            print(json.dumps({
                "data": name, "method": method, "shape": result.volume.shape, "unit": result.unit,
                "sweeps": len(errors), "error": [errors[0], errors[-1]], "seconds per sweep": seconds,
            }))  # fmt: skip
        draw(volumes, series.pixel_size_angstrom, options.output / f"real_{name}.png")


if __name__ == "__main__":
    main()
