"""``phaset3m mask``: flags, steps, recipes, what is written and what is refused."""

from __future__ import annotations

import json

import mrcfile
import numpy as np
import pytest

from napari_phaset3m.analyse.masks import Recipe
from napari_phaset3m.analyse.masks_make import make_mask
from napari_phaset3m.cli import main
from napari_phaset3m.cli.mask_steps import parse_step
from napari_phaset3m.errors import ConfigError
from napari_phaset3m.io.mask import load_mask, save_mask
from napari_phaset3m.io.volume import Volume, load_volume, save_volume

VOXEL, SHAPE = 0.8, (30, 32, 36)


@pytest.fixture
def volume(tmp_path):
    """A ball of 10 V beside a smaller one, with noise; a path."""
    z, y, x = np.meshgrid(*((np.arange(n) - (n - 1) / 2) * VOXEL for n in SHAPE), indexing="ij")
    data = 10.0 * (x**2 + y**2 + z**2 <= 6**2) + 10.0 * ((x - 11) ** 2 + y**2 + z**2 <= 2**2)
    data += np.random.default_rng(0).normal(size=SHAPE)
    path = tmp_path / "v.mrc"
    save_volume(Volume(data=data, voxel_size_angstrom=VOXEL, origin=(1.0, 2.0, 3.0)), path)
    return path


def run(volume, *flags: str) -> int:
    return main(["mask", str(volume), "-o", str(volume.parent / "m.mrc"), *flags])


def last_line(capsys) -> str:
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1, lines
    return lines[0]


def test_flags_act_in_their_fixed_order_whatever_their_order(volume, capsys) -> None:
    flags = ["--otsu", "--lowpass", "3", "--largest", "1", "--fill", "--dilate", "2", "--soft", "3"]
    assert run(volume, *flags) == 0
    out = capsys.readouterr().out
    assert out.splitlines()[0] == (
        "Otsu's threshold after low-pass 3 Å → largest part → fill holes → dilate 2 Å → soft edge 3 Å"
    )
    first = load_mask(volume.parent / "m.mrc")
    steps = ("otsu lowpass=3", "largest", "fill", "dilate 2", "soft 3")
    recipe = Recipe.parse(steps=tuple(parse_step(step) for step in steps))
    data = load_volume(volume).data
    np.testing.assert_array_equal(first.mask, make_mask(recipe, data, VOXEL).mask)
    assert Recipe.parse(**first.recipe) == recipe and first.origin == (1, 2, 3)
    shuffled = ["--soft", "3", "--dilate", "2", "--fill", "--largest", "1", "--lowpass", "3", "--otsu"]
    assert run(volume, *shuffled) == 0
    np.testing.assert_array_equal(load_mask(volume.parent / "m.mrc").mask, first.mask)


def test_steps_act_in_the_order_given(volume, capsys) -> None:
    def with_steps(*steps: str) -> np.ndarray:
        assert run(volume, *(part for step in steps for part in ("--step", step))) == 0
        return load_mask(volume.parent / "m.mrc").mask

    ring = with_steps("sphere 16", "dilate 2", "invert")
    other = with_steps("sphere 16", "invert", "dilate 2")
    assert ring.sum() < other.sum()


def test_json_tells_volume_fraction_and_level(volume, capsys) -> None:
    assert run(volume, "--threshold", "5", "--largest", "1", "--json") == 0
    record = json.loads(capsys.readouterr().out)
    assert record["volume_nm3"] == pytest.approx(np.pi / 6 * 1.2**3, rel=0.05)
    mask = load_mask(volume.parent / "m.mrc").mask
    assert record["fraction"] == pytest.approx(mask.mean()) and record["threshold_levels"] == [5.0]
    assert record == json.loads((volume.parent / "m.json").read_text())


@pytest.mark.parametrize("form", ["yaml", "json", "mask", "record"])
def test_recipes_come_from_files_and_masks_and_steps_are_added(volume, tmp_path, form) -> None:
    recipe = Recipe.parse(steps=(parse_step("sphere 14 center=1,0,-2"), parse_step("erode 2")))
    if form in ("yaml", "json"):
        source = tmp_path / f"r.{form}"
        recipe.save(source)
    else:
        made = tmp_path / "earlier.mrc"
        steps = ["--step", "sphere 14 center=1,0,-2", "--step", "erode 2"]
        assert main(["mask", str(volume), "-o", str(made), *steps]) == 0
        source = made if form == "mask" else made.with_suffix(".json")
    assert run(volume, "--recipe", str(source), "--step", "soft 2") == 0
    found = load_mask(volume.parent / "m.mrc")
    assert Recipe.parse(**found.recipe).steps[:2] == recipe.steps
    assert found.recipe["steps"][-1] == {"kind": "soft", "width_angstrom": 2.0}


