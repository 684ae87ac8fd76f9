"""Multislice of tilted atoms and the images of their exit waves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from scipy import fft

from napari_phaset3m.core.fft import empty_aligned, plan_fft2, smooth_size
from napari_phaset3m.core.grid import Grid
from napari_phaset3m.core.optics import (
    Microscope,
    defocus_vectors,
    delocalisation_angstrom,
    detector_mtf,
    focal_quadrature,
    shift_vectors,
    spatial_envelope,
    transfer_base,
)
from napari_phaset3m.core.precision import COMPLEX, REAL
from napari_phaset3m.core.propagation import fresnel_propagator
from napari_phaset3m.simulate.config import SimulationConfig
from napari_phaset3m.simulate.potentials import SlicePotential
from napari_phaset3m.simulate.slicing import AtomSlices
from napari_phaset3m.simulate.specimens import Atoms
from napari_phaset3m.simulate.vesicles import Spheres, SphereSlices

BAND_LIMIT = 2 / 3
Matter: TypeAlias = Atoms | Spheres


def true_microscope(config: SimulationConfig) -> Microscope:
    """Describe the microscope that makes the images (not the one the series states)."""
    optics = config.optics
    return Microscope(
        energy_ev=optics.energy_ev,
        spherical_aberration_angstrom=optics.spherical_aberration_angstrom,
        focal_spread_angstrom=optics.sigma_f_angstrom,
        convergence_semiangle_rad=optics.convergence_semiangle_mrad * 1e-3,
        aberrations={**optics.aberrations, **config.errors.unstated_aberrations},
        mtf=config.acquisition.mtf,
        phase_shift_rad=float(np.radians(optics.phase_shift_deg)),
    )


#: Samples along an edge that no memory holds: what is larger is refused for it, whatever its factors.
_LARGEST = 1 << 24


def padding_px(config: SimulationConfig, microscope: Microscope) -> int:
    """Border on each side, pixels, so that nothing wraps around into the field.

    Light of frequency k lands ``|grad chi| / 2 pi`` beside its atom. The box must be longer
    than the largest such distance, up to where the temporal envelope or the pixel ends the
    transfer, plus half the field and half the matter. Only the corners of the band, beyond
    Nyquist, still wrap (2 % of the contrast of a Co3O4 particle at Cs 1.2 mm).
    """
    n = config.acquisition.image_size_px
    s = config.numerics.supersampling
    asked = config.numerics.padding_px
    border = _automatic_padding(config, microscope) if asked == "auto" else asked
    size = n + 2 * border
    while size * s < _LARGEST and smooth_size(size * s) != size * s:
        size += 2
    return (size - n) // 2


def _automatic_padding(config: SimulationConfig, microscope: Microscope) -> int:
    n, pixel = config.acquisition.image_size_px, config.acquisition.pixel_size_angstrom
    astray = delocalisation_angstrom(microscope, config.acquisition.defocus_angstrom, 0.5 / pixel)
    specimen, field = config.specimen, n * pixel
    reach = field / 2  # of the matter from the rotation centre
    if config.carbon.thickness_angstrom == 0 and specimen.kind not in ("xyz", "vesicles"):
        offset = float(np.linalg.norm(specimen.centre_angstrom))
        reach = min(reach, specimen.diameter_angstrom / 2 + offset)
    missing = min(astray + reach + 2.0 - field / 2, _LARGEST * pixel)
    return max(8, int(np.ceil(missing / 2 / pixel)))


@dataclass(frozen=True)
class Sampling:
    """`image_px` pixels seen of `box_px`, computed on `supersampling` times finer samples."""

    image_px: int
    box_px: int
    supersampling: int
    pixel_size_angstrom: float

    @property
    def coarse(self) -> Grid:
        """The box at the detector's pixel."""
        return Grid(self.box_px, self.box_px, self.pixel_size_angstrom)

    @property
    def fine(self) -> Grid:
        """The box as the wave is sampled."""
        n = self.box_px * self.supersampling
        return Grid(n, n, self.pixel_size_angstrom / self.supersampling)

    @property
    def box_angstrom(self) -> float:
        return self.box_px * self.pixel_size_angstrom

    @property
    def centre_angstrom(self) -> float:
        """Rotation centre from sample 0: pixel (n - 1) / 2 of the box and of the field."""
        return (self.box_px - 1) / 2 * self.pixel_size_angstrom


