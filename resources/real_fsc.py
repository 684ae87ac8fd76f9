"""Half-set Fourier shell correlation of SIRT on the experimental series: docs/resolution.md.

    python resources/real_fsc.py ../shared/data/real [vesicles needle liquid] [-o docs/images]

Odd and even tilts are reconstructed with the same settings, with no support and no positivity, so that
the halves share nothing but the specimen. The mask is a sphere (vesicles: a disc through the slab) with a
soft edge, chosen beforehand, not fitted to the volumes.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from napari_phaset3m import ReconstructionConfig
from napari_phaset3m.analyse.fsc import FscCurve, conical_fsc, fsc, masked_fsc, wedge_fsc
from napari_phaset3m.jobs.halves import HalvesResult, run_halves
from real_data import EXAMPLES

#: Radius of the mask and width of its cosine edge, fractions of the image's width.
RADIUS = {"vesicles": 0.32, "needle": 0.4, "liquid": 0.4}
EDGE = 0.06
FREE = {"positivity": False, "atomic_basis_sigma_angstrom": None}


def sphere(shape: tuple[int, ...], radius: float, edge: float, *, disc: bool) -> np.ndarray:
    """Soft sphere about the centre, voxels; ``disc``: a cylinder along z as deep as the box allows."""
    z, y, x = (np.arange(n) - (n - 1) / 2 for n in shape)
    if disc:
        around = np.hypot(y[:, None], x[None])
        inside = 0.5 + 0.5 * np.cos(np.pi * np.clip((around - radius) / edge, 0, 1))
        deep = 0.5 + 0.5 * np.cos(np.pi * np.clip((abs(z) - (shape[0] / 2 - edge)) / edge, 0, 1))
        return (deep[:, None, None] * inside).astype(np.float32)
    r = np.sqrt(z[:, None, None] ** 2 + y[None, :, None] ** 2 + x[None, None] ** 2)
    return (0.5 + 0.5 * np.cos(np.pi * np.clip((r - radius) / edge, 0, 1))).astype(np.float32)


def halves(name: str, folder: Path) -> tuple[HalvesResult, np.ndarray]:
    """Both half volumes, and the tilts."""
    example = EXAMPLES[name]
    series = example.load(folder)
    settings = {**example.runs["SIRT"], "constraints": FREE}
    result = None
    for event in run_halves(series, ReconstructionConfig(**settings), "tilts", device="cpu"):
        if isinstance(event, HalvesResult):
            result = event
    assert result is not None
    return result, series.tilt_deg


def measure(name: str, folder: Path) -> dict[str, FscCurve]:
    """Reconstruct the halves and correlate them."""
    result, tilts = halves(name, folder)
    return correlate(name, result, tilts)


def correlate(name: str, result: HalvesResult, tilts: np.ndarray) -> dict[str, FscCurve]:
    """Print the resolutions; returns the curves."""
    one, two = result.volumes
    assert one is not None and two is not None and result.voxel_size_angstrom is not None
    voxel, width = result.voxel_size_angstrom, one.shape[2]
    radius, edge = RADIUS[name] * width, EDGE * width
    disc = name == "vesicles"
    mask = sphere(one.shape, radius, edge, disc=disc)
    size = f"radius {radius * voxel / 10:.0f} nm, edge {edge * voxel / 10:.0f} nm"
    mask_name = f"{'disc' if disc else 'sphere'} of {size}"
    words = "odd and even tilts"
    masked = masked_fsc(one, two, voxel, mask, mask_name=mask_name, halves=words)
    both = wedge_fsc(one, two, voxel, tilts, mask=mask, mask_name=mask_name, halves=words)
    curves = {
        "unmasked": fsc(one, two, voxel, halves=words),
        "masked": masked,
        "outside wedge": both.measured,
        "inside wedge": both.wedge,
    }
    for label, curve in curves.items():
        print(f"{name}, {label}: {curve.statement()}", flush=True)
    cones = conical_fsc(one, two, voxel, mask=mask, mask_name=mask_name, halves=words, tilt_deg=tilts)
    print(f"{name}: {cones.statement()}")
    for row in cones.rows()[:3]:
        print(f"  {json.dumps({k: round(v, 3) if isinstance(v, float) else v for k, v in row.items()})}")
    return curves


def draw(all_curves: dict[str, dict[str, FscCurve]], path: Path) -> None:
    """One panel for each series; colours of Okabe and Ito."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(
        1, len(all_curves), figsize=(4.4 * len(all_curves), 4.4), squeeze=False, layout="constrained"
    )
    for axis, (name, curves) in zip(axes[0], all_curves.items(), strict=True):
        masked = curves["masked"]
        k = masked.frequency_per_angstrom * 10
        for label, colour, part in (("noise bound in the wedge", "0.93", "inside wedge"),
                                    ("noise bound, all directions", "0.82", "masked")):  # fmt: skip
            bound = curves[part].noise_bound
            axis.fill_between(k, -bound, bound, color=colour, lw=0, label=label)
        axis.axhline(0, color="0.6", lw=0.8)
        axis.plot(k, curves["unmasked"].fsc, color="#999999", label="unmasked")
        axis.plot(k, masked.fsc, color="#56B4E9", ls="--", label="masked")
        axis.plot(k, masked.best, color="#0072B2", lw=2, label="masked, corrected")
        axis.plot(k, curves["outside wedge"].best, color="#009E73", ls="-.", label="outside the wedge")
        axis.plot(k, curves["inside wedge"].best, color="#D55E00", ls=":", label="inside the wedge")
        axis.plot(k, masked.threshold("half-bit"), color="#CC79A7", lw=1, label="half-bit")
        axis.axhline(0.143, color="black", lw=0.8, label="0.143")
        axis.axhline(0.5, color="black", lw=0.8, ls=(0, (4, 4)), label="0.5")
        found = masked.resolution("0.143")
        told = "none" if found.angstrom is None else f"{found.angstrom / 10:.3g} nm"
        told += " or better" if found.at_least else ""
        axis.set_title(f"{name}, SIRT, odd / even tilts: {told} at 0.143", fontsize=9)
        axis.set(xlabel="frequency, 1/nm", ylim=(-0.5, 1.03), xlim=(0, k[-1]))
    axes[0][0].set_ylabel("Fourier shell correlation")
    handles, labels = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, fontsize=8, loc="outside lower center", ncols=5)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("names", nargs="*", default=list(RADIUS), help="vesicles needle liquid")
    parser.add_argument("-o", "--output", type=Path, default=Path("docs/images"))
    given = parser.parse_args()
    found = {name: measure(name, given.folder) for name in given.names}
    draw(found, given.output / "real_fsc.png")


if __name__ == "__main__":
    main()
