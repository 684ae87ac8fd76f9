"""Fourier shell correlation of half volumes: in all directions, in the wedge and outside it, in cones."""

from __future__ import annotations

from typing import Any

import numpy as np

from napari_phaset3m.analyse.figures import correlation, optics, style
from napari_phaset3m.analyse.fsc import (
    CRITERIA,
    ConicalFsc,
    FscCurve,
    WedgeFsc,
    conical_fsc,
    fsc,
    masked_fsc,
    wedge_fsc,
)
from napari_phaset3m.analyse.ssnr import ssnr_from_fsc
from napari_phaset3m.errors import PhaseT3MError
from napari_phaset3m.report.mean_fsc import mean_fsc, mean_fsc_limit
from napari_phaset3m.report.model import Picture, Section, Table, missing
from napari_phaset3m.report.subject import Subject

KEY, TITLE = "fsc", "Resolution (Fourier shell correlation)"
NEEDS = (
    "two half volumes are needed: --half1 A --half2 B, or --series with --halves tilts, foci or dose "
    "to reconstruct them"
)


def resolution(subject: Subject) -> Section:
    """Half-set FSC with criterion, mask and halves named."""
    if subject.halves is None:
        return missing(KEY, TITLE, NEEDS)
    assert subject.halves is not None
    curve = half_set_fsc(subject, subject.halves)
    free = None if subject.free_halves is None else half_set_fsc(subject, subject.free_halves)
    told = dict.fromkeys((*curve.notes, *subject.halves_notes))
    statements = [*(str(curve.resolution(name)) for name in CRITERIA), *_controlled(curve, free), *told]
    pictures = [_curve_picture(curve, free), _ssnr_picture(curve)]
    tables = [Table("fsc_resolution", "Resolution by each criterion", _criteria(curve)),
              Table("fsc", "FSC, shell by shell", curve.rows(), True)]  # fmt: skip
    data: dict[str, Any] = {"fsc": curve.as_dict()}
    if free is not None:
        tables.append(Table("fsc_without_priors", "FSC of the control without priors", free.rows(), True))
        data["fsc_without_priors"] = free.as_dict()
    try:
        _directions(subject, statements, pictures, tables, data)
    except PhaseT3MError as error:
        statements.append(f"Conical and wedge FSC were not computed: {error}")
    headline = " ".join([str(curve.resolution("0.143")), *subject.caveats])
    return Section(KEY, TITLE, tuple(statements), tuple(pictures), tuple(tables), data, headline=headline)


def half_set_fsc(subject: Subject, halves: tuple[np.ndarray, np.ndarray]) -> FscCurve:
    """FSC of these halves (the subject's, or its control) in the subject's mask."""
    a, b = halves
    names = subject.halves_name
    voxel = subject.voxel_size_angstrom
    if subject.mask is None:
        return fsc(a, b, voxel, halves=names, notes=subject.caveats)
    mask_name = subject.mask_text
    return masked_fsc(a, b, voxel, subject.mask, mask_name=mask_name, halves=names, notes=subject.caveats)


def _controlled(curve: FscCurve, free: FscCurve | None) -> list[str]:
    """What the control says."""
    return [] if free is None else [control_words(curve, free)]


def control_words(curve: FscCurve, free: FscCurve) -> str:
    """The resolution with and without priors side by side, and how much agreement they add."""
    limit = mean_fsc_limit(curve)
    both = (("with", curve), ("without", free))
    pairs = [(name, one.resolution("0.143"), mean_fsc(one)) for name, one in both]
    told = "; ".join(
        f"{name} priors {'none' if at.angstrom is None else f'{at.angstrom:.3g} Å'}"
        f"{' or better' if at.at_least else ''} at 0.143, mean FSC to {limit:.3g} Å {mean:.3f}"
        for name, at, mean in pairs
    )
    return f"Control without priors: {told}."


