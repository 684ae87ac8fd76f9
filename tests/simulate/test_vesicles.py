"""Vesicles: slices against the volume, both against closed forms, and what does not fit."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from napari_phaset3m.cli import main
from napari_phaset3m.core.constants import interaction_constant
from napari_phaset3m.core.grid import Grid
from napari_phaset3m.errors import ConfigError
from napari_phaset3m.io.series import load_series
from napari_phaset3m.io.volume import load_volume
from napari_phaset3m.simulate import virion
from napari_phaset3m.simulate.api import simulate
from napari_phaset3m.simulate.config import SimulationConfig
from napari_phaset3m.simulate.vesicles import (
    Spheres,
    SphereSlices,
    ball_transform,
    build_vesicles,
    profile,
    sphere_potential,
)

TWO = Spheres(
    np.array([[60.0, -40.0, 30.0], [-110.0, 100.0, -80.0]]),
    np.array([[120.0, 90.0, 60.0, 30.0], [100.0, 70.0, 40.0, 10.0]]),
    np.array([1.5, -1.3, 1.0, -1.0]),
    8.0,
)


def config(**changes: object) -> SimulationConfig:
    base: dict[str, object] = {
        "specimen": {"kind": "vesicles", "diameter_angstrom": 600.0},
        "acquisition": {"image_size_px": 48, "pixel_size_angstrom": 20.0, "n_tilt": 3,
                        "defocus_angstrom": (20e3,)},
        "numerics": {"supersampling": 2, "threads": 1},
    }  # fmt: skip
    return SimulationConfig.parse(**{**base, **changes})


def test_profile_is_the_level_of_each_layer() -> None:
    sharp = Spheres(TWO.centres, TWO.radii, TWO.volts, 0.5)
    at = np.array([5.0, 45.0, 75.0, 105.0, 130.0])
    np.testing.assert_allclose(profile(sharp, 0, at, 0.5), [0.2, 1.2, 0.2, 1.5, 0.0], atol=1e-9)


def test_ball_transform_at_zero_is_its_volume_and_is_zero_where_it_should() -> None:
    assert ball_transform(30.0, np.zeros(1))[0] == pytest.approx(4 / 3 * np.pi * 30**3, rel=1e-6)
    assert ball_transform(1.0, np.array([4.4934094579 / (2 * np.pi)]))[0] == pytest.approx(0, abs=1e-9)


def test_volume_in_fourier_space_is_the_profile_in_real_space() -> None:
    voxel, shape = 10.0, (44, 48, 52)
    volume = sphere_potential(TWO, shape, voxel)
    z, y, x = np.meshgrid(*[(np.arange(n) - (n - 1) / 2) * voxel for n in shape], indexing="ij")
    expected = sum(
        profile(TWO, i, np.sqrt((x - c[0]) ** 2 + (y - c[1]) ** 2 + (z - c[2]) ** 2), TWO.edge_angstrom)
        for i, c in enumerate(TWO.centres)
    )
    assert np.abs(volume - expected).max() < 0.02  # what lies beyond Nyquist at an edge of 8 angstrom
    mirrored = [np.flip(expected, axis) for axis in range(3)]
    assert min(np.abs(volume - m).max() for m in mirrored) > 0.5


@pytest.mark.parametrize("tilt", [0.0, 37.0])
def test_slices_add_up_to_the_column_sum_of_the_tilted_volume(tilt: float) -> None:
    n, voxel = 64, 8.0
    grid = Grid(n, n, voxel)
    slicer = SphereSlices(grid, (n - 1) / 2 * voxel, 12.0, band_limit=2 / 3)
    height, slices = slicer.stack(TWO, tilt)
    total = sum(s for s in slices if s is not None)
    turned = Spheres(TWO.tilted(tilt), TWO.radii, TWO.volts, TWO.edge_angstrom)
    column = sphere_potential(turned, (n, n, n), voxel).sum(axis=0).T * voxel  # (nx, ny)
    k = np.fft.fftfreq(n)
    inner = np.hypot(*np.meshgrid(k, k)) < 0.3
    spectra = [np.fft.fft2(a)[inner] for a in (total, column)]
    assert np.linalg.norm(spectra[0] - spectra[1]) < 3e-3 * np.linalg.norm(spectra[1])
    top = (turned.centres[:, 2] + turned.radii[:, 0]).max()
    assert top < height + 12 and height < top + 5 * 8 + 12


def test_places_are_apart_in_view_at_every_tilt_and_in_the_ice() -> None:
    many = config(
        specimen={"kind": "vesicles", "diameter_angstrom": 250.0},
        vesicles={"n_vesicle": 6, "diameter_sigma_angstrom": 10.0, "ice_thickness_angstrom": 350.0,
                  "inner_gap_angstrom": 10.0, "inner_thickness_angstrom": 20.0},
    )  # fmt: skip
    found = build_vesicles(many, np.random.default_rng(0))
    c, r = found.centres, found.radii[:, 0]
    gaps = np.linalg.norm(c[:, None] - c[None], axis=-1) - r[:, None] - r[None] + 1e9 * np.eye(6)
    assert gaps.min() > 0
    assert (np.hypot(c[:, 0], c[:, 2]) + r).max() <= 480 and (np.abs(c[:, 2]) + r).max() <= 175 + 1e-9
    assert r.std() > 0
    again = build_vesicles(many, np.random.default_rng(0))
    np.testing.assert_array_equal(again.centres, c)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"specimen": {"kind": "vesicles"}}, "specimen.diameter_angstrom: 20"),
        ({"specimen": {"kind": "vesicles", "diameter_angstrom": 1200.0}}, "field of view"),
        ({"vesicles": {"n_vesicle": 9}}, "vesicles.n_vesicle: only"),
        ({"vesicles": {"n_vesicle": 2, "ice_thickness_angstrom": 500.0}}, "the ice of 500"),
        ({"carbon": {"thickness_angstrom": 30.0}}, "carbon.thickness_angstrom"),
    ],
)
def test_what_does_not_fit_is_one_line(changes: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        simulate(config(**changes))
    assert "\n" not in str(caught.value)


def test_a_weak_vesicle_images_its_projected_potential() -> None:
    """In focus, without aberrations, an absorbing or wrong-signed slice would change the intensity's mean."""
    weak = config(
        optics={"spherical_aberration_angstrom": 0.0, "energy_spread_ev": 0.0},
        acquisition={"image_size_px": 48, "pixel_size_angstrom": 20.0, "n_tilt": 1, "tilt_min_deg": 0.0,
                     "tilt_max_deg": 0.0, "defocus_angstrom": (5e4,)},
    )  # fmt: skip
    result = simulate(weak)
    image = result.series.images[0, 0]
    k = np.fft.fftfreq(48, 20.0)
    k2 = k[:, None] ** 2 + k**2
    phase = np.fft.fft2(result.potential.data.sum(axis=0) * 20.0) * interaction_constant(3e5)
    from napari_phaset3m.core.constants import wavelength_angstrom

    transfer = -2 * np.sin(np.pi * wavelength_angstrom(3e5) * 5e4 * k2)  # underfocus: dark
    expected = np.fft.ifft2(phase * transfer).real
    assert np.corrcoef(image.ravel(), expected.ravel())[0, 1] > 0.95
    assert image.mean() == pytest.approx(1.0, abs=0.01)


