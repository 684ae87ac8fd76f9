"""DM3, Velox EMD, TIA SER and HyperSpy: what is taken, which way rows run, and unsafe files."""

from __future__ import annotations

import json
import struct
import sys

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_phaset3m.errors import DataError
from napari_phaset3m.io.series import load_series, read_raw
from napari_phaset3m.io.vendor import read_vendor

pytest.importorskip("rsciio")
RNG = np.random.default_rng(8)


def _real(shared_data, name):
    path = shared_data / "real" / name
    if not path.exists():
        pytest.skip(f"{name} is not in the shared data")
    return path


def _dm3_pixels(path, shape, dtype, offset):
    """The stored values at the place that the file's own tag gives, without any reader."""
    return np.fromfile(path, dtype, int(np.prod(shape)), offset=offset).reshape(shape)


def test_dm3_image(shared_data):
    path = _real(shared_data, "hrtem_focal_dm3/img01.dm3")
    raw = read_raw(path)
    assert raw.fields["pixel_size_angstrom"] == 0.2842 and raw.fields["energy_ev"] == 300e3
    assert raw.fields["spherical_aberration_angstrom"] == 6e6  # 0.6 mm
    assert raw.metadata["times"] == ["2002-04-16T21:01:12"] and raw.metadata["exposure_s"] == 2.0
    stored = _dm3_pixels(path, (1024, 1024), "<i2", 594929)
    assert (np.asarray(raw.images) == stored[::-1]).all()  # DM has the top row first


def test_dm3_series(shared_data):
    path = _real(shared_data, "haadf_needle/HAADF.dm3")
    raw = read_raw(path)
    assert raw.images.shape == (91, 64, 64)
    assert raw.fields["pixel_size_angstrom"] == pytest.approx(179.949)
    assert raw.fields["tilt_deg"].tolist() == list(range(-90, 91, 2))
    assert (np.asarray(raw.images) == _dm3_pixels(path, (91, 64, 64), "<u2", 70817)[:, ::-1]).all()
    series = load_series(path, dark_field=True)
    assert series.n_tilt == 91 and series.energy_ev == 300e3


def test_hspy(shared_data):
    path = _real(shared_data, "haadf_needle/HAADF_Aligned.hspy")
    raw = read_raw(path)
    assert raw.images.shape == (77, 256, 256) and raw.fields["pixel_size_angstrom"] == 33.6
    assert raw.fields["tilt_deg"].tolist() == list(range(-76, 77, 2))
    with h5py.File(path) as file:
        assert (np.asarray(raw.images) == file["Experiments/__unnamed__/data"][()]).all()  # rows as they are


def _velox(path, images, *, tilt_rad=0.1, defocus_m=-5e-7):
    metadata = {
        "Core": {"MetadataDefinitionVersion": "7.9"},
        "Optics": {"AccelerationVoltage": "200000", "Defocus": str(defocus_m)},
        "Stage": {"AlphaTilt": str(tilt_rad), "Position": {"x": "0", "y": "0", "z": "0"}},
        "BinaryResult": {"PixelSize": {"width": "5e-11", "height": "5e-11"}, "PixelUnitX": "m",
                         "PixelUnitY": "m", "Detector": "BM-Ceta", "DetectorIndex": "0"},
        "Acquisition": {"AcquisitionStartDatetime": {"DateTime": "1700000000"}},
        "Detectors": {"Detector-0": {"DetectorName": "BM-Ceta", "DetectorType": "ImagingDetector"}},
        "Instrument": {"ControlSoftwareVersion": "1", "Manufacturer": "FEI", "InstrumentModel": "x"},
        "Sample": {},
    }  # fmt: skip
    text = np.frombuffer(json.dumps(metadata).encode(), np.uint8)
    with h5py.File(path, "w") as file:
        file.attrs["name"] = "x"
        file["Version"] = np.array(
            [json.dumps({"format": "Velox", "version": "1.9"})], dtype=h5py.string_dtype()
        )
        group = file.create_group("Data/Image/0123456789abcdef0123456789abcdef")
        group.create_dataset("Data", data=np.moveaxis(images, 0, -1), chunks=(*images.shape[1:], 1))
        table = np.zeros((text.size + 10, len(images)), np.uint8)
        table[: text.size] = text[:, None]
        group["Metadata"] = table


def test_velox_emd(tmp_path):
    images = RNG.integers(0, 1000, (1, 12, 16)).astype(np.uint16)
    _velox(tmp_path / "v.emd", images)
    raw = read_raw(tmp_path / "v.emd")
    assert (np.asarray(raw.images).reshape(12, 16) == images[0, ::-1]).all()
    assert raw.fields["pixel_size_angstrom"] == pytest.approx(0.5) and raw.fields["energy_ev"] == 200e3
    assert raw.fields["tilt_deg"][0] == pytest.approx(np.rad2deg(0.1), abs=1e-3)
    assert raw.metadata["lens_defocus_angstrom"] == [pytest.approx(5000)]  # -500 nm: underfocus


