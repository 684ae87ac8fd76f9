from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
import pytest
from qtpy.QtCore import Qt

pytestmark = pytest.mark.gui
napari_components = pytest.importorskip("napari.components")

sys.path.insert(0, str(Path(__file__).parent))
from _steps import noisy_series, until_idle  # noqa: E402

from napari_phaset3m.core.contrast import contrast_transfer  # noqa: E402
from napari_phaset3m.core.grid import Grid  # noqa: E402
from napari_phaset3m.core.optics import Microscope  # noqa: E402
from napari_phaset3m.core.series import TiltFocalSeries  # noqa: E402
from napari_phaset3m.gui.microscope import ctf_work  # noqa: E402
from napari_phaset3m.gui.microscope.ctf_view import CtfView, fitted_curves  # noqa: E402
from napari_phaset3m.gui.microscope.ctf_words import words  # noqa: E402
from napari_phaset3m.gui.microscope.panel import MicroscopePanel  # noqa: E402
from napari_phaset3m.prepare.ctf.config import CtfConfig  # noqa: E402
from napari_phaset3m.prepare.ctf.result import CtfResult, ImageCtf  # noqa: E402
from napari_phaset3m.prepare.events import Done, Progress  # noqa: E402
from napari_phaset3m.session import session_for  # noqa: E402


def carbon(defoci, n: int = 128, pixel: float = 2.0) -> TiltFocalSeries:
    """Noise behind the contrast transfer of each defocus: rings that can be fitted."""
    rng = np.random.default_rng(6)
    grid = Grid(n, n, pixel)
    microscope = Microscope(300e3, 2.7e7, 0.0, 0.0, {}, None)
    images = []
    for defocus in defoci:
        transfer = contrast_transfer(grid, microscope, defocus)
        specimen = np.fft.fft2(rng.normal(0, 1, (n, n)))
        image = np.real(np.fft.ifft2(specimen * transfer)).T
        images.append([1 + 0.1 * image])
    return TiltFocalSeries(
        images=np.array(images, np.float32), tilt_deg=np.linspace(-0.5, 0.5, len(defoci)),
        pixel_size_angstrom=pixel, energy_ev=300e3, spherical_aberration_angstrom=2.7e7,
        defocus_angstrom=np.full((len(defoci), 1), defoci[0]), metadata={"name": "carbon"},
    )  # fmt: skip


def fake_result(series, defocus=None, config=None) -> CtfResult:
    n_tilt, n_focus = series.n_tilt, series.n_focus
    values = np.tile([900.0, 1700.0], (n_tilt, 1))[:, :n_focus] if defocus is None else defocus
    images = tuple(
        tuple(
            ImageCtf(
                t, f, "thon", float(values[t, f]), 12.0, c12_angstrom=80.0, phi12_rad=0.5, confidence=0.8
            )
            for f in range(n_focus)
        )
        for t in range(n_tilt)
    )
    return CtfResult(images, series.tilt_deg, config or CtfConfig(), "thon", "All images fitted.")


class FakeEngine:
    """In place of ``iterate_ctf``: a given table, after a few pieces of work."""

    def __init__(self) -> None:
        self.steps, self.defocus = 6, None

    def __call__(self, series, config, *, finish=None):
        for step in range(self.steps):
            time.sleep(0.08)
            live = np.full((series.n_tilt, series.n_focus), np.nan)
            live[: step + 1] = 950.0
            yield Progress(f"tilt {step}", step / self.steps, {"defocus_angstrom": live})
        result = fake_result(series, self.defocus, config)
        yield Done(result.apply(series), result)


@pytest.fixture
def viewer():
    return napari_components.ViewerModel()


@pytest.fixture
def panel(qtbot, viewer):
    made = MicroscopePanel(viewer)
    qtbot.addWidget(made)
    made.show()
    yield made
    made.work.driver.stop()
    qtbot.waitUntil(lambda: not made.work.driver.busy, timeout=20_000)


@pytest.fixture
def engine(monkeypatch):
    fake = FakeEngine()
    monkeypatch.setattr(ctf_work, "iterate_ctf", fake)
    return fake


def test_says_why_not(panel):
    assert "Open a tilt series first" in panel.fit.toolTip() and not panel.fit.isEnabled()
    panel._session.series = noisy_series(spherical_aberration_angstrom=None)
    assert "Cs is missing" in panel.fit.toolTip()
    panel._session.series = noisy_series()
    assert panel.fit.isEnabled() and panel.apply.toolTip() == "Fit first"


