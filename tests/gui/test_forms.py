from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("qtpy.QtWidgets")
from napari_phaset3m.errors import ConfigError
from napari_phaset3m.gui.mask.numbers import NumberSlider
from napari_phaset3m.gui.widgets.numbers import (
    parse_angles,
    parse_number,
    parse_numbers,
    show,
    show_number,
    show_volume,
)


@pytest.mark.parametrize(
    ("text", "unit", "value"),
    [("300", "kV", 3e5), ("300 kV", "kV", 3e5), ("300000V", "kV", 3e5),
     ("2,3", "mm", 2.3e7), ("1.2 µm", "nm", 1.2e4),
     ("−5", "nm", -50), ("45 Å", "nm", 45), ("1e-1", "Å", 0.1), (".5", "Å", 0.5),
     ("21.5 e/Å²", "e/Å²", 21.5)],
)  # fmt: skip
def test_numbers_with_units(text, unit, value):
    assert parse_number(text, unit) == pytest.approx(value)


@pytest.mark.parametrize("text", ["", "nm", "1.2.3", "inf", "nan", "3 kV", "1e999", "5 parsec"])
def test_nonsense_is_refused(text):
    with pytest.raises(ConfigError):
        parse_number(text, "nm")


def test_lists():
    assert parse_numbers("90 / 170 / 270 nm", "nm") == [900, 1700, 2700]
    assert parse_numbers("1, 2", "nm") == [10, 20]
    assert parse_numbers("1,5", "nm") == [15]
    assert parse_angles("-4:4:2") == [-4, -2, 0, 2, 4]
    assert parse_angles("-4, 0 4") == [-4, 0, 4]
    for text in ("", "1:2", "0:10:-1", "a b"):
        with pytest.raises(ConfigError):
            parse_angles(text)


@given(st.floats(-1e7, 1e7, allow_subnormal=False).filter(lambda x: x == 0 or abs(x) > 1e-6))
def test_shown_numbers_read_back(value):
    text = show_number(value)
    assert "e" not in text
    assert float(text.replace("−", "-")) == pytest.approx(value, rel=6e-4)


def test_shown_values_are_rounded():
    assert [show(a, "°") for a in (-0.000488, 59.9996, -1.2345)] == ["0", "60", "−1.234"]
    assert show(900.0000001, "nm") == "90" and show(2.3e7, "mm") == "2.3" and show_number(-0.0) == "0"


def test_volumes_have_no_exponent():
    assert show_volume(20.684) == "20.68 nm³" and show_volume(0.0) == "0 nm³"
    assert show_volume(2.764e6) == "2\u2009764\u2009000 nm³" and show_volume(12345.6) == "12\u2009350 nm³"
    assert show_volume(12.34, 3) == "12.3 nm³"


@pytest.mark.parametrize(("high", "dragged"), [(0.03, "0.0150 V"), (0.6, "0.300 V"), (8.0, "4.00 V")])
def test_a_slider_shows_what_its_range_and_its_value_need(qtbot, high, dragged):
    slider = NumberSlider(high, " V", "Level")
    qtbot.addWidget(slider)
    slider.set(0.0057)  # Otsu's level of a noisy volume
    assert slider.spin.text() == "0.0057 V" and slider.value() == 0.0057
    slider.slider.setValue(100)
    assert slider.spin.text() == dragged
    slider.set(1e-9)
    assert slider.spin.text() == "0.00000 V"