def _ser(path, images, pixel_m=2e-10):
    """TIA's SER, series of 2D images (Boothroyd, "The TIA file format")."""
    n, (ny, nx) = len(images), images[0].shape
    head = struct.pack("<HHHIIIIII", 0x4949, 0x0197, 0x0210, 0x4122, 0x4152, n, n, 0, 1)
    dimension = struct.pack("<Iddi", n, 0.0, 1.0, 0) + struct.pack("<I", 6) + b"Number" + struct.pack("<I", 0)
    table_at = len(head) + len(dimension)
    head = head[:-8] + struct.pack("<II", table_at, 1)
    data, places = b"", []
    start = table_at + 8 * n
    for image in images:
        places.append(start + len(data))
        data += 2 * struct.pack("<ddI", 0.0, pixel_m, 0)
        data += struct.pack("<HII", 2, nx, ny) + image.astype("<u2").tobytes()
    tags = [start + len(data) + 12 * k for k in range(n)]
    data += b"".join(struct.pack("<HxxII", 0x4152, 1700000000 + k, 0)[:12] for k in range(n))
    path.write_bytes(head + dimension + struct.pack(f"<{2 * n}I", *places, *tags) + data)


def test_ser_series(tmp_path):
    images = RNG.integers(0, 1000, (3, 10, 14)).astype(np.uint16)
    _ser(tmp_path / "t_1.ser", images)
    raw = read_raw(tmp_path / "t_1.ser")
    assert (np.asarray(raw.images) == images).all()  # TIA draws row 0 at the bottom
    assert raw.fields["pixel_size_angstrom"] == pytest.approx(2.0)


def test_missing_library_says_what_to_install(shared_data, monkeypatch):
    path = _real(shared_data, "hrtem_focal_dm3/img01.dm3")
    monkeypatch.setitem(sys.modules, "rsciio", None)
    with pytest.raises(DataError, match=r"pip install .napari-phaset3m\[em-io\]"):
        read_vendor(path)


def test_unsafe_hdf5_is_refused(tmp_path):
    for name, make in (
        ("l.emd", _external_link),
        ("b.emd", _bomb),
        ("l.hspy", _external_link),
        ("o.hspy", _objects),
    ):
        with h5py.File(tmp_path / name, "w") as file:
            make(file)
        with pytest.raises(DataError):
            read_raw(tmp_path / name)


def _external_link(file):
    file["Experiments/x/data"] = h5py.ExternalLink("/etc/passwd", "/data")
    file["Data/Image/x/Data"] = h5py.ExternalLink("/etc/passwd", "/data")


def _bomb(file):
    file["Version"] = np.array(['{"format": "Velox"}'], dtype=h5py.string_dtype())
    file.create_dataset(
        "Data/Image/x/Data", (1 << 16, 1 << 16, 8), np.uint16, chunks=(4096, 4096, 1), compression="gzip"
    )


def _objects(file):
    file.create_dataset("Experiments/x/data", (3, 3, 3), h5py.vlen_dtype(np.uint8))


