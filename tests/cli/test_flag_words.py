"""Fields as flags: only those that the command has, and never those of a file."""

import pytest

from napari_phaset3m.cli import app
from napari_phaset3m.cli.flag_words import command_named, flags_of, in_flags
from napari_phaset3m.io.raw import FIELDS


def told(command: str, text: str) -> str:
    return in_flags(text, flags_of(command_named(app, [command])))


@pytest.mark.parametrize(
    ("command", "text", "wanted"),
    [
        ("reconstruct", "voxel_angstrom: 9 Å is too much", "--voxel: 9 Å is too much"),
        ("align", "voxel_angstrom: 9 Å is too much", "voxel_angstrom: 9 Å is too much"),
        ("prepare", "crop.region_px: is outside", "--crop-region: is outside"),
        ("prepare", "steps: bin: factor: must be whole", "--bin-factor: must be whole"),
        ("prepare", "dose.order: is not stated", "--dose-order: is not stated"),
        ("prepare", "motion: gain_rotate 1 or 3 fits", "--motion: --motion-gain-rotate 1 or 3 fits"),
        ("convert", "gain: gain_rotate 1 or 3 fits", "--gain: --gain-rotate 1 or 3 fits"),
        ("ctf", "spherical_aberration_angstrom: is needed", "--cs: is needed"),
        ("ctf", "defocus_max_angstrom: must be at most 1e+06", "--range: must be at most 1e+06"),
        ("align", "made_for: is unknown", "--import-for: is unknown"),
        ("align", "match_bins: 3 needs match_rounds above 1", "--match-bins: 3 needs --match-rounds above 1"),
        ("convert", "a.toml: crop: is outside", "a.toml: crop: is outside"),
        ("convert", "a.mrc: energy: Give energy_ev=...", "a.mrc: energy: Give energy_ev=..."),
        ("convert", "bin: 9 of x_bin.mrc and 'bin_method'", "--bin: 9 of x_bin.mrc and 'bin_method'"),
    ],
)  # fmt: skip
def test_fields_become_flags(command, text, wanted):
    assert told(command, text) == wanted


def test_a_phase_plate_has_one_flag_in_every_command():
    """One states its shift, another fits it; --phase-shift was both, by the command."""
    import typer.main

    commands = typer.main.get_command(app).commands
    found = {
        name: {option for p in command.params for option in p.opts if "phase-" in option}
        for name, command in commands.items()
    }
    assert found["ctf"] == {"--phase-plate", "--fit-phase-shift"}
    assert found["simulate"] == found["convert"] == found["reconstruct"] == {"--phase-plate"}
    assert set().union(*found.values()) == {"--phase-plate", "--fit-phase-shift"}
    assert told("simulate", "optics.phase_shift_deg: must be at most 360").startswith(
        "--phase-plate: must be"
    )
    assert told("ctf", "fit_phase_shift: shows in Thon rings").startswith("--fit-phase-shift: shows")


def test_a_quantity_of_a_series_has_one_flag_in_every_command():
    """``simulate`` had --spherical-aberration, --chromatic-aberration and --dose-per-image of its own."""
    import typer.main

    found = {
        (parameter.name, option)
        for command in typer.main.get_command(app).commands.values()
        for parameter in command.params
        for option in parameter.opts
        if parameter.name in FIELDS
    }
    assert found == {(name, FIELDS[name][1]) for name, _ in found}
    simulate = flags_of(command_named(app, ["simulate"]))
    optics = ("spherical_aberration_angstrom", "chromatic_aberration_angstrom", "aberrations")
    for name in (*optics, "dose_per_image", "energy_ev", "pixel_size_angstrom", "energy_spread_ev"):
        assert simulate[name] == FIELDS[name][1]
    assert simulate["stated_spherical_aberration_angstrom"] == "--stated-cs"
    assert flags_of(command_named(app, ["ctf"]))["fit_spherical_aberration"] == "--fit-cs"


def test_no_command_is_named():
    assert command_named(app, ["--help"]) is None
