"""Alignment files speak of the raw stack: its sections, pixels and centre, whatever an import did."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from _raw_stack import RAW_SHAPE, TILTS, blobs, newstack, ours, worst, write_stack

from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.errors import ConfigError, DataError
from napari_phaset3m.io.aretomo import read_aln
from napari_phaset3m.io.imod import read_angles, read_xf
from napari_phaset3m.io.importing import load, look, write
from napari_phaset3m.io.series import load_series, save_series
from napari_phaset3m.prepare.align.formats import export_alignment, import_alignment
from napari_phaset3m.prepare.align.model import Alignment
from napari_phaset3m.prepare.geometry import BinConfig, CropConfig, PadConfig, run_bin, run_crop, run_pad

#: An off-centre crop, a bin with a remainder, and a quarter turn.
IMPORT = {"bin": 2, "crop": (9, 114, 6, 151)}
ORDER = np.argsort(TILTS)
TAKEN = "rows are taken for the sections of TS.mrc, in its pixels (one here is 2 of them)"


def imported(path: Path, angle: float = 90.0, **more: object) -> TiltFocalSeries:
    plan = look(path).edited(tilt_axis_angle_deg=angle, energy_ev=3e5)
    return load(plan, normalise="given", **{**IMPORT, **more})


def some(series: TiltFocalSeries, seed: int = 0, magnified: bool = True) -> Alignment:
    rng = np.random.default_rng(seed)
    images = (series.n_tilt, series.n_focus)
    start = Alignment.of(series)
    return start.replace(
        shifts_px=start.shifts_px + rng.normal(0, 3, (*images, 2)),
        rotation_deg=rng.normal(0, 4, images),
        magnification=1 + magnified * rng.normal(0, 0.01, images),
    )


def same(one: Alignment, other: Alignment, atol: float = 2e-3) -> bool:
    pairs = ("shifts_px", "rotation_deg", "magnification", "tilt_deg")
    return all(np.allclose(getattr(one, n), getattr(other, n), atol=atol) for n in pairs)


def imod_rows(n: int, seed: int, angle: float = 90.0) -> np.ndarray:
    """A solution of IMOD for the raw stack: the axis near ``angle``, a few pixels of shift."""
    rng = np.random.default_rng(seed)
    turn, scale = np.radians(angle + rng.normal(0, 3, n)), 1 + rng.normal(0, 0.01, n)
    matrix = scale[:, None, None] * np.moveaxis(
        np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]]), -1, 0
    )
    return np.concatenate((matrix, rng.normal(0, 6, (n, 2, 1))), -1)


def write_rows(path: Path, rows: np.ndarray) -> Path:
    text = "".join("{:12.7f}{:12.7f}{:12.7f}{:12.7f}{:12.3f}{:12.3f}\n".format(
        *row[:, :2].ravel(), *row[:, 2]) for row in rows)  # fmt: skip
    path.write_text(text)
    return path


def test_each_image_knows_its_section(tmp_path: Path):
    write_stack(tmp_path / "TS.mrc")
    series = imported(tmp_path / "TS.mrc")
    found = series.sections
    assert np.allclose(series.tilt_deg, np.sort(TILTS)) and found.section[:, 0].tolist() == ORDER.tolist()
    assert found.files == (str(tmp_path / "TS.mrc"),) and found.n_sections == (7,)
    assert found.image_shape == RAW_SHAPE and found.pixel_ratio == 2


@pytest.mark.parametrize("angle", [0.0, 90.0, -90.0, 180.0, 84.0])
@pytest.mark.parametrize("method", ["mean", "fourier"])
def test_a_place_of_an_image_is_that_of_the_raw_one(tmp_path: Path, angle, method):
    """A spot is looked for in the image as imported; the transform says where it was in the file."""
    import mrcfile

    y, x = np.meshgrid(*(np.arange(n) for n in RAW_SHAPE), indexing="ij")
    spot = np.array([(70.0, 95.0), (50.0, 60.0)])  # (y, x) in the file
    raw = np.stack([np.exp(-((y - sy) ** 2 + (x - sx) ** 2) / 32) for sy, sx in spot]).astype(np.float32)
    with mrcfile.new(tmp_path / "a.mrc") as mrc:
        mrc.set_data(raw)
        mrc.voxel_size = 1.0
    (tmp_path / "a.rawtlt").write_text("5\n-5\n")
    series = imported(tmp_path / "a.mrc", angle, bin_method=method)
    for tilt in (0, 1):
        image = series.images[tilt, 0].astype(np.float64)
        image = np.where(image > 0.05 * image.max(), image, 0)
        ny, nx = image.shape
        at_y, at_x = (np.tensordot(image, grid, 2) / image.sum() for grid in np.indices(image.shape))
        matrix = series.sections.to_file[tilt, 0]
        found = matrix @ (at_x - (nx - 1) / 2, at_y - (ny - 1) / 2, 1)
        centre = (np.array(RAW_SHAPE) - 1) / 2
        wanted = spot[series.sections.section[tilt, 0]] - centre
        assert np.allclose(found[::-1], wanted, atol=0.05)


def test_sections_are_kept_by_files_and_preparation(tmp_path: Path):
    write_stack(tmp_path / "TS.mrc")
    series = imported(tmp_path / "TS.mrc")
    names = ("files", "n_sections", "image_shape", "file", "section", "to_file", "pixel_ratio")
    toml, data = write(look(tmp_path / "TS.mrc").edited(tilt_axis_angle_deg=90.0, energy_ev=3e5),
                       tmp_path / "plan.toml", config=None, series=series)  # fmt: skip
    kept = [load_series(save_series(series, tmp_path / name)) for name in ("b.h5", "c.toml")]
    for again in (*kept, load_series(data)):
        for name in names:
            assert np.array_equal(getattr(again.sections, name), getattr(series.sections, name)), name
    plain = load_series(toml).sections
    assert plain.pixel_ratio == 1 and np.array_equal(plain.section, series.sections.section)
    for config, run in (
        (CropConfig(region_px=(3, 5, 41, 38)), run_crop),
        (BinConfig(factor=2), run_bin),
        (PadConfig(border_px=4), run_pad),
    ):
        series = list(run(series, config))[-1].series
    assert series.sections.pixel_ratio == 4
    rows = imod_rows(7, 3)
    write_rows(tmp_path / "TS.xf", rows)
    alignment = import_alignment(tmp_path / "TS.xf", series)
    raw = write_stack(tmp_path / "TS.mrc")
    for tilt, section in enumerate(ORDER):
        by_us = ours(series, alignment, (tilt, 0), 0.25, margin=7)
        assert worst(newstack(raw[section], rows[section]), *by_us) < 0.045  # half a raw pixel: 0.10


@pytest.mark.parametrize("angle", [90.0, -90.0, 0.0, 85.0])
def test_an_xf_of_the_raw_stack_aligns_the_imported_images(tmp_path: Path, angle):
    """Sorted, cropped, binned, turned: our images, aligned, are those that newstack makes of the raw ones."""
    raw, rows = write_stack(tmp_path / "TS.mrc"), imod_rows(7, 1, angle)
    series, told = imported(tmp_path / "TS.mrc", angle), []
    found = import_alignment(write_rows(tmp_path / "x.xf", rows), series, note=told.append)
    assert told == [f"x.xf: {TAKEN}"] and np.abs(found.rotation_deg).max() < 15
    for tilt, section in enumerate(ORDER):
        by_us = ours(series, found, (tilt, 0), 0.5)
        assert worst(newstack(raw[section], rows[section]), *by_us) < 0.003
    other = newstack(raw[ORDER[0]], rows[ORDER[0]])
    assert worst(other, *ours(series, found, (1, 0), 0.5)) > 0.1, "and not those of another section"


@pytest.mark.parametrize("angle", [90.0, 85.0])
def test_newstack_with_an_exported_xf_aligns_the_raw_stack(tmp_path: Path, angle):
    raw = write_stack(tmp_path / "TS.mrc")
    series, told = imported(tmp_path / "TS.mrc", angle), []
    alignment = some(series)
    files = export_alignment(alignment, tmp_path / "out.xf", series, note=told.append)
    rows = read_xf(files[0])
    assert not told and np.allclose(read_angles(files[1]), TILTS, atol=1e-3)
    for tilt, section in enumerate(ORDER):
        by_us = ours(series, alignment, (tilt, 0), 0.5)
        assert worst(newstack(raw[section], rows[section]), *by_us) < 0.003
    assert same(import_alignment(files[0], series), alignment)


def test_a_series_that_was_aligned_speaks_of_the_raw_stack_still(tmp_path: Path):
    """Images that were turned and magnified one by one: their frames are kept one by one."""
    from napari_phaset3m.prepare.align.apply import apply

    raw = write_stack(tmp_path / "TS.mrc")
    series = imported(tmp_path / "TS.mrc")
    first = some(series)
    turned = load_series(save_series(apply(series, first), tmp_path / "t.h5"))
    second = some(turned, 5)
    rows = read_xf(export_alignment(second, tmp_path / "out.xf", turned)[0])
    for tilt, section in enumerate(ORDER):
        by_us = ours(turned, second, (tilt, 0), 0.5)
        assert worst(newstack(raw[section], rows[section]), *by_us) < 0.02
    kept = import_alignment(export_alignment(first, tmp_path / "f.xf", series)[0], turned)
    assert np.abs(kept.rotation_deg).max() < 1e-3 and np.abs(kept.magnification - 1).max() < 1e-5


def test_rows_of_sections_that_are_not_in_the_series(tmp_path: Path):
    """Left out of the plan, not merely unused: identity in the file, told, and passed over on reading."""
    write_stack(tmp_path / "TS.mrc")
    text = ['pixel_size_angstrom = 1.5\nenergy_ev = 3e5\nbin = 2\nnormalisation = "given"']
    kept = [k for k in range(7) if k not in (1, 4)]
    text += [f'[[image]]\nfile = "TS.mrc"\nsection = {k}\ntilt_deg = {TILTS[k]}' for k in kept]
    (tmp_path / "s.toml").write_text("\n".join(text))
    series, told = load_series(tmp_path / "s.toml"), []
    alignment = some(series)
    files = export_alignment(alignment, tmp_path / "out.xf", series, note=told.append)
    rows = read_xf(files[0])
    assert len(rows) == 7 and np.allclose(rows[[1, 4]], np.eye(2, 3))
    assert np.allclose(read_angles(files[1]), np.where(np.isin(range(7), kept), TILTS, 0))
    assert told == [
        "out.xf: 2 of the 7 sections of TS.mrc are not in the series: their rows change nothing and state 0°"
        ". Leave them out in tilt.com: EXCLUDELIST 2,5"
    ]
    assert same(import_alignment(files[0], series), alignment)
    with pytest.raises(DataError, match=r"SEC: sections 1, 4 \(from 0\) of TS.mrc .*Export an \.xf file"):
        export_alignment(some(series, magnified=False), tmp_path / "out.aln", series)


def test_a_wrong_number_of_rows_is_refused_with_both(tmp_path: Path):
    write_stack(tmp_path / "TS.mrc")
    series = imported(tmp_path / "TS.mrc")
    write_rows(tmp_path / "six.xf", imod_rows(6, 2))
    said = r"six\.xf: xf: 6 transforms for the 7 sections of TS\.mrc \(7 tilts with 1 foci in the series\)"
    with pytest.raises(DataError, match=said):
        import_alignment(tmp_path / "six.xf", series)
    write_rows(tmp_path / "seven.xf", imod_rows(7, 2))
    (tmp_path / "seven.tlt").write_text("1\n2\n")
    with pytest.raises(DataError, match=r"seven\.tlt: angles: 2 angles for 7 images in seven\.xf"):
        import_alignment(tmp_path / "seven.xf", series)
    (tmp_path / "seven.tlt").write_text("\n".join(map(str, TILTS * 1.5)))
    with pytest.raises(DataError, match=r"seven\.xf: angles: differs .* up to 15\.0°"):
        import_alignment(tmp_path / "seven.xf", series)


def test_rows_in_the_order_of_tilt_are_told_by_the_tlt(tmp_path: Path):
    """A stack that was sorted by tilt before IMOD saw it."""
    write_stack(tmp_path / "TS.mrc")
    series, rows, told = imported(tmp_path / "TS.mrc"), imod_rows(7, 2), []
    wanted = import_alignment(write_rows(tmp_path / "raw.xf", rows), series)
    write_rows(tmp_path / "sorted.xf", rows[ORDER])
    (tmp_path / "sorted.tlt").write_text("\n".join(map(str, TILTS[ORDER] + 7)))
    found = import_alignment(tmp_path / "sorted.xf", series, note=told.append)
    assert same(found.replace(tilt_deg=wanted.tilt_deg), wanted) and np.allclose(
        found.tilt_deg, TILTS[ORDER] + 7
    )
    assert len(told) == 2 and "matched by tilt" in told[0] and "+7.0° for all images" in told[1]


def aln_text(sections: np.ndarray, rows: dict[str, np.ndarray], size: tuple[int, int], dark: str = "") -> str:
    head = f"# AreTomo Alignment / Priims bprmMn\n# RawSize = {size[0]} {size[1]} 7\n{dark}# NumPatches = 0\n"
    return head + "".join(
        f"{s:5d} {r:10.4f}    1.00000 {x:10.3f} {y:10.3f} 1 1 1 0 {t:9.2f}\n"
        for s, r, x, y, t in zip(sections, rows["rot"], rows["x"], rows["y"], rows["tilt"], strict=True)
    )


@pytest.mark.parametrize("first", [0, 1, None])
def test_an_aln_of_the_raw_stack_aligns_the_imported_images(tmp_path: Path, first):
    """SEC from 0, from 1, or (None) a mere counter of rows; AreTomo's own .xf is R(-ROT), -A (TX, TY)."""
    raw, rng = write_stack(tmp_path / "TS.mrc"), np.random.default_rng(4)
    rows = {
        "rot": 90 + rng.normal(0, 3, 7),
        "x": rng.normal(0, 6, 7),
        "y": rng.normal(0, 6, 7),
        "tilt": TILTS[ORDER],
    }
    sections = np.arange(7) if first is None else ORDER + first
    (tmp_path / "TS.aln").write_text(aln_text(sections, rows, RAW_SHAPE[::-1]))
    series, told = imported(tmp_path / "TS.mrc"), []
    found = import_alignment(tmp_path / "TS.aln", series, note=told.append)
    assert told == [f"TS.aln: {TAKEN}"] and found.used.all()
    for row, section in enumerate(ORDER):
        turn = np.radians(rows["rot"][row])
        matrix = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
        offset = -matrix @ (rows["x"][row], rows["y"][row])
        by_imod = newstack(raw[section], np.column_stack((matrix, offset)))
        assert worst(by_imod, *ours(series, found, (row, 0), 0.5)) < 0.003


