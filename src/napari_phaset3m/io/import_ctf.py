"""Fits of the CTF for an import: IMOD's ``.defocus``, CTFFIND's and AreTomo's text.

A series holds a defocus for each image; one astigmatism, one phase shift and one Cs for all. What else the
fits state is told.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from napari_phaset3m.core.phase_plate import mean_plate_deg
from napari_phaset3m.errors import DataError
from napari_phaset3m.io.ctf_text import read_ctf_text
from napari_phaset3m.io.imod import read_defocus
from napari_phaset3m.io.import_focus import Candidate
from napari_phaset3m.io.import_found import Found
from napari_phaset3m.io.text import check_count

#: Less is what a fit writes for none.
_LEAST_PHASE_DEG, _LEAST_ASTIGMATISM = 0.05, 0.5


@dataclass(frozen=True, eq=False)
class _Fits:
    """Of each image: defoci along the azimuth and across it, angstrom; degrees; and what else is stated."""

    defocus_angstrom: np.ndarray
    azimuth_deg: np.ndarray
    phase_shift_deg: np.ndarray
    others: tuple[str, ...] = ()


def take_defocus(file: Path, rows: Sequence[Candidate], found: Found) -> list[Candidate]:
    """Defocus of each row; astigmatism, phase shift, Cs, voltage and pixel are left with ``found``.

    Raises
    ------
    DataError
        The file does not speak of every row, or of others.
    """
    name = rows[0].entry.file.name
    fits = (
        _imod(file, len(rows), name)
        if file.suffix.lower() == ".defocus"
        else _text(file, len(rows), name, found)
    )
    found.note(f"defocus from {file.name} (fitted; underfocus positive there)")
    one, two = fits.defocus_angstrom.T
    if np.abs(one - two).max() > _LEAST_ASTIGMATISM:
        # Df(phi) = mean + (one - two) / 2 cos 2(phi - azimuth), and C12 lowers it along phi12.
        found.astigmatism += ((two - one) / 2 * np.exp(2j * np.deg2rad(fits.azimuth_deg))).tolist()
    found.phase_shift_deg += fits.phase_shift_deg.tolist()
    unused = ", ".join(fits.others)
    if unused:
        found.note(f"{file.name} states more, which is not used: {unused}")
    return [
        replace(row, entry=replace(row.entry, defocus_angstrom=float(value)))
        for row, value in zip(rows, (one + two) / 2, strict=True)
    ]


def _imod(file: Path, count: int, name: str) -> _Fits:
    read = read_defocus(file)
    views = read.of_views(count)
    last = 1 + max(row.last_view for row in read.rows)
    known = [view for view in views if view is not None]
    if last != count or len(known) < count:
        check_count(last, count, file, "views", name)
        raise DataError("does not speak of every view", path=file, field="views",
                        remedy="Fit the defocus of all views, or leave the file out")  # fmt: skip
    cut_on = any(view.cut_on_per_nm for view in known)
    return _Fits(
        np.array([view.defocus_angstrom for view in known]),
        np.array([view.astigmatism_angle_deg for view in known]),
        np.array([view.phase_shift_deg for view in known]),
        ("cut-on frequency of the phase plate",) if cut_on else (),
    )


def _text(file: Path, count: int, name: str, found: Found) -> _Fits:
    table = read_ctf_text(file)
    check_count(len(table.image), count, file, "defoci", name)
    if table.image.max() >= count:
        raise DataError(
            f"numbers go up to {table.image.max() + 1} for {count} images",
            path=file,
            field="micrograph number",
            remedy="Give the text of this stack",
        )
    order = np.argsort(table.image)
    for known, value in ((found.pixel, table.pixel_size_angstrom), (found.energy, table.energy_ev)):
        if value:
            known.append(value)
    others = _take_cs(file, table.spherical_aberration_angstrom, found)
    if table.amplitude_contrast:
        wanted = "a CTF fit and a CTF correction ask for their own"
        others.append(f"amplitude contrast {table.amplitude_contrast:g} ({wanted})")
    return _Fits(
        table.defocus_angstrom[order], table.azimuth_deg[order], table.phase_shift_deg[order], tuple(others)
    )


def _take_cs(file: Path, stated: float | None, found: Found) -> list[str]:
    """Take Cs where nothing else states it; else what to tell of it."""
    if stated is None:
        return []
    known = found.fields.setdefault("spherical_aberration_angstrom", stated)
    if known == stated:
        found.note(f"Cs {stated * 1e-7:g} mm from {file.name}")
        return []
    return [f"Cs {stated * 1e-7:g} mm ({known * 1e-7:g} mm is stated elsewhere)"]


def shared_optics(found: Found) -> None:
    """What a series has once, from the fits of all its images."""
    _shared_plate(found)
    _shared_astigmatism(found)


def _shared_plate(found: Found) -> None:
    """The mean phase shift, where the fits state one."""
    each = found.phase_shift_deg
    if not each or np.abs(each).max() <= _LEAST_PHASE_DEG:
        return
    mean, apart = mean_plate_deg(each)
    found.fields["phase_shift_deg"] = round(mean, 3)
    found.note_first(
        f"phase shift {mean:.1f}° of the fits, one for all images: their mean, ± {apart:.1f}° between images"
    )


def _shared_astigmatism(found: Found) -> None:
    """One astigmatism for all images: the median of what the fits state, where they agree on one."""
    if not found.astigmatism:
        return
    values = np.array(found.astigmatism)
    middle = complex(np.median(values.real), np.median(values.imag))
    # The scatter of one component: 1.4826 times the median absolute deviation, of a normal distribution.
    off = np.concatenate((values.real - middle.real, values.imag - middle.imag))
    scatter = 1.4826 * float(np.median(np.abs(off)))
    told = f"C12 {abs(middle):.0f} Å (half the difference of the defoci), ± {scatter:.0f} Å between images"
    if abs(middle) <= scatter:
        found.note_first(
            f"astigmatism of the fits is not used, for a series holds one and they disagree: {told}"
        )
        return
    phi = float(np.angle(middle)) / 2
    found.fields.setdefault("aberrations", {"C12": abs(middle), "phi12": phi})
    where = f"phi12 {np.rad2deg(phi):.0f}° in the files' images"
    found.note_first(f"astigmatism of the fits, one for all images: {told}, {where}")
