"""Images of an amorphous carbon film made with abTEM: the oracle, with none of this project's CTF code."""

from __future__ import annotations

import numpy as np

ENERGY, CS_ANGSTROM = 300e3, 1.2e7


def exit_wave(width_angstrom: float, sampling_angstrom: float, thickness_angstrom: float, seed: int):
    """abTEM's exit wave of a film whose mid-plane lies ``thickness / 2`` above it, periodic in x and y."""
    import abtem
    from ase import Atoms

    from napari_phaset3m.simulate.carbon import CARBON_PER_DENSITY, random_sequential

    abtem.config.set({"precision": "float32", "scheduler": "synchronous", "diagnostics.progress_bar": False})
    box = np.array([width_angstrom, width_angstrom, thickness_angstrom])
    count = round(1.9 * CARBON_PER_DENSITY * float(np.prod(box)))
    places = random_sequential(np.zeros(3), box, count, 1.4, np.random.default_rng(seed))
    places[:, 2] = np.clip(places[:, 2], 1e-3, thickness_angstrom - 1e-3)
    atoms = Atoms(numbers=np.full(count, 6), positions=places, cell=box, pbc=True)
    points = round(width_angstrom / sampling_angstrom)
    slices = max(1, round(thickness_angstrom / 10))
    potential = abtem.Potential(
        atoms, gpts=(points, points), slice_thickness=thickness_angstrom / slices,
        parametrization="lobato", projection="infinite",
    )  # fmt: skip
    return abtem.PlaneWave(energy=ENERGY).multislice(potential, lazy=False)


def image(wave, defocus_angstrom: float, pixel_angstrom: float, shape: int, thickness_angstrom: float, **ctf):
    """`(shape, shape)` [y, x] intensity: abTEM's axes are (x, y); defocus refers to the film's mid-plane.

    abTEM's ``C12``, ``phi12`` and other coefficients pass through ``ctf``; its azimuth runs from its
    first axis (our x) to its second (our y).
    """
    import abtem

    # A wave that lies thickness / 2 downstream of the plane that defocus refers to.
    ctf.setdefault("Cs", CS_ANGSTROM)
    transfer = abtem.CTF(energy=ENERGY, defocus=defocus_angstrom + thickness_angstrom / 2, **ctf)
    fine = np.asarray(wave.apply_ctf(transfer).intensity().array, np.float32)
    points, sampling = fine.shape[0], float(wave.extent[0]) / fine.shape[0]
    coarse = round(points * sampling / pixel_angstrom)
    half = coarse // 2
    spectrum = np.fft.fftshift(np.fft.fft2(fine))
    middle = points // 2
    spectrum = spectrum[middle - half : middle + half, middle - half : middle + half]
    spectrum[0], spectrum[:, 0] = 0, 0  # the unpaired Nyquist terms
    small = np.fft.ifft2(np.fft.ifftshift(spectrum)).real * (spectrum.size / fine.size)
    return np.ascontiguousarray(small[:shape, :shape].T, np.float32)


def with_noise(images, snr: float, seed: int = 0):
    """White noise added: the variance of the signal is ``snr`` times that of the noise."""
    rng = np.random.default_rng(seed)
    images = np.asarray(images, np.float32)
    sigma = np.sqrt(images.var(axis=(-2, -1), keepdims=True) / snr)
    return (images + sigma * rng.standard_normal(images.shape)).astype(np.float32)