class Imager:
    """One thread's workspace: tilted atoms or vesicles to a tilt's images.

    Parameters
    ----------
    config : SimulationConfig
    sampling : Sampling
    symbols : list of str
        Elements of the specimen; none of vesicles.
    """

    def __init__(self, config: SimulationConfig, sampling: Sampling, symbols: list[str]) -> None:
        self._config, self._sampling = config, sampling
        self._microscope = true_microscope(config)
        grid = sampling.fine
        self._grid = grid
        dz = config.slice_angstrom
        self._slices: AtomSlices | SphereSlices
        if config.specimen.kind == "vesicles":
            self._slices = SphereSlices(grid, sampling.centre_angstrom, dz, BAND_LIMIT)
        else:
            potential = SlicePotential(grid, symbols, config.numerics.thermal_b_angstrom2, BAND_LIMIT)
            self._slices = AtomSlices(grid, sampling.centre_angstrom, dz, potential)
        propagator = fresnel_propagator(grid, self._microscope.wavelength_angstrom, dz, BAND_LIMIT)
        scale = 1 / (grid.nx * grid.ny)  # of the unscaled transform pair
        self._propagator = propagator * COMPLEX(scale)
        self._wave, self._spectrum = empty_aligned(grid.shape), empty_aligned(grid.shape)
        self._forward = plan_fft2(self._wave, self._spectrum)
        self._inverse = plan_fft2(self._spectrum, self._wave, inverse=True)
        incoherent = config.optics.coherence == "incoherent"
        self._base = transfer_base(grid, self._microscope, envelope=not incoherent)
        self._foci = [(0.0, 1.0)]
        if incoherent and self._microscope.focal_spread_angstrom > 0:
            nodes = focal_quadrature(self._microscope.focal_spread_angstrom, config.optics.quadrature_points)
            self._foci = list(zip(*nodes, strict=True))
        self._mtf = detector_mtf(sampling.coarse, self._microscope)

    def images(
        self, matter: Matter, tilt_deg: float, defocus_angstrom: np.ndarray, shifts_px_yx: np.ndarray
    ) -> np.ndarray:
        """`(n_focus, ny, nx)` float32 intensity, incident beam 1.

        Parameters
        ----------
        matter : Atoms or Spheres
            In the sample frame.
        tilt_deg : float
            True tilt.
        defocus_angstrom : ndarray
            `(n_focus,)` true defocus at the rotation centre.
        shifts_px_yx : ndarray
            `(n_focus, 2)` a feature at p appears at p + shift.
        """
        height = self._exit_wave(matter, tilt_deg)
        self._forward()
        exit_spectrum = self._spectrum * (self._base / REAL(self._grid.nx * self._grid.ny))
        images = [
            self._detect(self._intensity(exit_spectrum, float(df), height), (float(s[0]), float(s[1])))
            for df, s in zip(defocus_angstrom, shifts_px_yx, strict=True)
        ]
        return np.stack(images)

    def _exit_wave(self, matter: Matter, tilt_deg: float) -> float:
        """Leave in the workspace the wave just behind the last slice's plane; return that plane's z."""
        stack: Any = self._slices.stack  # of the same kind as the matter
        height, slices = stack(matter, tilt_deg)
        self._wave[...] = 1.0
        for i, projected in enumerate(slices):
            if i:
                self._propagate()
            if projected is not None:
                self._transmit(projected)
        return float(height)

    def _propagate(self) -> None:
        self._forward()
        self._spectrum *= self._propagator
        self._inverse()

    def _transmit(self, projected: np.ndarray) -> None:
        projected *= REAL(self._microscope.sigma)
        transmission = np.empty(projected.shape, COMPLEX)
        np.cos(projected, out=transmission.real)
        np.sin(projected, out=transmission.imag)
        self._wave *= transmission

    def _intensity(self, exit_spectrum: np.ndarray, defocus: float, height: float) -> np.ndarray:
        grid, scope = self._grid, self._microscope
        total = np.zeros(grid.shape, REAL)
        for offset, weight in self._foci:
            # the wave is known at z = height; focusing back to the centre adds it to the underfocus
            ex, ey = defocus_vectors(grid, scope.wavelength_angstrom, defocus + offset + height)
            np.multiply(exit_spectrum, ex[:, None], out=self._spectrum)
            self._spectrum *= ey[None, :]
            if scope.convergence_semiangle_rad > 0:
                self._spectrum *= spatial_envelope(grid, scope, defocus + offset)
            self._inverse()
            total += REAL(weight) * (self._wave.real**2 + self._wave.imag**2)
        return total

    def _detect(self, intensity: np.ndarray, shift_yx: tuple[float, float]) -> np.ndarray:
        """Fourier-crop to the pixel, MTF, shift, cut the field out; `(ny, nx)`."""
        sampling = self._sampling
        n, box = sampling.image_px, sampling.box_px
        spectrum = fft.rfft2(intensity, workers=1)
        fine = sampling.fine
        rows = np.r_[0 : (box + 1) // 2, fine.nx - box // 2 : fine.nx]
        cropped = spectrum[rows][:, : box // 2 + 1] * self._mtf
        if box % 2 == 0:  # Nyquist has no partner of the other sign
            cropped[box // 2] = 0
            cropped[:, box // 2] = 0
        ex, ey = shift_vectors(sampling.coarse, shift_yx)
        cropped *= ex[:, None] * ey[None, : box // 2 + 1]
        image = fft.irfft2(cropped, s=(box, box), workers=1) / sampling.supersampling**2
        first = (box - n) // 2
        return np.ascontiguousarray(image[first : first + n, first : first + n].T, REAL)
