"""napari's door through npe2, provenance, and disks that are full."""

from __future__ import annotations

import gc
import hashlib
import json
import os
import platform
import shutil
import subprocess
import warnings
from collections.abc import Iterator
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import mrcfile
import npe2
import numpy as np
import pytest
from npe2 import PluginManager, PluginManifest

import napari_phaset3m
from napari_phaset3m.config import ReconstructionConfig
from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.errors import DataError, OutputError
from napari_phaset3m.io.checkpoint import load_checkpoint, save_checkpoint
from napari_phaset3m.io.napari_hooks import write_image
from napari_phaset3m.io.provenance import provenance, provenance_path, sha256, write_provenance
from napari_phaset3m.io.series import load_series, save_series
from napari_phaset3m.io.volume import Volume, load_volume, save_volume

NAME = "napari-phaset3m"
CUBE = np.random.default_rng(4).normal(size=(4, 5, 6)).astype(np.float32)
ANGSTROM = ("angstrom",) * 3


@pytest.fixture
def manager(monkeypatch: pytest.MonkeyPatch) -> Iterator[PluginManager]:
    """npe2 with this plugin alone, as its manifest describes it."""
    own = PluginManager()
    manifest = PluginManifest.from_file(Path(napari_phaset3m.__file__).parent / "napari.yaml")
    manifest.package_metadata = None
    own.register(manifest)
    monkeypatch.setattr(PluginManager, "instance", classmethod(lambda cls: own))
    yield own
    own.deactivate(NAME)


def _read(path: Path) -> tuple[np.ndarray, dict[str, object]]:
    ((data, options, kind),) = npe2.read([os.fspath(path)], stack=False)
    assert kind == "image"
    return np.asarray(data), options


def _series() -> TiltFocalSeries:
    images = np.random.default_rng(0).uniform(0.8, 1.2, (3, 2, 6, 8)).astype(np.float32)
    return TiltFocalSeries(
        images=images, tilt_deg=[-10, 0, 10], pixel_size_angstrom=0.52, energy_ev=3e5,
        defocus_angstrom=[900.0, 1700.0],
    )  # fmt: skip


def test_the_manifest_is_the_installed_one() -> None:
    entry = next(e for e in distribution(NAME).entry_points if e.group == "napari.manifest")
    assert entry.value == "napari_phaset3m:napari.yaml"
    manifest = PluginManifest.from_file(Path(napari_phaset3m.__file__).parent / "napari.yaml")
    assert manifest.name == NAME
    manifest.validate_imports()


