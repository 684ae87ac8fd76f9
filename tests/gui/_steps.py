"""Small series and helpers for the tests of the steps that change a series."""

from __future__ import annotations

import numpy as np

from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.gui.steps.driver import step_driver_for


def noisy_series(n: int = 32, n_tilt: int = 5, n_focus: int = 2, **more) -> TiltFocalSeries:
    rng = np.random.default_rng(4)
    values = {
        "images": rng.normal(1, 0.1, (n_tilt, n_focus, n, n)).astype(np.float32),
        "tilt_deg": np.linspace(-40, 40, n_tilt),
        "pixel_size_angstrom": 0.5,
        "energy_ev": 300e3,
        "defocus_angstrom": np.array([900.0, 1700.0])[:n_focus],
        "spherical_aberration_angstrom": 2.3e7,
        "dose_per_image": 20.0,
        "metadata": {"name": "noisy"},
    }
    return TiltFocalSeries(**{**values, **more})


def until_idle(qtbot, session, timeout: int = 20_000) -> None:
    driver = step_driver_for(session)
    qtbot.waitUntil(lambda: not driver.busy, timeout=timeout)