@pytest.mark.parametrize("first", [0, 1])
def test_sections_of_an_aln_that_the_series_lacks_are_passed_over(tmp_path: Path, first):
    """Rows can only be told by SEC then; a dark image is not used."""
    write_stack(tmp_path / "TS.mrc")
    kept = [k for k in range(7) if k not in (1, 4)]
    text = ['pixel_size_angstrom = 1.5\nenergy_ev = 3e5\nnormalisation = "given"']
    text += [f'[[image]]\nfile = "TS.mrc"\nsection = {k}\ntilt_deg = {TILTS[k]}' for k in kept]
    (tmp_path / "s.toml").write_text("\n".join(text))
    series = load_series(tmp_path / "s.toml")
    seen = ORDER[ORDER != 5]  # the image at 30 degrees is dark
    rows = {"rot": 0.0 * seen, "x": 10.0 * seen, "y": 1.0 + seen, "tilt": TILTS[seen]}
    dark = f"# DarkFrame = 6 {5 + first} 30.0\n"
    (tmp_path / "TS.aln").write_text(aln_text(seen + first, rows, RAW_SHAPE[::-1], dark))
    found = import_alignment(tmp_path / "TS.aln", series)
    assert found.used[:, 0].tolist() == [k != 5 for k in kept]
    used = np.array(kept)[found.used[:, 0]]
    assert np.allclose(found.shifts_px[found.used], np.stack((1.0 + used, 10.0 * used), -1), atol=1e-3)


