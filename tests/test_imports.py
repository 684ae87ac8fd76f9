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


ORDERS = """
from napari_phaset3m import SimulationConfig, simulate
from napari_phaset3m import simulate, SimulationConfig
from napari_phaset3m import iterate, reconstruct
from napari_phaset3m import Reconstruction, reconstruct
from napari_phaset3m import *
import napari_phaset3m.reconstruct.solver, napari_phaset3m.simulate.api
from napari_phaset3m.reconstruct import solver; from napari_phaset3m.simulate import config
import napari_phaset3m; napari_phaset3m.simulate; import napari_phaset3m.simulate.carbon
"""
# Modules of this package are forgotten in between; only what they import stays loaded.
IN_EVERY_ORDER = """
import inspect, sys
for lines in sys.argv[1].strip().splitlines():
    for name in [name for name in sys.modules if name.partition(".")[0] == "napari_phaset3m"]:
        del sys.modules[name]
    space = {}
    exec(lines, space)
    import napari_phaset3m as package
    for name in ("reconstruct", "simulate"):
        found = (getattr(package, name), space.get(name, package.iterate))
        if not all(map(inspect.isfunction, found)):
            print(lines, name, found)
"""


def test_public_functions_are_functions_in_every_order_of_imports() -> None:
    command = [sys.executable, "-c", IN_EVERY_ORDER, ORDERS]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


def test_other_attributes_of_the_package_can_be_set() -> None:
    import napari_phaset3m

    assert importlib.import_module("napari_phaset3m.reconstruct").__name__ == "napari_phaset3m.reconstruct"
    napari_phaset3m.config = "other"  # type: ignore[assignment]
    assert napari_phaset3m.config == "other"
    napari_phaset3m.config = importlib.import_module("napari_phaset3m.config")


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
