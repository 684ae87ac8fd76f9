"""What is missing comes with a command that works from a checkout: the package is on no index."""

from __future__ import annotations

import importlib.metadata
import shlex
import sys

import pytest

from napari_phaset3m.core import backend, install
from napari_phaset3m.core.install import install_command
from napari_phaset3m.errors import DeviceError


@pytest.mark.parametrize(
    ("extra", "package"),
    [("cuda12", "cupy-cuda12x"), ("fast", "pyfftw"), ("pyqt5", "pyqt5"), ("figures", "matplotlib")],
)
def test_the_command_names_packages_and_this_python(extra: str, package: str) -> None:
    words = shlex.split(install_command(extra))
    assert words[:4] == [sys.executable, "-m", "pip", "install"] and len(words) == 5
    assert words[4].lower().startswith(package)
    assert not any("napari-phaset3m" in word for word in words[4:])


def test_an_extra_of_two_packages_names_both() -> None:
    assert len(shlex.split(install_command("zarr"))) == 6


def test_a_source_tree_that_was_never_installed_is_named_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> list[str]:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(install, "requires", absent)
    target = shlex.split(install_command("fast"))[-1]
    assert target.endswith("[fast]") and target.startswith("/")


def test_a_missing_cupy_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy", None)
    backend._cupy.cache_clear()
    try:
        with pytest.raises(DeviceError, match="-m pip install 'cupy-cuda12x"):
            backend.resolve_device("cuda")
    finally:
        backend._cupy.cache_clear()
