"""What the microscope passes on: CTF curves of the series, SSNR of its set of defoci."""

from __future__ import annotations

from typing import Any

from napari_phaset3m.analyse.ctf import CtfCurve, ctf, series_microscope
from napari_phaset3m.analyse.figures import optics, style
from napari_phaset3m.analyse.ssnr import SsnrCurve, focal_ssnr, series_defoci
from napari_phaset3m.core.optics import Microscope
from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.report.model import Picture, Section, Table, missing
from napari_phaset3m.report.subject import Subject

KEY, TITLE = "optics", "Contrast transfer and SSNR of the focal series"


def section(subject: Subject) -> Section:
    """CTF of each focus with envelopes and limits, and the SSNR of all foci together."""
    series = subject.series
    if series is None:
        return missing(KEY, TITLE, "the series is needed (--series)")
    defoci, where = series_defoci(series, subject.ssnr_defoci_angstrom)
    microscope = series_microscope(series)
    options: dict[str, Any] = {"pixel_size_angstrom": series.pixel_size_angstrom,
                               "aperture_semiangle_mrad": subject.aperture_mrad}  # fmt: skip
    curves = [ctf(microscope, float(value), **options) for value in defoci]
    together = focal_ssnr(microscope, defoci, **options)
    statements = [*(curve.statement() for curve in curves), together.statement(), _unknown(subject)]
    text = (
        f"SSNR of the focal series {where}, in units of the S/N of one image at full transfer. Grey: "
        "frequencies that the set of defoci leaves out."
    )
    pictures = (
        Picture(
            "ctf", f"Contrast transfer of a weak phase object {where}.", lambda: optics.figure_ctf(curves)
        ),
        Picture("ssnr", text, lambda: _ssnr(together)),
    )
    tables = (
        Table("optics", "Microscope", _facts(series, microscope, subject)),
        Table("ssnr", "SSNR of the focal series", together.rows(), True),
        Table("ctf", "Contrast transfer", _ctf_rows(curves), True),
    )
    data: dict[str, Any] = {"defoci_are": where}
    data |= {"limits": [_limits(curve) for curve in curves], "ssnr_gaps_per_angstrom": together.gaps()}
    return Section(KEY, TITLE, tuple(s for s in statements if s), pictures, tables, data)


def _ssnr(curve: SsnrCurve) -> Any:
    figure = style.new_figure(6.8, 4.2)
    optics.plot_ssnr(figure.subplots(), curve)
    return figure


def _unknown(subject: Subject) -> str:
    absent = []
    if subject.aperture_mrad is None:
        absent.append("the objective aperture (--aperture), so no diffraction limit is drawn")
    stated = subject.series.convergence_semiangle_mrad if subject.series else None
    if not stated:
        absent.append(
            "the illumination angle (--convergence-semiangle), so spatial coherence counts as perfect"
        )
    return f"Not given: {'; '.join(absent)}." if absent else ""


def _facts(series: TiltFocalSeries, microscope: Microscope, subject: Subject) -> list[dict[str, Any]]:
    rows: list[tuple[str, Any]] = [
        ("accelerating voltage (kV)", series.energy_ev / 1e3),
        ("wavelength (Å)", microscope.wavelength_angstrom),
        ("spherical aberration (mm)", (series.spherical_aberration_angstrom or 0.0) * 1e-7),
        ("focal spread, standard deviation (Å)", microscope.focal_spread_angstrom),
        (
            "illumination half-angle, standard deviation (mrad)",
            microscope.convergence_semiangle_rad * 1e3 or None,
        ),
        ("phase shift of the phase plate (°)", series.phase_shift_deg),
        ("objective aperture, half-angle (mrad)", subject.aperture_mrad),
        ("pixel (Å)", series.pixel_size_angstrom),
    ]
    rows += [(name, value) for name, value in microscope.aberrations.items()]
    return [{"quantity": name, "value": value} for name, value in rows]


def _limits(curve: CtfCurve) -> dict[str, float | None]:
    return {
        "defocus_angstrom": curve.defocus_angstrom,
        "diffraction_limit_per_angstrom": curve.diffraction_limit_per_angstrom,
        "temporal_limit_per_angstrom": curve.temporal_limit_per_angstrom,
        "spatial_limit_per_angstrom": curve.spatial_limit_per_angstrom,
        "information_limit_per_angstrom": curve.information_limit_per_angstrom,
    }


def _ctf_rows(curves: list[CtfCurve]) -> list[dict[str, float]]:
    return [{"defocus_angstrom": curve.defocus_angstrom, **row} for curve in curves for row in curve.rows()]