def test_an_aln_of_none_of_the_used_images_is_refused(tmp_path: Path):
    """All were told to be constant, without the file."""
    write_stack(tmp_path / "TS.mrc")
    series = imported(tmp_path / "TS.mrc")
    series = series.replace(used=series.tilt_deg[:, None] == 30)
    seen = ORDER[ORDER != 5]  # the image at 30 degrees is dark
    rows = {"rot": 0.0 * seen, "x": 0.0 * seen, "y": 0.0 * seen, "tilt": TILTS[seen]}
    (tmp_path / "a.aln").write_text(aln_text(seen, rows, RAW_SHAPE[::-1], "# DarkFrame = 6 5 30.0\n"))
    with pytest.raises(DataError, match=r"a\.aln: SEC: has rows for none of the images that the series uses"):
        import_alignment(tmp_path / "a.aln", series)


def test_an_aln_is_written_for_the_raw_stack_and_read_again(tmp_path: Path):
    write_stack(tmp_path / "TS.mrc")
    series = imported(tmp_path / "TS.mrc")
    used = np.arange(7)[:, None] != 2
    alignment = some(series, magnified=False).replace(used=used)
    (file,) = export_alignment(alignment, tmp_path / "a.aln", series)
    aln = read_aln(file)
    assert aln.raw_size == (RAW_SHAPE[1], RAW_SHAPE[0], 7)
    assert aln.sections.tolist() == [s for s in ORDER if s != ORDER[2]] and aln.dark == (
        (2, ORDER[2], -10.0),
    )
    back = import_alignment(file, series)
    assert np.array_equal(back.used, used)
    for name in ("shifts_px", "rotation_deg"):
        assert np.allclose(getattr(back, name)[used], getattr(alignment, name)[used], atol=2e-3)


