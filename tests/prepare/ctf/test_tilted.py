"""Defocus across a tilted film: abTEM's multislice says where it is higher, not this project."""

from __future__ import annotations

import numpy as np
import pytest
from _carbon import CS_ANGSTROM, ENERGY

from napari_phaset3m.analyse.ctf import series_microscope
from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.prepare.ctf.api import find_ctf
from napari_phaset3m.prepare.ctf.config import CtfConfig
from napari_phaset3m.prepare.ctf.group import image_spectra

TILT, DEFOCUS, PIXEL = 50.0, 6000.0, 1.25
WIDTH, LENGTH, DEPTH = 1280.0, 480.0, 1600.0


@pytest.fixture(scope="module")
def tilted():
    """`(ny, nx)` image of atoms on a flat film turned by +50 degrees, beam towards +z."""
    import abtem
    from ase import Atoms

    abtem.config.set({"precision": "float32", "scheduler": "synchronous", "diagnostics.progress_bar": False})
    rng = np.random.default_rng(5)
    theta = np.radians(TILT)
    count = 60000
    flat_x = (rng.random(count) - 0.5) * WIDTH / np.cos(theta)
    z = rng.normal(0, 2.0, count)
    x, height = flat_x * np.cos(theta) - z * np.sin(theta), flat_x * np.sin(theta) + z * np.cos(theta)
    places = np.stack([x + WIDTH / 2, rng.random(count) * LENGTH, height + DEPTH / 2], axis=1)
    places[:, 0] %= WIDTH
    atoms = Atoms("Si" * count, positions=places, cell=[WIDTH, LENGTH, DEPTH], pbc=True)
    potential = abtem.Potential(
        atoms, gpts=(round(WIDTH / PIXEL), round(LENGTH / PIXEL)), slice_thickness=80.0,
        parametrization="lobato", projection="infinite",
    )  # fmt: skip
    wave = abtem.PlaneWave(energy=ENERGY).multislice(potential, lazy=False)
    # The wave is left at the exit face, DEPTH / 2 below the centre.
    image = (
        wave.apply_ctf(abtem.CTF(energy=ENERGY, defocus=DEFOCUS + DEPTH / 2, Cs=CS_ANGSTROM))
        .intensity()
        .array
    )
    return np.ascontiguousarray(np.asarray(image).T, np.float32)


def _series(image, tilt):
    return TiltFocalSeries(
        images=image[None, None], tilt_deg=[tilt], pixel_size_angstrom=PIXEL, energy_ev=ENERGY,
        spherical_aberration_angstrom=CS_ANGSTROM,
    )  # fmt: skip


def _fit(image, tilt, **kw):
    config = CtfConfig(amplitude_contrast=0.0, tile_px=192, defocus_max_angstrom=12000.0,
                       astigmatism_max_angstrom=300.0, resolution_high_angstrom=4.0, **kw)  # fmt: skip
    return find_ctf(_series(image, tilt), config).result.images[0][0]


def test_the_gradient_has_the_sign_of_the_tilt(tilted):
    right, wrong, none = _fit(tilted, TILT), _fit(tilted, -TILT), _fit(tilted, TILT, tilt_gradient=False)
    # The defocus changes by 1500 Å from edge to edge; it is that of the rotation centre that is told.
    assert abs(right.defocus_angstrom - DEFOCUS) < 0.01 * DEFOCUS
    assert right.significance > 1.3 * max(wrong.significance, none.significance)
    assert right.rings > wrong.rings


def test_a_mirrored_image_needs_the_other_sign(tilted):
    found = _fit(np.ascontiguousarray(tilted[:, ::-1]), -TILT)
    assert abs(found.defocus_angstrom - DEFOCUS) < 0.01 * DEFOCUS


def test_heights_count_from_the_rotation_centre_of_a_shifted_image(tilted):
    series = _series(tilted, TILT).replace(shifts_px=np.array([[[0.0, 40.0]]]))
    config = CtfConfig(tile_px=192)
    bands = image_spectra(series, config, series_microscope(series), (0, 0), 192)
    slope = np.tan(np.radians(TILT))
    nx = series.image_shape[1]
    for band in bands:
        assert band.height_angstrom == pytest.approx(slope * band.spectrum.x_angstrom)
    mean = np.average(
        [band.spectrum.x_angstrom for band in bands], weights=[band.spectrum.tiles for band in bands]
    )
    # Tiles lie evenly about the middle, which is 40 pixels left of the rotation centre.
    assert mean == pytest.approx(-40 * PIXEL, abs=2 * PIXEL) and nx == 1024