def test_command_line_to_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "hiv.h5"
    flags = ["--kind", "vesicles", "--diameter", "600", "--image-size", "32", "--pixel-size", "30",
             "--defocus", "20000", "--n-tilt", "3", "--supersampling", "2", "--dose", "1",
             "--membrane-contrast", "2", "--json"]  # fmt: skip
    assert main(["simulate", "-o", str(path), *flags]) == 0
    written = json.loads(capsys.readouterr().out)
    assert set(written) == {"series", "truth", "potential"}
    truth = json.loads(Path(written["truth"]).read_text())
    assert truth["vesicles"]["radii_angstrom"] == [[300.0, 255.0, 225.0, 155.0]]
    assert truth["vesicles"]["step_volts"] == pytest.approx([2.0, -1.8, 1.3, -1.3])
    assert load_series(path).images.shape == (3, 1, 32, 32)
    assert load_volume(written["potential"]).voxel_size_angstrom == 30.0


VIRION = config(
    specimen={"kind": "vesicles", "diameter_angstrom": 1000.0},
    acquisition={"image_size_px": 64, "pixel_size_angstrom": 20.0, "n_tilt": 1, "tilt_min_deg": 0.0,
                 "tilt_max_deg": 0.0, "defocus_angstrom": (2e4,)},
    vesicles={"inner_gap_angstrom": 5.0, "inner_thickness_angstrom": 30.0, "n_spike": 12, "capsid": "cone"},
)  # fmt: skip


