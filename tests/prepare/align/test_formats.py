"""Alignments to and from IMOD's and AreTomo's files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.errors import ConfigError, DataError, OutputError
from napari_phaset3m.io.aretomo import read_aln
from napari_phaset3m.io.imod import read_angles, read_xf
from napari_phaset3m.io.orient import turn
from napari_phaset3m.prepare.align.apply import apply
from napari_phaset3m.prepare.align.formats import export_alignment, import_alignment
from napari_phaset3m.prepare.align.model import Alignment
from napari_phaset3m.prepare.align.transforms import from_aln, from_xf, to_aln, to_xf

SHAPE = (64, 64)


def series_of(n_tilt: int = 5, n_focus: int = 1, **more: object) -> TiltFocalSeries:
    return TiltFocalSeries(
        images=np.ones((n_tilt, n_focus, *SHAPE), np.float32),
        tilt_deg=np.linspace(-40, 40, n_tilt),
        pixel_size_angstrom=2.0,
        energy_ev=3e5,
        **more,
    )


def some(n_tilt: int = 5, n_focus: int = 1, seed: int = 1, magnified: bool = True) -> Alignment:
    rng = np.random.default_rng(seed)
    start = Alignment.of(series_of(n_tilt, n_focus))
    return start.replace(
        shifts_px=rng.normal(0, 9, (n_tilt, n_focus, 2)),
        rotation_deg=85 + rng.normal(0, 1, (n_tilt, n_focus)),
        magnification=1 + magnified * rng.normal(0, 0.01, (n_tilt, n_focus)),
    )


def same(one: Alignment, other: Alignment, atol: float = 1e-9) -> bool:
    pairs = ("shifts_px", "magnification", "tilt_deg")
    turned = (one.rotation_deg - other.rotation_deg + 180) % 360 - 180
    return np.abs(turned).max() < atol + 1e-9 and all(
        np.allclose(getattr(one, n), getattr(other, n), atol=atol) for n in pairs
    )


def imod_place(row: np.ndarray, raw_xy: np.ndarray) -> np.ndarray:
    """IMOD's own formula, from its documentation, about the image centre."""
    (a11, a12, dx), (a21, a22, dy) = row
    x, y = raw_xy
    return np.array([a11 * x + a12 * y + dx, a21 * x + a22 * y + dy])


def test_xf_takes_given_places_back_to_aligned_ones():
    alignment = some()
    point = np.array([[7.0, -11.0]])  # aligned (y, x)
    given = alignment.to_given(point)
    for tilt, row in enumerate(to_xf(alignment)):
        assert np.allclose(imod_place(row, given[tilt, 0, 0, ::-1]), point[0, ::-1])


