"""Files in, files out: what is written comes back, what is damaged is refused in one line."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import mrcfile
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.errors import DataError, OutputError
from napari_phaset3m.io import atomic, napari_hooks
from napari_phaset3m.io.atomic import atomic_path
from napari_phaset3m.io.checkpoint import load_checkpoint, save_checkpoint
from napari_phaset3m.io.orient import turn
from napari_phaset3m.io.series import load_series, save_series
from napari_phaset3m.io.volume import Volume, load_volume, save_volume

KNOWN = {"pixel_size_angstrom": 2.0, "energy_ev": 300e3}


def _five_keys(path: Path, **changes: object) -> Path:
    rng = np.random.default_rng(0)
    values: dict[str, object] = {
        "tilt_series": rng.uniform(0.8, 1.2, (3, 2, 8, 10)).astype(np.float32),
        "tilt_angles": np.array([-10.0, 0.0, 10.0]),
        "defocus_values": np.array([905.0, 1705.0]),
        "pixel_size": 1.0,
        "energy": 300e3,
        **changes,
    }
    with h5py.File(path, "w") as file:
        for key, value in values.items():
            if value is not None:
                file[key] = value
    return path


def _stack(path: Path, n: int = 3, pixel: float = 2.0, tlt: str | None = "-1\n0\n1\n") -> Path:
    data = np.random.default_rng(1).integers(1, 99, (n, 6, 5)).astype(np.int16)
    with mrcfile.new(path) as mrc:
        mrc.set_data(data)
        mrc.voxel_size = pixel
    if tlt:
        path.with_suffix(".tlt").write_text(tlt)
    return path


def _one_line(error: BaseException, *words: str) -> None:
    text = str(error)
    assert "\n" not in text
    for word in words:
        assert word in text


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    shape=st.tuples(st.integers(1, 4), st.integers(1, 3), st.integers(1, 9), st.integers(1, 9)),
    optional=st.sets(st.sampled_from(["defocus", "dose", "cs", "aberrations", "used", "shifts"])),
)
def test_series_round_trip(tmp_path: Path, shape: tuple[int, ...], optional: set[str]) -> None:
    rng = np.random.default_rng(3)
    n_tilt, n_focus = shape[:2]
    choices = {
        "defocus": ("defocus_angstrom", rng.normal(size=(n_tilt, n_focus))),
        "dose": ("dose_per_image", rng.uniform(1, 9, (n_tilt, n_focus))),
        "cs": ("spherical_aberration_angstrom", 2.3e7),
        "aberrations": ("aberrations", {"C12": 80.0, "phi12": 0.5}),
        "used": ("used", rng.random((n_tilt, n_focus)) > 0.5),
        "shifts": ("shifts_px", rng.normal(size=(n_tilt, n_focus, 2))),
    }
    extra = dict(choices[name] for name in optional)
    series = TiltFocalSeries(
        images=rng.uniform(5, 9, shape), tilt_deg=np.arange(n_tilt), pixel_size_angstrom=0.52,
        energy_ev=3e5, tilt_axis_angle_deg=12.0, normalisation="counts", metadata={"scale": 5.0}, **extra,
    )  # fmt: skip
    if not series.used.any():
        with pytest.raises(DataError, match="used: no image is used"):
            save_series(series, tmp_path / "sérïes 1.h5")
        return
    back = load_series(save_series(series, tmp_path / "sérïes 1.h5"))
    np.testing.assert_array_equal(back.images, series.images)
    for name in ("tilt_deg", "shifts_px", "used", "defocus_angstrom", "dose_per_image"):
        np.testing.assert_array_equal(getattr(back, name), getattr(series, name))
    assert dict(back.aberrations) == dict(series.aberrations)
    assert back.spherical_aberration_angstrom == series.spherical_aberration_angstrom
    assert (back.tilt_axis_angle_deg, back.normalisation, back.metadata["scale"]) == (12.0, "counts", 5.0)


def test_five_keys_open_and_defocus_moves_to_the_centre(tmp_path: Path) -> None:
    series = load_series(_five_keys(tmp_path / "five.h5"))
    np.testing.assert_allclose(series.defocus_angstrom[0], [900.0, 1700.0])
    assert any("defocus_reference" in note for note in series.metadata["notes"])
    stated = load_series(_five_keys(tmp_path / "centre.h5", defocus_reference="center"))
    np.testing.assert_allclose(stated.defocus_angstrom[0], [905.0, 1705.0])


def test_counts_become_intensity(tmp_path: Path) -> None:
    counts = np.full((3, 2, 8, 10), 50, np.uint16)
    path = _five_keys(tmp_path / "c.h5", tilt_series=counts, counts=True, dose_per_image=25.0, pixel_size=2.0)
    series = load_series(path)
    np.testing.assert_allclose(series.images, 0.5)
    assert series.normalisation == "counts" and series.metadata["scale"] == 100.0
    no_dose = load_series(_five_keys(tmp_path / "d.h5", tilt_series=counts, counts=True, pixel_size=2.0))
    np.testing.assert_allclose(no_dose.images, 1.0)
    np.testing.assert_allclose(no_dose.dose_per_image, 12.5)
    assert no_dose.normalisation == "mean"


@pytest.mark.parametrize("angle", [0.0, 90.0, -90.0, 180.0, 12.0, -2.79])
def test_turn_brings_the_axis_to_y(angle: float) -> None:
    y, x = np.mgrid[:65, :65] - 32.0
    a = np.deg2rad(angle)
    distance = np.cos(a) * x + np.sin(a) * y  # from a line of direction (-sin a, cos a)
    line = np.exp(-(distance**2) / 8) * np.exp(-(x**2 + y**2) / 200)
    turned, _ = turn(line[None].astype(np.float32), angle)
    wanted = np.exp(-(x**2) / 8) * np.exp(-(x**2 + y**2) / 200)
    np.testing.assert_allclose(turned[0], wanted, atol=0.01)


@pytest.mark.parametrize("suffix", [".mrc", ".tif", ".h5", ".ome.zarr"])
def test_volume_round_trip(tmp_path: Path, suffix: str) -> None:
    data = np.random.default_rng(2).normal(size=(4, 5, 6)).astype(np.float32)
    volume = Volume(data=data, voxel_size_angstrom=0.52, unit="V", origin=(1.0, 2.0, 3.0))
    for _ in range(2):  # the second time over the first
        path = save_volume(volume, tmp_path / f"v{suffix}", {"seed": 7, "device": "cpu"})
    back = load_volume(path)
    np.testing.assert_array_equal(back.data, data)
    assert back.voxel_size_angstrom == pytest.approx(0.52, rel=1e-6)
    assert back.origin == pytest.approx((1.0, 2.0, 3.0)) and back.unit == "V"
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([f"v{suffix}", "v.json"])


def test_bad_mrc(tmp_path: Path) -> None:
    good = _stack(tmp_path / "a.mrc")
    before = hashlib.sha256(good.read_bytes()).digest()
    assert load_series(good, energy_ev=3e5).images.shape == (3, 1, 6, 5)
    assert hashlib.sha256(good.read_bytes()).digest() == before
    block = bytearray(good.read_bytes())
    cut = tmp_path / "cut.mrc"
    cut.write_bytes(block[:-10])
    huge = tmp_path / "huge.mrc"
    huge.write_bytes(np.array([2**19, 2**19, 900000], "<i4").tobytes() + block[12:])
    wrong = tmp_path / "wrong.mrc"
    wrong.write_bytes(b"\xff" * 2000)
    for path, word in ((cut, "truncated"), (huge, "truncated"), (wrong, "not an MRC")):
        with pytest.raises(DataError) as caught:
            load_series(path, **KNOWN)
        _one_line(caught.value, path.name, word)
    with pytest.raises(DataError) as caught:
        load_series(_stack(tmp_path / "b.mrc", tlt="1\n2\n"), energy_ev=3e5)
    _one_line(caught.value, "2 angles for 3 images")
    with pytest.raises(DataError) as caught:
        load_series(_stack(tmp_path / "z.mrc", pixel=0.0), energy_ev=3e5)
    _one_line(caught.value, "pixel_size", "--pixel-size")
    with pytest.raises(DataError) as caught:
        load_series(good)
    _one_line(caught.value, "energy", "energy_ev=", "--energy")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"tilt_angles": np.zeros(2)}, ("2 angles", "tilt_angles")),
        ({"pixel_size": 0.0}, ("pixel_size", "positive")),
        ({"tilt_series": np.full((3, 2, 4, 4), np.nan)}, ("NaN", "image 0")),
        ({"tilt_series": np.full((3, 2, 4, 4), -1), "counts": True}, ("negative counts",)),
        ({"energy": None}, ("energy", "--energy")),
        ({"tilt_series": None}, ("tilt_series",)),
        ({"defocus_values": np.zeros(5)}, ("defocus_values",)),
        ({"tilt_series": np.ones((3, 2, 4, 4), complex)}, ("complex",)),
    ],
)
def test_bad_h5(tmp_path: Path, changes: dict[str, object], words: tuple[str, ...]) -> None:
    with pytest.raises(DataError) as caught:
        load_series(_five_keys(tmp_path / "bad.h5", **changes))
    _one_line(caught.value, "bad.h5", *words)


def test_unsafe_h5(tmp_path: Path) -> None:
    empty = _five_keys(tmp_path / "bomb.h5", tilt_series=None)
    with h5py.File(empty, "a") as file:
        shape, chunks = (1000, 100, 10000, 10000), (1, 1, 100, 100)
        file.create_dataset("tilt_series", shape=shape, dtype="f4", chunks=chunks, compression="gzip")
    linked = _five_keys(tmp_path / "link.h5", tilt_series=None)
    with h5py.File(linked, "a") as file:
        file["tilt_series"] = h5py.ExternalLink("other.h5", "x")
    cut = _five_keys(tmp_path / "cut.h5")
    cut.write_bytes(cut.read_bytes()[:3000])
    for path in (empty, linked, cut):
        with pytest.raises(DataError) as caught:
            load_series(path)
        _one_line(caught.value, path.name)


def test_pickled_numpy_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "p.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match="pickled"):
        load_series(tmp_path / "p.npy", **KNOWN)


def test_toml_names_files_and_sections(tmp_path: Path) -> None:
    _stack(tmp_path / "a.mrc")
    entries = "".join(
        f'[[image]]\nfile = "a.mrc"\nsection = {k}\ntilt_deg = {k}\ndefocus_angstrom = 900\n' for k in (2, 0)
    )
    (tmp_path / "series.toml").write_text(f"energy_ev = 300e3\n{entries}")
    series = load_series(tmp_path / "series.toml", normalise="given")
    np.testing.assert_array_equal(series.tilt_deg, [2.0, 0.0])
    raw = mrcfile.read(tmp_path / "a.mrc")
    np.testing.assert_array_equal(series.images[:, 0], raw[[2, 0]])
    assert series.pixel_size_angstrom == 2.0 and series.defocus_angstrom[0, 0] == 900.0


def test_stacks_per_defocus_and_interleaved(tmp_path: Path) -> None:
    paths = [_stack(tmp_path / f"d{k}.mrc") for k in range(2)]
    joined = load_series(paths, energy_ev=3e5, defocus_angstrom=[900.0, 1700.0])
    assert joined.images.shape == (3, 2, 6, 5)
    one = load_series(_stack(tmp_path / "i.mrc", 6, tlt=None), energy_ev=3e5, n_focus=2, tilt_deg=[0, 1, 2])
    assert one.images.shape == (3, 2, 6, 5)


def test_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "v.mrc"
    target.write_text("old")

    def full(_: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(atomic, "_sync_tree", full)
    with pytest.raises(OutputError) as caught:
        save_volume(Volume(data=np.ones((2, 2, 2), np.float32), voxel_size_angstrom=1.0), target, {"seed": 0})
    _one_line(caught.value, "No space left", "v.mrc")
    assert target.read_text() == "old" and os.listdir(tmp_path) == ["v.mrc"]
    with pytest.raises(OutputError):
        atomic.check_output(tmp_path / "nowhere" / "v.mrc")


def test_killed_writer_leaves_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "v.h5"
    target.write_text("old")
    code = (
        "import sys, time\nfrom napari_phaset3m.io.atomic import atomic_path\n"
        "with atomic_path(sys.argv[1]) as p:\n"
        " p.write_text('half'); print('go', flush=True); time.sleep(60)\n"
    )
    worker = subprocess.Popen([sys.executable, "-c", code, str(target)], stdout=subprocess.PIPE)
    try:
        assert worker.stdout is not None and worker.stdout.readline() == b"go\n"
        worker.send_signal(signal.SIGKILL)
    finally:
        worker.wait(10)
        worker.stdout.close()
    time.sleep(0.01)
    assert target.read_text() == "old"


def test_atomic_path_removes_its_temporary_on_any_error(tmp_path: Path) -> None:
    with pytest.raises(KeyError), atomic_path(tmp_path / "x") as temporary:
        temporary.mkdir()
        raise KeyError
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize("name", ["v.h5", "v.ome.zarr", "frames"])
def test_a_folder_with_other_files_is_never_replaced(tmp_path: Path, name: str) -> None:
    """It was set aside and removed with all that was in it, for a file as for a folder of that name."""
    target = tmp_path / name
    (target / "raw").mkdir(parents=True)
    with pytest.raises(OutputError, match="is a folder, "):
        atomic.check_output(target)
    with pytest.raises(OutputError, match="is a folder, "), atomic_path(target) as temporary:
        temporary.mkdir() if name != "v.h5" else temporary.write_text("new")
    assert os.listdir(tmp_path) == [name] and os.listdir(target) == ["raw"]
    (target / "raw").rmdir()
    if name == "v.h5":
        with pytest.raises(OutputError, match="is a folder, not a file"):
            atomic.check_output(target)
        return
    for content in ("film.json", "frame_0001.png"):
        with atomic_path(target) as temporary:
            temporary.mkdir()
            (temporary / "film.json").write_text(content)
        assert (target / "film.json").read_text() == content, "an empty one, or one that we wrote, is"


def test_a_file_name_that_is_no_text_is_told(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"a\.toml: cannot be written \(a file name is not UTF-8: ….*s\?"):
        atomic.write_text(tmp_path / "a.toml", 'file = "/data/s\udcff.mrc"')
    assert not os.listdir(tmp_path)


def test_what_is_no_file_is_told_so(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mrc")
    with pytest.raises(DataError, match=r"pipe\.mrc: is neither file nor folder"):
        load_series(tmp_path / "pipe.mrc")


def test_checkpoint(tmp_path: Path) -> None:
    state = {
        "v": np.arange(5.0),
        "n": 3,
        "s": "é",
        "rng": {"state": 2**100, "none": None},
        "e": [1.5, np.ones(2)],
    }
    path = tmp_path / "c.h5"
    save_checkpoint(path, state, "sig")
    back = load_checkpoint(path, "sig")
    np.testing.assert_array_equal(back["v"], state["v"])
    np.testing.assert_array_equal(back["e"][1], np.ones(2))
    assert back["rng"] == state["rng"] and back["s"] == "é"
    with pytest.raises(DataError, match="another series"):
        load_checkpoint(path, "other")
    path.write_bytes(path.read_bytes()[:-700])
    with pytest.raises(DataError):
        load_checkpoint(path)


def test_napari_hooks(tmp_path: Path) -> None:
    stack = _stack(tmp_path / "a.mrc")
    reader = napari_hooks.get_reader(str(stack))
    assert reader is not None and napari_hooks.get_reader("a.png") is None
    data, options, kind = reader(str(stack))[0]
    assert kind == "image" and data.shape == (3, 1, 6, 5)
    assert options["scale"] == (1.0, 2.0, 2.0, 2.0) and options["units"][1:] == ("angstrom",) * 3
    cube = np.random.default_rng(0).normal(size=(4, 5, 6)).astype(np.float32)
    attributes = {"name": "v", "scale": (0.1,) * 3, "units": ("nanometer",) * 3, "translate": (0.0,) * 3}
    (out,) = napari_hooks.write_image(str(tmp_path / "out.mrc"), cube, attributes)
    shown, options, _ = napari_hooks.read_layers(out)[0]
    np.testing.assert_array_equal(shown, cube)
    assert options["scale"] == pytest.approx((1.0,) * 3)


REAL = Path(__file__).parents[3] / "shared" / "data"


@pytest.mark.skipif(not REAL.is_dir(), reason="../shared/data is absent")
@pytest.mark.parametrize(
    ("name", "overrides", "shape", "pixel", "axis"),
    [
        ("co3o4/co3o4_dev.h5", {}, (27, 3, 96, 96), 0.52, 0),
        ("co3o4/co3o4_perturbed_dev_dose200.h5", {}, (27, 3, 96, 96), 0.52, 0),
        ("real/haadf_needle/HAADF.mrc", {"dark_field": True}, (77, 1, 256, 256), 33.6, 90),
        ("real/lamella_L4/L4_ts_03_sort_bin8_1img.mrc", {}, (1, 1, 720, 512), 13.12, 0),
        ("real/serialem/SerialEM_MultiTilt_Test/test_000.mrc", {}, (2, 1, 1024, 1024), 7.88, -90),
        ("real/liquid_N6/N6_liquid_sample_stack.mat", {"energy_ev": 3e5, "dark_field": True},
         (116, 1, 256, 256), 2.6, 0),
        ("real/bf_tilt_vesicles/extract.gif",
         {"energy_ev": 2e5, "pixel_size_angstrom": 72.5, "tilt_deg": np.arange(-60, 61, 2.0)},
         (61, 1, 100, 100), 72.5, 0),
    ],
)  # fmt: skip
def test_shared_data_opens(
    name: str, overrides: dict[str, object], shape: tuple[int, ...], pixel: float, axis: float
) -> None:
    series = load_series(REAL / name, **overrides)
    assert series.images.shape == shape
    assert series.pixel_size_angstrom == pytest.approx(pixel)
    assert series.tilt_axis_angle_deg == axis


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ({"dose_per_image": 0.0}, ("dose_per_image", "is 0 for tilt 0, focus 0")),
        ({"dose_per_image": [[5.0, 5.0], [5.0, -1.0], [5.0, 5.0]]}, ("dose_per_image", "tilt 1, focus 1")),
        ({"dose_per_image": 1e4, "counts": True}, ("dose_per_image", "scaled already")),
        ({"dose_per_image": 1e-3, "counts": True}, ("dose_per_image", "Correct the dose")),
        ({"defocus_angstrom": 500.0}, ("defocus_angstrom: 1 value", "1 value for 2 foci")),
        ({"defocus_angstrom": [500.0]}, ("defocus_angstrom: ", "--defocus 500,900")),
    ],
)
def test_dose_and_defocus_that_cannot_be_meant(
    tmp_path: Path, overrides: dict[str, object], words: tuple[str, ...]
) -> None:
    images = np.random.default_rng(0).uniform(0.8, 1.2, (3, 2, 8, 8)).astype(np.float32)
    path = _five_keys(tmp_path / "s.h5", tilt_series=images, defocus_values=np.array([500.0, 900.0]))
    load_series(path)
    with pytest.raises(DataError) as caught:
        load_series(path, **overrides)  # type: ignore[arg-type]
    _one_line(caught.value, "s.h5", *words)


def test_an_image_that_is_not_used_needs_no_dose(tmp_path: Path) -> None:
    used = np.array([[True, False], [True, True], [True, True]])
    path = _five_keys(tmp_path / "s.h5", tilt_series=np.ones((3, 2, 8, 8), np.float32))
    series = load_series(path, used=used, dose_per_image=np.where(used, 5.0, 0.0))
    assert series.dose_per_image is not None and series.dose_per_image[0, 1] == 0