def test_a_virion_has_spikes_outside_and_a_closed_cone_inside() -> None:
    found = build_vesicles(VIRION, np.random.default_rng(3))
    *spikes, subunits, content = found.details
    for (height, radius, _), group in zip(virion.SPIKE, spikes, strict=True):
        assert len(group.centres) == 12 and (group.radii == radius).all()
        np.testing.assert_allclose(np.linalg.norm(group.centres, axis=1), 500 + height)
    lumen = 500 - 45 - 5 - 30
    assert (np.linalg.norm(subunits.centres, axis=1) + virion.SUBUNIT[0]).max() <= lumen + 1e-6
    gaps = np.linalg.norm(subunits.centres[:, None] - subunits.centres, axis=-1) + 1e9 * np.eye(
        len(subunits.centres)
    )
    nearest = gaps.min(axis=1)  # a closed lattice: everybody has a neighbour, nobody lies on another
    assert nearest.min() > 0.6 * virion.SUBUNIT[1] and nearest.max() < 1.3 * virion.SUBUNIT[1]
    middle, (axis, *_) = (
        subunits.centres.mean(axis=0),
        np.linalg.svd(subunits.centres - subunits.centres.mean(axis=0))[2],
    )
    along = (subunits.centres - middle) @ axis
    across = np.linalg.norm(subunits.centres - middle - along[:, None] * axis, axis=1)
    third = np.ptp(along) / 3
    sides = along < along.min() + third, along > along.max() - third
    wide, narrow = (across[side].max() for side in sides)
    assert max(wide, narrow) > 1.4 * min(wide, narrow), "a cone, not a tube"
    assert len(content.centres) > 5
    inside = np.linalg.norm(content.centres[:, None] - subunits.centres, axis=-1).min(axis=1)
    assert inside.min() > virion.CONTENT[0]
    again = build_vesicles(VIRION, np.random.default_rng(3))
    np.testing.assert_array_equal(again.details[-2].centres, subunits.centres)


def test_slices_and_volume_agree_on_a_virion_and_see_all_of_it() -> None:
    found = build_vesicles(VIRION, np.random.default_rng(3))
    n, voxel = 96, 14.0
    slicer = SphereSlices(Grid(n, n, voxel), (n - 1) / 2 * voxel, 20.0, band_limit=2 / 3)
    _, slices = slicer.stack(found, 0.0)
    total = sum(s for s in slices if s is not None)
    column = sphere_potential(found, (n, n, n), voxel).sum(axis=0).T * voxel
    k = np.fft.fftfreq(n)
    inner = np.hypot(*np.meshgrid(k, k)) < 0.3
    spectra = [np.fft.fft2(a)[inner] for a in (total, column)]
    assert np.linalg.norm(spectra[0] - spectra[1]) < 5e-3 * np.linalg.norm(spectra[1])
    bare = Spheres(found.centres, found.radii, found.volts, found.edge_angstrom)
    assert np.abs(column - sphere_potential(bare, (n, n, n), voxel).sum(axis=0).T * voxel).max() > 100


def test_a_capsid_without_room_is_one_line() -> None:
    small = config(specimen={"kind": "vesicles", "diameter_angstrom": 600.0}, vesicles={"capsid": "cone"})
    with pytest.raises(ConfigError, match=r"vesicles\.capsid: a lumen of") as caught:
        build_vesicles(small, np.random.default_rng(0))
    assert "\n" not in str(caught.value)
