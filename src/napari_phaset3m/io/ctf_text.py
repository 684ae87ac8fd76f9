"""CTF fits as text: CTFFIND 4 and 5 (``diagnostic_output.txt``), AreTomo (``_CTF.txt``).

One line per image: number, defocus 1, defocus 2 (angstrom, underfocus positive), azimuth of the axis of
defocus 1 (degrees, from +x towards +y), phase shift (radians), cross correlation, and the spacing (angstrom)
up to which rings were fitted. Source: the header that the programs write, and Rohou & Grigorieff, J. Struct.
Biol. 192 (2015) 216.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from napari_phaset3m.errors import DataError
from napari_phaset3m.io.limits import MAX_SECTIONS
from napari_phaset3m.io.text import data_lines, number_rows, read_text_file, to_number

_HEADER = re.compile(
    r"pixel size:\s*([\d.]+)\s*angstroms?\s*;\s*acceleration voltage:\s*([\d.]+)\s*kev\s*;"
    r"\s*spherical aberration:\s*([\d.]+)\s*mm\s*;\s*amplitude contrast:\s*([\d.]+)",
    re.IGNORECASE,
)


@dataclass(frozen=True, eq=False)
class CtfText:
    """CTF of each image; `(n,)` each.

    Attributes
    ----------
    image : ndarray of int
        From 0 (the file counts from 1).
    defocus_angstrom : ndarray, shape (n, 2)
        Along the axis at ``azimuth_deg`` and across it, underfocus positive.
    azimuth_deg : ndarray
        From +x towards +y (rows of the MRC file).
    phase_shift_deg : ndarray
    score, fit_resolution_angstrom : ndarray
        Cross correlation, and up to which spacing rings were fitted (NaN where none was).
    pixel_size_angstrom, energy_ev, spherical_aberration_angstrom, amplitude_contrast : float or None
        Of CTFFIND's header.
    """

    image: np.ndarray
    defocus_angstrom: np.ndarray
    azimuth_deg: np.ndarray
    phase_shift_deg: np.ndarray
    score: np.ndarray
    fit_resolution_angstrom: np.ndarray
    pixel_size_angstrom: float | None = None
    energy_ev: float | None = None
    spherical_aberration_angstrom: float | None = None
    amplitude_contrast: float | None = None


def is_ctffind(path: Path) -> bool:
    """Whether there is such a file, with CTFFIND's first line: ``# Output from CTFFind version ...``."""
    if not path.is_file():
        return False
    with path.open("rb") as stream:
        first = stream.readline(200)
    return first.startswith(b"#") and b"ctffind" in first.lower()


def read_ctf_text(path: str | os.PathLike[str]) -> CtfText:
    """Read the output of CTFFIND or AreTomo.

    Raises
    ------
    DataError
        A line does not hold at least six numbers, or images are numbered twice.
    """
    text = read_text_file(path)
    rows = number_rows(path, 6, 6, "number, defocus 1 and 2, azimuth, phase shift and score", MAX_SECTIONS)
    # CTFFIND writes inf there when no ring was fitted.
    spacing = [to_number(words[6]) if len(words) > 6 else None for _, words in data_lines(text)]
    image = rows[:, 0].round().astype(int) - 1
    if image.min() < 0 or len(np.unique(image)) != len(image):
        raise DataError("images must be numbered from 1, each once", path=path, field="micrograph number")
    pixel = energy = cs = amplitude = None
    match = _HEADER.search(text)
    if match:
        pixel, kilovolt, mm, amplitude = (float(match.group(k)) for k in (1, 2, 3, 4))
        energy, cs = kilovolt * 1e3, mm * 1e7
    return CtfText(
        image=image,
        defocus_angstrom=rows[:, 1:3],
        azimuth_deg=rows[:, 3],
        phase_shift_deg=np.rad2deg(rows[:, 4]),
        score=rows[:, 5],
        fit_resolution_angstrom=np.array(spacing, dtype=np.float64),
        pixel_size_angstrom=pixel,
        energy_ev=energy,
        spherical_aberration_angstrom=cs,
        amplitude_contrast=amplitude,
    )