def test_an_aln_tells_by_its_size_which_images_it_speaks_of(tmp_path: Path):
    write_stack(tmp_path / "TS.mrc")
    series, rng = imported(tmp_path / "TS.mrc"), np.random.default_rng(4)
    rows = {
        "rot": rng.normal(0, 3, 7),
        "x": rng.normal(0, 6, 7),
        "y": rng.normal(0, 6, 7),
        "tilt": TILTS[ORDER],
    }
    ny, nx = series.image_shape
    (tmp_path / "own.aln").write_text(aln_text(np.arange(7), rows, (nx, ny)))
    told: list[str] = []
    found = import_alignment(tmp_path / "own.aln", series, note=told.append)
    assert told == [
        "own.aln: RawSize is that of the series' images: taken for these as they are, by rising tilt"
    ]
    assert np.allclose(found.shifts_px[:, 0, 1], rows["x"], atol=1e-3), "pixels of the images as they are"
    assert np.allclose(found.rotation_deg[:, 0], rows["rot"], atol=1e-3)
    (tmp_path / "raw.aln").write_text(aln_text(np.arange(7), rows, RAW_SHAPE[::-1]))
    (tmp_path / "half.aln").write_text(aln_text(np.arange(7), rows, (84, 60)))
    whole, told = import_alignment(tmp_path / "raw.aln", series), []
    half = import_alignment(tmp_path / "half.aln", series, note=told.append)
    centre = import_alignment(
        write_rows(tmp_path / "i.xf", np.tile(np.eye(2, 3), (7, 1, 1))), series
    ).shifts_px
    assert np.allclose(half.shifts_px - centre, 2 * (whole.shifts_px - centre), atol=2e-3)
    assert len(told) == 2 and "of TS.mrc are 168 x 121 px: shifts were multiplied by 2" in told[0]
    (tmp_path / "bad.aln").write_text(aln_text(np.arange(7), rows, (100, 121)))
    with pytest.raises(
        DataError, match=r"RawSize: 100 x 121 px where the images of TS\.mrc are 168 x 121 px"
    ):
        import_alignment(tmp_path / "bad.aln", series)
    with pytest.raises(
        DataError, match=r"SEC: 8 images \(dark ones included\) for 7 sections of TS\.mrc and 7 tilts"
    ):
        text = aln_text(np.arange(7), rows, RAW_SHAPE[::-1], "# DarkFrame = 7 7 33.0\n").replace(
            " 7\n#", " 8\n#", 1
        )
        (tmp_path / "eight.aln").write_text(text)
        import_alignment(tmp_path / "eight.aln", series)
    rows["tilt"] = TILTS[ORDER] * 1.5
    (tmp_path / "tilts.aln").write_text(aln_text(np.arange(7), rows, RAW_SHAPE[::-1]))
    with pytest.raises(DataError, match=r"TILT: differs .* up to 15\.0°"):
        import_alignment(tmp_path / "tilts.aln", series)


def test_a_file_for_the_images_as_they_are_is_told_so(tmp_path: Path):
    write_stack(tmp_path / "TS.mrc")
    series = imported(tmp_path / "TS.mrc")
    rows = imod_rows(7, 2, 0.0)
    write_rows(tmp_path / "own.xf", rows)
    found = import_alignment(tmp_path / "own.xf", series, made_for="series")
    inverse = np.linalg.inv(rows[..., :2])
    shifts = -np.einsum("tij,tj->ti", inverse, rows[..., 2])
    assert np.allclose(found.shifts_px[:, 0, ::-1], shifts, atol=2e-3)
    with pytest.raises(ConfigError, match=r"made_for: is 'stack'\. Use"):
        import_alignment(tmp_path / "own.xf", series, made_for="stack")
    with pytest.raises(ConfigError, match=r"does not know its sections\. Import"):
        import_alignment(tmp_path / "own.xf", series.replace(sections=None), made_for="raw")


