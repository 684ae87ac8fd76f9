"""Sizes of a run: slices, padding, images that are not square, and the forecast."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_phaset3m.config import ConstraintConfig, ReconstructionConfig
from napari_phaset3m.core.resample import fourier_resample, resample_axis
from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.errors import ConfigError, DataError
from napari_phaset3m.io.limits import available_memory
from napari_phaset3m.reconstruct.api import forecast, reconstruct
from napari_phaset3m.reconstruct.problem import build_problem
from napari_phaset3m.reconstruct.sizing import sampling_notes, sizing

FREE = ConstraintConfig(atomic_basis_sigma_angstrom=None)


def series(
    ny: int = 32, nx: int = 32, tilts: Any = (-40.0, 0.0, 40.0), pixel: float = 0.5
) -> TiltFocalSeries:
    y, x = (np.arange(n) - (n - 1) / 2 for n in (ny, nx))
    bump = 0.1 * np.exp(-((y[:, None] - 3) ** 2 + (x - 2) ** 2) / 20)
    return TiltFocalSeries(
        images=np.broadcast_to(1 - bump, (len(tilts), 2, ny, nx)).astype(np.float32),
        tilt_deg=np.array(tilts),
        pixel_size_angstrom=pixel,
        energy_ev=3e5,
        defocus_angstrom=np.array([300.0, 600.0]),
        spherical_aberration_angstrom=1e7,
    )


def config(**changes: Any) -> ReconstructionConfig:
    given = {"constraints": FREE, "padding_px": 0, "threads": 2, "iterations": 1}
    return ReconstructionConfig(**{**given, **changes})


def test_slices_of_a_slab_are_as_thick_as_asked_at_the_depth_that_tilts_reach() -> None:
    # 20 voxels deep and 256 wide, tilted by 5 degrees: 43 voxels deep at most, not 256.
    slab = series(16, 256, (-5.0, 0.0, 5.0))
    geometry = sizing(slab, config(depth_angstrom=10.0)).geometry
    assert geometry.deepest == int(np.ceil(20 * np.cos(np.radians(5)) + 256 * np.sin(np.radians(5))))
    assert geometry.voxels_per_slice * 0.5 == pytest.approx(2.1, rel=0.1)
    # A cube is as deep as it is wide at no tilt: nothing changes for it.
    assert sizing(series(), config()).geometry.n_slices == round(32 * 0.5 / 2.1)


def test_slices_that_do_not_fit_into_the_deepest_box_are_refused() -> None:
    slab = series(16, 64, (-5.0, 5.0))
    deepest = sizing(slab, config(depth_angstrom=5.0)).geometry.deepest
    assert deepest < 20
    assert sizing(slab, config(depth_angstrom=5.0, slices=deepest)).geometry.n_slices == deepest
    with pytest.raises(ConfigError, match=f"slices: {deepest + 1} do not fit in {deepest}"):
        build_problem(slab, config(depth_angstrom=5.0, slices=deepest + 1))


def test_automatic_padding_is_half_of_how_far_the_optics_move_light() -> None:
    wide = series(128, 128)  # pixels of 0.5 A
    wavelength, k = 0.0197, np.linspace(0, 1.0, 1000)
    plain = wide.replace(
        spherical_aberration_angstrom=0.0, focal_spread_angstrom=0.0, defocus_angstrom=[900.0, -1200.0]
    )
    astray = wavelength * 1200 * k.max()
    border = sizing(plain, config(padding_px="auto")).border
    assert 0 <= border - astray / 2 / 0.5 < 4  # up to the next size that FFTs like
    # Cs against underfocus: less goes astray than with either alone, more with overfocus
    cs = {"spherical_aberration_angstrom": 1.2e6, "focal_spread_angstrom": 0.0}
    under, over = (
        sizing(wide.replace(defocus_angstrom=[df], **cs), config(padding_px="auto")).border
        for df in (800.0, -800.0)
    )
    assert under < over
    # never more than a quarter of the width but for the FFT; none for line projections or unknown optics
    assert sizing(plain.replace(defocus_angstrom=[9e5]), config(padding_px="auto")).border == 32
    assert sizing(plain, config(padding_px="auto", method="sirt")).border == 0
    assert sizing(plain.replace(defocus_angstrom=None), config(padding_px="auto")).border == 0


def test_padding_deepens_nothing() -> None:
    padded = config(padding_px=6)
    problem = build_problem(series(), padded)
    assert problem.geometry.volume_shape == (32, 44, 44)
    assert reconstruct(series(), padded, device="cpu").volume.shape == (32, 32, 32)
    deep = config(padding_px=6, depth_angstrom=10.0)
    assert reconstruct(series(), deep, device="cpu").volume.shape == (20, 32, 32)


def test_a_voxel_is_a_cube_also_where_the_images_are_not_square() -> None:
    """A bar of known length along y keeps it, in angstrom."""
    nx, ny, voxel = 28, 61, 1.2
    y = np.arange(ny) - (ny - 1) / 2
    bar = np.cos(2 * np.pi * y / 12.2)  # five periods of 12.2 pixels of 1 angstrom
    images = np.broadcast_to(1 + 0.1 * bar[:, None], (3, 2, ny, nx)).astype(np.float32)
    scene = series(ny, nx, pixel=1.0).replace(images=images)
    problem = build_problem(scene, config(voxel_angstrom=voxel))
    assert problem.grid.pixel_size_angstrom == pytest.approx(28 / 23)
    places = (np.arange(problem.grid.ny) - (problem.grid.ny - 1) / 2) * problem.grid.pixel_size_angstrom
    expected = 1 + 0.1 * np.cos(2 * np.pi * places / 12.2)
    np.testing.assert_allclose(problem.images[1, 0, 5], expected, atol=1e-4)


@pytest.mark.parametrize(("n", "count"), [(33, 27), (33, 40), (40, 25), (16, 7)])
def test_an_axis_is_resampled_as_by_cropping_its_spectrum(n: int, count: int) -> None:
    values = np.random.default_rng(n).normal(size=(2, n, 5)).astype(np.float32)
    found = resample_axis(values, 1, count, n / count)
    wanted = fourier_resample(values.swapaxes(1, 2), (count,)).swapaxes(1, 2)
    np.testing.assert_allclose(found, wanted, atol=2e-6)


@pytest.mark.parametrize(
    "changes",
    [
        {}, {"depth_angstrom": 7.0}, {"padding_px": 5}, {"voxel_angstrom": 0.9}, {"method": "sirt"},
        {"method": "singleslice"}, {"slices": 5},
    ],
    ids=str,
)  # fmt: skip
def test_the_forecast_and_the_run_agree_on_all_sizes(changes: dict[str, Any]) -> None:
    scene, settings = series(30, 44), config(**changes)
    estimate, problem = forecast(scene, settings), build_problem(scene, settings)
    assert estimate.slices == problem.geometry.n_slices
    assert estimate.volume_shape == reconstruct(scene, settings, device="cpu").volume.shape
    assert sizing(scene, settings).geometry == problem.geometry


def test_the_forecast_refuses_what_the_run_would() -> None:
    with pytest.raises(ConfigError, match="slices"):
        forecast(series(), config(slices=99))
    with pytest.raises(ConfigError, match="voxel_angstrom"):
        forecast(series(), config(voxel_angstrom=9.0))


@pytest.mark.parametrize(
    "more",
    [
        {"constraints": FREE.model_copy(update={"tv_weight": 0.1})},
        {"constraints": FREE.model_copy(update={"lowpass_angstrom": 2.0})},
        {"constraints": ConstraintConfig(atomic_basis_sigma_angstrom=0.5)},
        {"absorption": True},
        {"threads": 3, "subset_size": 3},
    ],
    ids=("tv", "filter", "basis", "absorption", "threads"),
)
def test_what_takes_memory_is_counted(more: dict[str, Any]) -> None:
    volume = 32**3 * 4
    plain = forecast(series(), config()).memory_bytes
    assert forecast(series(), config(**more)).memory_bytes >= plain + volume


def test_methods_are_counted_by_what_they_hold() -> None:
    found = {m: forecast(series(), config(method=m)).memory_bytes for m in ("sirt", "cgls", "tv")}
    assert found["sirt"] < found["cgls"] < found["tv"]
    # Threads beyond the tilts of a subset hold nothing.
    many = [forecast(series(), config(subset_size=2, threads=t)).memory_bytes for t in (2, 64)]
    assert many[0] == many[1]


def group(folder: Path, names: tuple[str, str, str], limit: str, used: int, cache: int) -> None:
    folder.mkdir(parents=True)
    (folder / names[0]).write_text(f"{limit}\n")
    (folder / names[1]).write_text(f"{used}\n")
    (folder / "memory.stat").write_text(f"anon 5\n{names[2]} {cache}\n")


@pytest.mark.parametrize("version", [1, 2])
def test_free_memory_is_what_the_control_groups_leave(tmp_path: Path, version: int) -> None:
    names = [
        ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
        ("memory.max", "memory.current", "inactive_file"),
    ][version - 1]
    top = tmp_path / "memory" if version == 1 else tmp_path
    own = tmp_path / "own"
    own.write_text("4:memory:/outer/inner\n" if version == 1 else "0::/outer/inner\n")
    before = available_memory(tmp_path, own)
    group(top / "outer", names, "9000000", 2000000, 500000)
    group(top / "outer" / "inner", names, "max" if version == 2 else "9223372036854771712", 1, 0)
    assert available_memory(tmp_path, own) == 7500000 < before


def test_voxels_that_cannot_hold_what_the_images_do_are_told_before_the_run() -> None:
    fine = series()  # pixels of 0.5 Å
    assert sampling_notes(fine, config()) == sampling_notes(fine, config(voxel_angstrom=0.5)) == ()
    assert sampling_notes(fine, config(voxel_angstrom=0.25)) == ()
    (note,) = sampling_notes(fine, config(voxel_angstrom=1.0))
    assert note == "voxels of 1 Å hold nothing finer than 2 Å; the images reach 1 Å"
    assert forecast(fine, config(voxel_angstrom=1.0)).notes == (note,)


def test_a_low_pass_that_the_voxels_cannot_serve_is_told() -> None:
    fine, limits = series(), FREE.model_copy(update={"lowpass_angstrom": 1.5})
    _, note = sampling_notes(fine, config(voxel_angstrom=1.0, constraints=limits))
    assert note == "a low-pass of 1.5 Å cuts nothing: take voxels of 0.75 Å for it"
    assert sampling_notes(fine, config(constraints=limits)) == ()
    limits = FREE.model_copy(update={"lowpass_angstrom": 0.8})
    (note,) = sampling_notes(fine, config(constraints=limits))
    assert note.endswith("voxels of 0.5 Å hold nothing finer than 1 Å, nor do the images")
    filtered = {"method": "wbp", "filter_lowpass_angstrom": 0.8}
    assert len(sampling_notes(fine, config(**filtered))) == 1
    assert sampling_notes(fine, config(**{**filtered, "method": "sirt"})) == (), "SIRT has no such filter"


def test_a_run_keeps_what_its_voxels_cannot_hold_in_its_notes() -> None:
    started = []
    reconstruct(series(), config(voxel_angstrom=1.0, method="sirt"), device="cpu", on_event=started.append)
    assert any("hold nothing finer than 2 Å" in note for note in started[0].notes)


def test_one_tilt_is_told_to_say_nothing_of_depth() -> None:
    assert "one tilt says next to nothing of the depth" in forecast(series(tilts=(0.0,)), config()).notes[0]
    several = series()
    assert forecast(several, config()).notes == ()
    used = np.zeros((3, 2), bool)
    used[1] = True
    assert "one tilt" in forecast(several.replace(used=used), config()).notes[0]


@pytest.mark.parametrize(("ny", "nx"), [(2, 2), (1, 1), (64, 7)])
def test_images_that_are_too_small_are_told_so(ny: int, nx: int) -> None:
    """Smaller voxels were advised, or the images called constant."""
    from napari_phaset3m.prepare.align.api import align

    told = rf"images of {nx} x {ny} pixels \(x, y\) are too small; 8 each way are needed"
    for run in (lambda given: sizing(given, ReconstructionConfig()), reconstruct, align):
        with pytest.raises(DataError, match=told):
            run(series(ny, nx))


def test_a_coarse_bin_and_a_coarse_voxel_are_told_apart() -> None:
    with pytest.raises(ConfigError, match=r"^multiresolution: a bin of 8 leaves 4 x 4 pixels of 32 x 32"):
        sizing(series(), ReconstructionConfig(), 8)
    with pytest.raises(ConfigError, match=r"^voxel_angstrom: 4 Å leaves 4 x 4 pixels of 32 x 32"):
        sizing(series(), ReconstructionConfig(voxel_angstrom=4.0))
