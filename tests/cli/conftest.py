"""A tiny simulated series, made once."""

from __future__ import annotations

from pathlib import Path

import pytest

from napari_phaset3m.cli import main


@pytest.fixture(scope="session")
def tiny(tmp_path_factory) -> Path:
    """5 tilts x 2 foci of 32 x 32 pixels, through ``phaset3m simulate``."""
    path = tmp_path_factory.mktemp("tiny") / "tiny.h5"
    flags = ["--n-tilt", "5", "--image-size", "32", "--diameter", "10", "--defocus", "300,600",
             "--supersampling", "2", "--slice-thickness", "2", "--seed", "3"]  # fmt: skip
    assert main(["simulate", "-o", str(path), *flags]) == 0
    return path