@pytest.mark.parametrize("suffix", [".mrc", ".h5", ".ome.zarr"])
def test_volume_through_npe2(manager: PluginManager, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"v{suffix}"
    options = {"name": "v", "scale": (0.052,) * 3, "units": ("nanometer",) * 3, "translate": (0.1, 0.2, 0.3)}
    layer = (CUBE, {**options, "metadata": {"phaset3m": {"unit": "V"}}}, "image")
    assert npe2.write(os.fspath(path), [layer], plugin_name=NAME) == [os.fspath(path)]
    volume = load_volume(path)
    assert volume.voxel_size_angstrom == pytest.approx(0.52) and volume.unit == "V"
    assert volume.origin == pytest.approx((1.0, 2.0, 3.0))
    data, options = _read(path)
    np.testing.assert_array_equal(data, CUBE)
    assert options["scale"] == pytest.approx((0.52,) * 3) and options["units"] == ANGSTROM
    assert options["translate"] == pytest.approx((1.0, 2.0, 3.0)) and options["axis_labels"] == (
        "z",
        "y",
        "x",
    )


@pytest.mark.parametrize("suffix", [".h5", ".toml"])
def test_series_through_npe2(manager: PluginManager, tmp_path: Path, suffix: str) -> None:
    series = _series()
    data, options = _read(save_series(series, tmp_path / f"s{suffix}"))
    np.testing.assert_array_equal(data, series.images)
    assert options["scale"] == (1.0, 0.52, 0.52, 0.52) and options["units"] == ("pixel", *ANGSTROM)
    metadata = options["metadata"]["phaset3m"]  # type: ignore[index]
    assert metadata["kind"] == "series" and metadata["tilt_deg"] == [-10.0, 0.0, 10.0]
    assert metadata["energy_ev"] == 3e5


def test_layers_from_the_hook_make_napari_layers(manager: PluginManager, tmp_path: Path) -> None:
    from napari.layers import Layer

    path = save_series(_series(), tmp_path / "s.h5")
    (found,) = npe2.read([os.fspath(path)], stack=False)
    layer = Layer.create(*found)
    assert layer.ndim == 4 and [str(unit) for unit in layer.units] == ["pixel", *ANGSTROM]
    written = npe2.write(os.fspath(tmp_path / "v.mrc"), [Layer.create(CUBE, {"scale": (2.0,) * 3,
                         "units": ANGSTROM}, "image").as_layer_data_tuple()], plugin_name=NAME)  # fmt: skip
    assert written and load_volume(written[0]).voxel_size_angstrom == 2.0


def test_others_files_are_left_to_others(manager: PluginManager, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"x")
    (tmp_path / "folder").mkdir()
    for name in ("a.png", "folder"):
        with pytest.raises(ValueError, match="eader"):
            npe2.read([os.fspath(tmp_path / name)], stack=False)


@pytest.mark.parametrize(
    ("name", "shape", "scale"),
    [
        ("haadf_needle/HAADF.mrc", (77, 1, 256, 256), (1.0, 33.6, 33.6, 33.6)),
        ("lamella_L4/L4_ts_03_sort_bin8_1img.mrc", (1, 1, 512, 720), (1.0, 13.12, 13.12, 13.12)),
    ],
)
def test_real_stacks_open_to_scale(
    manager: PluginManager, shared_data: Path, name: str, shape: tuple[int, ...], scale: tuple[float, ...]
) -> None:
    path = shared_data / "real" / name
    data, options = _read(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the needle's header is older than the MAP mark
        with mrcfile.open(path, permissive=True) as mrc:
            raw = np.array(mrc.data)
    assert data.shape[:2] == shape[:2] and sorted(data.shape[2:]) == sorted(shape[2:])
    np.testing.assert_array_equal(data[:, 0], raw.reshape(-1, *raw.shape[-2:]))
    assert options["scale"] == pytest.approx(scale) and options["units"] == ("pixel", *ANGSTROM)
    low, high = options["contrast_limits"]  # type: ignore[misc]
    assert raw.min() <= low < high <= raw.max()


def test_needle_is_a_tilt_series(shared_data: Path) -> None:
    path = shared_data / "real/haadf_needle/HAADF.mrc"
    series = load_series(path, dark_field=True)
    np.testing.assert_allclose(series.tilt_deg, np.arange(-76, 77, 2), atol=0.5)
    assert series.energy_ev == pytest.approx(3e5) or series.energy_ev == pytest.approx(2e5)


def test_provenance_tells_enough_to_run_again(tmp_path: Path) -> None:
    path = save_series(_series(), tmp_path / "s.h5")
    config = ReconstructionConfig(method="sirt", iterations=3, seed=5)
    record = provenance(path, config, "cpu (2 threads)", seconds_per_iteration=[0.1, np.float32(0.2)],
                        error_per_iteration=np.array([1.0, np.nan]))  # fmt: skip
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert record["inputs"] == [{"path": str(path.resolve()), "sha256": digest}]
    assert record["seed"] == 5 and record["device"] == "cpu (2 threads)"
    assert record["version"] == napari_phaset3m.__version__ and record["schema"] == 1
    assert record["platform"]["python"] == platform.python_version()
    assert record["error_per_iteration"] == [1.0, None]  # JSON has no NaN
    assert ReconstructionConfig.model_validate(record["parameters"]) == config
    written = write_provenance(tmp_path / "v.ome.zarr", record)
    known = json.loads(written.read_text(encoding="utf-8"))
    assert written.name == "v.json" and known == record | {"file": "v.ome.zarr"}


def test_provenance_of_several_inputs_or_none(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("a", "b")]
    for path in paths:
        path.write_text(path.name)
    record = provenance(paths, None, None)
    assert [item["sha256"] for item in record["inputs"]] == [sha256(path) for path in paths]
    assert provenance(None)["inputs"] == [] and provenance(None)["parameters"] == {}
    assert sha256(tmp_path) != sha256(paths[0])
    assert provenance_path("x/VOL.mrc").name == provenance_path("x/VOL.ome.zarr").name == "VOL.json"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 256 kB; skips where one cannot be mounted."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount, umount = shutil.which("mount"), shutil.which("umount")
    if mount is None or umount is None:
        pytest.skip("no mount command: a full disk cannot be tried")
    command = [mount, "-t", "tmpfs", "-o", "size=256k", "tmpfs", os.fspath(folder)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"a small disk cannot be mounted: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        gc.collect()
        # Lazy: a library whose last write failed may keep the removed file open for a while.
        subprocess.run([umount, "-l", os.fspath(folder)], check=True)


# mrcfile leaves a file whose last write failed open until it is forgotten (a ResourceWarning).
@pytest.mark.filterwarnings("ignore:.*FileIO.*:pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("name", ["v.mrc", "v.tif", "v.h5", "v.ome.zarr", "s.h5", "s.toml", "c.h5"])
@pytest.mark.parametrize("late", [False, True])
def test_full_disk(small_disk: Path, name: str, late: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Noticed before writing, or (``late``) when the disk fills up while it is written."""
    noise = np.random.default_rng(0).normal(size=(1, 70, 32, 64)).astype(np.float32)  # 573 kB
    target = small_disk / name
    if name.endswith(".ome.zarr"):
        save_volume(Volume(data=CUBE, voxel_size_angstrom=1.0), target)
    else:
        target.write_text("old")
    before, kept = sha256(target), sorted(p.name for p in small_disk.iterdir())
    if late:
        monkeypatch.setattr("napari_phaset3m.io.atomic._check_target", lambda *_: None)
    with pytest.raises(OutputError) as caught:
        if name.startswith("v"):
            save_volume(Volume(data=noise[0], voxel_size_angstrom=1.0), target, {"seed": 0})
        elif name.startswith("s"):
            images = np.abs(noise).reshape(70, 1, 32, 64)
            save_series(_series().replace(images=images, tilt_deg=np.arange(70.0), defocus_angstrom=None,
                                          used=None, shifts_px=None), target)  # fmt: skip
        else:
            save_checkpoint(target, {"v": noise})
    assert "\n" not in str(caught.value) and name.split(".")[0] in str(caught.value)
    assert sha256(target) == before and sorted(p.name for p in small_disk.iterdir()) == kept


def test_a_volume_that_fits_is_written_to_a_small_disk(small_disk: Path) -> None:
    target = save_volume(Volume(data=CUBE, voxel_size_angstrom=1.0), small_disk / "v.mrc", {"seed": 0})
    np.testing.assert_array_equal(load_volume(target).data, CUBE)
    save_checkpoint(small_disk / "c.h5", {"v": CUBE})
    np.testing.assert_array_equal(load_checkpoint(small_disk / "c.h5")["v"], CUBE)


@pytest.mark.parametrize("units", [("pixel",) * 3, None, ("second",) * 3])
def test_a_layer_without_a_length_is_not_saved_as_angstrom(tmp_path: Path, units: Any) -> None:
    options = {"name": "v", "scale": (2.0,) * 3} | ({"units": units} if units else {})
    with pytest.raises(DataError, match="unit is"):
        write_image(str(tmp_path / "v.mrc"), np.ones((4, 4, 4), np.float32), options)
    assert not list(tmp_path.iterdir())
