"""Sections of a comparison: agreement, slices, transforms, spectra."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from napari_phaset3m.analyse.compare import Comparison
from napari_phaset3m.analyse.figures import comparison as figures
from napari_phaset3m.analyse.figures import correlation, curves, style
from napari_phaset3m.analyse.fourier import radial_power_spectrum
from napari_phaset3m.report.mean_fsc import mean_fsc, mean_fsc_limit
from napari_phaset3m.report.model import Picture, Section, Table
from napari_phaset3m.report.subject import Subject

#: Names and volumes on one grid, in one place and on one scale; the reference comes first.
Matched = Sequence[tuple[str, np.ndarray]]


def agreement(comparisons: Sequence[Comparison], reference: Subject, known: bool) -> Section:
    """Correlation, SSIM, difference and FSC of each volume with the reference."""
    rows = [
        {
            "volume": found.names[1],
            "correlation": found.correlation,
            "SSIM": found.ssim,
            "difference_over_standard_deviation": found.relative_difference,
            "FSC 0.5_angstrom": found.fsc.resolution("0.5").angstrom,
            "FSC 0.143_angstrom": found.fsc.resolution("0.143").angstrom,
            f"mean FSC to {mean_fsc_limit(found.fsc):.3g} Å": mean_fsc(found.fsc),
            "turn_xyz_degree": found.turn_deg,
            "shift_zyx_angstrom": found.shift_angstrom,
            "scale": found.scale,
            "offset": found.offset,
        }
        for found in comparisons
    ]

    def draw() -> Any:
        figure = style.new_figure(6.4, 4.2)
        pairs = [(found.names[1], found.fsc) for found in comparisons]
        correlation.plot_fsc_set(figure.subplots(), pairs)
        return figure

    text = (
        f"FSC of each volume with {reference.name}; mask: {reference.mask_text}"
        f"{', corrected by phase randomisation' if reference.mask is not None else ''}."
    )
    curves_table = [{"volume": found.names[1], **row} for found in comparisons for row in found.fsc.rows()]
    told = [found.statement() for found in comparisons]
    if not known:
        told.append(f"No truth was given: agreement with {reference.name} does not say who is right.")
    return Section(
        "agreement",
        f"Agreement with {reference.name}",
        tuple(told),
        (Picture("agreement", text, draw),),
        (Table("agreement", f"After alignment and scaling; mask: {reference.mask_text}", rows),
         Table("agreement_fsc", "FSC with the reference, shell by shell", curves_table, True)),
        {"comparisons": [found.as_dict() for found in comparisons]},
    )  # fmt: skip


def _scaling(comparisons: Sequence[Comparison]) -> str:
    """By what each volume was multiplied, and what was added, for a caption."""
    return (
        " Scaled: "
        + "; ".join(
            f"{found.names[1]} ×{found.scale:.4g} {'+' if found.offset >= 0 else '−'} {abs(found.offset):.3g}"
            for found in comparisons
        )
        + "."
    )


def slices(matched: Matched, comparisons: Sequence[Comparison], reference: Subject) -> Section:
    """All volumes on the reference's grey scale, and what is left of the reference."""
    voxel, thick, unit = reference.voxel_size_angstrom, reference.thickness_angstrom, reference.unit

    def draw() -> Any:
        return figures.figure_side_by_side(matched, voxel, thick)

    def difference() -> Any:
        rest = [(f"{reference.name} − {found.names[1]}", found.difference) for found in comparisons]
        return figures.figure_difference(rest, voxel, thick, unit)

    text = (
        f"Central slices, {thick:.3g} Å thick, aligned to {reference.name}, on a common percentile scale: "
        f"each from black at its 0.5 to white at its 99.9 percentile.{_scaling(comparisons)}"
    )
    rest = (
        f"{reference.name} minus each aligned, scaled volume, {thick:.3g} Å thick; blue: {reference.name} is "
        f"higher.{_scaling(comparisons)}"
    )
    return Section("slices", "Slices side by side", (),
                   (Picture("side_by_side", text, draw, wide=True),
                    Picture("difference", rest, difference, wide=len(comparisons) > 2)))  # fmt: skip


def transforms(matched: Matched, reference: Subject) -> Section:
    """Central sections of the 3D transforms."""
    span, voxel = reference.tilt_range_deg, reference.voxel_size_angstrom

    def draw() -> Any:
        return figures.figure_transforms(matched, voxel, span)

    wedge = "; the missing wedge is shaded" if span is not None else ""
    text = (
        f"Log power of the 3D transforms on the planes kz = 0 and ky = 0{wedge}. Dashed circles: resolution."
    )
    return Section("transforms", "Fourier transforms side by side", (),
                   (Picture("transforms", text, draw, wide=True),))  # fmt: skip


def spectra(matched: Matched, comparisons: Sequence[Comparison], reference: Subject) -> Section:
    """Radial power spectra on the reference's scale of values."""
    voxel = reference.voxel_size_angstrom
    found = [(name, *radial_power_spectrum(volume, voxel)) for name, volume in matched]

    def draw() -> Any:
        figure = style.new_figure(6.4, 4.0)
        curves.plot_radial_power(figure.subplots(), found, ylabel="mean power (after scaling)")
        return figure

    rows = [
        {"frequency_per_angstrom": float(k), **{name: float(power[i]) for name, _, power in found}}
        for i, k in enumerate(found[0][1])
    ]
    text = f"Radial power spectra (Hann window) after scaling to the reference.{_scaling(comparisons)}"
    return Section("spectra", "Radial power spectra", (), (Picture("spectra", text, draw),),
                   (Table("spectra", "Radial power spectra", rows, True),))  # fmt: skip
