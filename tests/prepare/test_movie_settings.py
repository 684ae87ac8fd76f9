"""How movies and their gain are read: from flags to the series, its files, and motion correction."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import mrcfile
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "io"))
from _eer import write_eer
from _movies import movie, settling

from napari_phaset3m.cli import main
from napari_phaset3m.errors import ConfigError, DataError
from napari_phaset3m.io.import_config import ImportConfig, at_scale
from napari_phaset3m.io.importing import load, look, write
from napari_phaset3m.io.movies import MovieConfig, open_movie
from napari_phaset3m.io.series import load_series, save_series
from napari_phaset3m.prepare.events import drain
from napari_phaset3m.prepare.history import history
from napari_phaset3m.prepare.motion.config import MotionConfig
from napari_phaset3m.prepare.motion.step import run

#: What the camera did to the reference of the tests, and the flags that undo it.
FLAGS = ["--gain-rotate", "1", "--gain-flip", "left-right", "--gain-mode", "divide"]
SETTINGS = {"gain_rotate": 1, "gain_flip": "left-right", "gain_mode": "divide"}


def as_stored(sensitivity):
    """A reference that quarter turn and flip bring back to ``sensitivity`` (rows run upwards)."""
    return np.rot90(sensitivity[:, ::-1], 1)


def mrc(path, data):
    with mrcfile.new(path) as file:
        file.set_data(np.ascontiguousarray(data, np.float32))
        file.voxel_size = 1.2
    return path


@pytest.fixture(scope="module")
def camera():
    """(true frames, what a camera of uneven sensitivity recorded, that sensitivity)."""
    frames = movie(n=256, dose=6.0, drift=settling(8)).astype(np.float32)
    sensitivity = np.random.default_rng(7).uniform(0.3, 1.7, (256, 256)).astype(np.float32)
    return frames, frames * sensitivity, sensitivity


@pytest.fixture
def session(tmp_path, camera):
    """An mdoc of two movies, and the reference as the camera stored it."""
    lines = ["PixelSpacing = 1.2", "Voltage = 300", "[T = Tilt axis angle = 0.0]", ""]
    for number, tilt in enumerate((-10.0, 10.0)):
        mrc(tmp_path / f"f{number}.mrc", camera[1])
        lines += [f"[ZValue = {number}]", f"TiltAngle = {tilt}", "ExposureDose = 2",
                  f"SubFramePath = D:\\frames\\f{number}.mrc",
                  f"DateTime = 01-Jan-24  10:0{number}:00", ""]  # fmt: skip
    (tmp_path / "ts.mdoc").write_text("\n".join(lines))
    mrc(tmp_path / "gain.mrc", as_stored(camera[2]))
    return tmp_path


def alike(a, b):
    return float(np.corrcoef(a[24:-24, 24:-24].ravel(), b[24:-24, 24:-24].ravel())[0, 1])


def test_flags_of_the_import_reach_images_files_and_motion_correction(session, camera):
    out, plan = session / "out.h5", session / "plan.toml"
    base = ["convert", str(session / "ts.mdoc"), "-o", str(out), "--gain", str(session / "gain.mrc")]
    assert main([*base, *FLAGS, "--plan", str(plan)]) == 0
    series = load_series(out)
    plain = camera[0].sum(axis=0)
    np.testing.assert_allclose(series.images[0, 0], plain / plain.mean(), rtol=1e-4)
    kept = series.metadata["movie_settings"]
    assert {key: kept[key] for key in SETTINGS} == SETTINGS
    assert history(series)[0]["parameters"]["movies"] == kept
    save_series(series, session / "again.toml")
    for text in (plan, session / "again.toml"):
        assert load_series(text).metadata["movie_settings"] == kept, text
    np.testing.assert_allclose(load_series(plan).images, series.images, rtol=1e-4)
    assert look(plan).movies == MovieConfig.parse(**SETTINGS)
    # A later step reads the movies in the same way: nobody says anything about the gain again.
    done = drain(run(series, MotionConfig(patches=1)))
    gap = np.array(done.result[0, 0]["shifts_px"]) - settling(8)
    assert np.sqrt((gap**2).mean()) < 0.1
    wrong = drain(run(series, MotionConfig(patches=1, gain_rotate=0, gain_flip="none")))
    movies = [[{"path": str(mrc(session / "clean.mrc", camera[0]))}], [None]]
    ideal = series.replace(metadata={**series.metadata, "gain": None, "movies": movies})
    clean = drain(run(ideal, MotionConfig(patches=1)))
    assert alike(done.series.images[0, 0], clean.series.images[0, 0]) > 0.99
    assert alike(wrong.series.images[0, 0], clean.series.images[0, 0]) < 0.9


def test_flags_of_one_movie(session, camera, capsys):
    source, out = session / "f0.mrc", session / "sum.mrc"
    flags = [f"--motion{flag[1:]}" if flag.startswith("--") else flag for flag in FLAGS]
    command = ["prepare", str(source), "-o", str(out), "--motion-gain", str(session / "gain.mrc"), *flags]
    assert main([*command, "--motion-patches", "1", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert np.sqrt(((np.array(told["shifts_px"]) - settling(8)) ** 2).mean()) < 0.1
    assert {key: told["steps"][0]["parameters"][key] for key in SETTINGS} == SETTINGS
    with mrcfile.open(out) as file:
        assert file.data.mean() == pytest.approx(camera[0].sum(axis=0).mean(), rel=5e-3)


def test_a_reference_of_another_size_tells_both_sizes_and_the_turn_that_fits(tmp_path):
    mrc(tmp_path / "m.mrc", np.ones((2, 8, 12)))
    mrc(tmp_path / "g.mrc", np.ones((12, 8)))
    told = (
        r"g\.mrc: gain: is 12 x 8, the frames are 8 x 12 pixels \(y, x\)\. "
        r"It fits with gain_rotate 1 or 3$"
    )
    with pytest.raises(DataError, match=told):
        open_movie(tmp_path / "m.mrc", tmp_path / "g.mrc")
    turned = MovieConfig(gain_rotate=3)
    assert open_movie(tmp_path / "m.mrc", tmp_path / "g.mrc", config=turned).gain.shape == (8, 12)
    with pytest.raises(DataError, match=r"turned by 1 quarter turn, the frames.* gain_rotate 0 or 2"):
        open_movie(tmp_path / "m.mrc", np.ones((16, 24)), config=MovieConfig(gain_rotate=1))
    with pytest.raises(DataError, match="no quarter turn makes it fit"):
        open_movie(tmp_path / "m.mrc", np.ones((12, 9)))


@pytest.mark.parametrize(
    ("command", "flag"), [("prepare", "--motion-gain"), ("convert", "--gain")], ids=["prepare", "convert"]
)
def test_a_reference_of_another_size_tells_the_flag_of_the_command(session, capsys, command, flag):
    mrc(session / "g.mrc", np.ones((256, 128)))
    for name in ("f0.mrc", "f1.mrc"):
        (session / name).unlink()
        mrc(session / name, np.random.default_rng(3).poisson(5.0, (2, 128, 256)))
    source, out = ("f0.mrc", "o.mrc") if command == "prepare" else ("ts.mdoc", "o.h5")
    given = [command, str(session / source), "-o", str(session / out), flag, str(session / "g.mrc")]
    assert main(given) == 2
    told = f"is 256 x 128, the frames are 128 x 256 pixels (y, x). It fits with {flag}-rotate 1 or 3\n"
    assert capsys.readouterr().err.endswith(told)
    assert main([*given, f"{flag}-rotate", "1"]) == 0


def test_flags_are_refused_where_a_series_has_its_own(session, capsys):
    save_series(load(look(session / "ts.mdoc")), session / "s.h5")
    command = ["convert", str(session / "s.h5"), "-o", str(session / "o.h5")]
    for given, use in ((["--gain-rotate", "1"], "--motion-gain-rotate"),
                       (["--gain", str(session / "gain.mrc")], "--motion-gain"),
                       (["--eer-group-dose", "1"], "--motion-eer-group")):  # fmt: skip
        assert main([*command, *given]) == 2
        told = f"{given[0]}: s.h5 keeps how its movies are read. Use phaset3m prepare {use}\n"
        assert capsys.readouterr().err == f"phaset3m: {told}"
    command[1] = str(session / "s.mrc")
    assert main([*command, "--gain-rotate", "5"]) == 2
    assert "--gain-rotate: must be 0, 1, 2, or 3" in capsys.readouterr().err


def test_flags_of_movies_are_refused_for_a_series_without(session, capsys):
    series = load(look(session / "ts.mdoc"))
    kept = {key: value for key, value in series.metadata.items() if key != "movies"}
    save_series(series.replace(metadata=kept), session / "n.h5")
    command = ["convert", str(session / "n.h5"), "-o", str(session / "o.h5")]
    assert main([*command, "--gain-rotate", "1"]) == 2
    told = capsys.readouterr().err
    assert "--gain-rotate: n.h5 names no movies for its images" in told and told.endswith("Leave it out\n")
    assert main([*command, "--gain", str(session / "gain.mrc")]) == 2
    told = capsys.readouterr().err
    assert "--gain: n.h5 names no movies" in told and "phaset3m prepare --reference-gain" in told
    assert not (session / "o.h5").exists()


@pytest.fixture
def eer(tmp_path):
    """Three EER movies of 12 raw frames in 96 x 128 detector pixels, tilt in the name, without drift."""
    pytest.importorskip("imagecodecs")
    for tilt in (-10, 0, 10):
        rng = np.random.default_rng(tilt + 20)
        places = [rng.choice(96 * 128, 4000, replace=False) for _ in range(12)]
        frames = [
            [(int(p // 128), int(p % 128), *rng.integers(0, 4, 2).tolist()) for p in some] for some in places
        ]
        write_eer(tmp_path / f"ts_{tilt}.eer", frames, (96, 128), dose_px=6.0)
    return tmp_path


def test_upsampled_eer_keeps_pixel_size_and_comes_back(eer):
    plan = look(sorted(eer.glob("*.eer")), movies=MovieConfig(eer_upsampling=2, eer_group=3))
    plan = plan.edited(pixel_size_angstrom=0.6, energy_ev=300e3, tilt_axis_angle_deg=0.0,
                       confirm=[q.field for q in plan.questions])  # fmt: skip
    assert plan.image_shape == (192, 256)
    text, data = write(plan, eer / "s.toml")
    for series in (load_series(text), load_series(data)):
        assert series.images.shape == (3, 1, 192, 256) and series.pixel_size_angstrom == 0.6
        assert series.metadata["movie_settings"]["eer_group"] == 3
    total = open_movie(eer / "ts_0.eer", config=MovieConfig(eer_upsampling=2, eer_group=1)).total()
    np.testing.assert_allclose(load_series(text).images[1, 0], total / total.mean(), rtol=1e-4)
    done = drain(run(load_series(data), MotionConfig(patches=1)))
    assert done.series.images.shape == (3, 1, 192, 256)
    assert len(done.result[1, 0]["shifts_px"]) == 4  # 12 raw frames, 3 to a fraction
    factor = done.result[1, 0]["drift_total_angstrom"], done.result[1, 0]["drift_total_px"]
    assert factor[0] == pytest.approx(0.6 * factor[1])
    with pytest.raises(DataError, match=r"96 x 128 pixels, the series has 192 x 256.*EER upsampling"):
        drain(run(load_series(data), MotionConfig(patches=1, eer_upsampling=1)))


def test_upsampling_divides_the_pixel_that_a_file_states(eer):
    lines = ["PixelSpacing = 1.2", "Voltage = 300", "[T = Tilt axis angle = 0.0]", ""]
    for number, tilt in enumerate((-10, 0, 10)):
        lines += [f"[ZValue = {number}]", f"TiltAngle = {tilt}", f"SubFramePath = D:\\ts_{tilt}.eer",
                  f"DateTime = 01-Jan-24  10:0{number}:00", ""]  # fmt: skip
    (eer / "ts.mdoc").write_text("\n".join(lines))
    plain, fine = look(eer / "ts.mdoc"), look(eer / "ts.mdoc", movies=MovieConfig(eer_upsampling=4))
    assert plain.pixel_size_angstrom == 1.2 and fine.pixel_size_angstrom == pytest.approx(0.3)
    assert load(fine, bin=4).pixel_size_angstrom == pytest.approx(1.2)


def test_a_description_keeps_its_crop_and_mtf_when_eer_is_rendered_finer(eer):
    plan = look(sorted(eer.glob("*.eer"))).edited(
        pixel_size_angstrom=1.2, energy_ev=300e3, tilt_axis_angle_deg=0.0, mtf=[[0.0, 1.0], [1.0, 0.5]]
    )
    plan = plan.edited(confirm=[question.field for question in plan.questions])
    text, _ = write(
        plan, eer / "s.toml", config=ImportConfig(bin=2, bin_method="mean", crop=(8, 72, 16, 112))
    )
    out = eer / "fine.h5"
    assert main(["convert", str(text), "-o", str(out), "--eer-upsampling", "2"]) == 0
    coarse, fine = load_series(text), load_series(out)
    assert fine.images.shape[2:] == (64, 96) and coarse.images.shape[2:] == (32, 48)
    assert fine.pixel_size_angstrom == pytest.approx(0.5 * coarse.pixel_size_angstrom)
    # The same part of the specimen: four fine pixels hold the electrons of one.
    blocks = fine.images.reshape(3, 1, 32, 2, 48, 2).mean(axis=(3, 5))
    np.testing.assert_allclose(blocks, coarse.images, rtol=1e-4)
    # Frequencies per angstrom stay; fractions of Nyquist do not.
    np.testing.assert_allclose(
        fine.mtf[:, 0] / fine.pixel_size_angstrom, coarse.mtf[:, 0] / coarse.pixel_size_angstrom
    )
    np.testing.assert_allclose(fine.shifts_px, 2 * coarse.shifts_px)
    assert look(text, movies=MovieConfig(eer_upsampling=4)).config.crop == (32, 288, 64, 448)
    # Pixels that an edge would cut are kept whole.
    assert at_scale(ImportConfig(crop=(1, 9, 2, 13)), 0.5).crop == (0, 5, 1, 7)


@pytest.mark.parametrize("line", ['gain_rotate = "upside"', "eer_upsampling = 3", 'gain_mode = "add"'])
def test_settings_of_a_text_are_checked(tmp_path, line):
    (tmp_path / "s.toml").write_text(f'{line}\n[[image]]\nfile = "m.mrc"\ntilt_deg = 0.0\n')
    with pytest.raises(DataError, match=rf"s\.toml.*{line.split()[0]}"):
        load_series(tmp_path / "s.toml")


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--motion-gain-rotate", "1"], "--motion-gain-rotate: speaks of a gain reference, "
         "and none is given. Name it with --motion-gain"),
        (["--motion-gain-flip", "up-down"], "--motion-gain-flip: speaks of a gain reference"),
        (["--motion-eer-upsampling", "2"], "--motion-eer-upsampling: m.mrc is no EER file"),
        (["--motion-eer-group", "2"], "--motion-eer-group: m.mrc is no EER file"),
    ],
)  # fmt: skip
def test_flags_of_motion_without_effect_are_refused(tmp_path, capsys, flags, told):
    mrc(tmp_path / "m.mrc", np.ones((2, 32, 32)))
    assert main(["prepare", str(tmp_path / "m.mrc"), "-o", str(tmp_path / "o.mrc"), "--motion", *flags]) == 2
    error = capsys.readouterr().err
    assert told in error and error.count("\n") == 1 and not (tmp_path / "o.mrc").exists()


def test_a_series_without_gain_refuses_its_turn(session):
    series = load(look(session / "ts.mdoc"))
    with pytest.raises(ConfigError, match=r"^motion\.gain_rotate: speaks of a gain reference"):
        drain(run(series, MotionConfig(patches=1, gain_rotate=1)))


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--gain-flip", "up-down"], "--gain-flip: the files are no movies"),
        (["--gain-rotate", "3"], "--gain-rotate: the files are no movies"),
        (["--eer-group-dose", "1"], "--eer-group-dose: the files are no movies"),
    ],
)
def test_flags_of_movies_are_refused_for_images(tmp_path, capsys, flags, told):
    mrc(tmp_path / "blob.mrc", np.ones((3, 16, 16)))
    (tmp_path / "blob.tlt").write_text("-3\n0\n3\n")
    command = ["convert", str(tmp_path / "blob.mrc"), "-o", str(tmp_path / "o.h5"), "--energy", "3e5"]
    assert main([*command, *flags]) == 2
    error = capsys.readouterr().err
    assert told in error and error.count("\n") == 1 and not (tmp_path / "o.h5").exists()


def test_eer_flags_are_refused_for_other_movies(session, capsys):
    command = ["convert", str(session / "ts.mdoc"), "-o", str(session / "o.h5"), "--eer-upsampling", "2"]
    assert main(command) == 2
    assert "--eer-upsampling: no movie is an EER file" in capsys.readouterr().err
    with pytest.raises(ConfigError, match="no movie is an EER file"):
        load(look(session / "ts.mdoc"), movies=MovieConfig(eer_group=2))


#: Every setting spelt out, as a recipe or the metadata of a series have it: what holds without them.
DEFAULTS = MovieConfig().model_dump(mode="json")


def test_settings_that_are_as_without_them_are_taken_for_any_files(session, tmp_path, capsys):
    """Explicit defaults used to be refused where they do nothing, so that some recipes did not load."""
    mrc(tmp_path / "blob.mrc", np.ones((3, 16, 16)))
    (tmp_path / "blob.tlt").write_text("-3\n0\n3\n")
    for source in (tmp_path / "blob.mrc", session / "ts.mdoc"):
        plan = look(source, movies=MovieConfig(**DEFAULTS))
        assert plan.movies == MovieConfig()
        assert load(plan, movies=MovieConfig(**DEFAULTS), energy_ev=3e5).n_tilt == plan.n_tilt
    flags = ["--gain-rotate", "0", "--gain-flip", "none", "--eer-upsampling", "1"]
    command = ["convert", str(session / "ts.mdoc"), "-o", str(session / "o.h5"), *flags]
    assert main(command) == 0


def test_recipes_of_motion_load_again_for_the_same_input(session, monkeypatch):
    """Also from another folder, and with what is the default spelt out."""
    assert main(["convert", str(session / "ts.mdoc"), "-o", str(session / "s.h5")]) == 0
    own = {name: DEFAULTS[name] for name in ("gain_rotate", "gain_flip", "gain_mode", "eer_upsampling")}
    spelt = [f"--motion-{name.replace('_', '-')}={value}" for name, value in own.items()]
    monkeypatch.chdir(session)
    for number, flags in enumerate((spelt, ["--motion-gain", "gain.mrc", "--motion-gain-rotate", "1"])):
        command = ["prepare", "s.h5", "-o", f"m{number}.h5", "--motion-patches", "1", *flags]
        assert main([*command, "--save-recipe", f"r{number}.yaml"]) == 0
    other = session / "other"
    other.mkdir()
    monkeypatch.chdir(other)
    for number in (0, 1):
        first = load_series(session / f"m{number}.h5")
        for recipe in (f"r{number}.yaml", f"m{number}.h5"):
            command = ["prepare", str(session / "s.h5"), "-o", "again.h5", "--recipe", str(session / recipe)]
            assert main(command) == 0
            np.testing.assert_array_equal(load_series("again.h5").images, first.images)


def test_a_flag_leaves_the_other_settings_of_a_description(session):
    plan = session / "p.toml"
    base = ["convert", str(session / "ts.mdoc"), "-o", str(session / "out.h5")]
    assert main([*base, "--gain", str(session / "gain.mrc"), *FLAGS, "--plan", str(plan)]) == 0
    assert main(["convert", str(plan), "-o", str(session / "b.h5"), "--gain-rotate", "3"]) == 0
    kept = load_series(session / "b.h5").metadata["movie_settings"]
    assert {key: kept[key] for key in SETTINGS} == {**SETTINGS, "gain_rotate": 3}
