"""Fixtures every test may use, and an environment that leaves the user's own alone."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# Set before anything imports numba, napari or matplotlib: they read these once.
# The numba cache lasts between runs, so that only the first one compiles.
os.environ.setdefault("NUMBA_CACHE_DIR", str(ROOT / ".numba_cache"))
os.environ["XDG_CONFIG_HOME"] = tempfile.mkdtemp(prefix="phaset3m-config-")
os.environ["NAPARI_CONFIG"] = os.path.join(os.environ["XDG_CONFIG_HOME"], "napari.yaml")
os.environ["PHASET3M_CACHE"] = os.environ["XDG_CONFIG_HOME"]
os.environ.setdefault("MPLBACKEND", "Agg")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder ``../shared/data`` beside the repository; skips where it is absent."""
    path = ROOT.parent / "shared" / "data"
    if not path.is_dir():
        pytest.skip(f"test data not found at {path}")
    return path


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip GPU tests with the reason that the backend gives."""
    marked = [item for item in items if item.get_closest_marker("gpu")]
    if not marked:
        return
    from napari_phaset3m.core.backend import cuda_problem

    problem = cuda_problem()
    if problem is not None:
        for item in marked:
            item.add_marker(pytest.mark.skip(reason=problem))
