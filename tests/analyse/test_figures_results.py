"""Figures of results: the curve that is marked is the one that was measured, and nothing is left out."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from napari_phaset3m.analyse.bragg_table import BraggReport, FalseAlarms
from napari_phaset3m.analyse.conical import ConicalFsc
from napari_phaset3m.analyse.ctf import ctf
from napari_phaset3m.analyse.figures import comparison, correlation, optics, peaks, style
from napari_phaset3m.analyse.fsc_curve import FscCurve, noise_bound
from napari_phaset3m.analyse.ssnr import focal_ssnr
from napari_phaset3m.core.optics import Microscope


@pytest.fixture
def axes():
    with style.sheet():
        figure = style.new_figure(5, 4)
        yield figure.subplots()
        figure.draw_without_rendering()


def curve(fall: float = 0.5, **more) -> FscCurve:
    k = np.arange(1, 41) * 0.02
    value = 1 / (1 + np.exp((k - fall) / 0.03))
    n = 2 * np.pi * (k / 0.02) ** 2
    return FscCurve(frequency_per_angstrom=k, fsc=value, n_voxels=n, noise_bound=noise_bound(n), **more)


def labels(axes) -> set[str]:
    return {text.get_text() for text in axes.get_legend().get_texts()}


def test_the_marked_resolution_is_the_measured_one(axes) -> None:
    measured = curve()
    correlation.plot_fsc(axes, measured)
    found = measured.resolution("0.143")
    mark = next(line for line in axes.lines if str(line.get_label()).endswith("at 0.143"))
    assert 1 / mark.get_xdata()[0] == pytest.approx(found.angstrom)
    assert f"{found.angstrom:.3g} Å at 0.143" in labels(axes)
    assert {"half-bit", "within the noise bound"} <= labels(axes)
    assert {"0.5", "0.143"} <= {text.get_text() for text in axes.texts}
    assert axes.get_xlabel() == "spatial frequency (Å⁻¹)"


def test_all_four_curves_of_a_masked_fsc_differ_in_colour_and_line(axes) -> None:
    one = curve()
    full = curve(corrected=one.fsc * 0.95, unmasked=one.fsc * 0.9, randomised=one.fsc * 0.1, mask_name="ball")
    correlation.plot_fsc(axes, full)
    assert {"no mask", "masked", "masked, phases randomised", "masked, corrected"} <= labels(axes)
    drawn = [line for line in axes.lines if line.get_label() in labels(axes) and "mask" in line.get_label()]
    assert len({line.get_color() for line in drawn}) == 4
    best = next(line for line in drawn if line.get_label() == "masked, corrected")
    np.testing.assert_allclose(best.get_ydata(), full.corrected)


def test_an_fsc_that_never_falls_says_or_better(axes) -> None:
    correlation.plot_fsc(axes, curve(fall=5))
    assert any("or better at 0.143" in text for text in labels(axes))


def test_two_regions_are_drawn_with_their_noise_bounds(axes) -> None:
    correlation.plot_fsc_set(axes, [("measured", curve(0.5)), ("wedge", curve(0.2))])
    assert {"measured", "wedge", "noise bound, measured", "noise bound, wedge"} <= labels(axes)


def test_directions_and_wedge_lie_where_they_must(axes) -> None:
    directions = np.array([[0, 0, 1.0], [1, 0, 0], [0, 1, 0], [np.sin(0.2), 0, np.cos(0.2)]])
    cones = ConicalFsc(directions, 20.0, tuple(curve(f) for f in (0.2, 0.5, 0.5, 0.25)), (-60.0, 60.0))
    image = correlation.plot_conical(axes, cones)
    spots = np.asarray(image.get_offsets())
    np.testing.assert_allclose(spots[:3], [[0, 0], [1, 0], [0, 1]], atol=1e-12)
    np.testing.assert_allclose(image.get_array(), cones.resolutions())
    wedge = axes.patches[0].get_path()
    # the beam lies 30 degrees inside the wedge of tilts up to 60; 11 degrees off it still does; x does not
    assert [wedge.contains_point(spot) for spot in (spots[0], spots[3], (0.7, 0))] == [True, True, False]


def test_a_direction_without_resolution_is_crossed_out(axes) -> None:
    cones = ConicalFsc(np.eye(3), 20.0, tuple(curve(f) for f in (0.2, 0.5, -1)))
    correlation.plot_conical(axes, cones)
    assert "no resolution" in labels(axes)


def report(phases: bool = True, wedge: bool = True) -> BraggReport:
    hkl = np.array([[1, 1, 1], [1, 1, -1], [2, 2, 0], [4, 0, 0]])
    q = hkl / 8.084
    return BraggReport(
        window=SimpleNamespace(width_angstrom=50.0), peaks=None, lattice=object(),
        voxel_size_angstrom=0.5, phases_checked=phases, hkl=hkl,
        family=np.array([[1, 1, 1], [1, 1, 1], [2, 2, 0], [4, 0, 0]]), q_per_angstrom=q,
        snr=np.array([40.0, 3.0, 20.0, 8.0]),
        background_above=np.zeros(4),
        wedge_gap_per_angstrom=np.array([0, 0.1, 0, 0.2]) if wedge else None,
        phase_agreement=np.array([0.9, 0.1, 0.2, 0.95]) if phases else None,
        false_alarms=FalseAlarms(24, 1, 2 if phases else None),
    )  # fmt: skip


def points(axes, label: str) -> np.ndarray:
    line = next(line for line in axes.lines if line.get_label() == label)
    return np.sort(np.asarray(line.get_ydata()))


def test_peaks_are_filled_only_where_their_phases_agree(axes) -> None:
    peaks.plot_peaks(axes, report())
    np.testing.assert_allclose(points(axes, "measured region: found, phases agree"), [40])
    np.testing.assert_allclose(points(axes, "measured region: not"), [20])  # high, but its phase is wrong
    np.testing.assert_allclose(points(axes, "missing wedge: found, phases agree"), [8])
    np.testing.assert_allclose(points(axes, "missing wedge: not"), [3])
    assert "threshold, SNR 5" in labels(axes)


def test_peaks_without_phases_or_tilts_claim_neither(axes) -> None:
    peaks.plot_peaks(axes, report(phases=False, wedge=False))
    np.testing.assert_allclose(points(axes, "all peaks: found"), [8, 20, 40])
    assert not any("phase" in text or "wedge" in text for text in labels(axes))


def test_phases_are_drawn_against_their_threshold(axes) -> None:
    peaks.plot_phases(axes, report())
    np.testing.assert_allclose(points(axes, "measured region, found"), [0.2, 0.9])
    assert "agreement from 0.7 on" in labels(axes)


def test_families_side_by_side(axes) -> None:
    peaks.plot_families(axes, [("one", report(phases=False)), ("two", report())])
    line = {line.get_label(): line for line in axes.lines}
    names = [text.get_text() for text in axes.get_xticklabels()]
    assert names == ["{111}", "{220}", "{400}"]
    np.testing.assert_allclose(line["one"].get_ydata(), [0.5, 1, 1])
    np.testing.assert_allclose(line["two"].get_ydata(), [0.5, 0, 1])


def test_ctf_panels_show_envelopes_and_limits() -> None:
    scope = Microscope(300e3, 2.3e7, 30.0, 1e-4)
    curves = [ctf(scope, d, pixel_size_angstrom=0.5, aperture_semiangle_mrad=15) for d in (900.0, 1700.0)]
    with style.sheet():
        figure = optics.figure_ctf(curves)
        figure.draw_without_rendering()
    assert len(figure.axes) == 2
    names = {text.get_text() for text in figure.legends[0].get_texts()}
    assert {"transfer of a weak phase", "diffraction limit (aperture)"} <= names
    limit = next(line for line in figure.axes[0].lines if line.get_label() == "diffraction limit (aperture)")
    assert limit.get_xdata()[0] == pytest.approx(15e-3 / scope.wavelength_angstrom)


def test_the_gaps_of_a_single_focus_are_shaded(axes) -> None:
    scope = Microscope(300e3, 2.3e7, 30.0)
    one = focal_ssnr(scope, [2000.0], pixel_size_angstrom=0.5)
    optics.plot_ssnr(axes, one)
    assert len(axes.patches) == len(one.gaps()) > 2
    assert len([t for t in labels(axes) if t.startswith("gaps")]) == 1


def test_scores_and_what_is_missing(axes) -> None:
    words = ["3 of 4\noff the lattice 20%", "none"]
    comparison.plot_scores(axes, ["a", "b"], [3.0, np.nan], xlabel="more is better", total=4, texts=words)
    assert [text.get_text() for text in axes.texts] == words
    assert all(text.xy[0] >= 4 for text in axes.texts), "the outline strikes through a value"


def test_no_value_is_not_the_shortest_bar(axes) -> None:
    comparison.plot_scores(
        axes, ["a", "b"], [1.0, np.nan], xlabel="less", texts=["1 Å", "none"], full_if_none=True
    )
    hatched = [bar for bar in axes.patches if bar.get_hatch()]
    assert len(hatched) == 1 and hatched[0].get_width() == axes.get_xlim()[1]
    axes.clear()
    comparison.plot_scores(axes, ["a", "b"], [1.0, np.nan], xlabel="more", texts=["1", "none"])
    assert not [bar for bar in axes.patches if bar.get_hatch()]


def test_side_by_side_has_a_column_per_volume() -> None:
    rng = np.random.default_rng(0)
    volumes = [(name, rng.random((12, 14, 16)).astype(np.float32)) for name in ("a", "b", "c")]
    with style.sheet():
        one = comparison.figure_side_by_side(volumes, 0.5, 1.0)
        two = comparison.figure_difference(volumes[1:], 0.5, 1.0, "V")
        three = comparison.figure_transforms(volumes, 0.5, (-60, 60))
        for figure in (one, two, three):
            figure.draw_without_rendering()
    assert [a.get_title() for a in one.axes[:3]] == ["a", "b", "c"]
    low, high = two.axes[0].images[0].get_clim()
    assert low == -high  # zero difference is white
    assert len(three.axes) == 7


def test_atoms_lie_where_they_are_with_rows_downward() -> None:
    from napari_phaset3m.analyse.atom_match import rmsd_against
    from napari_phaset3m.analyse.atoms import Atoms
    from napari_phaset3m.analyse.figures import atoms as figures

    place = np.array([[1.0, 2.0, 3.0], [-4.0, 5.0, -6.0], [0.0, 0.5, 1.0]])
    value = np.array([9.0, 8.0, 2.0])
    found = Atoms(
        place, value, value.copy(), np.full(3, 0.4), np.ones(3, bool), np.array([0, 0, 1]), 1.0, 1.4
    )
    with style.sheet():
        figure = figures.figure_positions(found, ("Co", "O"), place + 0.1)
        axes = figure.axes[1]  # x to the right, z downward
        co = next(line for line in axes.lines if line.get_label() == "Co")
        np.testing.assert_allclose(np.column_stack(co.get_data()), place[:2][:, [0, 2]])
        assert axes.yaxis_inverted() and axes.get_xlabel() == "x → (Å)"
        figure.draw_without_rendering()
        other = style.new_figure(5, 4)
        figures.plot_distances(other.subplots(), [("all", rmsd_against(place, place + 0.1))])
        other.draw_without_rendering()
    names = [text.get_text() for text in other.axes[0].get_legend().get_texts()]
    assert "all: 3 of 3, RMSD 0.17 Å" in names
