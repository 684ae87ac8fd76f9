"""Values in another unit than they are read in are doubted, usual ones are not."""

from __future__ import annotations

import pytest

from napari_phaset3m.core.plausible import doubtful_cs, doubtful_energy, doubtful_units, is_unit_warning


@pytest.mark.parametrize("energy_ev", [20e3, 30e3, 80e3, 200e3, 300e3, 1.25e6, 3e6])
def test_voltages_that_exist_are_believed(energy_ev: float) -> None:
    assert doubtful_energy(energy_ev) is None


@pytest.mark.parametrize("cs_angstrom", [None, 0.0, -1.3e5, 5e4, 1.2e7, 2.7e7, 1e8])
def test_usual_aberrations_are_believed(cs_angstrom: float | None) -> None:
    assert doubtful_cs(cs_angstrom) is None


def test_a_line_names_field_value_unit_usual_range_and_what_is_meant() -> None:
    assert doubtful_energy(300e6) == (
        "Voltage is 300000 kV; microscopes have 10 to 3000 kV. Is 300 kV meant?"
    )
    assert doubtful_energy(300.0) == "Voltage is 0.3 kV; microscopes have 10 to 3000 kV. Is 300 kV meant?"
    assert doubtful_energy(3e3) == "Voltage is 3 kV; microscopes have 10 to 3000 kV."
    assert doubtful_cs(2.7e10) == "Cs is 2700 mm; usual are 0.001 to 10 mm. Is 2.7 mm meant?"


def test_files_and_flags_are_told_in_their_own_units() -> None:
    lines = doubtful_units(300e6, 2.7e10)
    assert "3e+08 V; it is read in volts" in lines[0] and "2.7e+10 Å; it is read in angstrom" in lines[1]
    assert all(is_unit_warning(line) for line in lines)
    assert not is_unit_warning("pixel size is not in the file: shown as 1 A per pixel")
