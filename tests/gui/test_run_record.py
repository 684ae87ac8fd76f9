"""What the window keeps of a run: absorptive part, source, edits, mask; replayed by the command line."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

pytestmark = pytest.mark.gui
pytest.importorskip("qtpy.QtWidgets")
pytest.importorskip("napari")

from napari.components import ViewerModel  # noqa: E402

from napari_phaset3m.cli import main  # noqa: E402
from napari_phaset3m.config import ReconstructionConfig, RefineConfig  # noqa: E402
from napari_phaset3m.gui.layers.publisher import METADATA_KEY  # noqa: E402
from napari_phaset3m.gui.reconstruct.driver import driver_for  # noqa: E402
from napari_phaset3m.gui.reconstruct.run_mask import RunMaskLine  # noqa: E402
from napari_phaset3m.gui.runs.view import RunsView  # noqa: E402
from napari_phaset3m.gui.runs.words import closing_line  # noqa: E402
from napari_phaset3m.gui.series.loader import loader_for  # noqa: E402
from napari_phaset3m.io.series import load_series, save_series  # noqa: E402
from napari_phaset3m.io.series_edits import apply_edits, series_edits  # noqa: E402
from napari_phaset3m.io.volume import load_volume  # noqa: E402
from napari_phaset3m.session import RunRecord, session_for  # noqa: E402

WAIT = 120_000
N = 16


@pytest.fixture(scope="module")
def series_file(tmp_path_factory):
    """Three tilts and two foci of a blob, as a file that says nothing of dose and Cs."""
    from napari_phaset3m.core.series import TiltFocalSeries

    y, x = np.indices((N, N)) - (N - 1) / 2
    blob = np.exp(-(x**2 + y**2) / 8)
    series = TiltFocalSeries(
        images=np.stack([[1 - 0.1 * blob, 1 - 0.2 * blob]] * 3),
        tilt_deg=[-20.0, 0.0, 20.0],
        pixel_size_angstrom=0.8,
        energy_ev=300e3,
        defocus_angstrom=[300.0, 600.0],
    )
    return save_series(series, tmp_path_factory.mktemp("gui") / "blob.h5")


@pytest.fixture
def window(qtbot, series_file):
    """(session, driver, runs) with the file opened, its Cs answered for."""
    viewer = ViewerModel()
    session = session_for(viewer)
    driver, loader = driver_for(session, viewer), loader_for(session)
    loader.load(series_file, spherical_aberration_angstrom=1e7)
    qtbot.waitUntil(lambda: session.series is not None, timeout=WAIT)
    session.device = "cpu"
    runs = RunsView(session)
    qtbot.addWidget(runs)
    yield session, driver, runs
    driver.stop()
    qtbot.waitUntil(lambda: not driver.busy, timeout=WAIT)


def config(**more):
    constraints = {"atomic_basis_sigma_angstrom": None}
    return ReconstructionConfig(iterations=2, threads=1, slices=3, constraints=constraints, **more)


def run(qtbot, session, driver):
    assert driver.start() is not None
    qtbot.waitUntil(lambda: session.active_run is None, timeout=WAIT)
    record = session.runs[-1]
    assert record.status == "finished", record.error
    return record


def save(qtbot, runs, record, path):
    runs.save(record, path)
    qtbot.waitUntil(lambda: runs.note.text().startswith(("Saved", "Not saved")), timeout=WAIT)
    return runs.note.text()


def test_edits_are_plain_data_and_come_back_to_the_bit(series_file):
    read = load_series(series_file)
    edited = read.replace(
        defocus_angstrom=np.array([[310.123456789, 600.0]] * 3),
        used=np.array([[True, False]] + [[True, True]] * 2),
        focal_spread_angstrom=12.5,
        aberrations={"C12": 40.0, "phi12": 0.3},
    )
    edits = json.loads(json.dumps(series_edits(read, edited)))
    assert sorted(edits) == ["aberrations", "defocus_angstrom", "focal_spread_angstrom", "used"]
    again = apply_edits(load_series(series_file), edits)
    for name in ("defocus_angstrom", "used", "tilt_deg", "images"):
        np.testing.assert_array_equal(getattr(again, name), getattr(edited, name))
    assert again.focal_spread_angstrom == 12.5 and dict(again.aberrations) == dict(edited.aberrations)
    assert series_edits(read, read) == {}
    emptied = series_edits(edited, edited.replace(focal_spread_angstrom=None))
    assert emptied == {"focal_spread_angstrom": None}
    assert apply_edits(edited, emptied).focal_spread_angstrom is None
    assert series_edits(read, read.replace(images=read.images + 1)) is None, "other images: no edit of these"


def test_a_run_of_an_edited_series_is_replayed_by_the_command_line(qtbot, window, tmp_path, capsys):
    session, driver, runs = window
    session.config = config(absorption=True, seed=3)
    used = np.array(session.series.used)
    used[0, 1] = False
    session.series = session.series.replace(used=used, defocus_angstrom=np.array([[320.0, 640.0]] * 3))
    record = run(qtbot, session, driver)
    # another series is opened before the volume is saved
    session.series_path, session.series_overrides = tmp_path / "other.h5", {}
    assert "gui_absorption.mrc" in save(qtbot, runs, record, tmp_path / "gui.mrc")
    told = json.loads((tmp_path / "gui.json").read_text())
    assert told["inputs"][0]["path"].endswith("blob.h5") and told["inputs"][0]["sha256"]
    assert told["series_overrides"] == {"spherical_aberration_angstrom": 1e7}
    assert sorted(told["series_edits"]) == ["defocus_angstrom", "used"]
    assert len(told["error_per_iteration"]) == len(told["seconds_per_iteration"]) == 2
    assert main(["reconstruct", "--from", str(tmp_path / "gui.json"), "-o", str(tmp_path / "cli.mrc"),
                 "--device", "cpu"]) == 0  # fmt: skip
    again = json.loads((tmp_path / "cli.json").read_text())
    assert sorted(again) == sorted(told), "both are made by the same function"
    for key in (
        "error_per_iteration",
        "parameters",
        "resolved",
        "series_edits",
        "series_overrides",
        "device",
    ):
        assert again[key] == told[key], key
    for name in ("", "_absorption"):
        ours, theirs = (load_volume(tmp_path / f"{who}{name}.mrc") for who in ("gui", "cli"))
        np.testing.assert_array_equal(ours.data, theirs.data)
        assert ours.origin == theirs.origin
    # a flag wins over an edit
    assert main(["reconstruct", "--from", str(tmp_path / "gui.json"), "-o", str(tmp_path / "flag.mrc"),
                 "--device", "cpu", "--defocus", "320,640"]) == 0  # fmt: skip
    assert sorted(json.loads((tmp_path / "flag.json").read_text())["series_edits"]) == ["used"]


def test_the_absorptive_part_is_a_second_layer(qtbot, window):
    session, driver, _ = window
    session.config = config(absorption=True)
    record = run(qtbot, session, driver)
    viewer = driver.publisher.viewer

    def layers():
        found = [la for la in viewer.layers if la.metadata.get(METADATA_KEY, {}).get("run_id")]
        return {la.metadata[METADATA_KEY]["role"]: la for la in found}

    qtbot.waitUntil(lambda: set(layers()) == {"volume", "absorption"}, timeout=WAIT)
    second = layers()["absorption"]
    assert second.data is record.absorption and record.absorption.shape == record.volume.shape
    assert not np.array_equal(record.absorption, record.volume)
    assert tuple(second.scale) == tuple(layers()["volume"].scale)
    assert tuple(second.translate) == tuple(layers()["volume"].translate)
    assert second.name in record.layer_names and len(record.layer_names) == 2
    for layer in list(viewer.layers):
        viewer.layers.remove(layer)
    driver.show(record)
    assert set(layers()) == {"volume", "absorption"}
    plain = run(qtbot, session, driver) if (setattr(session, "config", config()) is None) else None
    assert plain.absorption is None


def test_a_masked_run_is_replayed_with_its_mask(qtbot, window, tmp_path):
    session, driver, runs = window
    session.config = config()
    line = RunMaskLine(session)
    qtbot.addWidget(line)
    assert line.isHidden()
    z, y, x = np.indices((N, N, N)) - (N - 1) / 2
    mask = (x**2 + y**2 + z**2 < 25).astype(np.float32)
    session.mask = mask
    session.mask_name = "ball"
    volume = mask.sum() * 0.8**3 / 1000
    assert not line.isHidden() and line.name.full_text() == "Mask: ball"
    assert line.volume.text() == f"{volume:.3g} nm³"
    record = run(qtbot, session, driver)
    line.clear.click()
    assert session.mask is None and line.isHidden(), "later runs have none; this one had it"
    assert "m_mask.mrc" in save(qtbot, runs, record, tmp_path / "m.mrc")
    told = json.loads((tmp_path / "m.json").read_text())
    assert told["mask"]["path"].endswith("m_mask.mrc")
    assert main(["reconstruct", "--from", str(tmp_path / "m.json"), "-o", str(tmp_path / "again.mrc"),
                 "--device", "cpu"]) == 0  # fmt: skip
    ours, theirs = (load_volume(tmp_path / f"{name}.mrc").data for name in ("m", "again"))
    np.testing.assert_array_equal(ours, theirs)
    assert np.abs(ours[mask == 0]).max() == 0 < ours.max()
    # the user's own file of that name is not replaced
    other = replace(record, mask=replace(record.mask, mask=mask[::-1] * 0.5))
    assert "is another mask" in save(qtbot, runs, other, tmp_path / "m.mrc")


def test_a_failed_opening_does_not_change_what_the_run_came_from(qtbot, window, tmp_path):
    session, _, _ = window
    loader = loader_for(session)
    (tmp_path / "broken.h5").write_bytes(b"no series")
    with qtbot.waitSignal(loader.failed, timeout=WAIT):
        loader.load(tmp_path / "broken.h5", energy_ev=1.0)
    source = session.source()
    assert source.path.name == "blob.h5" and source.overrides == {"spherical_aberration_angstrom": 1e7}
    session.series = session.series.replace(images=session.series.images * 2)
    assert session.source().path is None, "images that are in no file"


def test_the_closing_line_says_what_stayed_out_and_what_was_refined():
    record = RunRecord("a", ReconstructionConfig(), reason="held-out")
    assert closing_line(record) == "Finished: held-out images stopped improving"
    record.settings = {"resolved": {"held_out_images": 7}}
    assert closing_line(record).endswith("; 7 held-out images stayed out of the volume")
    record.settings = {"resolved": {"held_out_images": 1}, "refined": {"shifts_px": []}}
    record.config = ReconstructionConfig(refine=RefineConfig(refine_shifts=True, refine_defocus="tilt"))
    assert closing_line(record).endswith(
        "; 1 held-out image stayed out of the volume; refined: shifts and defocus per tilt"
    )
