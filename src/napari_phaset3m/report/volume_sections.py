"""Sections that need the volume only: facts, slices, Fourier sections, spectrum."""

from __future__ import annotations

from typing import Any

import numpy as np

from napari_phaset3m.analyse.figures import curves, overview, style, surface
from napari_phaset3m.analyse.profiles import line_profile
from napari_phaset3m.report.model import Picture, Section, Table
from napari_phaset3m.report.subject import Subject

Line = tuple[str, np.ndarray, np.ndarray]


def facts(subject: Subject) -> Section:
    """Size, values, and how the volume was made."""
    record = subject.record
    tables = [Table("volume", "The volume", _fact_rows(subject))]
    pictures: tuple[Picture, ...] = ()
    statements: tuple[str, ...] = ()
    parameters = record.get("parameters")
    if isinstance(parameters, dict) and parameters:
        tables.append(Table("settings", "Settings it was reconstructed with", _setting_rows(record), True))
    else:
        statements = ("The file does not say how the volume was made (no .json beside it).",)
    errors = record.get("error_per_iteration") or []
    if len(errors) > 1:
        pictures = (_error_picture(record, errors),)
    return Section("volume", "Volume", statements, pictures, tuple(tables))


def _fact_rows(subject: Subject) -> list[dict[str, Any]]:
    volume, record = subject.volume, subject.record
    nz, ny, nx = volume.shape
    voxel = subject.voxel_size_angstrom
    rows: list[tuple[str, Any]] = [
        ("voxels, x × y × z", f"{nx} × {ny} × {nz}"),
        ("voxel (Å)", voxel),
        ("box, x × y × z (Å)", " × ".join(f"{n * voxel:.4g}" for n in (nx, ny, nz))),
        ("unit of the values", subject.unit or "not stated"),
        ("minimum", float(volume.min())),
        ("maximum", float(volume.max())),
        ("mean", float(volume.mean(dtype=np.float64))),
        ("mask", subject.mask_text),
    ]
    if subject.mask is not None:
        rows.append(("recipe of the mask", subject.mask_recipe or "not known"))
        rows.append(("mask volume (nm³)", float(subject.mask.sum(dtype=np.float64)) * voxel**3 * 1e-3))
    parameters = record.get("parameters") or {}
    if parameters:
        errors = record.get("error_per_iteration") or []
        rows += [
            ("method", parameters.get("method")),
            ("sweeps", len(errors) or None),
            ("last error", errors[-1] if errors else None),
            ("ended because of", record.get("reason")),
            ("device", record.get("device")),
            ("seconds", float(sum(record.get("seconds_per_iteration") or [])) or None),
        ]
    if subject.series is not None:
        low, high = subject.tilt_range_deg or (0.0, 0.0)
        n = subject.series.n_focus
        foci = "1 focus" if n == 1 else f"{n} foci"
        count = f"{subject.series.n_tilt} tilts, {low:g} to {high:g}°, {foci}"
        rows.append(("series", count))
    return [{"quantity": name, "value": value} for name, value in rows]


def _setting_rows(record: Any) -> list[dict[str, Any]]:
    rows = []
    resolved = record.get("resolved") or {}
    for name, value in _flat(record["parameters"]):
        rows.append({"parameter": name, "given": value, "used": resolved.get(name, value)})
    return rows


def _flat(values: Any, prefix: str = "") -> list[tuple[str, Any]]:
    flat = []
    for name, value in values.items():
        if isinstance(value, dict) and value:
            flat += _flat(value, f"{prefix}{name}.")
        else:
            flat.append((prefix + name, str(value)))
    return flat


def _error_picture(record: Any, errors: list[float]) -> Picture:
    def draw() -> Any:
        figure = style.new_figure(6.4, 3.2)
        curves.plot_error(figure.subplots(), errors, record.get("held_out_error_per_iteration") or ())
        return figure

    return Picture("error", "Relative error of the images after each sweep.", draw)