def test_foci_side_by_side_in_one_stack(tmp_path: Path):
    tilts = np.repeat([20.0, 0.0, -20.0], 2)
    raw, rows = write_stack(tmp_path / "TS.mrc", 6, tilts), imod_rows(6, 1)
    series = imported(tmp_path / "TS.mrc")
    assert series.sections.section.tolist() == [[4, 5], [2, 3], [0, 1]]
    found = import_alignment(write_rows(tmp_path / "x.xf", rows), series)
    for place in np.ndindex(3, 2):
        section = series.sections.section[place]
        assert worst(newstack(raw[section], rows[section]), *ours(series, found, place, 0.5)) < 0.003
    again = read_xf(export_alignment(found, tmp_path / "y.xf", series)[0])
    assert np.allclose(again, rows, atol=1e-3)


@pytest.mark.parametrize("order", ["tilt-major", "focus-major"])
def test_one_row_for_each_tilt_holds_for_its_foci(tmp_path: Path, order):
    """Foci in one stack and a .xf of their tilts: its rows are in the order of the stack, rising or not."""
    tilts, rows = np.array([-20.0, 0.0, 20.0]), imod_rows(3, 1)
    spread = {"tilt-major": np.repeat(tilts, 2), "focus-major": np.tile(tilts, 2)}
    raw = write_stack(tmp_path / "TS.mrc", 6, spread[order])
    series = imported(tmp_path / "TS.mrc")
    told: list[str] = []
    found = import_alignment(write_rows(tmp_path / "x.xf", rows), series, note=told.append)
    said = "one row for each tilt of TS.mrc, in the order of its sections: it was taken for the 2 foci of its"
    assert any(said in note for note in told)
    for place in np.ndindex(3, 2):
        by_imod = newstack(raw[series.sections.section[place]], rows[place[0]])
        assert worst(by_imod, *ours(series, found, place, 0.5)) < 0.003
    write_stack(tmp_path / "TS.mrc", 6, -spread[order])
    falling = imported(tmp_path / "TS.mrc")
    assert falling.tilt_deg.tolist() == [-20.0, 0.0, 20.0]
    turned = import_alignment(tmp_path / "x.xf", falling)
    assert np.allclose(turned.shifts_px, found.shifts_px[::-1])
    (tmp_path / "x.tlt").write_text("-20\n0\n20\n")  # of a stack that was sorted before IMOD saw it
    assert same(import_alignment(tmp_path / "x.xf", falling), found)


@pytest.mark.parametrize("order", ["tilt-major", "focus-major"])
def test_one_row_for_each_tilt_of_a_stack_whose_tilts_are_in_no_order(tmp_path: Path, order):
    """Dose-symmetric, and a tilt left out of the series: rows are those of the stack's tilts."""
    numbers = np.arange(14).reshape(7, 2) if order == "tilt-major" else np.arange(14).reshape(2, 7).T
    write_stack(tmp_path / "TS.mrc", 14)
    kept = [k for k in ORDER if k != 4]
    text = ['pixel_size_angstrom = 1.5\nenergy_ev = 3e5\nnormalisation = "given"']
    text += [
        f'[[image]]\nfile = "TS.mrc"\nsection = {s}\ntilt_deg = {TILTS[k]}\ndefocus_angstrom = {d}'
        for k in kept
        for s, d in zip(numbers[k], (900.0, 500.0), strict=True)
    ]
    (tmp_path / "s.toml").write_text("\n".join(text))
    series, rows = load_series(tmp_path / "s.toml"), np.tile(np.eye(2, 3), (7, 1, 1))
    rows[:, 0, 2] = np.arange(7)
    found = import_alignment(write_rows(tmp_path / "x.xf", rows), series)
    assert np.allclose(found.shifts_px[..., 1], -np.array(kept, float)[:, None])
    write_rows(tmp_path / "x.xf", rows[:6])
    with pytest.raises(DataError, match=r"6 transforms for the 14 sections .* do not tell its rows"):
        import_alignment(tmp_path / "x.xf", series)


def test_rows_without_angles_for_an_order_that_is_not_known_are_refused(tmp_path: Path):
    """No sections, no .tlt: falling tilts may be in any order in the .xf."""
    write_stack(tmp_path / "TS.mrc")
    known = imported(tmp_path / "TS.mrc")
    rising = known.replace(sections=None)
    falling = rising.replace(
        **{name: getattr(rising, name)[::-1] for name in ("images", "tilt_deg", "shifts_px", "used")}
    )
    write_rows(tmp_path / "x.xf", imod_rows(7, 1))
    found = import_alignment(tmp_path / "x.xf", rising, note=lambda _: None)
    said = r"x\.xf: xf: does not tell which row .* do not rise\. Put the \.tlt .*--import-for series"
    with pytest.raises(DataError, match=said):
        import_alignment(tmp_path / "x.xf", falling)
    own = import_alignment(tmp_path / "x.xf", falling, made_for="series")
    assert np.allclose(own.rotation_deg - found.rotation_deg, 90, atol=1e-3), "rows in the series' order"
    (tmp_path / "x.tlt").write_text("\n".join(map(str, rising.tilt_deg)))
    matched = import_alignment(tmp_path / "x.xf", falling, note=lambda _: None)
    assert np.allclose(matched.rotation_deg[::-1], found.rotation_deg, atol=1e-3)