def test_masks_in_files_are_combined(volume, tmp_path) -> None:
    for name, step in (("a b.mrc", "sphere 16"), ("c.mrc", "box 8,8,8")):
        assert main(["mask", str(volume), "-o", str(tmp_path / name), "--step", step]) == 0
    a, c = load_mask(tmp_path / "a b.mrc").mask, load_mask(tmp_path / "c.mrc").mask
    steps = ["--step", f"union '{tmp_path}/a b.mrc'", "--step", f"difference {tmp_path}/c.mrc"]
    assert run(volume, *steps) == 0
    np.testing.assert_array_equal(load_mask(tmp_path / "m.mrc").mask, a * (1 - c))
    assert run(volume, "--sphere", "16", "--subtract", str(tmp_path / "c.mrc")) == 0
    np.testing.assert_array_equal(load_mask(tmp_path / "m.mrc").mask, a * (1 - c))


def test_crop_is_written_where_it_was(volume, tmp_path, capsys) -> None:
    crop = tmp_path / "crop.mrc"
    assert run(volume, "--sphere", "10", "--crop", str(crop), "--margin", "1.6", "--json") == 0
    told = json.loads(capsys.readouterr().out)["crop"]
    mask, data = load_mask(tmp_path / "m.mrc").mask, load_volume(volume).data
    cut = load_volume(crop)
    start = [round((o - b) / VOXEL) for o, b in zip(cut.origin, (1.0, 2.0, 3.0), strict=True)]
    where = tuple(slice(s, s + n) for s, n in zip(start, cut.shape, strict=True))
    np.testing.assert_array_equal(cut.data, (data * mask)[where])
    assert (mask[where].sum() == mask.sum()) and told["shape_zyx"] == list(cut.shape)
    assert cut.shape[0] == np.flatnonzero(mask.any((1, 2))).size + 4
    assert run(volume, "--sphere", "10", "--crop", str(crop), "--keep-outside") == 0
    assert np.abs(load_volume(crop).data).min() > 0


def test_without_steps_the_particle_is_found(volume, capsys) -> None:
    assert run(volume) == 0
    mask = load_mask(volume.parent / "m.mrc").mask
    assert mask[15, 16, 18] == 1 and mask[0, 0, 0] == mask[-1, -1, -1] == 0 and 0.1 < mask.mean() < 0.5


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--dilate", "3"], "the first step must make a mask"),
        (["--otsu", "--threshold", "3"], "--threshold: cannot be given with --otsu"),
        (["--lowpass", "3"], "--lowpass: .* Add --otsu"),
        (["--center", "1,2,3"], "--center: is of a shape"),
        (["--sphere", "4", "--box", "3"], "--box: only one shape"),
        (["--box", "3,4"], "--box: is '3,4'. Give x,y,z"),
        (["--otsu", "--step", "fill"], "--otsu: has no place among the steps"),
        (["--step", "dilat 3"], "'dilat' is not a step. Use otsu, "),
        (["--step", "sphere"], "lacks its value"),
        (["--step", "sphere 3 4"], "'4' is not understood"),
        (["--step", "sphere 3 'x"], "is not a step"),
        (["--step", "sphere x"], "diameter_angstrom: must be a number above 0"),
        (["--step", "sphere -3"], "step 1 .sphere.: diameter_angstrom"),
        (["--threshold", "99"], "nothing lies above 99"),
        (["--sphere", "40", "--soft", "-2"], "width_angstrom"),
        (["--union", "nowhere.mrc"], "nowhere.mrc: no such file"),
        (["--recipe", "nowhere.yaml"], "nowhere.yaml"),
        (["--sphere", "9", "--crop", "c.png"], "unknown suffix"),
        (["--sphere", "9", "-o", "m.png"], "unknown suffix"),
    ],
)
def test_mistakes_are_told_in_one_line_and_nothing_is_written(volume, flags, message, capsys) -> None:
    assert run(volume, *flags) == 2
    with pytest.raises(ConfigError, match=message):
        raise ConfigError(last_line(capsys))
    assert sorted(p.name for p in volume.parent.iterdir()) == ["v.mrc"]