def slices(subject: Subject) -> Section:
    """Central slices along the three axes with their 2D transforms."""
    voxel, thick = subject.voxel_size_angstrom, subject.thickness_angstrom

    def draw() -> Any:
        return overview.figure_slices(subject.volume, voxel, thick, subject.unit)

    each = subject.thicknesses_angstrom
    thickness = f"{thick:.3g} Å thick ({round(thick / voxel)} voxels averaged)"
    if len(set(each)) > 1:
        thickness = f"{', '.join(f'{v:.3g}' for v in each)} Å thick across z, y, x"
    text = (
        f"Central slices, {thickness}, evenly about the rotation centre, along the beam z, "
        "the tilt axis y and x, on one grey scale (0.5 to 99.9 percentile). Below: log power of each "
        "slice's 2D Fourier transform after a Hann window; dashed circles are resolutions."
    )
    data = {"slice_thickness_angstrom": thick, "slice_thickness_zyx_angstrom": list(each)}
    pictures = (Picture("slices", text, draw, wide=True), _surface_picture(subject))
    return Section("slices", "Central slices and surface", (), pictures, (), data)


def _surface_picture(subject: Subject) -> Picture:
    level = surface.surface_level(subject.volume, subject.mask)
    unit = f" {subject.unit}" if subject.unit else ""
    outside = "" if subject.mask is None else f" Without what is outside the mask ({subject.mask_text})."
    text = (
        f"Surface of equal value at {level:.4g}{unit} (Otsu's threshold of what is positive), seen from two "
        f"sides, 90° about the tilt axis y apart.{outside}"
    )
    volume, voxel, mask = subject.volume, subject.voxel_size_angstrom, subject.mask
    return Picture("surface", text, lambda: surface.figure_surface(volume, voxel, mask=mask), wide=True)


def profiles(subject: Subject) -> Section:
    """Values along lines through the rotation centre, and along one that was asked for."""
    lines = [(f"along {axis}", *_along(subject, number)) for number, axis in enumerate("xyz")]
    text = "Values along lines through the rotation centre (cubic between voxels); positions from it."
    unit = f" ({subject.unit})" if subject.unit else ""
    pictures = [Picture("profiles", text, lambda: _profiles_drawn(lines, f"value{unit}"))]
    if subject.profile is not None:
        asked = _asked(subject)
        pictures.append(Picture("profile", asked[1], lambda: _profiles_drawn([asked[0]], f"value{unit}")))
    every = lines if subject.profile is None else [*lines, asked[0]]
    rows = [
        {"line": label, "position_angstrom": float(p), "value": float(v)}
        for label, position, values in every
        for p, v in zip(position, values, strict=True)
    ]
    return Section("profiles", "Line profiles", (), tuple(pictures),
                   (Table("profiles", "Values along the lines", rows, True),))  # fmt: skip


def _profiles_drawn(lines: list[Line], ylabel: str) -> Any:
    figure = style.new_figure(6.4, 3.4)
    curves.plot_profiles(figure.subplots(), lines, ylabel=ylabel)
    return figure


def _along(subject: Subject, axis: int) -> tuple[np.ndarray, np.ndarray]:
    """Positions from the rotation centre (angstrom) and values along x, y or z (0, 1, 2) through it."""
    voxel = subject.voxel_size_angstrom
    end = np.zeros(3)
    end[axis] = (subject.volume.shape[2 - axis] - 1) / 2 * voxel
    found = line_profile(subject.volume, voxel, (-end).tolist(), end.tolist(), step_angstrom=voxel)
    return found.distance_angstrom - end[axis], found.value


def _asked(subject: Subject) -> tuple[Line, str]:
    """The line that was asked for, and its caption."""
    assert subject.profile is not None
    start, stop, thick = subject.profile
    voxel = subject.voxel_size_angstrom
    found = line_profile(subject.volume, voxel, start, stop, thickness_angstrom=thick)
    ends = [f"({', '.join(f'{v:g}' for v in end)})" for end in (start, stop)]
    how = f"mean over a disc of {thick:g} Å" if thick else "on the line itself"
    text = (
        f"Values from {ends[0]} to {ends[1]} Å (x, y, z from the rotation centre), "
        f"{how}; positions from the first end."
    )
    return (f"{ends[0]} to {ends[1]} Å", found.distance_angstrom, found.value), text