@pytest.mark.parametrize("sections", [True, False])
def test_shifts_beyond_the_image_are_refused(tmp_path: Path, sections):
    """1e9 px were taken without a word; a little less than the image's own size may be meant."""
    write_stack(tmp_path / "TS.mrc")
    series = imported(tmp_path / "TS.mrc", 0.0)
    if not sections:
        series = series.replace(sections=None)
    nx, ny = RAW_SHAPE[::-1] if sections else series.image_shape[::-1]
    rows = np.tile(np.eye(2, 3), (7, 1, 1))
    rows[4, :, 2] = nx - 1, 1 - ny
    import_alignment(write_rows(tmp_path / "x.xf", rows), series, note=lambda _: None)
    for x, y in ((1e6, 0.0), (0.0, -ny - 1.0), (nx + 1.0, 2.0)):
        rows[4, :, 2] = x, y
        said = rf"x\.xf: row 5: DX, DY = {x:.10g}, {y:.10g} px move .* {nx} x {ny} px \(x, y\) out of view"
        with pytest.raises(DataError, match=said.replace("+", r"\+")):
            import_alignment(write_rows(tmp_path / "x.xf", rows), series, note=lambda _: None)
    for matrix, said in (
        ([[100.0, 0], [0, 100]], "row 2: magnifies the image by 100, and"),
        ([[0.5, 0], [0, 0.5]], "row 2: magnifies the image by 0.5, and"),
        ([[-1.0, 0], [0, 1]], "row 2: mirrors or squashes the image"),
        ([[0.0, 0], [0, 0]], "row 2: mirrors or squashes the image"),
    ):
        rows = np.tile(np.eye(2, 3), (7, 1, 1))
        rows[1, :, :2] = matrix
        with pytest.raises(DataError, match=rf"x\.xf: {said}"):
            import_alignment(write_rows(tmp_path / "x.xf", rows), series, note=lambda _: None)
    table = {"rot": np.zeros(7), "x": np.zeros(7), "y": np.zeros(7), "tilt": TILTS[ORDER]}
    table["y"][2] = 5e3
    (tmp_path / "a.aln").write_text(aln_text(np.arange(7), table, (nx, ny)))
    said = rf"a\.aln: row 3: TX, TY = 0, 5000 px move the image of {nx} x {ny} px"
    with pytest.raises(DataError, match=said):
        import_alignment(tmp_path / "a.aln", series, note=lambda _: None)


@pytest.mark.parametrize("own", [False, True])
def test_rows_of_images_that_are_not_used_do_not_hinder(tmp_path: Path, own):
    """Any row of any image refused the file; of used ones the cause is named."""
    write_stack(tmp_path / "TS.mrc")
    series, notes = imported(tmp_path / "TS.mrc", 0.0), list[str]()
    used = np.array(series.used)
    used[[2, 5]] = False
    series, kind = series.replace(used=used), "series" if own else None
    rows = np.tile(np.eye(2, 3), (7, 1, 1))
    moved, squashed = (2, 5) if own else series.sections.section[[2, 5], 0]
    rows[:, 0, 2], rows[moved, 0, 2], rows[squashed, :, :2] = 2.0, 9000.0, 0.0
    path = write_rows(tmp_path / "x.xf", rows)
    found = import_alignment(path, series, made_for=kind, note=notes.append)
    start = Alignment.of(series)
    assert np.allclose(found.shifts_px[[2, 5]], start.shifts_px[[2, 5]]), "not by rows that cannot be"
    at = (0.0, -2.0) if own else start.shifts_px[used] + (0.0, -1.0)
    assert np.allclose(found.shifts_px[used], at, atol=1e-6)
    assert np.array_equal(found.used, used)
    told = ", ".join(str(row + 1) for row in sorted((moved, squashed)))
    assert (
        f"x.xf: rows {told} were not taken: no alignment has such ones, and their images are not used"
        in notes
    )
    rows[squashed] = np.eye(2, 3)
    write_rows(path, rows)
    said = rf"row {moved + 1}: DX, DY = 9000, 0 px .* out of view\. Was .* another binning\?"
    with pytest.raises(DataError, match=said):
        import_alignment(path, series.replace(used=np.ones_like(used)), made_for=kind, note=notes.append)
    table = {"rot": np.zeros(7), "x": np.zeros(7), "y": np.zeros(7), "tilt": TILTS[ORDER]}
    row = int(np.argsort(np.argsort(series.tilt_deg))[2])
    table["y"][row] = 5e3
    shape = series.image_shape if own else RAW_SHAPE
    (tmp_path / "a.aln").write_text(aln_text(np.arange(7), table, shape[::-1]))
    found = import_alignment(tmp_path / "a.aln", series, made_for=kind, note=notes.append)
    assert np.allclose(found.shifts_px[2], start.shifts_px[2])
    assert any(f"a.aln: row {row + 1} was not taken" in note for note in notes)
    with pytest.raises(DataError, match=rf"row {row + 1}: TX, TY = 0, 5000 px .* another binning"):
        import_alignment(tmp_path / "a.aln", series.replace(used=np.ones_like(used)), made_for=kind)


def test_one_stack_for_each_focus(tmp_path: Path):
    """A .xf with as many rows as each stack has sections serves all foci; others are refused."""
    tilts = np.array([10.0, 0.0, -10.0])
    raws = [write_stack(tmp_path / f"f{k}.mrc", 3, tilts, first=10 * k) for k in (0, 1)]
    plan = look([tmp_path / "f0.mrc", tmp_path / "f1.mrc"]).edited(tilt_axis_angle_deg=90.0, energy_ev=3e5)
    series, rows = load(plan, normalise="given", **IMPORT), imod_rows(3, 1)
    assert series.sections.of_tilts.tolist() == [2, 1, 0] and series.sections.stack is None
    found = import_alignment(write_rows(tmp_path / "x.xf", rows), series)
    for tilt, focus in np.ndindex(3, 2):
        by_imod = newstack(raws[focus][2 - tilt], rows[2 - tilt])
        assert worst(by_imod, *ours(series, found, (tilt, focus), 0.5)) < 0.003
    write_rows(tmp_path / "four.xf", imod_rows(4, 2))
    with pytest.raises(DataError, match="4 transforms for 3 tilts with 2 foci, which come from 2 files"):
        import_alignment(tmp_path / "four.xf", series)