def _directions(
    subject: Subject,
    statements: list[str],
    pictures: list[Picture],
    tables: list[Table],
    data: dict[str, Any],
) -> None:
    assert subject.halves is not None
    a, b = subject.halves
    options: dict[str, Any] = {"mask": subject.mask, "halves": subject.halves_name, "notes": subject.caveats}
    options["mask_name"] = subject.mask_text if subject.mask is not None else ""
    tilts, voxel = subject.tilt_deg, subject.voxel_size_angstrom
    if tilts is None:
        statements.append("Without the series' tilts (--series) the missing wedge is not told apart.")
    else:
        wedge = wedge_fsc(a, b, voxel, tilts, **options)
        statements.append(wedge.statement())
        pictures.append(_wedge_picture(wedge))
        tables.append(Table("fsc_wedge", "FSC outside and inside the missing wedge", wedge.rows(), True))
        data["wedge_fsc"] = wedge.as_dict()
    cones = conical_fsc(a, b, voxel, tilt_deg=tilts, **options)
    statements.append(cones.statement())
    pictures.append(_cone_picture(cones))
    tables.append(Table("fsc_cones", "Resolution by direction", cones.rows(), True))
    data["conical_fsc"] = cones.as_dict()


def _criteria(curve: FscCurve) -> list[dict[str, Any]]:
    rows = []
    for name in CRITERIA:
        found = curve.resolution(name)
        rows.append({"criterion": name, "resolution_angstrom": found.angstrom, "status": found.status,
                     "mask": found.mask_name, "halves": found.halves, "region": found.region,
                     "curve": found.curve.rstrip(",")})  # fmt: skip
    return rows


def _curve_picture(curve: FscCurve, free: FscCurve | None = None) -> Picture:
    def draw() -> Any:
        figure = style.new_figure(6.4, 4.2)
        correlation.plot_fsc(figure.subplots(), curve, free=free)
        return figure

    text = (
        f"FSC of {curve.halves}; mask: {curve.mask_name}. Horizontal lines: 0.5 and 0.143. "
        f"In the shaded band the halves agree no better than noise would. {' '.join(curve.notes)}".rstrip()
    )
    return Picture("fsc", text, draw)


def _ssnr_picture(curve: FscCurve) -> Picture:
    def draw() -> Any:
        figure = style.new_figure(6.4, 4.2)
        value = ssnr_from_fsc(curve)
        optics.plot_volume_ssnr(figure.subplots(), [("both halves", curve.frequency_per_angstrom, value)])
        return figure

    text = (
        "Spectral signal-to-noise ratio of the whole volume, 2 FSC / (1 − FSC) of its halves; above the "
        "dashed line there is more signal than noise."
    )
    return Picture("volume_ssnr", text, draw)


def _wedge_picture(wedge: WedgeFsc) -> Picture:
    def draw() -> Any:
        figure = style.new_figure(6.4, 4.2)
        pair = [("measured directions", wedge.measured), ("missing wedge", wedge.wedge)]
        correlation.plot_fsc_set(figure.subplots(), pair)
        return figure

    text = (
        "FSC outside and inside the missing wedge. Halves that share a constraint (positivity, a mask) "
        f"agree in the wedge without having measured it. {' '.join(wedge.wedge.notes)}".rstrip()
    )
    return Picture("fsc_wedge", text, draw)


def _cone_picture(cones: ConicalFsc) -> Picture:
    def draw() -> Any:
        figure = style.new_figure(6.4, 4.6)
        axes = figure.subplots()
        image = correlation.plot_conical(axes, cones)
        if image is not None:
            figure.colorbar(
                image, ax=axes, label="resolution (Å) at FSC 0.143, Nyquist where it never falls", shrink=0.8
            )
        return figure

    text = (
        f"Resolution in cones of {cones.half_angle_deg:g}° half angle, over the half sphere of directions "
        "seen along the beam (equal-area projection; tilt axis y downward)."
    )
    return Picture("fsc_cones", text, draw)
