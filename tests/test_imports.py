"""The engine imports without the heavy and optional packages; the manifest's commands exist."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path

import yaml

PACKAGE = Path(__file__).resolve().parents[1] / "src" / "napari_phaset3m"
ENGINE = ("core", "reconstruct", "analyse", "simulate", "jobs", "io", "report")
BLOCKER = """
import importlib, sys
BLOCKED = {"qtpy", "napari", "cupy", "skopt", "h5py", "dask", "PyQt5", "PyQt6", "magicgui"}
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in BLOCKED:
            raise ImportError("blocked: " + name)
sys.meta_path.insert(0, Block())
failed = []
for name in sys.argv[1:]:
    try:
        importlib.import_module(name)
    except ImportError as error:
        failed.append(f"{name}: {error}")
sys.exit("\\n".join(failed) or 0)
"""


def engine_modules() -> list[str]:
    files = [PACKAGE / "__init__.py", PACKAGE / "config.py", PACKAGE / "errors.py"]
    for folder in ENGINE:
        files += sorted((PACKAGE / folder).rglob("*.py"))
    names = []
    for file in files:
        parts = file.relative_to(PACKAGE.parent).with_suffix("").parts
        names.append(".".join(parts[:-1] if parts[-1] == "__init__" else parts))
    return names


def run_blocked(names: list[str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", BLOCKER, *names]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, env=dict(os.environ))


def test_engine_imports_with_heavy_packages_blocked() -> None:
    done = run_blocked(engine_modules())
    assert done.returncode == 0, done.stderr


def test_the_blocker_blocks() -> None:
    assert "blocked: h5py" in run_blocked(["h5py"]).stderr


def test_package_import_is_light() -> None:
    code = "import sys, napari_phaset3m; print(sorted({'numpy', 'numba', 'napari'} & set(sys.modules)))"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"


def test_manifest_is_valid_and_its_commands_exist() -> None:
    from npe2 import PluginManifest

    manifest = PluginManifest.from_file(PACKAGE / "napari.yaml")
    assert manifest.name == "napari-phaset3m"
    data = yaml.safe_load((PACKAGE / "napari.yaml").read_text(encoding="utf-8"))
    for command in data.get("contributions", {}).get("commands", []):
        module, _, attribute = command["python_name"].partition(":")
        assert hasattr(importlib.import_module(module), attribute), command["python_name"]


def test_root_manifest_is_a_link_to_the_packaged_one() -> None:
    link = PACKAGE.parents[1] / "napari.yaml"
    assert link.is_symlink() and link.resolve() == PACKAGE / "napari.yaml"