def test_a_stack_that_was_opened_directly_knows_its_sections(tmp_path: Path):
    raw, rows = write_stack(tmp_path / "TS.mrc"), imod_rows(7, 1)
    series = load_series(tmp_path / "TS.mrc", energy_ev=3e5, tilt_axis_angle_deg=90.0, normalise="given")
    assert np.array_equal(series.tilt_deg, TILTS) and series.sections.section[:, 0].tolist() == list(range(7))
    found = import_alignment(write_rows(tmp_path / "x.xf", rows), series)
    by_us = ours(series, found, (3, 0), 1.0)
    assert worst(newstack(raw[3], rows[3]), *by_us) < 2e-3


@pytest.mark.parametrize("order", ["tilt-major", "focus-major"])
def test_interleaved_sections_are_divided_as_the_images_are(tmp_path: Path, order):
    write_stack(tmp_path / "TS.mrc", 6, np.repeat([20.0, 0.0, -20.0], 2) if order == "tilt-major" else
                np.tile([20.0, 0.0, -20.0], 2))  # fmt: skip
    series = load_series(tmp_path / "TS.mrc", energy_ev=3e5, n_focus=2, focus_order=order, normalise="given")
    raw = np.stack([blobs(k) for k in range(6)])
    for place in np.ndindex(3, 2):
        assert np.array_equal(series.images[place], raw[series.sections.section[place]])


def test_a_turn_by_the_optimiser_keeps_the_frame(tmp_path: Path):
    """The parameter of the tilt axis turns images: the .xf of the raw stack then turns them less."""
    from napari_phaset3m.config import ReconstructionConfig
    from napari_phaset3m.optimise.parameters import PARAMETERS

    raw, rows = write_stack(tmp_path / "TS.mrc"), imod_rows(7, 1)
    series = imported(tmp_path / "TS.mrc")
    turned, _ = PARAMETERS["tilt_axis_angle_deg"].put(series, ReconstructionConfig(), 6.0)
    found = import_alignment(write_rows(tmp_path / "x.xf", rows), turned)
    by_us = ours(turned, found, (3, 0), 0.5, margin=6)
    assert worst(newstack(raw[ORDER[3]], rows[ORDER[3]]), *by_us) < 0.02


def test_nothing_is_told_where_the_series_is_the_stack(tmp_path: Path):
    write_stack(tmp_path / "TS.mrc")
    rows, told = imod_rows(7, 1, 0.0), []
    series = load_series(tmp_path / "TS.mrc", energy_ev=3e5, normalise="given")
    found = import_alignment(write_rows(tmp_path / "x.xf", rows), series, note=told.append)
    own = import_alignment(tmp_path / "x.xf", series, made_for="series", note=told.append)
    assert same(found, own, atol=1e-9) and not told and series.sections.is_whole_file
    export_alignment(found, tmp_path / "y.xf", series, note=told.append)
    assert not told and np.allclose(read_xf(tmp_path / "y.xf"), rows, atol=1e-3)


def test_a_damaged_group_is_refused(tmp_path: Path):
    import h5py

    write_stack(tmp_path / "TS.mrc")
    file = save_series(imported(tmp_path / "TS.mrc"), tmp_path / "a.h5")
    with h5py.File(file, "r+") as h5:
        h5["sections/section"][0, 0] = 7
    with pytest.raises(DataError, match=r"a\.h5: sections/section: is not among those of its file"):
        load_series(file)
    with h5py.File(file, "r+") as h5:
        del h5["sections/to_file"]
    with pytest.raises(DataError, match=r"a\.h5: sections/to_file: is not in the file"):
        load_series(file)


def sheared(rows: np.ndarray, row: int) -> np.ndarray:
    changed = rows.copy()
    changed[row, :, :2] = rows[row, :, :2] @ [[1.0, 0.2], [0.0, 1.0]]
    return changed


@pytest.mark.parametrize("made_for", [None, "series"])
def test_a_stretched_row_of_an_image_that_is_not_used_does_not_count(tmp_path: Path, made_for):
    """Programs leave there what they like; the whole file was refused of it."""
    write_stack(tmp_path / "TS.mrc")
    series = imported(tmp_path / "TS.mrc")
    row = 4 if made_for is None else int(np.argwhere(ORDER == 4)[0, 0])
    rows = imod_rows(7, 3, 90.0 if made_for is None else 0.0)
    tilt = int(np.argwhere(ORDER == 4)[0, 0])
    used = np.arange(7)[:, None] != tilt
    left_out, notes = series.replace(used=used), list[str]()
    wanted = import_alignment(write_rows(tmp_path / "good.xf", rows), left_out, made_for=made_for)
    bad = write_rows(tmp_path / "bad.xf", sheared(rows, row))
    found = import_alignment(bad, left_out, made_for=made_for, note=notes.append)
    np.testing.assert_allclose(found.shifts_px[used], wanted.shifts_px[used])
    assert any(f"row {row + 1} was not taken" in note for note in notes)
    with pytest.raises(DataError, match=rf"bad.xf: row {row + 1}: has a stretch that moves a corner"):
        import_alignment(bad, series, made_for=made_for)


