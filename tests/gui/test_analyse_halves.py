"""Half volumes in a napari window with the real solver: one click, both in turn, the FSC drawn."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest

pytestmark = pytest.mark.gui
pytest.importorskip("napari")

from napari_phaset3m.analyse.fsc import fsc  # noqa: E402
from napari_phaset3m.analyse.halves import split  # noqa: E402
from napari_phaset3m.config import ReconstructionConfig  # noqa: E402
from napari_phaset3m.core.series import TiltFocalSeries  # noqa: E402
from napari_phaset3m.gui.analyse.panel import AnalysePanel  # noqa: E402
from napari_phaset3m.gui.analyse.view import view_of  # noqa: E402
from napari_phaset3m.reconstruct.api import reconstruct  # noqa: E402
from napari_phaset3m.session import RunRecord, session_for  # noqa: E402

N, PIXEL = 20, 1.0
WAIT = 120_000
CONFIG = ReconstructionConfig(method="sirt", iterations=4, threads=1)


@lru_cache
def series() -> TiltFocalSeries:
    """Absorbing blobs projected about y by a plain sum of Gaussians, with noise."""
    rng, tilts = np.random.default_rng(0), np.linspace(-60, 60, 24)
    y, x = np.meshgrid(*[np.arange(N) - (N - 1) / 2] * 2, indexing="ij")
    images = np.ones((24, 1, N, N))
    for _ in range(6):
        z0, y0, x0 = rng.uniform(-5, 5, 3)
        for i, t in enumerate(np.radians(tilts)):
            across = x0 * np.cos(t) - z0 * np.sin(t)
            images[i] -= 0.1 * np.exp(-((y - y0) ** 2 + (x - across) ** 2) / 3)
    images += 0.03 * rng.standard_normal(images.shape)
    return TiltFocalSeries(
        images=images.astype(np.float32), tilt_deg=tilts, pixel_size_angstrom=PIXEL, energy_ev=3e5,
        defocus_angstrom=[500.0], spherical_aberration_angstrom=1e7,
    )  # fmt: skip


@pytest.fixture
def window(make_napari_viewer):
    viewer = make_napari_viewer()
    panel = AnalysePanel(viewer)
    viewer.window.add_dock_widget(panel, name="Analyse", area="right")
    session = session_for(viewer)
    session.series, session.config = series(), CONFIG
    volume = reconstruct(series(), CONFIG, device="cpu").volume
    session.add_run(
        RunRecord(
            "one",
            CONFIG,
            status="finished",
            series_name=session.series_name,
            volume=volume,
            voxel_size_angstrom=PIXEL,
        )
    )
    session.update_run("one")
    return viewer, panel, session


def test_one_click_makes_both_halves_and_their_control_and_draws_the_curve(window, qtbot):
    viewer, panel, session = window
    actions = {action.text(): action for action in panel.ui.choices.halves.menu().actions()}
    panel._refresh_menu()
    actions["With a control without priors"].setChecked(True)
    heard: list[str] = []
    parts: list[float] = []
    panel.job.changed.connect(
        lambda: (
            heard.append(panel.job.message),
            parts.append(panel.job.progress.fraction if panel.job.progress else 0.0),
        )
    )
    events: list[str] = []
    told = panel.job._on_event
    panel.job._on_event = lambda event: (told(event), events.append(panel.job.message))[0]
    actions["Compute odd and even tilts"].trigger()
    assert panel.job.busy and panel.ui.job.isVisibleTo(panel.ui)
    qtbot.waitUntil(
        lambda: not panel.job.busy and "fsc" in panel.work.outcomes and not panel.work.busy, timeout=WAIT
    )
    outcome = panel.work.outcomes["fsc"]
    assert not outcome.failed, outcome.text
    order = list(dict.fromkeys(text.partition(", sweep")[0] for text in events if "sweep" in text))
    assert order == ["Half 1 of 2", "Half 2 of 2", "Control without priors, half 1 of 2",
                     "Control without priors, half 2 of 2"]  # fmt: skip
    assert parts == sorted(parts)

    # the same as the engine gives for each half by itself
    halves = panel.work.inputs.halves
    odd, even = split(series(), "tilts")
    assert halves.name == "odd and even tilts"
    for got, part in zip(halves.volumes, (odd, even), strict=True):
        np.testing.assert_allclose(got, reconstruct(part, CONFIG, device="cpu").volume, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(outcome.value.curve.fsc, fsc(*halves.volumes, PIXEL).fsc)
    assert min(v.min() for v in halves.volumes) >= 0 > min(v.min() for v in halves.free)

    assert "Control without priors: with priors" in outcome.text
    view = view_of(session, viewer, panel.work)
    view.show_topic("fsc")
    names = [curve.name for curve in view.curves._plots[0].curves]
    assert {"no mask", "without priors", "half-bit"} <= set(names)