def test_fit_look_correct_apply(qtbot, panel, engine):
    session, work = panel._session, panel.work
    before = session.series = noisy_series(n=64, n_tilt=9)
    engine.defocus = np.tile([900.0, 1700.0], (9, 1))
    engine.defocus[3, 1] = 3000.0
    panel.fit.click()
    qtbot.waitUntil(lambda: work.live is not None, timeout=10_000)
    assert not panel.fit.isEnabled() and not panel.defocus.isEnabled()
    until_idle(qtbot, session)
    assert panel.bar.note.text() == "All images fitted." and session.series is before
    assert work.outliers() == [(3, 1)] and panel.next.text() == "Next doubtful (1)"
    panel.next.click()
    assert session.shown_image == (3, 1) and panel.defocus.value() == pytest.approx(300.0)
    assert "Defocus 300.0 ± 1.2 nm" in panel.numbers.text() and "C12 8.0 nm at 29°" in panel.numbers.text()
    panel.neighbours.click()
    assert panel.defocus.value() == pytest.approx(170.0) and work.outliers() == []
    assert "set by hand" in panel.numbers.text()
    panel.undo.click()
    assert panel.defocus.value() == pytest.approx(300.0)
    panel.defocus.setValue(171.0)
    panel.apply.click()
    assert session.series.defocus_angstrom[3, 1] == pytest.approx(1710.0)
    assert session.series.aberrations["C12"] == pytest.approx(80.0)
    assert np.may_share_memory(session.series.images, before.images)
    assert [s.name for s in session.history.states] == ["Opened", "Defocus (CTF)"]
    assert "has these values" in panel.apply.toolTip()
    assert panel.bar.note.text().startswith("Applied")
    session.undo()
    assert session.series is before and panel.bar.note.text() == ""
    assert panel.apply.isEnabled() and not work.applied, "it can be applied again"
    session.redo()
    assert not panel.apply.isEnabled() and "has these values" in panel.apply.toolTip()
    session.undo()
    panel.fit.click()
    until_idle(qtbot, session)
    assert panel.bar.note.text() == "All images fitted."
    panel.revert.click()
    assert panel.bar.note.text() == ""


def test_rings_follow_the_defocus_that_is_typed(qtbot, panel, engine):
    series = carbon([4000.0, 4000.0])
    panel._session.series = series
    engine.defocus = np.full((2, 1), 4000.0)
    panel.fit.click()
    until_idle(qtbot, panel._session)
    qtbot.waitUntil(lambda: panel.work.picture is not None and panel.rings.isVisible(), timeout=10_000)

    def agreement() -> float:
        found = panel.work.picture
        good = np.isfinite(found.fitted)
        return float(np.corrcoef(found.measured[good], found.fitted[good])[0, 1])

    right, first = agreement(), panel.work.picture
    panel.defocus.setValue(330.0)
    qtbot.waitUntil(lambda: panel.work.picture is not first, timeout=10_000)
    assert right > 0.5 and agreement() < 0.5 * right
    assert panel.rings.image.image.shape == panel.work.picture.measured.shape


def test_the_engine_itself_fits_rings(qtbot, panel):
    panel._session.series = carbon([14000.0, 16000.0, 15000.0], n=160)
    panel.work.config = CtfConfig(defocus_min_angstrom=8000, defocus_max_angstrom=25000, group="image")
    panel.fit.click()
    until_idle(qtbot, panel._session, 120_000)
    assert panel.work.result is not None, panel.bar.note.text()
    np.testing.assert_allclose(panel.work.result.defocus_angstrom[:, 0], [14000, 16000, 15000], rtol=0.02)


def test_fits_to_noise_are_not_applied(qtbot, panel):
    rng = np.random.default_rng(4)
    images = (1 + 0.1 * rng.standard_normal((3, 1, 128, 128))).astype(np.float32)
    panel._session.series = carbon([14000.0] * 3).replace(images=images, defocus_angstrom=None)
    panel.fit.click()
    until_idle(qtbot, panel._session, 120_000)
    assert "0 of 3 images" in panel.work.driver.last_said[1] and panel.work.driver.last_said[2] == "warning"
    assert not panel.apply.isEnabled() and "No fit can be trusted" in panel.apply.toolTip()
    told = panel.bar.note.text()
    assert "no tilt has two" in told or "is not stated" in told
    assert "set one by hand" in told and "100%" not in told
    panel.work.from_neighbours(0, 0)
    assert "No other image" in panel.bar.note.text() and not panel.work.can_undo, "the others are noise too"
    panel._session.shown_image = (0, 0)
    panel.defocus.setValue(1400.0)
    assert "2 images" in panel.bar.note.text() and panel.apply.isEnabled()
    panel._session.shown_image = (1, 0)
    assert "Defocus 1400.0 nm" in panel.numbers.text() and "nearest tilts" in panel.numbers.text()
    assert " nm, cannot be trusted" in panel.note.text() and "Å" not in panel.note.text()
    panel.undo.click()
    assert not panel.apply.isEnabled() and "1400.0" not in panel.numbers.text()
    panel.work.edit(0, 0, 14000.0)
    panel.apply.click()
    assert panel._session.series.defocus_angstrom.tolist() == [[14000.0]] * 3, "nothing of the noise"


