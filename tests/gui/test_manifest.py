from __future__ import annotations

from importlib import import_module
from pathlib import Path

import pytest

npe2 = pytest.importorskip("npe2")
ROOT = Path(__file__).resolve().parents[2]
MANIFEST = ROOT / "src" / "napari_phaset3m" / "napari.yaml"


@pytest.fixture(scope="module")
def manifest():
    return npe2.PluginManifest.from_file(MANIFEST)


def test_manifest_is_the_one_that_is_installed(manifest):
    installed = npe2.PluginManifest.from_distribution("napari-phaset3m")
    assert installed.contributions == manifest.contributions and manifest.display_name == "PhaseT3M"
    assert (ROOT / "napari.yaml").resolve() == MANIFEST.resolve()


def test_every_python_name_can_be_imported(manifest):
    for command in manifest.contributions.commands:
        module, name = command.python_name.split(":")
        assert callable(getattr(import_module(module), name)), command.id


def test_every_command_is_used(manifest):
    used = {w.command for w in manifest.contributions.widgets} | {
        r.command for r in manifest.contributions.readers
    }
    used |= {w.command for w in manifest.contributions.writers}
    used |= {s.command for s in manifest.contributions.sample_data}
    used |= {item.command for items in manifest.contributions.menus.values() for item in items}
    assert used == {command.id for command in manifest.contributions.commands}


def test_what_the_hub_shows_is_there(manifest):
    """napari's hub reads the package metadata, the README and this manifest, and nothing else."""
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert "Framework :: napari" in project["classifiers"] and project["readme"] == "README.md"
    assert len(project["description"]) < 120 and project["authors"] and project["license"]
    assert {"Homepage", "Documentation", "Bug Tracker", "Source Code"} <= set(project["urls"])
    assert manifest.categories and str(getattr(manifest.visibility, "value", manifest.visibility)) == "public"
    samples = manifest.contributions.sample_data
    assert {sample.key for sample in samples} == {"co3o4", "hiv", "measured"}


def test_every_sample_opens(manifest):
    for sample in manifest.contributions.sample_data:
        if sample.key == "measured":
            continue  # a note, below
        command = next(c for c in manifest.contributions.commands if c.id == sample.command)
        module, name = command.python_name.split(":")
        ((data, options, kind),) = getattr(import_module(module), name)()
        assert kind == "image" and data.ndim == 4 and options["units"][-1] == "angstrom"


@pytest.mark.gui
def test_commands_act_on_the_workspace_and_open_it(make_napari_viewer, qtbot, monkeypatch):
    from qtpy.QtWidgets import QFileDialog

    from napari_phaset3m.gui import commands
    from napari_phaset3m.gui.key_sheet import keys_command
    from napari_phaset3m.gui.workspace import Workspace
    from napari_phaset3m.session import session_for

    viewer = make_napari_viewer()
    asked = []
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *a: (asked.append(a[1]), "")[1])
    commands.open_project(viewer)
    workspace = session_for(viewer).attachments["workspace"]()
    assert isinstance(workspace, Workspace) and asked == ["Open project"]
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *a: (asked.append(a[1]), ("", ""))[1])
    commands.save_project(viewer)
    assert asked[-1] == "Save project as" and commands.workspace_of(viewer) is workspace
    keys_command(viewer)
    assert session_for(viewer).attachments["key sheet"]().isVisible()
    qtbot.waitUntil(lambda: workspace._views is not None, timeout=10_000)


def test_every_panel_is_in_a_menu_by_itself(manifest):
    from napari_phaset3m.gui.workspace import PANELS

    in_menus = {item.command for items in manifest.contributions.menus.values() for item in items}
    widgets = {widget.display_name: widget.command for widget in manifest.contributions.widgets}
    for name in ("Workspace", *(step for step, *_ in PANELS)):
        assert widgets[name] in in_menus, name


@pytest.mark.gui
def test_open_sample_says_where_measured_series_are(make_napari_viewer, qtbot):
    from qtpy.QtCore import Qt
    from qtpy.QtWidgets import QLabel

    from napari_phaset3m.gui.series.sample_note import PLACES
    from napari_phaset3m.session import session_for

    manager = npe2.PluginManager.instance()
    if "napari-phaset3m" not in manager:
        manager.discover()
    viewer = make_napari_viewer()
    viewer.open_sample("napari-phaset3m", "measured")
    qtbot.waitUntil(lambda: len(viewer.layers) == 0)
    note = session_for(viewer).attachments["sample note"]()
    assert note.isVisible()
    told = " ".join(found.text() for found in note.findChildren(QLabel))
    for text in note.findChildren(QLabel):
        qtbot.waitUntil(lambda it=text: it.height() >= it.heightForWidth(it.width()), timeout=5000)
    page = (ROOT / "docs" / "data.md").read_text(encoding="utf-8")
    for place in PLACES:
        assert place.address in told and place.what in told and place.address in page
    qtbot.mouseClick(note.import_, Qt.MouseButton.LeftButton)
    assert not note.isVisible() and session_for(viewer).attachments["import dialog"]().isVisible()