def test_inputs_are_never_overwritten(volume, capsys) -> None:
    assert main(["mask", str(volume), "-o", str(volume), "--sphere", "9"]) == 2
    assert "would overwrite" in last_line(capsys)
    assert run(volume, "--sphere", "9", "--crop", str(volume)) == 2
    assert "would overwrite" in last_line(capsys)


def test_a_file_without_a_voxel_size_needs_one_and_unequal_voxels_are_refused(tmp_path, capsys) -> None:
    data = np.random.default_rng(0).random((8, 9, 10)).astype(np.float32)
    with mrcfile.new(tmp_path / "v.mrc", data):
        pass
    assert run(tmp_path / "v.mrc", "--sphere", "4") == 2
    assert "voxel_size" in last_line(capsys)
    assert run(tmp_path / "v.mrc", "--sphere", "4", "--voxel", "0.5") == 0
    with mrcfile.open(tmp_path / "v.mrc", "r+") as file:
        file.voxel_size = (1.0, 2.0, 1.0)
    capsys.readouterr()
    assert run(tmp_path / "v.mrc", "--sphere", "4") == 2
    assert "1 x 2 x 1 Å" in last_line(capsys)


def box_mask(path, shape, voxel, half=True):
    weights = np.zeros(shape, np.float32)
    weights[:, :, : shape[2] // 2 if half else None] = 1
    save_mask(path, weights, voxel, recipe={"steps": [{"kind": "sphere", "diameter_angstrom": 4.0}]})
    return weights


def test_a_run_names_its_mask_and_replays_with_it(tiny, tmp_path, capsys) -> None:
    weights = box_mask(tmp_path / "m.mrc", (32, 32, 32), 0.5)
    flags = ["--iterations", "1", "--threads", "1"]
    command = ["reconstruct", str(tiny), "-o", str(tmp_path / "a.mrc"), "--mask", str(tmp_path / "m.mrc")]
    assert main([*command, *flags]) == 0
    first = load_volume(tmp_path / "a.mrc").data
    assert not first[weights == 0].any() and first[weights == 1].any()
    record = json.loads((tmp_path / "a.json").read_text())
    digest = load_mask(tmp_path / "m.mrc").sha256
    assert record["mask"]["sha256"] == digest == record["resolved"]["mask"][0]["sha256"]
    assert record["mask"]["recipe"]["steps"][0]["kind"] == "sphere"
    again = ["reconstruct", "--from", str(tmp_path / "a.json"), "-o", str(tmp_path / "b.mrc")]
    assert main(again) == 0
    np.testing.assert_array_equal(load_volume(tmp_path / "b.mrc").data, first)
    capsys.readouterr()
    box_mask(tmp_path / "m.mrc", (32, 32, 32), 0.5, half=False)
    assert main(again) == 2
    assert "m.mrc: --mask: is not the mask that the parameters were used with" in capsys.readouterr().err
    assert main([*again, "--mask", str(tmp_path / "m.mrc")]) == 0


@pytest.mark.parametrize(
    ("shape", "voxel", "message"),
    [
        ((32, 32, 32), 0.7, "is of 22.4 x 22.4 x 22.4 Å"),
        ((32, 32, 16), 0.5, "but the reconstruction is of 16 x 16 x 16 Å"),
        ((16, 16, 16), 0.5, "Make it on a volume of this run"),
    ],
)
def test_a_mask_of_another_box_stops_the_run_before_it_starts(
    tiny, tmp_path, capsys, shape, voxel, message
) -> None:
    box_mask(tmp_path / "m.mrc", shape, voxel)
    command = ["reconstruct", str(tiny), "-o", str(tmp_path / "a.mrc"), "--mask", str(tmp_path / "m.mrc")]
    assert main(command) == 2
    assert message in last_line(capsys)
    assert not (tmp_path / "a.mrc").exists()


def test_another_sampling_of_the_same_box_is_taken(tiny, tmp_path) -> None:
    box_mask(tmp_path / "m.mrc", (16, 16, 16), 1.0)
    command = ["reconstruct", str(tiny), "-o", str(tmp_path / "a.mrc"), "--mask", str(tmp_path / "m.mrc")]
    assert main([*command, "--iterations", "1"]) == 0
    found = load_volume(tmp_path / "a.mrc").data
    assert not found[:, :, 18:].any() and found[:, :, :15].any()
