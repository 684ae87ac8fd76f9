"""The 3D Fourier transform: central sections, the missing wedge, the radial spectrum."""

from __future__ import annotations

from typing import Any

import numpy as np

from napari_phaset3m.analyse.bragg_table import BraggReport
from napari_phaset3m.analyse.figures import curves, overview, style, surface
from napari_phaset3m.analyse.spectrum import radial_spectrum
from napari_phaset3m.analyse.wedge import WedgeCompleteness, wedge_completeness
from napari_phaset3m.report.model import Picture, Section, Table
from napari_phaset3m.report.subject import Subject


def sections(subject: Subject, bragg: BraggReport | None = None) -> Section:
    """Three orthogonal central sections with shells and wedge; how full the wedge is."""
    span, tilts = subject.tilt_range_deg, subject.tilt_deg

    def draw() -> Any:
        return overview.figure_sections(subject.volume, subject.voxel_size_angstrom, span)

    text = (
        "Log power of the 3D Fourier transform (Hann window) on the three planes through its origin; dashed "
        "circles are resolutions."
    )
    statements: tuple[str, ...] = ()
    pictures, tables = [Picture("fourier", text, draw, wide=True), _surface_picture(subject, bragg)], []
    data: dict[str, Any] = {}
    if tilts is None:
        statements = ("The missing wedge is not outlined: its tilts are in the series (--series).",)
    else:
        voxel, mask = subject.voxel_size_angstrom, subject.mask
        wedge = wedge_completeness(subject.volume, voxel, tilts, mask=mask, report=bragg)
        statements = (f"{wedge.statement()} Mask: {subject.mask_text}.",)
        pictures.append(_wedge_picture(wedge))
        tables.append(Table("wedge", "Power in the missing wedge over power outside it", wedge.rows(), True))
        data["wedge"] = wedge.as_dict()
    return Section("fourier", "Fourier transform", statements, tuple(pictures), tuple(tables), data)


def _surface_picture(subject: Subject, bragg: BraggReport | None) -> Picture:
    """The power as a surface, with the peaks that were found."""
    volume, voxel, span = subject.volume, subject.voxel_size_angstrom, subject.tilt_range_deg

    def draw() -> Any:
        return surface.figure_power(volume, voxel, report=bragg, tilt_range_deg=span)

    text = (
        "Surface of the 3D log power (Hann window), seen from a corner, where it stands "
        f"{surface.POWER_DEVIATIONS:g} robust deviations over its median at the same frequency."
    )
    if bragg is not None:
        text += " Marked: the Bragg pairs that were found, the one of each that is in front."
    return Picture("fourier_surface", text, draw)


def _wedge_picture(wedge: WedgeCompleteness) -> Picture:
    def draw() -> Any:
        figure = style.new_figure(6.4, 3.4)
        axes = figure.subplots()
        k = wedge.frequency_per_angstrom
        shown = np.where(wedge.power_ratio > 0, wedge.power_ratio, np.nan)
        axes.plot(k, shown, color=style.BLUE, label="missing wedge ÷ measured region")
        axes.axhline(1, color=style.INK, lw=1, ls=(0, (4, 3)), label="as full as the measured region")
        axes.set_yscale("log")
        curves.frequency_axis(axes, float(k[-1] + k[0]))
        axes.set_ylabel("ratio of mean power")
        axes.legend(loc="best")
        return figure

    text = "Mean power in the missing wedge over mean power in the measured region, shell by shell."
    return Picture("wedge", text, draw)


def spectrum(subject: Subject, bragg: BraggReport | None = None) -> Section:
    """Radial power spectrum with the families of Bragg peaks marked."""
    found = radial_spectrum(subject.volume, subject.voxel_size_angstrom, mask=subject.mask, report=bragg)
    # A family of which less than half stands out is no peak of the mean.
    marks = [(m.frequency_per_angstrom, m.name) for m in found.marks if 2 * m.found >= m.total]

    def draw() -> Any:
        figure = style.new_figure(6.8, 4.0)
        curve = [(subject.name, found.frequency_per_angstrom, found.power)]
        curves.plot_radial_power(figure.subplots(), curve, peaks=marks)
        return figure

    window = "Hann window" if subject.mask is None else f"mask: {subject.mask_text}"
    text = f"Mean power of the 3D transform in shells ({window})"
    text += "; families of which half the pairs were found are marked." if marks else "."
    return Section("spectrum", "Radial power spectrum", (), (Picture("spectrum", text, draw),),
                   (Table("spectrum", "Radial power spectrum", found.rows(), True),),
                   {"spectrum": found.as_dict()})  # fmt: skip
