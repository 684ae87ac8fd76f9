"""SerialEM's mdoc: every file of the shared data, units and signs, order of exposure, and damage."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_phaset3m.errors import DataError
from napari_phaset3m.io.mdoc import read_date, read_mdoc
from napari_phaset3m.io.mdoc_series import mdoc_series

#: file: images, pixel, axis in the title, axis from RotationAngle, binning
FACTS = {
    "metadata/aretomo3/L1_ts_001.mrc.mdoc": (41, 2.663, 94.0, 94.0, 1),
    "metadata/aretomo3/L1_tgt_001.mrc.mdoc": (1, 10.652, 94.0, 94.0, 4),
    "metadata/mdocfile/tilt_series.mdoc": (41, 5.4, 85.3, 85.3, 4),
    "metadata/mdocfile/frame_set_single.mdoc": (1, 1.2827, None, 88.414, 0.5),
    "metadata/mdocfile/frame_set_multiple.mdoc": (20, 1.2827, None, 88.414, 0.5),
    "metadata/mdocfile/montage_section.mdoc": (62, 656.139, -86.7, -86.6508, 1),
    "metadata/mdocfile/montage_section_multiple.mdoc": (90, 76.8, 85.5, 85.5, 2),
    "hiv_mdoc/TS_01.mrc.mdoc": (41, 5.4, 85.3, 85.3, 4),
    "hiv_mdoc/TS_01_tomo_preprocessing.mrc.mdoc": (41, 5.4, 85.3, 85.3, 4),
    "serialem/SerialEM_MultiTilt_Test/test_000.mdoc": (2, 7.88, -90.0, -90.0, 2),
    "lamella_L4/L4_ts_03_sort.mrc.mdoc": (41, 1.64, None, 175.296, 1),
}


def _real(shared_data, name):
    path = shared_data / "real" / name
    if not path.exists():
        pytest.skip(f"{name} is not in the shared data")
    return path


@pytest.mark.parametrize("name", FACTS)
def test_real_files(shared_data, name):
    path = _real(shared_data, name)
    count, pixel, title, rotation, binning = FACTS[name]
    mdoc = read_mdoc(path)
    assert len(mdoc.images) == count
    assert mdoc.pixel_size_angstrom == pixel and mdoc.binning == binning
    assert mdoc.title_axis_deg == title and mdoc.rotation_axis_deg == pytest.approx(rotation, abs=1e-3)
    assert mdoc.is_montage == ("montage" in name)
    text = path.read_text(errors="replace")
    angles = [float(a) for a in re.findall(r"^TiltAngle = (\S+)", text, re.MULTILINE)]
    assert [image.tilt_deg for image in mdoc.images] == angles[-count:]
    if "hiv" not in name and "tilt_series" not in name:
        assert mdoc.energy_ev == 300e3


def test_every_mdoc_of_the_shared_data_was_looked_at(shared_data):
    found = {str(p.relative_to(shared_data / "real")) for p in (shared_data / "real").rglob("*.mdoc")}
    assert found <= set(FACTS)


def test_units_and_signs(shared_data):
    first = read_mdoc(_real(shared_data, "hiv_mdoc/TS_01.mrc.mdoc")).images[0]
    assert first.target_defocus_angstrom == 40000  # TargetDefocus = -4 µm: underfocus
    assert first.lens_defocus_angstrom == pytest.approx(-26808.3)
    assert first.movie == "TS_01_000_0.0.mrc" and first.n_frames == 8
    assert str(first.time) == "2015-11-30 15:21:38"
    lamella = mdoc_series(read_mdoc(_real(shared_data, "lamella_L4/L4_ts_03_sort.mrc.mdoc")))
    assert lamella.defocus_angstrom[0] == pytest.approx(60548.93)  # CtfFind = -6.0549 µm
    assert lamella.dose.tolist() == [3.55] * 41 and lamella.is_dose_stated


def test_order_of_exposure_is_that_of_time_not_of_sections(shared_data):
    """A stack sorted by tilt: SerialEM's running number in the movies' names is the oracle."""
    series = mdoc_series(read_mdoc(_real(shared_data, "lamella_L4/L4_ts_03_sort.mrc.mdoc")))
    numbers = [int(re.search(r"_(\d+)_-?\d+\.\d_Dec", image.movie).group(1)) for image in series.images]
    assert series.exposure_order.tolist() == np.argsort(np.argsort(numbers)).tolist()
    assert series.exposure_order.tolist() != list(range(41))
    np.testing.assert_allclose(series.prior_dose, 3.55 * series.exposure_order)
    hiv = mdoc_series(read_mdoc(_real(shared_data, "hiv_mdoc/TS_01.mrc.mdoc")))
    taken = [int(image.movie.split("_")[2]) for image in hiv.images]
    assert hiv.exposure_order.tolist() == taken
    assert abs(hiv.tilt_deg[hiv.exposure_order == 0][0]) < 0.1


def test_dose_rate_is_an_estimate_and_a_question(shared_data):
    series = mdoc_series(read_mdoc(_real(shared_data, "metadata/aretomo3/L1_ts_001.mrc.mdoc")))
    assert series.dose[0] == pytest.approx(11.2815 * 0.988016 / 2.663**2)
    assert not series.is_dose_stated
    assert any("DoseRate" in question for question in series.questions)


def test_frame_set_of_many_tilts(shared_data):
    series = mdoc_series(read_mdoc(_real(shared_data, "metadata/mdocfile/frame_set_multiple.mdoc")))
    assert [image.frame_range for image in series.images[:3]] == [(0, 12), (22, 34), (44, 56)]
    assert {image.movie for image in series.images} == {"s_mmm_01013_33.0_Oct08_07.46.46.tif"}
    assert series.prior_dose[1] == 7.66184 and series.dose[1] == 7.66184
    assert series.defocus_angstrom[0] == 45000  # of the whole set


MDOC = """PixelSpacing = 2
Voltage = 200
Binning = 2
ImageSize = 64 64
[T = Tilt axis angle = 84.1, binning = 2]
[ZValue = 1]
DateTime = 30-Nov-15  15:22:37
TargetDefocus = -1.5
TiltAngle = 3
Unknown = something = else
[ZValue = 0]
ExposureDose = 0
TiltAngle = 0
DateTime = 30-Nov-15  15:24:37
TargetDefocus = -1
"""


def _series(tmp_path, text, name="x.mdoc"):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return mdoc_series(read_mdoc(path))


def test_any_order_of_keys_and_sections(tmp_path):
    series = _series(tmp_path, MDOC)
    assert series.tilt_deg.tolist() == [0, 3]  # by section
    assert series.defocus_angstrom.tolist() == [10000, 15000]
    assert series.exposure_order.tolist() == [1, 0]  # by time
    assert series.dose is None and series.prior_dose is None
    assert series.tilt_axis_angle_deg == 84.1 and series.energy_ev == 200e3
    assert series.images[1].values["Unknown"] == "something = else"


def test_dose_rate_counts_per_unbinned_pixel(tmp_path):
    extra = "[ZValue = 2]\nTiltAngle=6\nDoseRate = 8\nExposureTime = 0.5\nBinning = 2\nPixelSpacing = 2\n"
    image = read_mdoc(_write(tmp_path, extra)).images[0]
    assert image.camera_dose(1.0) == 4.0 and image.camera_dose(2.0) == 1.0 and image.camera_dose(None) is None
    series = _series(tmp_path, extra)
    assert series.dose.tolist() == [4.0]  # 2 A at binning 2: detector pixels of 1 A


def _write(tmp_path, text):
    (tmp_path / "w.mdoc").write_text(text)
    return tmp_path / "w.mdoc"


def test_frame_doses_stand_in_for_exposure_dose(tmp_path):
    text = "[ZValue = 0]\nTiltAngle=0\nExposureDose = 0\nFrameDosesAndNumber = 0.5 10 0.25 4\n"
    assert _series(tmp_path, text).dose.tolist() == [6.0]


def test_stated_prior_dose_wins_and_gives_the_order(tmp_path):
    text = "".join(
        f"[ZValue = {z}]\nTiltAngle = {z}\nExposureDose = 2\nPriorRecordDose = {p}\n"
        for z, p in enumerate((6.5, 0, 3))
    )
    series = _series(tmp_path, text)
    assert series.prior_dose.tolist() == [6.5, 0, 3] and series.exposure_order.tolist() == [2, 0, 1]


def test_order_without_any_clue_is_a_question(tmp_path):
    series = _series(tmp_path, "[ZValue = 0]\nTiltAngle = -3\n[ZValue = 1]\nTiltAngle = 3\n")
    assert series.exposure_order.tolist() == [0, 1]
    assert any("order of exposure" in question for question in series.questions)


def test_axis_from_rotation_angle_is_a_question(tmp_path):
    series = _series(tmp_path, "[ZValue = 0]\nTiltAngle = 1\nRotationAngle = 175.3\n")
    assert series.tilt_axis_angle_deg == pytest.approx(85.3) and not series.is_axis_stated
    assert any("RotationAngle - 90" in question for question in series.questions)
    both = "[T = Tilt axis angle = 85.3]\n[ZValue = 0]\nTiltAngle = 1\nRotationAngle = 90\n"
    series = _series(tmp_path, both)
    assert series.tilt_axis_angle_deg == 85.3 and any(
        "85.3 degrees in the title" in q for q in series.questions
    )


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("30-Nov-15  15:21:38", "2015-11-30 15:21:38"),
        ("11-Aug-2023  17:44:56", "2023-08-11 17:44:56"),
        ("2024-Mar-01 01:02:03", "2024-03-01 01:02:03"),
        ("05-Dez-22  09:00:00", "2022-12-05 09:00:00"),
        ("2022-05-06 09:00:00", "2022-05-06 09:00:00"),
        ("31-Foo-15  15:21:38", None),
        ("99-Nov-15  15:21:38", None),
        ("", None),
    ],
)
def test_dates(text, wanted):
    found = read_date(text)
    assert (None if found is None else str(found)) == wanted


def _use(path):
    """Everything a reader of an mdoc may ask."""
    mdoc = read_mdoc(path)
    series = mdoc_series(mdoc)
    for image in mdoc.sections:
        for name in ("z", "tilt_deg", "target_defocus_angstrom", "measured_defocus_angstrom", "stated_dose"):
            getattr(image, name)
        assert (image.frame_range, image.movie, image.time, image.n_frames, image.prior_dose) is not None
    assert mdoc.is_montage in (True, False) and mdoc.binning != 0
    assert len(series.exposure_order) == len(series.images)
    assert sorted(series.exposure_order.tolist()) == list(range(len(series.images)))
    for values in (series.tilt_deg, series.dose, series.prior_dose, series.defocus_angstrom):
        assert values is None or np.isfinite(values).all()
    for number in (series.pixel_size_angstrom, series.energy_ev, series.tilt_axis_angle_deg):
        assert number is None or np.isfinite(number)
    assert series.pixel_size_angstrom is None or series.pixel_size_angstrom > 0


@settings(max_examples=250, deadline=None)
@given(data=st.data())
def test_fuzzed_mdoc_never_crashes(tmp_path_factory, data):
    """Lines are mixed, bytes changed, the end cut off; only a one-line DataError may come of it."""
    extra = ["[FrameSet = 0]", "FrameTSStartEndFrames = 0 12", "[MontSection = 0]", "T = x"]
    lines = [*MDOC.splitlines(), *extra]
    order = data.draw(st.lists(st.integers(0, len(lines) - 1), max_size=40))
    content = bytearray("\r\n".join(lines[k] for k in order).encode())
    for _ in range(data.draw(st.integers(0, 8))):
        if content:
            content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    junk = data.draw(st.text(max_size=30))
    content += junk.encode("utf-8", "surrogatepass")
    cut = data.draw(st.integers(0, len(content)))
    path = tmp_path_factory.getbasetemp() / "fuzz.mdoc"
    path.write_bytes(bytes(content[:cut]) if data.draw(st.booleans()) else bytes(content))
    try:
        _use(path)
    except DataError as error:
        assert "\n" not in str(error)


_NUMBERS = [
    "TiltAngle", "ExposureDose", "PriorRecordDose", "DateTime", "Binning", "TargetDefocus", "Voltage",
    "PixelSpacing", "DoseRate", "ExposureTime", "RotationAngle", "Defocus", "CtfFind", "FrameDosesAndNumber",
    "NumSubFrames", "FrameTSStartEndFrames",
]  # fmt: skip
_ODD = ["nan", "inf", "-inf", "1e999", "", "-", "0x10", "1e308 2", "99999999999999999999", "½", "\x00"]
#: Tiny, huge, zero and negative: squares of some are 0 or infinite.
_ODD += ["1e-200", "1e-308", "5e-324", "1e200", "1.7e308", "-1e300", "-1e-200", "0", "-0.0", "-1", "9" * 400]


@settings(max_examples=300, deadline=None)
@given(
    odd=st.dictionaries(st.sampled_from(_NUMBERS), st.sampled_from(_ODD), min_size=1, max_size=4),
    axis=st.sampled_from(["84.1", "0", "9" * 400, "-" + "9" * 400]),
    is_general=st.booleans(),
)
def test_odd_values_are_not_taken(tmp_path_factory, odd, axis, is_general):
    path = tmp_path_factory.getbasetemp() / "odd.mdoc"
    lines = "".join(f"{key} = {value}\n" for key, value in odd.items())
    camera = MDOC.replace("TiltAngle", "DoseRate = 8\nExposureTime = 0.5\nTiltAngle").replace("84.1", axis)
    path.write_text(lines + camera if is_general else camera + lines)
    _use(path)


@pytest.mark.parametrize("key", ["PixelSpacing", "Binning"])
@pytest.mark.parametrize("value", ["1e-200", "1e200", "0", "-2", "9" * 400])
def test_a_pixel_that_no_image_has_gives_no_dose(tmp_path, key, value):
    """The square of 1e-200 Å is 0: the dose was divided by it."""
    camera = "[ZValue = 0]\nTiltAngle = 0\nDoseRate = 8\nExposureTime = 0.5\n"
    good = {"PixelSpacing": "2", "Binning": "2"}
    head = "".join(f"{name} = {number}\n" for name, number in {**good, key: value}.items())
    series = _series(tmp_path, head + camera)
    assert series.dose is None
    assert series.pixel_size_angstrom == (None if key == "PixelSpacing" else 2.0)
    assert _series(tmp_path, "PixelSpacing = 2\nBinning = 2\n" + camera).dose.tolist() == [4.0]
