"""Amorphous carbon imaged by abTEM, whose optics are not this project's: must find defocus to 1 %."""

from __future__ import annotations

import numpy as np
import pytest
from _carbon import CS_ANGSTROM, ENERGY, exit_wave, image, with_noise
from _made import angle_apart_deg

from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.prepare.ctf.api import find_ctf
from napari_phaset3m.prepare.ctf.config import CtfConfig

THICKNESS = 20.0


def fit(picture, pixel):
    series = TiltFocalSeries(
        images=picture[None, None],
        tilt_deg=[0.0],
        pixel_size_angstrom=pixel,
        energy_ev=ENERGY,
        spherical_aberration_angstrom=CS_ANGSTROM,
    )
    return find_ctf(series, CtfConfig(amplitude_contrast=0.0)).result.images[0][0]


@pytest.fixture(scope="module")
def small():
    return exit_wave(256.0, 0.5, THICKNESS, seed=1)


@pytest.mark.parametrize(("defocus", "pixel"), [(2000.0, 1.0), (6000.0, 1.0)])
def test_small_images(small, defocus, pixel):
    c12, phi12 = 0.05 * defocus, np.radians(25)
    picture = image(small, defocus, pixel, 256, THICKNESS, C12=c12, phi12=phi12)
    # 256 squared holds a sixteenth of the samples of the 1024 squared images that the 0.05 is meant for.
    found = fit(with_noise(picture, 0.4), pixel)
    assert abs(found.defocus_angstrom - defocus) < 0.01 * defocus
    assert abs(found.c12_angstrom - c12) < 0.25 * c12
    assert angle_apart_deg(found.phi12_rad, phi12) < 5 < angle_apart_deg(found.phi12_rad, -phi12)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_from_200_to_3000_nm_at_snr_0_05(large, seed):
    """Prints the figures of docs/ctf.md (``pytest -m slow -s``)."""
    worst_defocus = worst_angle = 0.0
    for (defocus, pixel, c12, phi12), picture in large.items():
        found = fit(with_noise(picture, 0.05, seed), pixel)
        off = found.defocus_angstrom / defocus - 1
        turned = angle_apart_deg(found.phi12_rad, phi12) if c12 else 0.0
        told = f"C12 {c12:g} -> {found.c12_angstrom:.0f} A, {turned:.1f} deg"
        print(f"seed {seed}, {pixel:g} A, {defocus / 10:g} nm: {off:+.3%}, {told}")
        assert found.confidence > 0
        worst_defocus, worst_angle = max(worst_defocus, abs(off)), max(worst_angle, turned)
    print(f"seed {seed}: worst defocus {worst_defocus:.3%}, angle {worst_angle:.1f} deg")
    assert worst_defocus < 0.01
    assert worst_angle < 5


@pytest.fixture(scope="module")
def large():
    """1024 squared images, 1 A per pixel up to 1000 nm and 2 A from there; every other one astigmatic."""
    near = exit_wave(1024.0, 0.5, THICKNESS, seed=2)
    made = {}
    for defocus in (2000.0, 5000.0, 10000.0):
        for c12, phi12 in ((0.0, 0.0), (0.04 * defocus, np.radians(25))):
            made[defocus, 1.0, c12, phi12] = image(near, defocus, 1.0, 1024, THICKNESS, C12=c12, phi12=phi12)
    del near
    # One slice of 10 A: the field of 2048 A has four million atoms.
    far = exit_wave(2048.0, 1.0, 10.0, seed=3)
    for defocus in (10000.0, 20000.0, 30000.0):
        for c12, phi12 in ((0.0, 0.0), (0.04 * defocus, np.radians(25))):
            made[defocus, 2.0, c12, phi12] = image(far, defocus, 2.0, 1024, 10.0, C12=c12, phi12=phi12)
    return made
