"""IMOD, AreTomo and CTFFIND text: every file of the shared data against its own text, and conventions."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_phaset3m.errors import DataError
from napari_phaset3m.io.aretomo import read_aln
from napari_phaset3m.io.ctf_text import read_ctf_text
from napari_phaset3m.io.imod import read_angles, read_defocus, read_xf
from napari_phaset3m.io.imod_com import read_com
from napari_phaset3m.io.text import check_count, read_text_file

REAL = "real"
PARSERS = {".xf": read_xf, ".tlt": read_angles, ".aln": read_aln, ".defocus": read_defocus, ".com": read_com}


def _files(shared_data, pattern):
    found = sorted((shared_data / REAL).rglob(pattern))
    if not found:
        pytest.skip(f"no {pattern} in the shared data")
    return found


def _numbers(path):
    return [[float(word) for word in line.split()] for line in path.read_text().splitlines() if line.strip()]


@pytest.mark.parametrize("pattern", ["*.tlt", "*.rawtlt", "*.xtilt"])
def test_every_angle_file_reads_as_its_text(shared_data, pattern):
    for path in _files(shared_data, pattern):
        assert read_angles(path).tolist() == [row[0] for row in _numbers(path)]


def test_every_xf_reads_as_its_text(shared_data):
    for path in _files(shared_data, "*.xf"):
        transforms = read_xf(path)
        for transform, row in zip(transforms, _numbers(path), strict=True):
            a11, a12, a21, a22, dx, dy = row
            assert transform.tolist() == [[a11, a12, dx], [a21, a22, dy]]
        determinants = np.linalg.det(transforms[:, :, :2])
        np.testing.assert_allclose(determinants, 1, atol=0.05)  # rotations; a swapped entry gives -1 or 0


def test_every_aln_reads_as_its_text(shared_data):
    for path in _files(shared_data, "*.aln"):
        aln = read_aln(path)
        text = path.read_text()
        body, _, local = text.partition("# Local Alignment")
        rows = [line.split() for line in body.splitlines() if line.strip() and not line.startswith("#")]
        assert aln.sections.tolist() == [int(row[0]) for row in rows]
        assert aln.rotation_deg.tolist() == [float(row[1]) for row in rows]
        assert aln.shifts_px.tolist() == [[float(row[3]), float(row[4])] for row in rows]
        assert aln.tilt_deg.tolist() == [float(row[9]) for row in rows]
        assert aln.raw_size == tuple(int(n) for n in re.search(r"RawSize = (.*)", text).group(1).split())
        assert len(aln.dark) == text.count("DarkFrame")
        assert len(aln.local) == len([line for line in local.splitlines() if line.strip()])
        assert aln.n_patches == int(re.search(r"NumPatches = (\d+)", text).group(1))


def test_local_alignment_and_kept_images(shared_data):
    aln = read_aln(_files(shared_data, "global_and_local.aln")[0])
    assert aln.local.shape == (37 * 16, 7)
    assert aln.local[0].tolist() == [0, 0, -1537.16, -1363.14, -6.93, -36.22, 1.0]
    assert aln.alpha_offset_deg == 12.3 and aln.thickness_px == 1910
    assert aln.dark[0] == (0, 0, -68.0) and len(aln.dark) == 14
    assert aln.raw_indices().tolist() == list(range(14, 51))
    broken = read_aln(_files(shared_data, "test.aln")[0])  # an excerpt: 4 rows of 86
    with pytest.raises(DataError, match="4 rows and 4 dark images for 90"):
        broken.raw_indices()


def test_aln_and_the_xf_that_aretomo_wrote_agree(shared_data):
    """R = [[cos, -sin], [sin, cos]](ROT) and (DX, DY) = -R (TX, TY): fails for any other sign."""
    aln = read_aln(_files(shared_data, "global_no_local.aln")[0])
    transforms = read_xf(_files(shared_data, "global_no_local.xf")[0])
    angle = np.deg2rad(aln.rotation_deg)
    turn = np.stack(
        [np.stack([np.cos(angle), -np.sin(angle)], -1), np.stack([np.sin(angle), np.cos(angle)], -1)], 1
    )
    np.testing.assert_allclose(transforms[:, :, :2], turn, atol=1e-5)
    np.testing.assert_allclose(transforms[:, :, 2], -np.einsum("nij,nj->ni", turn, aln.shifts_px), atol=2e-3)
    tilts = read_angles(_files(shared_data, "global_no_local.tlt")[0])
    np.testing.assert_allclose(tilts, aln.tilt_deg, atol=1e-6)


def test_ctf_text(shared_data):
    table = read_ctf_text(_files(shared_data, "test_CTF.txt")[0])
    assert table.image.tolist() == [0, 1, 2]
    assert table.defocus_angstrom[0].tolist() == [25951.41, 24469.37]
    assert table.azimuth_deg.tolist() == [88.08, 83.57, 77.32]
    assert table.fit_resolution_angstrom[2] == 11.0736
    assert table.pixel_size_angstrom is None


def test_ctffind_header_and_phase_shift(tmp_path):
    (tmp_path / "x_CTF.txt").write_text(
        "# Output from CTFFind version 4.1.14, run on 2024-01-01\n"
        "# Input file: x.mrc ; Number of micrographs: 2\n"
        "# Pixel size: 1.350 Angstroms ; acceleration voltage: 300.0 keV ; spherical aberration: 2.70 mm ; "
        "amplitude contrast: 0.07\n"
        "# Columns: #1 - micrograph number; ...\n"
        "1.000000 20000.0 19000.0 -30.0 1.5707963 0.12 5.1\n2.000000 21000.0 20000.0 40.0 0.0 0.10 inf\n"
    )
    table = read_ctf_text(tmp_path / "x_CTF.txt")
    assert (table.pixel_size_angstrom, table.energy_ev, table.spherical_aberration_angstrom) == (
        1.35,
        3e5,
        2.7e7,
    )
    np.testing.assert_allclose(table.phase_shift_deg, [90, 0], atol=1e-5)
    assert table.fit_resolution_angstrom[0] == 5.1 and np.isnan(table.fit_resolution_angstrom[1])  # inf
    for text in (
        "1 2 3\n",
        "1 20000 x 0 0 0.1 5\n",
        "1 2 2 0 0 0\n1 2 2 0 0 0\n",
        "0 2 2 0 0 0\n",
        "# nothing\n",
    ):
        (tmp_path / "x_CTF.txt").write_text(text)
        with pytest.raises(DataError):
            read_ctf_text(tmp_path / "x_CTF.txt")


@pytest.mark.parametrize(
    ("text", "version", "wanted"),
    [
        # (first view, last view, defocus 1, defocus 2 in angstrom, axis deg, phase deg, cut-on)
        (
            "1 1 -60 -60 4012\n2 3 -57 -54 3900\n",
            1,
            [(0, 0, 40120, 40120, 0, 0, None), (1, 2, 39000, 39000, 0, 0, None)],
        ),
        (
            "0 0 -60 -60 4012\n1 1 -57 -57 3900\n",
            1,
            [(0, 0, 40120, 40120, 0, 0, None), (1, 1, 39000, 39000, 0, 0, None)],
        ),
        (
            "1 1 -60 -60 4012 2\n2 2 -57 -57 3900\n",
            2,
            [(0, 0, 40120, 40120, 0, 0, None), (1, 1, 39000, 39000, 0, 0, None)],
        ),
        ("1 0 0. 0. 0 3\n1 1 -60 -60 4012 3900 30\n", 3, [(0, 0, 40120, 39000, 30, 0, None)]),
        ("7 0 0. 0. 0 3\n1 1 -60 -60 4012 3900 0.5235988 90\n", 3, [(0, 0, 40120, 39000, 30, 90, None)]),
        ("12 0 0. 0. 0 3\n1 1 -60 -60 4012 1.5707963\n", 3, [(0, 0, 40120, 40120, 0, 90, None)]),
        ("37 0 0. 0. 0 3\n1 1 -60 -60 4012 3900 30 90 0.02\n", 3, [(0, 0, 40120, 39000, 30, 90, 0.02)]),
    ],
)
def test_defocus_files_of_all_versions(tmp_path, text, version, wanted):
    (tmp_path / "x.defocus").write_text(text)
    read = read_defocus(tmp_path / "x.defocus")
    assert read.version == version
    for row, (first, last, one, two, axis, phase, cut_on) in zip(read.rows, wanted, strict=True):
        assert (row.first_view, row.last_view) == (first, last)
        np.testing.assert_allclose(row.defocus_angstrom, (one, two))
        np.testing.assert_allclose((row.astigmatism_angle_deg, row.phase_shift_deg), (axis, phase), atol=1e-4)
        assert row.cut_on_per_nm == cut_on
        assert row.tilt_deg[0] < 0


def test_inverted_angles_and_narrowest_row(tmp_path):
    (tmp_path / "x.defocus").write_text("16 0 0. 0. 0 3\n1 3 60 54 4000\n2 2 57 57 5000\n")
    read = read_defocus(tmp_path / "x.defocus")
    assert read.rows[0].tilt_deg == (-60, -54)
    views = read.of_views(4)
    assert [view.defocus_angstrom[0] for view in views[:3]] == [40000, 50000, 40000] and views[3] is None


def test_com_files(shared_data, tmp_path):
    for path in _files(shared_data, "tilt.com"):
        read = read_com(path)
        assert read.tilt_file.endswith(".tlt") and read.binning in (2, 4)
        assert read.placement in (("THICKNESS 900 px",), ("THICKNESS 2000 px",)) and read.offset_deg == 0
    for path in _files(shared_data, "newst.com"):
        assert read_com(path).transform_file.endswith(".xf")
    (tmp_path / "t.com").write_text("$tilt\nEXCLUDELIST2 1-3,7\nOFFSET -1.5\nTHICKNESS 300\n")
    read = read_com(tmp_path / "t.com")
    assert read.excluded == (0, 1, 2, 6) and read.offset_deg == -1.5
    assert read.placement == ("THICKNESS 300 px",)
    (tmp_path / "t.com").write_text("OFFSET 4.5 -12\nXAXISTILT 1.25\nSHIFT 0.0  -20.5\n")
    read = read_com(tmp_path / "t.com")
    assert read.offset_deg == 4.5, "the second number shifts the axis"
    assert read.placement == ("XAXISTILT 1.25°", "SHIFT 0.0 -20.5 px", "axis shift of OFFSET -12 px")
    (tmp_path / "t.com").write_text("EXCLUDELIST 0-99999999999\n")
    with pytest.raises(DataError, match="EXCLUDELIST"):
        read_com(tmp_path / "t.com")


def test_counts_are_refused_with_both_numbers():
    check_count(3, 3, "a.tlt", "angles", "a.mrc")
    with pytest.raises(DataError, match=r"a\.tlt: angles: 41 angles for 40 images in a\.mrc\. Give one"):
        check_count(41, 40, "a.tlt", "angles", "a.mrc")


def test_text_in_other_encodings(tmp_path):
    for number, data in enumerate(
        (b"\xff\xfe" + "1\n2\n".encode("utf-16-le"), b"\xef\xbb\xbf1\n2\n", b"# \xb5m\n1\n2\n")
    ):
        path = tmp_path / f"{number}.tlt"
        path.write_bytes(data)
        assert read_angles(path).tolist() == [1, 2]
    with pytest.raises(DataError, match="folder"):
        read_text_file(tmp_path)


@settings(max_examples=150, deadline=None)
@given(
    kind=st.sampled_from(sorted(PARSERS)),
    data=st.binary(max_size=300),
    lines=st.lists(
        st.lists(
            st.floats() | st.integers() | st.sampled_from(["#", "=", "SEC", "# Local", "DarkFrame"]),
            max_size=11,
        )
    ),
)
def test_damaged_text_never_crashes(tmp_path_factory, kind, data, lines):
    path = tmp_path_factory.getbasetemp() / f"fuzz{kind}"
    text = "\n".join(" ".join(map(str, line)) for line in lines).encode()
    for content in (data, text, text + data):
        path.write_bytes(content)
        try:
            PARSERS[kind](path)
        except DataError as error:
            assert "\n" not in str(error)
