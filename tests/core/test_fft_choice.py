"""``PHASET3M_FFT`` is obeyed or refused, never ignored."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator

import pytest

from napari_phaset3m.core.fft import fft_backend
from napari_phaset3m.errors import ConfigError


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    fft_backend.cache_clear()
    yield
    fft_backend.cache_clear()


def test_a_choice_is_obeyed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHASET3M_FFT", "scipy")
    assert fft_backend() == "scipy"


def test_a_name_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHASET3M_FFT", "fftw")
    with pytest.raises(ConfigError, match=r"PHASET3M_FFT: is 'fftw'\. Use one of pyfftw, mkl_fft, scipy"):
        fft_backend()


def test_one_that_is_not_installed_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHASET3M_FFT", "pyfftw")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pyfftw is not installed\. Install it: .*pyFFTW"):
        fft_backend()
