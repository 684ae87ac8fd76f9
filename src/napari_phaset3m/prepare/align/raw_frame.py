"""Transforms of the files' sections and of the series' images: one told as the other.

With a place p of the aligned image, g of the series' image and w of the file's, each from its centre in its
own pixels, a series that knows its sections states ``w = M g + t`` (:class:`.Sections`), and a transform of
the series' image ``p = A g + D``. IMOD's aligned image of the file has the file's pixels, ``q = b p`` with b
files' pixels in one of the series. So the same alignment, told of the file's image, is

    q = A' w + D',    A' = b A inv(M),    D' = b D - A' t

which is what newstack applies to the raw stack: crop, bin and turn of the import are in it.
"""

from __future__ import annotations

import numpy as np

from napari_phaset3m.core.sections import Sections


def file_transforms(xf: np.ndarray, sections: Sections) -> np.ndarray:
    """Transforms of the files' sections from those of the series' images.

    Parameters
    ----------
    xf : ndarray
        `(n_tilt, n_focus, 2, 3)`, given -> aligned about the centres, pixels of the series.
    sections : Sections

    Returns
    -------
    ndarray
        `(n_tilt, n_focus, 2, 3)`, pixels of the files.
    """
    matrix = sections.pixel_ratio * xf[..., :2] @ np.linalg.inv(sections.to_file[..., :2])
    offset = sections.pixel_ratio * xf[..., 2] - _times(matrix, sections.to_file[..., 2])
    return np.concatenate((matrix, offset[..., None]), -1)


def series_transforms(xf: np.ndarray, sections: Sections) -> np.ndarray:
    """Transforms of the series' images from those of the files' sections: undoes :func:`file_transforms`."""
    matrix = xf[..., :2] @ sections.to_file[..., :2]
    offset = xf[..., 2] + _times(xf[..., :2], sections.to_file[..., 2])
    return np.concatenate((matrix, offset[..., None]), -1) / sections.pixel_ratio


def _times(matrix: np.ndarray, vector: np.ndarray) -> np.ndarray:
    return np.asarray(np.einsum("...ij,...j->...i", matrix, vector))


def rows_of_sections(
    values: np.ndarray, sections: Sections, used: np.ndarray, fill: np.ndarray
) -> np.ndarray:
    """One value for each section of the one file, in its order.

    Parameters
    ----------
    values : ndarray
        `(n_tilt, n_focus, ...)`.
    sections : Sections
        Of one file.
    used : ndarray
        `(n_tilt, n_focus)`: of two images of a section the used one counts.
    fill : ndarray
        `(...)`: for sections that are not in the series.
    """
    assert sections.stack is not None
    rows = np.repeat(np.asarray(fill, np.float64)[None], sections.stack, axis=0)
    for wanted in (False, True):
        chosen = used == wanted
        rows[sections.section[chosen]] = values[chosen]
    return rows


def absent_sections(sections: Sections) -> list[int]:
    """Sections of the one file, from 0, that are not in the series."""
    assert sections.stack is not None
    return sorted(set(range(sections.stack)) - set(sections.section.reshape(-1).tolist()))
