"""What the images of the synthetic series hold of the angle of the axis: a bound on its standard deviation.

``python benchmarks/axis_bound.py`` writes ``results/axis_bound.csv``. The volume is
unknown: Gaussian, white but for the true power spectrum, in a cylinder of 50 pixels along the axis. Then the
rows of the images' spectra are independent, a turn r moves the frequency (kx, ky) of a tilt by ``-r ky``
along kx, and the Fisher information is ``tr(S^-1 dS/dr S^-1 dS/dr)`` of each row's covariance S (shifts do
not enter it: their derivatives are imaginary). Contrast is linear, defoci and optics are known: what is left
is the least that a method can reach which knows nothing more of the specimen.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from scipy.special import jv

import bench_alignment as bench
from napari_phaset3m.core.contrast import contrast_transfer
from napari_phaset3m.core.grid import Grid
from napari_phaset3m.core.optics import Microscope
from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.prepare.align.config import AlignConfig
from napari_phaset3m.prepare.align.reference import Reference

RADIUS_PX = 25.0
#: Frequencies looked at: finest, and finest across the axis (others are not shared by tilts), 1/pixel.
FINEST, ACROSS = 0.42, 0.1
SWEEPS = 40


@dataclass(frozen=True, slots=True)
class Held:
    """What is known of a series.

    Attributes
    ----------
    tilt_rad : ndarray
        `(n_tilt,)`.
    transfer2 : ndarray
        `(n_tilt, ny, nx)` contrast transfer squared, all foci.
    power : ndarray
        `(ny, nx)` of the projections, mean of each ring.
    """

    tilt_rad: np.ndarray
    transfer2: np.ndarray
    power: np.ndarray


def held(series: TiltFocalSeries, linear: bool) -> Held:
    """From a noiseless series with its true shifts, defoci and axis."""
    reference = Reference(series, AlignConfig(threads=1), 1, SWEEPS, kind="sparse" if linear else "joint")
    for _ in reference.sweeps():
        pass
    tilts = range(series.n_tilt)
    shown = np.stack([_projection(reference, tilt, linear) for tilt in tilts])
    reference.close()
    ring, count = _rings(shown.shape[1:])
    mean = np.bincount(ring.ravel(), (np.abs(shown) ** 2).mean(0).ravel()) / count
    transfer = np.full(shown.shape, 0.5)  # phase-flipped projections stand as they are in each focus
    if not linear:
        transfer = np.stack([_transfer2(series, tilt) for tilt in tilts])
    return Held(np.radians(series.tilt_deg), transfer, np.maximum(mean, 1e-9 * mean.max())[ring])


def _projection(reference: Reference, tilt: int, linear: bool) -> np.ndarray:
    method = reference.stage.method
    if linear:
        return np.asarray(np.fft.fft2(np.squeeze(method.predict(reference.volume, tilt)).T))
    phase = np.zeros_like(method._slots[0].phase[: len(method._heights[tilt])])
    method.rotator.project(reference.volume[0], tilt, phase)
    return np.asarray(np.fft.fft2(phase.sum(0, dtype=np.float64).T))


def _transfer2(series: TiltFocalSeries, tilt: int) -> np.ndarray:
    ny, nx = series.image_shape
    microscope = Microscope(
        energy_ev=series.energy_ev,
        spherical_aberration_angstrom=series.spherical_aberration_angstrom or 0.0,
        focal_spread_angstrom=series.focal_spread_angstrom or 0.0,
    )
    grid = Grid(nx, ny, series.pixel_size_angstrom)
    assert series.defocus_angstrom is not None
    return np.asarray(
        sum(contrast_transfer(grid, microscope, float(f)).T ** 2 for f in series.defocus_angstrom[tilt])
    )


def _rings(shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    ky, kx = (np.fft.fftfreq(n) for n in shape)
    ring = np.rint(np.hypot(ky[:, None], kx[None]) * max(shape)).astype(int)
    return ring, np.bincount(ring.ravel())


def bound_deg(known: Held, electrons_per_pixel: float) -> float:
    """Least standard deviation of the axis, degrees."""
    ny, nx = known.power.shape
    ky, kx = np.fft.fftfreq(ny), np.fft.fftfreq(nx)
    near = np.abs(kx) <= ACROSS
    cos, sin = (np.repeat(f(known.tilt_rad), near.sum()) for f in (np.cos, np.sin))
    across = np.tile(kx[near], known.tilt_rad.size)
    dx, dz = (np.subtract.outer(across * part, across * part) for part in (cos, sin))
    apart = np.hypot(dx, dz)
    x = 2 * np.pi * RADIUS_PX * np.maximum(apart, 1e-12)
    alike = 2 * jv(1, x) / x
    # How the likeness of two frequencies changes as each moves by -r ky along its own tilt's kx.
    closing = (dx * np.subtract.outer(cos, cos) + dz * np.subtract.outer(sin, sin)) / np.maximum(apart, 1e-12)
    change = 2 * jv(2, x) / x * 2 * np.pi * RADIUS_PX * closing
    noise, information = nx * ny / electrons_per_pixel, 0.0
    for row in range(1, ny // 2):
        if ky[row] > FINEST:
            continue
        strength = 2 * np.sqrt(known.transfer2[:, row][:, near] * known.power[row, near] / noise)
        outer = np.outer(strength.ravel(), strength.ravel())
        covariance = alike * outer + np.eye(across.size)
        solved = cho_solve(cho_factor(covariance, lower=True), ky[row] * change * outer)
        information += float((solved * solved.T).sum())
    return float(np.degrees(1 / np.sqrt(information)))


def main() -> None:
    """Run it."""
    with (bench.ROOT / "benchmarks" / "results" / "axis_bound.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("specimen", "tilt_range_deg", "dose_e_per_a2", "bound_deg"))
        for name, spec in bench.SPECIMENS.items():
            for reach in bench.RANGES:
                series, defocus = bench.simulated(name, reach)
                known = held(series.replace(defocus_angstrom=defocus), name == "vesicles")
                for dose in spec["doses"][1:]:
                    bound = bound_deg(known, dose * series.pixel_size_angstrom**2)
                    writer.writerow((name, reach, dose, round(bound, 4)))
                    print(Path(__file__).stem, name, reach, dose, round(bound, 3), flush=True)


if __name__ == "__main__":
    main()
