"""Draw the figures of docs/prepare.md: motion before and after, and what the steps do to an image.

    python resources/prepare_pictures.py [-o docs/images]

Everything is simulated (tests/prepare/_movies.py), seeds fixed. Prints the figures quoted in the docs.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np

from napari_phaset3m import TiltFocalSeries
from napari_phaset3m.analyse.figures.style import BLUE, INK, VERMILLION, new_figure, sheet
from napari_phaset3m.prepare import denoise, outliers
from napari_phaset3m.prepare.denoise import DenoiseConfig
from napari_phaset3m.prepare.motion.config import MotionConfig
from napari_phaset3m.prepare.motion.correct import iterate_motion
from napari_phaset3m.prepare.motion.movie import ArrayMovie
from napari_phaset3m.prepare.outliers import OutliersConfig

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "prepare"))
from _movies import settling, specimen

_PAPER = {"dpi": 130, "facecolor": "white", "bbox_inches": "tight"}


def _picture(axes: Any, image: np.ndarray, title: str, limits: tuple[float, float]) -> None:
    axes.imshow(image, cmap="gray", vmin=limits[0], vmax=limits[1], interpolation="nearest")
    axes.set_title(title)
    axes.set_axis_off()


def crystals(n: int, count: int, seed: int) -> np.ndarray:
    """`(n, n)` mean image: discs with lattice fringes of 7 and 9 pixels on amorphous carbon."""
    rng = np.random.default_rng(seed)
    image = 1 + 0.4 * (specimen(n, 0.1, seed) - 1)
    y, x = np.mgrid[:n, :n]
    for _ in range(count):
        cy, cx, radius, angle = *rng.uniform(0.1 * n, 0.9 * n, 2), rng.uniform(22, 40), rng.uniform(0, np.pi)
        u = (x - cx) * np.cos(angle) + (y - cy) * np.sin(angle)
        v = (y - cy) * np.cos(angle) - (x - cx) * np.sin(angle)
        disc = 1 / (1 + np.exp(np.clip((np.hypot(u, v) - radius) / 1.5, -50, 50)))
        image -= disc * (0.2 - 0.22 * np.cos(2 * np.pi * u / 7) - 0.15 * np.cos(2 * np.pi * v / 9))
    return np.clip(image, 0.05, None)


def frames_of(sheet: np.ndarray, drift: np.ndarray, dose: float) -> np.ndarray:
    """Poisson frames `(n_frames, n, n)` of the middle of a periodic sheet, moved by a drift (y, x)."""
    from scipy.ndimage import fourier_shift

    rng, spectrum = np.random.default_rng(5), np.fft.fft2(sheet)
    inside = slice(48, len(sheet) - 48)
    moved = (np.fft.ifft2(fourier_shift(spectrum, d)).real[inside, inside] for d in drift)
    return np.stack([rng.poisson(np.maximum(m, 0) * dose) for m in moved]).astype(np.uint8)


def motion(folder: Path) -> None:
    """Draw the drift, and the sum without and with correction."""
    drift = settling() * 1.6
    frames = frames_of(crystals(608, 40, 1), drift, 2.0)
    *_, result = iterate_motion(ArrayMovie(frames), MotionConfig())
    gap = result.shifts_px - drift
    print("motion: rms", np.sqrt((gap**2).mean(axis=0)), "claimed", result.error_px.mean())
    with sheet():
        figure = new_figure(9.6, 3.3)
        left, middle, right = figure.subplots(1, 3, width_ratios=(1.15, 1, 1))
        for axis, (name, colour) in enumerate((("y", BLUE), ("x", VERMILLION))):
            left.plot(drift[:, axis] - drift[0, axis], color=INK, lw=0.8)
            left.errorbar(
                np.arange(len(drift)), result.drift_px[:, axis], 3 * result.error_px[:, axis],
                fmt="o", ms=3.5, color=colour, label=f"{name} found, 3σ",
            )  # fmt: skip
        left.plot([], [], color=INK, lw=0.8, label="injected")
        left.set(xlabel="Frame", ylabel="Drift since the first frame (px)", title="Drift")
        left.legend()
        part = slice(120, 310)
        images = [v[part, part] for v in (result.uncorrected, result.image)]
        limits = tuple(np.percentile(images[1], (1, 99)))
        _picture(middle, images[0], "Plain sum", limits)
        _picture(right, images[1], "Corrected sum", limits)
        figure.savefig(folder / "prepare_motion.png", **_PAPER)


def steps(folder: Path) -> None:
    """Draw hits, and denoising by three methods, at 20 electrons per pixel."""
    n, per_pixel = 192, 20
    rng = np.random.default_rng(0)
    mean = crystals(n, 6, 3)
    counts = rng.poisson(np.broadcast_to(mean * per_pixel, (6, 1, n, n))).astype(np.float32)
    counts[..., 40, 60] = 0
    for image in counts[:, 0]:
        for y, x in rng.integers(10, n - 10, (12, 2)):
            image[y : y + 2, x : x + 2] += 150
    series = TiltFocalSeries(
        images=counts / per_pixel, tilt_deg=np.linspace(-50, 50, 6), pixel_size_angstrom=1.0,
        energy_ev=300e3, dose_per_image=per_pixel,
    )  # fmt: skip
    *_, done = outliers.run(series, OutliersConfig())
    print("outliers:", done.series.metadata["history"][-1]["told"])
    shown = [("As recorded", series.images[0, 0]), ("Outliers replaced", done.series.images[0, 0])]
    for method in ("wavelet", "nlm", "tv"):
        image = denoise.preview(done.series, DenoiseConfig(method=method), 0, 0)
        rms = [np.sqrt(np.mean((v - mean) ** 2)) for v in (done.series.images[0, 0], image)]
        print(f"denoise {method}: rms error {rms[0]:.3f} -> {rms[1]:.3f}")
        shown.append((f"Denoised: {method}", image))
    with sheet():
        figure = new_figure(11.5, 2.6)
        for axes, (title, image) in zip(figure.subplots(1, 5), shown, strict=True):
            _picture(axes, image, title, (0.3, 1.7))
        figure.savefig(folder / "prepare_steps.png", **_PAPER)


def main() -> None:
    """Draw both."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, default=Path("docs/images"))
    folder = parser.parse_args().output
    motion(folder)
    steps(folder)


if __name__ == "__main__":
    main()