def test_a_file_of_a_binned_stack_with_its_pixel_ratio(tmp_path: Path):
    """The .xf of the stack binned by 4: the same turns, a quarter of the shifts."""
    write_stack(tmp_path / "TS.mrc")
    series, rows = imported(tmp_path / "TS.mrc"), imod_rows(7, 3)
    wanted = import_alignment(write_rows(tmp_path / "raw.xf", rows), series)
    rows[..., 2] /= 4
    binned = write_rows(tmp_path / "binned.xf", rows)
    told = list[str]()
    found = import_alignment(binned, series, pixel_ratio=4.0, note=told.append)
    np.testing.assert_allclose(found.shifts_px, wanted.shifts_px, atol=5e-3)
    assert told == [
        "binned.xf: shifts were multiplied by 4 (the pixel ratio given)",
        "binned.xf: rows are taken for the sections of TS.mrc, in pixels of 4 of the stack's "
        "(one here is 2 of the stack's)",
    ], "it said: in its pixels"
    import_alignment(binned, series, made_for="series", pixel_ratio=3.0, note=told.append)
    assert told[2:] == ["binned.xf: shifts were multiplied by 3 (the pixel ratio given)"]
    for ratio in (0.0, -1.0, np.nan, np.inf):
        with pytest.raises(ConfigError, match=r"pixel_ratio: is .* positive"):
            import_alignment(binned, series, pixel_ratio=ratio)
    told = r"pixel_ratio: is 1e\+06, which leaves nothing of 121 x 168 pixels"
    with pytest.raises(ConfigError, match=told):
        import_alignment(binned, series, pixel_ratio=1e6)
    for odd in ("4", True):
        with pytest.raises(ConfigError, match=rf"pixel_ratio: is {odd!r}\. Give a positive number"):
            import_alignment(binned, series, pixel_ratio=odd)  # type: ignore[arg-type]


def aln_of_binned(folder: Path, series: TiltFocalSeries, bin: int) -> tuple[Alignment, Path]:
    """An alignment, and the .aln of it that AreTomo makes of the stack binned by so many pixels."""
    wanted = some(series, magnified=False)
    (file,) = export_alignment(wanted, folder / "raw.aln", series)
    ny, nx = RAW_SHAPE
    lines = []
    for line in file.read_text().replace(f"{nx} {ny}", f"{nx // bin} {ny // bin}").splitlines():
        cells = line.split()
        if not line.startswith("#"):
            cells[3:5] = [f"{float(cell) / bin:.6f}" for cell in cells[3:5]]
        lines.append(" ".join(cells))
    (folder / "binned.aln").write_text("\n".join(lines))
    return wanted, folder / "binned.aln"


def test_a_given_pixel_ratio_is_over_the_pixel_of_the_files(tmp_path: Path):
    """Where RawSize is that of the series' own images it was taken over the pixel of those: twofold wrong."""
    write_stack(tmp_path / "TS.mrc")
    series, told = imported(tmp_path / "TS.mrc", crop=None, angle=0.0), list[str]()
    wanted, file = aln_of_binned(tmp_path, series, 2)
    assert series.image_shape == tuple(size // 2 for size in RAW_SHAPE), "RawSize is that of its images"
    found = import_alignment(file, series, pixel_ratio=2, note=told.append)
    np.testing.assert_allclose(found.shifts_px, wanted.shifts_px, atol=5e-3)
    assert any("shifts were multiplied by 2" in note for note in told)
    assert any("in pixels of 2 of the stack's (one here is 2 of the stack's)" in note for note in told)
    own = import_alignment(file, series, note=told.append)
    np.testing.assert_allclose(
        own.shifts_px, found.shifts_px, atol=0.3
    )  # their centres differ by half a pixel
    np.testing.assert_allclose(
        import_alignment(file, series, made_for="series", pixel_ratio=1).shifts_px, own.shifts_px
    )


@pytest.mark.parametrize("ratio", [1, 4])
def test_a_pixel_ratio_that_is_not_what_raw_size_tells_is_refused(tmp_path: Path, ratio):
    write_stack(tmp_path / "TS.mrc")
    series = imported(tmp_path / "TS.mrc", crop=None, angle=0.0)
    _, file = aln_of_binned(tmp_path, series, 2)
    ny, nx = RAW_SHAPE
    said = (
        rf"pixel_ratio: is {ratio}, but RawSize is {nx // 2} x {ny // 2} px .* are {nx} x {ny} px: 2\. Leave"
    )
    with pytest.raises(ConfigError, match=said):
        import_alignment(file, series, pixel_ratio=ratio)


def test_a_stretch_counts_in_the_pixels_of_the_series(tmp_path: Path):
    """What moves a corner of the raw image by 1.2 px moves one of the image binned by 2 by 0.6."""
    write_stack(tmp_path / "TS.mrc")
    series, rows = imported(tmp_path / "TS.mrc", crop=None, angle=0.0), imod_rows(7, 3, 0.0)
    rows[4, :, :2] = rows[4, :, :2] @ [[1.0, 1.2 / (RAW_SHAPE[0] / 2)], [0.0, 1.0]]
    file = write_rows(tmp_path / "x.xf", rows)
    assert np.isfinite(import_alignment(file, series).shifts_px).all()
    whole = imported(tmp_path / "TS.mrc", crop=None, angle=0.0, bin=1)
    with pytest.raises(DataError, match=r"x\.xf: row 5: has a stretch that moves a corner"):
        import_alignment(file, whole)