def test_a_focus_of_which_nothing_is_known_is_asked_for(panel):
    """One defocus by hand says nothing of another focus, whose distrusted fits must not slip in with it."""
    series = noisy_series(n=64, defocus_angstrom=None)
    panel._session.series = series
    rows = tuple(
        tuple(ImageCtf(t, f, "thon", 3e4 - 1e3 * t, c12_angstrom=500.0) for f in (0, 1)) for t in range(5)
    )
    panel.work.result = CtfResult(rows, series.tilt_deg, CtfConfig(), "thon", "")
    panel.work.edit(2, 0, 900.0)
    assert not panel.apply.isEnabled() and "No fit at focus 2 can be trusted" in panel.apply.toolTip()
    panel.work.edit(0, 1, 1700.0)
    panel.work.edit(4, 1, 1900.0)
    panel.apply.click()
    applied = panel._session.series
    assert np.all(applied.defocus_angstrom[:, 0] == 900.0) and "C12" not in applied.aberrations
    assert applied.defocus_angstrom[[0, 2, 4], 1].tolist() == [1700.0, 1800.0, 1900.0]
    assert applied.metadata["history"][-1]["told"]["fitted"] == 0


def test_plots(qtbot, panel, engine):
    session = panel._session
    session.series = noisy_series(n=64, n_tilt=9)
    view = CtfView(session, panel.work)
    qtbot.addWidget(view)
    view.show()
    engine.defocus = np.tile([900.0, 1700.0], (9, 1))
    engine.defocus[2, 0] = 4000.0
    panel.fit.click()
    until_idle(qtbot, session)
    qtbot.waitUntil(lambda: "doubtful" in [c.name for c in view.defocus._curves], timeout=10_000)
    curve = next(c for c in fitted_curves(panel.work.result) if c.name == "doubtful")
    assert curve.places == [(2, 0)] and curve.y[0] == pytest.approx(400.0)
    view.defocus.clicked.emit(2, 0)
    assert session.shown_image == (2, 0) and panel.nav.position() == (2, 0)
    panel.work.edit(2, 0, 900.0)
    names = [c.name for c in fitted_curves(panel.work.result)]
    assert "doubtful" not in names and "by hand" in names


def test_settings_are_checked(qtbot, panel):
    panel._session.series = noisy_series()
    panel.fold.heading.click()
    low = panel.form.editors["defocus_min_angstrom"].widget
    assert low.suffix() == " nm" and low.value() == pytest.approx(10.0)
    low.setValue(9000.0)
    assert "Defocus max" in panel.form.problem.text() and not panel.fit.isEnabled()
    low.setValue(20.0)
    assert panel.work.config.defocus_min_angstrom == pytest.approx(200.0) and panel.fit.isEnabled()


def test_another_series_drops_the_fit(qtbot, panel, engine):
    session = panel._session
    session.series = noisy_series(n=64)
    panel.fit.click()
    until_idle(qtbot, session)
    assert panel.work.result is not None
    qtbot.mouseClick(panel.revert, Qt.MouseButton.LeftButton)
    assert panel.work.result is None
    panel.fit.click()
    until_idle(qtbot, session)
    session.series = noisy_series(n=32, n_tilt=3)
    assert panel.work.result is None


def test_two_viewers_and_words(qtbot, panel, engine):
    other = napari_components.ViewerModel()
    second = MicroscopePanel(other)
    qtbot.addWidget(second)
    panel._session.series = noisy_series(n=64)
    panel.fit.click()
    until_idle(qtbot, panel._session)
    assert second.work.result is None and session_for(other).series is None
    assert words(ImageCtf(0, 0, "none", note="no rings")) == "Defocus – nm  ·  nothing found"
    assert words(ImageCtf(0, 0, "stated", -500.0)).startswith("Defocus −50.0 nm")


def test_another_series_opened_while_a_fit_goes_on_is_drawn_by_itself(qtbot, panel, engine, viewer):
    """Defoci of 5 tilts were drawn over the angles of 3."""
    engine.steps = 500
    session, work = panel._session, panel.work
    session.series = noisy_series()
    view = CtfView(session, work)
    qtbot.addWidget(view)
    panel.fit.click()
    qtbot.waitUntil(lambda: work.live is not None, timeout=10_000)
    session.series = noisy_series(n_tilt=3)
    view.refresh()
    assert work.live is None and [len(curve.x) for curve in view._defocus()] in ([], [6])
    until_idle(qtbot, session)
    view.refresh()
    assert work.result is None and "Another series was opened" in panel.bar.note.text()
