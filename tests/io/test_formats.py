"""What docs/formats.md promises: its series.toml runs, every format opens, and nothing read is changed."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import h5py
import mrcfile
import numpy as np
import pytest
import tifffile

from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.errors import DataError, OutputError
from napari_phaset3m.io.mrc import read_mrc
from napari_phaset3m.io.series import load_series, save_series
from napari_phaset3m.io.tiff import angles_from_names

DOC = Path(__file__).parents[2] / "docs" / "formats.md"
RNG = np.random.default_rng(11)
IMAGES = RNG.integers(40, 90, (3, 6, 8)).astype(np.int16)
#: The same as TIFF and GIF store it, top row first.
TOP_DOWN = np.ascontiguousarray(IMAGES[:, ::-1])


def _mrc(path: Path, data: np.ndarray = IMAGES, pixel: float = 2.0) -> Path:
    with mrcfile.new(path) as mrc:
        mrc.set_data(data)
        mrc.voxel_size = pixel
    return path


def _digest(path: Path) -> str:
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    return hashlib.sha256(b"".join(p.name.encode() + p.read_bytes() for p in files)).hexdigest()


def _series(**changes: object) -> TiltFocalSeries:
    fields: dict[str, object] = {
        "images": RNG.uniform(5, 9, (3, 2, 6, 8)).astype(np.float32),
        "tilt_deg": [-10.25, 0.1, 10.0],
        "pixel_size_angstrom": 0.52,
        "energy_ev": 3e5,
        "defocus_angstrom": RNG.normal(900, 50, (3, 2)),
        "spherical_aberration_angstrom": 2.7e7,
        "chromatic_aberration_angstrom": 2.6e7,
        "energy_spread_ev": 0.7,
        "aberrations": {"C12": 80.0, "phi12": 1 / 3},
        "dose_per_image": RNG.uniform(1, 9, (3, 2)),
        "shifts_px": RNG.normal(size=(3, 2, 2)),
        "used": [[True, False], [True, True], [False, True]],
        "tilt_axis_angle_deg": 12.5,
        "normalisation": "counts",
        **changes,
    }
    return TiltFocalSeries(**fields)  # type: ignore[arg-type]


def test_the_documented_series_toml_runs(tmp_path: Path) -> None:
    text = re.search(r"```toml\n(.*?)```", DOC.read_text(encoding="utf-8"), re.DOTALL)
    assert text is not None
    (tmp_path / "series.toml").write_text(text.group(1), encoding="utf-8")
    tifffile.imwrite(tmp_path / "under.tif", TOP_DOWN[:2], photometric="minisblack")
    _mrc(tmp_path / "more.mrc")
    series = load_series(tmp_path / "series.toml", normalise="given")
    wanted = np.array([[IMAGES[0], IMAGES[2]], [IMAGES[1], IMAGES[0]]], np.float32)
    np.testing.assert_array_equal(series.images, np.rot90(wanted, 1, axes=(2, 3)))
    np.testing.assert_array_equal(series.tilt_deg, [-10.0, 0.0])
    np.testing.assert_array_equal(series.defocus_angstrom, [[900.0, 1700.0]] * 2)
    np.testing.assert_array_equal(series.used, [[True, False], [True, True]])
    np.testing.assert_allclose(series.shifts_px[0, 0], [1.0, 0.5], atol=1e-12)
    assert dict(series.aberrations) == {"C12": 80.0, "phi12": pytest.approx(0.52 - np.pi / 2)}
    assert (series.pixel_size_angstrom, series.spherical_aberration_angstrom) == (0.52, 2.7e7)


@pytest.mark.parametrize("tilts", [[-10.25, 0.1, 10.0], [0.0, 5.0, 0.0]])
def test_series_toml_round_trip(tmp_path: Path, tilts: list[float]) -> None:
    series = _series(tilt_deg=tilts)
    for _ in range(2):  # the second time over the first
        assert save_series(series, tmp_path / "ä b.toml") == tmp_path / "ä b.toml"
    back = load_series(tmp_path / "ä b.toml")
    for name in ("images", "tilt_deg", "defocus_angstrom", "dose_per_image", "shifts_px", "used"):
        np.testing.assert_array_equal(getattr(back, name), getattr(series, name), err_msg=name)
    for name in ("pixel_size_angstrom", "energy_ev", "spherical_aberration_angstrom", "energy_spread_ev",
                 "chromatic_aberration_angstrom", "focal_spread_angstrom", "tilt_axis_angle_deg",
                 "normalisation"):  # fmt: skip
        assert getattr(back, name) == getattr(series, name), name
    assert dict(back.aberrations) == dict(series.aberrations)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["ä b.toml", "ä b_images.mrc"]


def test_series_toml_spares_a_stack_of_somebody_else(tmp_path: Path) -> None:
    foreign = _mrc(tmp_path / "x_images.mrc")
    before = _digest(foreign)
    with pytest.raises(OutputError, match=r"x_images\.mrc: is there already"):
        save_series(_series(), tmp_path / "x.toml")
    assert _digest(foreign) == before and not (tmp_path / "x.toml").exists()
    with pytest.raises(OutputError, match="unknown suffix"):
        save_series(_series(), tmp_path / "x.mrc")


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ('rotated_deg = "much"', "rotated_deg"),
        ("colour = 1", "colour"),
        ("[aberrations]\nC12 = 'big'", "aberrations/C12"),
        ("[[image]]\nfile = 'a.mrc'\ntilt_deg = 3\nused = 'no'", "true or false"),
        ("[[image]]\nfile = 'a.mrc'\ntilt_deg = 3\nsection = 9", "section 9"),
        ("[[image]]\nfile = 'b.mrc'\ntilt_deg = 3", "b.mrc"),
        ("[[image]]\nfile = 'a.mrc'\ntilt_deg = 3\nshift_px = [1, 'x']", "shift_px"),
        ("[[image]]\nfile = 'a.mrc'\ntilt_deg = 3\nshift_px = [1]", "shift_px: must be two numbers"),
        ("[[image]]\nfile = 'a.mrc'\ntilt_deg = 3\nshift_px = [2e9, 0]", "is 2000000000, 0 px (y, x)"),
        (
            "[[image]]\nfile = 'a.mrc'\ntilt_deg = 3\n[[image]]\nfile = 'a.mrc'\ntilt_deg = 5",
            "image 2: is section 0 of a.mrc, as image 1 is, and would count twice",
        ),
    ],
)
def test_bad_series_toml(tmp_path: Path, line: str, word: str) -> None:
    _mrc(tmp_path / "a.mrc")
    image = "" if "[[image]]" in line else "\n[[image]]\nfile = 'a.mrc'\ntilt_deg = 0\n"
    (tmp_path / "s.toml").write_text(f"energy_ev = 3e5\n{line}{image}")
    with pytest.raises(DataError) as caught:
        load_series(tmp_path / "s.toml", pixel_size_angstrom=1.0)
    assert word in str(caught.value) and "\n" not in str(caught.value)


def _make(kind: str, folder: Path) -> Path:
    """The same three images in every format that opens."""
    path = folder / f"s.{kind}"
    if kind == "h5":
        with h5py.File(path, "w") as file:
            file["tilt_series"] = IMAGES[:, None]
    elif kind in ("mrc", "st", "ali"):
        plain = _mrc(folder / "plain.mrc")
        plain.rename(path)
    elif kind in ("tif", "gif"):
        if kind == "tif":
            tifffile.imwrite(path, TOP_DOWN, photometric="minisblack")
        else:
            from PIL import Image

            frames = [Image.fromarray(image.astype(np.uint8)) for image in TOP_DOWN]
            frames[0].save(path, save_all=True, append_images=frames[1:])
    elif kind == "npy":
        np.save(path, IMAGES)
    elif kind == "mat":
        from scipy.io import savemat

        savemat(path, {"stack": np.moveaxis(IMAGES, 0, -1)}, do_compression=True)
    elif kind == "folder":
        path.mkdir()
        for angle, image in zip((-10.0, 0.0, 10.0), TOP_DOWN, strict=True):
            tifffile.imwrite(path / f"img_{angle:+05.1f}.tif", image)
    elif kind == "toml":
        _mrc(folder / "a.mrc")
        entries = (f'[[image]]\nfile = "a.mrc"\nsection = {k}\ntilt_deg = {10 * k - 10}\n' for k in range(3))
        path.write_text("".join(entries))
    return path


@pytest.mark.parametrize("kind", ["h5", "mrc", "st", "ali", "tif", "gif", "npy", "mat", "folder", "toml"])
def test_every_format_opens_and_stays_as_it_is(tmp_path: Path, kind: str) -> None:
    path = _make(kind, tmp_path)
    before = _digest(tmp_path)
    given = {} if kind in ("folder", "toml") else {"tilt_deg": [-10.0, 0.0, 10.0]}
    series = load_series(path, energy_ev=3e5, pixel_size_angstrom=2.0, normalise="given", **given)
    np.testing.assert_array_equal(series.images[:, 0], IMAGES)
    np.testing.assert_array_equal(series.tilt_deg, [-10.0, 0.0, 10.0])
    assert _digest(tmp_path) == before
    scaled = load_series(path, energy_ev=3e5, pixel_size_angstrom=2.0, dark_field=True, **given)
    assert scaled.images.max() > scaled.images.min()
    assert _digest(tmp_path) == before


@pytest.mark.parametrize(
    ("names", "angles"),
    [
        (["a_-10.5", "a_+00.0", "a_10.5"], [-10.5, 0.0, 10.5]),
        (["tilt30_001", "tilt-30_002"], [30.0, -30.0]),
        (["s_01_12deg", "s_02_-3.5deg"], [12.0, -3.5]),
        (["img-001", "img-002", "img-003"], None),
        (["img_001", "img_002"], None),
        (["a", "b"], None),
        (["p_m10.0", "p_p0.0", "p_p10.0"], [-10.0, 0.0, 10.0]),  # was 10 twice
        (["m2_-10.0", "m2_10.0"], [-10.0, 10.0]),
        (["tilt_m10", "tilt_0", "tilt_p10"], [-10.0, 0.0, 10.0]),
        (["m10.0", "m20.0"], None),  # minus, or a name
        (["film10.0", "film20.0"], [10.0, 20.0]),
        (["tilt-001", "tilt-002"], None),  # counters: the dash separates
        (["tilt-3", "tilt-1", "tilt-2"], None),
        (["tilt_-60", "tilt_-40", "tilt_-20", "tilt_-5"], [-60.0, -40.0, -20.0, -5.0]),  # one side only
        (["tilt_-03", "tilt_-02"], [-3.0, -2.0]),
        (["tilt-60", "tilt-40", "tilt-20"], [-60.0, -40.0, -20.0]),
        (["deg-10", "deg-20"], [-10.0, -20.0]),
        (["s -10deg", "s -20deg"], [-10.0, -20.0]),
        (["s_-60", "s_-40"], [-60.0, -40.0]),
        (["img-10", "img-20"], None),
    ],
)
def test_angles_in_names(names: list[str], angles: list[float] | None) -> None:
    found = angles_from_names(names)
    if angles is None:
        assert found is None
    else:
        np.testing.assert_array_equal(found, angles)


def test_folder_is_sorted_by_angle_not_by_name(tmp_path: Path) -> None:
    for angle, image in zip((5.0, -20.0, 100.0), TOP_DOWN, strict=True):
        tifffile.imwrite(tmp_path / f"s_{angle:.1f}.tif", image)
    series = load_series(tmp_path, energy_ev=3e5, pixel_size_angstrom=1.5, normalise="given")
    np.testing.assert_array_equal(series.tilt_deg, [-20.0, 5.0, 100.0])
    np.testing.assert_array_equal(series.images[:, 0], IMAGES[[1, 0, 2]])
    counted = tmp_path / "counted"
    counted.mkdir()
    for k, image in enumerate(IMAGES):
        tifffile.imwrite(counted / f"img_{k:03d}.tif", image)
    with pytest.raises(DataError, match="tilt_angles"):
        load_series(counted, energy_ev=3e5, pixel_size_angstrom=1.5)


def test_tiff_stack_takes_the_pixel_from_imagej_and_the_angles_from_tlt(tmp_path: Path) -> None:
    path = tmp_path / "s.tif"
    tifffile.imwrite(path, IMAGES, imagej=True, resolution=(5.0, 5.0), metadata={"unit": "nm", "axes": "ZYX"})
    path.with_suffix(".tlt").write_text("-1\n0\n1\n")
    series = load_series(path, energy_ev=3e5)
    assert series.pixel_size_angstrom == pytest.approx(2.0)
    np.testing.assert_array_equal(series.tilt_deg, [-1.0, 0.0, 1.0])


@pytest.mark.parametrize("mode", [np.int8, np.int16, np.float32, np.uint16, np.float16])
@pytest.mark.parametrize("order", ["<", ">"])
def test_mrc_modes_and_byte_orders(tmp_path: Path, mode: type, order: str) -> None:
    values = (
        np.array([[[-100, 3, 127], [0, -1, 5]]]) if mode != np.uint16 else np.array([[[60000, 3, 1]] * 2])
    )
    plain = tmp_path / "s.mrc"
    _mrc(plain, values.astype(mode))
    if order == ">":
        block = plain.read_bytes()
        words = np.frombuffer(block[:1024], "<i4").astype(">i4").tobytes()
        # Text, stamps and labels are bytes: they stay.
        head = words[:104] + block[104:112] + words[112:208] + block[208:212] + b"\x11\x11\0\0"
        head += words[216:224] + block[224:1024]
        dtype = np.dtype(mode)
        body = np.frombuffer(block[1024:], dtype.newbyteorder("<")).astype(dtype.newbyteorder(">"))
        plain.write_bytes(head + body.tobytes())
    raw = read_mrc(plain)
    np.testing.assert_array_equal(raw.images, values.astype(mode))
    assert raw.fields["pixel_size_angstrom"] == 2.0


def test_mode_0_is_unsigned_where_imod_says_so(tmp_path: Path) -> None:
    path = _mrc(tmp_path / "s.mrc", np.array([[[-1, 1]]], np.int8))
    for flags, first in ((0, 255), (1, -1)):
        block = bytearray(path.read_bytes())
        block[152:160] = np.array([1146047817, flags], "<i4").tobytes()
        path.write_bytes(block)
        assert read_mrc(path).images[0, 0, 0] == first


def test_dose_by_default(tmp_path: Path) -> None:
    path = _mrc(tmp_path / "s.mrc")
    angles = {"energy_ev": 3e5, "tilt_deg": [0.0, 1.0, 2.0]}
    assert load_series(path, **angles).dose_per_image is None
    mean = IMAGES.mean(axis=(1, 2))[:, None] / 4
    for options in ({}, {"normalise": "given"}, {"normalise": "mean"}):
        counted = load_series(path, counts=True, **angles, **options)
        np.testing.assert_allclose(counted.dose_per_image, mean)
        assert any("dose_per_image is not stated" in note for note in counted.metadata["notes"])
    vacuum = load_series(path, counts=True, vacuum_intensity=100.0, **angles)
    np.testing.assert_allclose(vacuum.dose_per_image, 25.0)
    np.testing.assert_allclose(vacuum.images[:, 0], IMAGES / 100, rtol=1e-6)
    given = load_series(path, counts=True, dose_per_image=[10.0, 20.0, 30.0], **angles)
    np.testing.assert_array_equal(given.dose_per_image[:, 0], [10.0, 20.0, 30.0])
    np.testing.assert_allclose(given.images[1, 0], IMAGES[1] / 80, rtol=1e-6)


def test_mdoc_gives_tilt_dose_voltage_and_axis(tmp_path: Path) -> None:
    path = _mrc(tmp_path / "s.mrc")
    sections = "".join(
        f"[ZValue = {k}]\nTiltAngle = {2 * k - 1.5}\nExposureDose = {k + 2}.0\n" for k in range(3)
    )
    (tmp_path / "s.mrc.mdoc").write_text(
        f"PixelSpacing = 3\nVoltage = 200\n[T = Tilt axis angle = 90.0, binning = 1]\n{sections}"
    )
    series = load_series(path, aberrations={"C12": 50.0, "phi12": 0.0})
    np.testing.assert_array_equal(series.tilt_deg, [-1.5, 0.5, 2.5])
    np.testing.assert_array_equal(series.dose_per_image[:, 0], [2.0, 3.0, 4.0])
    assert (series.energy_ev, series.pixel_size_angstrom, series.tilt_axis_angle_deg) == (2e5, 2.0, 90.0)
    assert series.images.shape == (3, 1, 8, 6)
    assert abs(series.aberrations["phi12"]) == pytest.approx(np.pi / 2)