@settings(max_examples=12, deadline=None)
@given(where=st.integers(0, 60_000), byte=st.integers(0, 255), cut=st.integers(0, 2))
def test_damaged_vendor_files_give_one_line(tmp_path_factory, shared_data, where, byte, cut):
    path = _real(shared_data, "haadf_needle/HAADF.dm3")
    data = bytearray(path.read_bytes())
    data[where] = byte
    damaged = tmp_path_factory.getbasetemp() / "damaged.dm3"
    damaged.write_bytes(bytes(data[: len(data) // cut] if cut else data))
    try:
        read_raw(damaged)
    except DataError as error:
        assert "\n" not in str(error)


def _axes(last, scales=(1.0, 1.0), first="degrees"):
    """Of a stack of images with axes in ``last``."""
    named = [{"units": first, "scale": 10.0, "offset": -20.0}]
    return named + [{"units": unit, "scale": scale} for unit, scale in zip(last, scales, strict=True)]


@pytest.mark.parametrize(
    ("axes", "told"),
    [
        (_axes(("nm", "nm"), (0.3, 0.15)), "is 1.5 Å along x and 3 Å along y, and pixels must be squares"),
        (_axes(("1 / nm", "1 / nm")), "the axes are in 1/nm, as those of diffraction patterns are"),
    ],
)
def test_axes_that_tell_no_pixel_size_ask_for_one(tmp_path, axes, told):
    """The length along x was taken for both; diffraction patterns had only no pixel size."""
    with h5py.File(tmp_path / "a.hspy", "w") as file:
        group = file.create_group("Experiments/x")
        group["data"] = RNG.uniform(1, 2, (5, 8, 8))
        for number, axis in enumerate(axes):
            group.create_group(f"axis-{number}").attrs.update(axis)
    with pytest.raises(DataError, match=rf"a\.hspy: pixel_size: .*{told}.*pixel_size_angstrom"):
        load_series(tmp_path / "a.hspy", energy_ev=3e5)
    series = load_series(tmp_path / "a.hspy", energy_ev=3e5, pixel_size_angstrom=2.0)
    assert series.pixel_size_angstrom == 2.0 and series.tilt_deg.tolist() == [-20, -10, 0, 10, 20]


def test_spectra_are_no_images(tmp_path):
    """A spectrum image of 5 x 8 points was taken for five images of 8 x 100 pixels."""
    from rsciio import emd

    axes = _axes(("nm", "eV"), first="nm")
    data = RNG.uniform(1, 2, (5, 8, 100))
    with h5py.File(tmp_path / "a.hspy", "w") as file:
        group = file.create_group("Experiments/x")
        group["data"] = data
        for number, axis in enumerate(axes):
            group.create_group(f"axis-{number}").attrs.update(axis)
    for number, (axis, size) in enumerate(zip(axes, data.shape, strict=True)):
        axis |= {"name": f"a{number}", "size": size, "navigate": number < 2, "index_in_array": number}
        axis.setdefault("offset", 0.0)
    signal = {"metadata": {"General": {"title": "a"}, "Signal": {}}, "original_metadata": {}}
    emd.file_writer(str(tmp_path / "a.emd"), {"data": data, "axes": axes, **signal})
    known = {"energy_ev": 3e5, "pixel_size_angstrom": 1.0, "tilt_deg": np.arange(5.0)}
    with pytest.raises(DataError, match=r"a\.hspy: data: holds spectra, not images"):
        load_series(tmp_path / "a.hspy", **known)
    with pytest.raises(DataError, match=r"a\.emd: holds no real images \(found \(5, 8, 100\), spectra\)"):
        load_series(tmp_path / "a.emd", **known)


def test_detectors_of_one_scan_are_no_tilts(tmp_path):
    """HAADF, BF and an element map of one field were taken for three tilts."""
    from rsciio import emd

    _velox(tmp_path / "a.emd", RNG.integers(50, 99, (1, 16, 20)).astype(np.uint16))
    with h5py.File(tmp_path / "a.emd", "r+") as file:
        first = file["Data/Image/0123456789abcdef0123456789abcdef"]
        text = bytes(first["Metadata"][:, 0]).rstrip(b"\0")
        for number, name in ((1, b"HAADFxx"), (2, b"BF-S-xx")):
            group = file.create_group(f"Data/Image/{number:032x}")
            group.create_dataset(
                "Data", data=first["Data"][()] + np.uint16(number), chunks=first["Data"].chunks
            )
            renamed = text.replace(b"BM-Ceta", name)
            table = np.zeros((len(renamed) + 10, 1), np.uint8)
            table[: len(renamed), 0] = np.frombuffer(renamed, np.uint8)
            group["Metadata"] = table
    signals = emd.file_reader(str(tmp_path / "a.emd"), lazy=True, select_type="images")
    assert len({signal["metadata"]["General"]["title"] for signal in signals}) == 3
    raw = read_vendor(tmp_path / "a.emd")
    assert raw.images.ndim == 2 or raw.images.shape[0] == 1
    assert any("2 other images in the file are left out" in note and "HAADFxx" in note for note in raw.notes)


def _ncem(path, images):
    """Berkeley's EMD of version 0.2, x first as HyperSpy writes it: a group for each image."""
    with h5py.File(path, "w") as file:
        file.attrs["version_major"], file.attrs["version_minor"] = 0, 2
        for name, image in images.items():
            group = file.create_group(f"data/{name}")
            group.attrs["emd_group_type"] = 1
            group["data"] = image.T
            for number, size in enumerate(image.T.shape, 1):
                axis = group.create_dataset(f"dim{number}", data=np.arange(size) * 0.2)
                axis.attrs["name"], axis.attrs["units"] = "xy"[number - 1], "[n_m]"


@pytest.mark.parametrize(
    ("names", "order", "angles"),
    [
        (["tilt_-10", "tilt_0", "tilt_10"], [0, 1, 2], [-10, 0, 10]),
        (["tilt_-1", "tilt_-10", "tilt_1", "tilt_10"], [1, 0, 2, 3], [-10, -1, 1, 10]),  # names in names
        (["image1", "image10", "image2"], [0, 2, 1], None),
        (["img-001", "img-002"], [0, 1], None),
    ],
)
def test_a_group_for_each_tilt_is_a_series(tmp_path, names, order, angles):
    """All but one image were left out, as if they were of other detectors."""
    images = RNG.uniform(1, 2, (len(names), 8, 12)).astype(np.float32)
    _ncem(tmp_path / "n.emd", dict(zip(names, images, strict=True)))
    raw = read_vendor(tmp_path / "n.emd")
    np.testing.assert_array_equal(raw.images, images[order][:, ::-1])
    assert raw.fields["pixel_size_angstrom"] == 2.0
    found = raw.fields.get("tilt_deg")
    assert (None if found is None else found.tolist()) == angles


def test_groups_whose_names_do_not_tell_a_series_are_refused(tmp_path):
    """The first was taken."""
    images = RNG.uniform(1, 2, (3, 8, 12)).astype(np.float32)
    _ncem(tmp_path / "n.emd", dict(zip(("BF", "HAADF", "tilt_10"), images, strict=True)))
    with pytest.raises(DataError, match=r"n\.emd: holds 3 images of other names \(BF, HAADF, tilt_10\)"):
        read_vendor(tmp_path / "n.emd")
