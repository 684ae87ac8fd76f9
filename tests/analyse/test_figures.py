"""Figures: what is drawn lies where it must, and pages of several figures do not mix them up."""

from __future__ import annotations

import re

import numpy as np
import pytest

from napari_phaset3m.analyse.figures import curves, overview, pictures, style
from napari_phaset3m.analyse.wedge import fourier_tilt_deg

VOXEL = 0.5


def axes_of(width: float = 4, height: float = 3):
    figure = style.new_figure(width, height)
    return figure, figure.subplots()


@pytest.mark.parametrize(
    ("wanted", "given"), [(7.3, 5), (5, 5), (4.99, 2), (1, 1), (0.99, 0.5), (260, 200), (1e-3, 1e-3)]
)
def test_round_length(wanted, given) -> None:
    assert pictures.round_length(wanted) == pytest.approx(given)


@pytest.mark.parametrize(
    ("length", "text"), [(1.5, "1.5 Å"), (80, "80 Å"), (250, "25 nm"), (5000, "500 nm"), (20000, "2 µm")]
)
def test_lengths_in_the_unit_a_reader_wants(length, text) -> None:
    assert pictures.length_text(length) == text


@pytest.mark.parametrize("limit", [1.0, 0.96, 0.1, 0.0069, 5.0])
@pytest.mark.parametrize("count", [3, 6])
def test_shells_are_inside_round_and_apart(limit, count) -> None:
    found = pictures.shells(limit, count)
    k = [one for one, _ in found]
    assert 2 <= len(k) <= count and k == sorted(k) and k[-1] < limit
    assert min(np.diff(k)) > 0.4 * limit / count
    for one, text in found:
        number, unit = text.split()
        assert float(number) * {"Å": 1, "nm": 10, "µm": 1e4}[unit] == pytest.approx(1 / one)


def test_a_slice_keeps_its_rows_downward_and_its_lengths() -> None:
    plane = np.zeros((20, 40), np.float32)
    plane[2, 30] = 1
    with style.sheet():
        _, axes = axes_of()
        image = pictures.draw_slice(axes, plane, VOXEL, limits=(0, 1))
    assert tuple(image.get_extent()) == (0, 20, 10, 0)  # angstrom; y runs downward
    bar = axes.lines[0].get_xdata()
    assert bar[1] - bar[0] == pytest.approx(5)  # the largest round length up to a quarter of the width
    assert [t.get_text() for t in axes.texts] == ["5 Å"]


def test_the_transform_has_zero_frequency_in_the_middle() -> None:
    n = 33
    x = np.arange(n) * VOXEL
    wave = np.cos(2 * np.pi * 0.25 * x)[None, :] * np.ones((24, 1))
    from napari_phaset3m.analyse.fourier import log_power

    power = log_power(wave.astype(np.float32), window=True)
    with style.sheet():
        _, axes = axes_of()
        image = pictures.draw_transform(axes, power, VOXEL)
    left, right, bottom, top = image.get_extent()
    row, column = np.unravel_index(np.argmax(power), power.shape)
    kx = left + (column + 0.5) / power.shape[1] * (right - left)
    ky = top + (row + 0.5) / power.shape[0] * (bottom - top)
    assert abs(kx) == pytest.approx(0.25, abs=0.5 / (n * VOXEL)) and ky == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("tilts", [(-65.0, 65.0), (-40.0, 70.0)])
def test_the_wedge_is_drawn_where_no_tilt_measured(tilts) -> None:
    with style.sheet():
        _, axes = axes_of()
        pictures.draw_wedge(axes, tilts, 1.0)
    # the label stands in the wedge, the patches hold it and its mate
    x, z = axes.texts[0].get_position()
    angle = float(fourier_tilt_deg(np.array(z), np.array(x)))
    assert angle > tilts[1] or angle < tilts[0]
    inside = [patch.get_path().contains_point((x, z)) for patch in axes.patches]
    assert sum(inside) == 1
    # what the highest tilt measured is on the border
    edge = axes.lines[1].get_xydata()[1]
    assert float(fourier_tilt_deg(edge[1], edge[0])) == pytest.approx(tilts[1])


def test_both_pages_of_a_figure_come_out_alike_each_time() -> None:
    volume = np.random.default_rng(0).random((16, 18, 20)).astype(np.float32)
    with style.sheet():
        figures = [overview.figure_slices(volume, VOXEL, 1.0, "V") for _ in range(2)]
        svg = [style.inline(style.to_svg(figure), "a") for figure in figures]
        png = style.to_png(figures[0])
    assert svg[0] == svg[1]
    assert png[:4] == b"\x89PNG"


def test_an_inline_svg_is_self_contained_and_owns_its_ids() -> None:
    with style.sheet():
        figure, axes = axes_of()
        curves.plot_profiles(axes, [("one", np.arange(4.0), np.arange(4.0))], ylabel="V")
        raw = style.to_svg(figure)
    text = style.inline(raw, "one")
    assert 'fill="white"' in style.on_paper(raw) and style.INK in raw
    assert text.startswith("<svg") and "currentColor" in text and style.INK not in text
    ids = set(re.findall(r'\bid="([^"]+)"', text))
    used = set(re.findall(r'href="#([^"]+)"', text)) | set(re.findall(r"url\(#([^)]+)\)", text))
    assert ids and all(name.startswith("one-") for name in ids) and used <= ids
    assert not re.search(r'(href|src)="(?!#|data:)', text)


def test_colours_are_told_apart_by_line_style_too() -> None:
    seen = {(style.line(n)["color"], str(style.line(n)["linestyle"])) for n in range(6)}
    assert len(seen) == 6 and len({colour for colour, _ in seen}) == 6 and len({ls for _, ls in seen}) == 6


def test_a_radial_spectrum_marks_its_peaks() -> None:
    k = np.linspace(0.02, 0.98, 49)
    power = 1 / k**2
    with style.sheet():
        figure, axes = axes_of()
        curves.plot_radial_power(axes, [("v", k, power)], peaks=[(0.35, "{220}"), (0.61, "{422}")])
        figure.draw_without_rendering()
    marks = next(line for line in axes.lines if line.get_label() == "peaks")
    np.testing.assert_allclose(marks.get_xdata(), [0.35, 0.61])
    assert {"{220}", "{422}"} <= {t.get_text() for t in axes.texts}
    assert axes.get_yscale() == "log" and "Å⁻¹" in axes.get_xlabel()


def test_an_empty_volume_is_drawn_too() -> None:
    with style.sheet():
        style.to_png(overview.figure_slices(np.zeros((8, 8, 8), np.float32), VOXEL, 1.0, ""))
        style.to_png(overview.figure_sections(np.zeros((8, 8, 8), np.float32), VOXEL, (-60, 60)))