def test_an_axis_at_imods_angle_comes_to_lie_along_y():
    # IMOD: the axis angle is from +Y towards -X, and A11 = cos, A12 = sin of it.
    alignment = Alignment.of(series_of()).with_axis_angle(84.1)
    row = to_xf(alignment)[0]
    angle = np.radians(84.1)
    assert np.allclose(row[:, :2], [[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    axis = np.array([-np.sin(angle), np.cos(angle)])
    assert np.allclose(imod_place(row, axis), (0, 1))


@pytest.mark.parametrize("turned", [0.0, 84.0, -5.5])
@pytest.mark.parametrize("n_focus", [1, 3])
def test_xf_round_trip(turned, n_focus):
    alignment = some(n_focus=n_focus)
    again = from_xf(to_xf(alignment, turned), Alignment.of(series_of(5, n_focus)), SHAPE, turned_deg=turned)
    assert same(again, alignment)


def test_transforms_of_a_turned_series_are_those_of_the_raw_stack():
    # A raw stack with its axis at 30 degrees: turned at import, aligned there; the exported transforms must
    # take the raw stack where applying the alignment takes the turned one.
    rng = np.random.default_rng(3)
    y, x = np.meshgrid(*(np.arange(n) - (n - 1) / 2 for n in SHAPE), indexing="ij")
    raw = sum(np.exp(-((y - py) ** 2 + (x - px) ** 2) / 18) for py, px in rng.uniform(-15, 15, (4, 2)))[
        None, None
    ].astype(np.float32)
    images, _ = turn(raw, 30.0)
    one = Alignment.of(series_of(1)).replace(shifts_px=[[[3.0, -2.0]]])
    series = series_of(1, tilt_axis_angle_deg=30.0).replace(images=images)
    row = to_xf(one, series.tilt_axis_angle_deg)[0]
    from scipy.ndimage import affine_transform, shift

    inverse = np.linalg.inv(row[:, :2])
    centre = (np.array(SHAPE) - 1) / 2
    start = centre - inverse[::-1, ::-1] @ (centre + row[::-1, 2])
    by_imod = affine_transform(raw[0, 0], inverse[::-1, ::-1], start, order=5)
    ours = apply(series, one)
    by_us = shift(ours.images[0, 0], -ours.shifts_px[0, 0], order=5)
    assert np.abs(by_imod - by_us)[12:-12, 12:-12].max() < 5e-3
    assert np.abs(by_imod - raw[0, 0])[12:-12, 12:-12].max() > 0.1


def test_one_transform_for_each_tilt_serves_all_foci():
    table = to_xf(some(n_focus=1))
    found = from_xf(table, Alignment.of(series_of(5, 3)), SHAPE)
    assert np.allclose(found.shifts_px[:, 2], some(n_focus=1).shifts_px[:, 0])


def test_binned_transforms_are_scaled():
    table = to_xf(some())
    found = from_xf(table, Alignment.of(series_of()), SHAPE, pixel_ratio=4)
    assert np.allclose(found.shifts_px, 4 * some().shifts_px)


def test_a_stretch_is_refused():
    table = to_xf(some())
    table[2, 0, 0] += 0.05
    with pytest.raises(DataError, match="stretch that moves a corner"):
        from_xf(table, Alignment.of(series_of()), SHAPE)
    with pytest.raises(DataError, match="mirrors"):
        from_xf(np.tile([[-1.0, 0, 0], [0, 1, 0]], (5, 1, 1)), Alignment.of(series_of()), SHAPE)
    with pytest.raises(DataError, match="4 transforms for 5 tilts"):
        from_xf(table[:4], Alignment.of(series_of()), SHAPE)


@settings(max_examples=25, deadline=None)
@given(
    rotation=st.floats(-180, 180), x=st.floats(-500, 500), y=st.floats(-500, 500), turned=st.floats(-180, 180)
)
def test_aln_round_trip(rotation, x, y, turned):
    start = Alignment.of(series_of())
    wanted = start.replace(shifts_px=np.full((5, 1, 2), (y, x)), rotation_deg=np.full((5, 1), rotation))
    again = from_aln(to_aln(wanted, SHAPE, turned_deg=turned), start, turned_deg=turned)
    assert same(again, wanted, atol=1e-6)


def test_aretomo_states_the_axis_angle_and_the_raw_shift():
    # AreTomo3, AreTomo/ImodUtil/CSaveXF.cpp: a11 = cos(-ROT), a12 = -sin(-ROT), (DX, DY) = A (-TX, -TY).
    alignment = some(magnified=False)
    aln, table = to_aln(alignment, SHAPE), to_xf(alignment)
    for row, rot, shift in zip(table, aln.rotation_deg, aln.shifts_px, strict=True):
        t = -np.radians(rot)
        matrix = np.array([[np.cos(t), -np.sin(t)], [np.sin(t), np.cos(t)]])
        assert np.allclose(row[:, :2], matrix) and np.allclose(row[:, 2], matrix @ -shift)


def test_files_round_trip_and_unused_tilts_are_dark(tmp_path: Path):
    series = series_of(tilt_axis_angle_deg=12.0)
    used = np.array([True, True, False, True, True])[:, None]
    alignment = some(magnified=False).replace(used=used)
    files = export_alignment(alignment, tmp_path / "säries 1.xf", series)
    assert [f.name for f in files] == ["säries 1.xf", "säries 1.tlt"]
    assert same(import_alignment(files[0], series), alignment, atol=1e-3)  # 7 and 4 decimals
    (file,) = export_alignment(alignment, tmp_path / "a.aln", series)
    back = import_alignment(file, series)
    assert np.array_equal(back.used, used)
    assert np.allclose(back.shifts_px[used], alignment.shifts_px[used], atol=2e-3)
    assert read_aln(file).dark == ((2, 2, 0.0),)


DOSE_SYMMETRIC = np.array([0.0, 20.0, -20.0, 40.0, -40.0])


@pytest.mark.parametrize("left_out", [(), (1,), (0, 4)])
def test_aln_round_trip_of_a_series_in_the_order_of_exposure(tmp_path: Path, left_out):
    """Rows of a .aln are in the order of rising tilt, whatever that of the series is."""
    series = series_of().replace(tilt_deg=DOSE_SYMMETRIC)
    used = ~np.isin(np.arange(5), left_out)[:, None]
    alignment = some(magnified=False).replace(tilt_deg=DOSE_SYMMETRIC + 0.3, used=used)
    (file,) = export_alignment(alignment, tmp_path / "a.aln", series)
    assert np.all(np.diff(read_aln(file).tilt_deg) > 0)
    assert {tilt for _, _, tilt in read_aln(file).dark} == {DOSE_SYMMETRIC[i] + 0.3 for i in left_out}
    back = import_alignment(file, series)
    assert np.array_equal(back.used, used)
    assert np.allclose(back.shifts_px[used], alignment.shifts_px[used], atol=1e-3)
    assert np.allclose(back.rotation_deg[used], alignment.rotation_deg[used], atol=1e-3)
    assert np.allclose(back.tilt_deg[used[:, 0]], alignment.tilt_deg[used[:, 0]])


def test_rows_of_an_aln_follow_the_stated_tilts(tmp_path: Path):
    """Tilts that a refinement moved past each other do not exchange the images."""
    series = series_of().replace(tilt_deg=[-40, 0.1, 0.0, 20, 40])
    alignment = some(magnified=False).replace(tilt_deg=[-40, -0.1, 0.2, 20, 40])
    (file,) = export_alignment(alignment, tmp_path / "a.aln", series)
    assert same(import_alignment(file, series), alignment, atol=1e-3)


@pytest.mark.parametrize("n_focus", [1, 2])
def test_rows_in_another_order_are_matched_by_their_tilts(tmp_path: Path, n_focus):
    """A .xf of the stack in the order of exposure, read for the series that was sorted by tilt."""
    order = np.argsort(DOSE_SYMMETRIC)
    sorted_ = some(n_focus=n_focus).replace(tilt_deg=DOSE_SYMMETRIC[order] + 0.4)
    exposed = sorted_.replace(
        **{
            name: getattr(sorted_, name)[np.argsort(order)]
            for name in ("shifts_px", "rotation_deg", "magnification", "tilt_deg")
        }
    )
    series, told = series_of(n_focus=n_focus), []
    export_alignment(exposed, tmp_path / "a.xf", series.replace(tilt_deg=DOSE_SYMMETRIC))
    assert same(import_alignment(tmp_path / "a.xf", series, note=told.append), sorted_, atol=1e-3)
    assert told == [
        "a.xf: a.tlt is in another order than the series; rows were matched by their tilts",
        "a.xf: the series does not know its sections: rows are in the order of a.tlt, in pixels of its "
        "images",
    ]
    told.clear()
    export_alignment(sorted_, tmp_path / "a.xf", series)
    assert same(import_alignment(tmp_path / "a.xf", series, note=told.append), sorted_, atol=1e-3)
    assert len(told) == 1 and "rows are in the order of the series" in told[0]


def test_angles_of_other_tilts_are_refused(tmp_path: Path):
    series = series_of()
    file, beside = export_alignment(some(), tmp_path / "a.xf", series)
    beside.write_text("-40\n-20\n0\n20\n47.5\n")
    with pytest.raises(DataError, match=r"a\.tlt: angles: differs .* up to 7\.5° .*Give that of this series"):
        import_alignment(file, series)
    beside.unlink()
    told: list[str] = []
    found = import_alignment(file, series, note=told.append)
    assert np.allclose(found.shifts_px, some().shifts_px, atol=1e-3)
    assert told == [
        "a.xf: the series does not know its sections: rows are in the order of the series, in pixels of its "
        "images"
    ]


def test_a_pre_tilt_is_told_and_taken(tmp_path: Path):
    """Angles that differ alike from those of the series: the same tilts, counted from another plane."""
    series, told = series_of(), []
    file, beside = export_alignment(some(), tmp_path / "a.xf", series, note=told.append)
    beside.write_text("\n".join(f"{angle + 9.3}" for angle in series.tilt_deg))
    told.clear()
    found = import_alignment(file, series, note=told.append)
    assert np.allclose(found.tilt_deg, series.tilt_deg + 9.3)
    assert len(told) == 2 and "by +9.3° for all images alike (as a pre-tilt does): they were taken" in told[0]


def test_a_file_for_the_images_as_they_are_is_not_turned_back(tmp_path: Path):
    """Told so, nothing is assumed of a series that does not know its sections."""
    series, told = series_of(tilt_axis_angle_deg=30.0), []
    for name in ("a.xf", "a.aln"):
        alignment = some(magnified=False)
        file = export_alignment(alignment, tmp_path / name, series.replace(tilt_axis_angle_deg=0.0))[0]
        found = import_alignment(file, series, made_for="series", note=told.append)
        assert same(found, alignment, atol=1e-3)
        assert not same(import_alignment(file, series), alignment, atol=1.0)
    assert not told


def test_an_export_leaves_the_tlt_of_another_file(tmp_path: Path):
    (tmp_path / "stack.tlt").write_text("mine\n")
    with pytest.raises(OutputError, match=r"stack\.tlt: is there without stack\.xf.*Choose another name"):
        export_alignment(some(), tmp_path / "stack.xf", series_of())
    assert (tmp_path / "stack.tlt").read_text() == "mine\n" and not (tmp_path / "stack.xf").exists()
    for _ in range(2):  # its own may be written again
        assert len(export_alignment(some(), tmp_path / "other.xf", series_of())) == 2


@pytest.mark.parametrize("name", ["a.txt", "a.h5", "a.tlt", "a"])
def test_an_unknown_suffix_is_refused(tmp_path: Path, name):
    with pytest.raises(OutputError, match="unknown suffix"):
        export_alignment(some(), tmp_path / name, series_of())
    assert not list(tmp_path.iterdir())


def sized(shape: tuple[int, int], **more: object) -> TiltFocalSeries:
    return series_of(**more).replace(images=np.ones((5, 1, *shape), np.float32))


@pytest.mark.parametrize(
    ("raw", "own", "ratio"),
    [
        ((256, 256), (128, 128), 0.5),
        ((256, 256), (32, 32), 0.125),
        ((40, 60), (80, 120), 2.0),
        ((66, 99), (44, 66), 2 / 3),
        ((131, 99), (32, 24), 0.25),
    ],
)
def test_shifts_of_an_aln_of_binned_images_are_scaled(tmp_path: Path, raw, own, ratio):
    wanted, told = some(magnified=False), []
    (file,) = export_alignment(wanted, tmp_path / "a.aln", sized(raw))
    found = import_alignment(file, sized(own), note=told.append)
    assert np.allclose(found.shifts_px, ratio * wanted.shifts_px, atol=2e-3)
    assert f"{raw[1]} x {raw[0]} px" in told[0] and f"by {ratio:.4g}" in told[0]
    assert len(told) == 2 and "does not know its sections: rows are in the order of rising tilt" in told[1]
    given = import_alignment(file, sized(own), pixel_ratio=ratio)
    assert np.allclose(given.shifts_px, found.shifts_px, atol=1e-6)
    with pytest.raises(ConfigError, match=rf"pixel_ratio: is 1, but RawSize is {raw[1]} x {raw[0]} px where"):
        import_alignment(file, sized(own), pixel_ratio=1)


def test_an_aln_of_images_of_another_size_is_refused(tmp_path: Path):
    (file,) = export_alignment(some(magnified=False), tmp_path / "a.aln", sized((64, 80)))
    for own in ((64, 64), (32, 64), (56, 70)):
        said = rf"a\.aln: RawSize: 80 x 64 px where the images of the series are {own[1]} x {own[0]} px"
        with pytest.raises(DataError, match=said):
            import_alignment(file, sized(own))
    told = []
    for own in ((64, 80), (80, 64)):  # a quarter turn at import exchanges the sides
        import_alignment(file, sized(own, tilt_axis_angle_deg=84.0), note=told.append)
    assert all("does not know its sections" in text for text in told)


def test_what_is_written_of_a_focal_series_is_read_again(tmp_path: Path):
    series, alignment = series_of(n_focus=3), some(n_focus=3)
    files = export_alignment(alignment, tmp_path / "a.xf", series)
    assert len(read_angles(files[1])) == 15, "one angle for each image of the stack"
    assert same(import_alignment(files[0], series), alignment, atol=1e-3)
    files[1].write_text("\n".join(f"{angle}" for angle in np.linspace(-40, 40, 15)))
    with pytest.raises(DataError, match="15 angles for 5 images"):
        import_alignment(files[0], series)


def test_errors_name_the_file(tmp_path: Path):
    series = series_of()
    export_alignment(some(4), tmp_path / "four.xf", series_of(4))
    with pytest.raises(DataError, match=r"four.tlt: angles: 4 angles for 5 images"):
        import_alignment(tmp_path / "four.xf", series)
    (tmp_path / "four.tlt").unlink()
    with pytest.raises(DataError, match=r"four.xf: xf: 4 transforms for 5 tilts"):
        import_alignment(tmp_path / "four.xf", series)
    with pytest.raises(DataError, match="magnification: is not 1"):
        export_alignment(some(), tmp_path / "a.aln", series)
    assert not (tmp_path / "a.aln").exists()
    with pytest.raises(OutputError):
        export_alignment(some(), tmp_path / "absent" / "a.xf", series)


def test_real_aln_and_its_xf(shared_data: Path):
    """The .xf beside this .aln is alnfile's, whose rotation has the other sense than AreTomo's own.

    Everything but that sense must agree: theirs is A = R(+ROT), D = -A (TX, TY).
    """
    folder = shared_data / "real" / "metadata" / "alnfile"
    aln = read_aln(folder / "global_no_local.aln")
    theirs, tilts = read_xf(folder / "global_no_local.xf"), read_angles(folder / "global_no_local.tlt")
    series = series_of(len(tilts)).replace(tilt_deg=tilts)
    found = from_aln(aln, Alignment.of(series))
    assert np.allclose(found.tilt_deg, tilts) and np.allclose(found.rotation_deg, -95.404)
    mirrored = to_xf(found.replace(rotation_deg=-found.rotation_deg))
    assert np.allclose(mirrored, theirs, atol=2e-4)
    assert not np.allclose(to_xf(found)[:, 0, 1], theirs[:, 0, 1], atol=0.1)


def test_real_etomo_alignment(shared_data: Path):
    """An eTomo .xf: the axis angle that SerialEM gave (about 84 degrees) comes out with its sign."""
    folder = shared_data / "real" / "metadata" / "etomofiles"
    table, tilts = read_xf(folder / "TS_001.xf"), read_angles(folder / "TS_001.tlt")
    series = series_of(len(tilts)).replace(tilt_deg=tilts)
    found = from_xf(table, Alignment.of(series), (4000, 4000))
    assert found.axis_angle_deg == pytest.approx(84.1, abs=0.3)
    assert np.allclose(to_xf(found), table, atol=5e-4)
