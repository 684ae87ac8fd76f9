"""Atoms: found, sorted, and compared with a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from napari_phaset3m.analyse.atom_match import AtomMatch, rmsd_against
from napari_phaset3m.analyse.atoms import Atoms, classify, find_atoms
from napari_phaset3m.analyse.figures import atoms as figures
from napari_phaset3m.analyse.figures import style
from napari_phaset3m.errors import DataError
from napari_phaset3m.report.model import Picture, Section, Table
from napari_phaset3m.report.scores import Score
from napari_phaset3m.report.subject import Subject

KEY, TITLE = "atoms", "Atoms"
#: Below so many voxels per angstrom no atom can be told from its neighbour.
COARSEST_ANGSTROM = 1.0
#: RMSD of partners at random in a ball, over its radius.
RANDOM_RMSD = 0.6**0.5


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """Atoms of one volume, and how they agree with the model.

    Parameters
    ----------
    atoms : Atoms
    names : tuple of str
        Of the species.
    match : AtomMatch or None
        All atoms found against the whole model.
    heaviest : tuple of (str, AtomMatch) or None
        The model's heaviest element against as many of the most intense atoms.
    model : ndarray or None
        `(m, 3)`.
    """

    atoms: Atoms
    names: tuple[str, ...]
    match: AtomMatch | None = None
    heaviest: tuple[str, AtomMatch] | None = None
    model: np.ndarray | None = None

    def statements(self) -> list[str]:
        """What was found, and how it agrees."""
        told = [self.atoms.statement()]
        if self.match is not None:
            told.append(
                f"All atoms against the model: {self.match.statement()}{_moved(self.match)}"
                f"{self._chance(self.match, self.model)}"
            )
        if self.heaviest is not None:
            symbol, match = self.heaviest
            told.append(
                f"The {match.n_found} most intense against the model's {symbol}: {match.statement()}"
                f"{self._chance(match, self.model)}"
            )
        return told

    @staticmethod
    def _chance(match: AtomMatch, model: np.ndarray | None) -> str:
        expected = None if model is None else by_chance(match, model)
        if expected is None:
            return ""
        return (
            f" By chance about {expected:.0f} would be, with an RMSD of "
            f"{RANDOM_RMSD * match.radius_angstrom:.2f} Å; the RMSD is that of the pairs found only."
        )


def by_chance(match: AtomMatch, model_angstrom: np.ndarray) -> float | None:
    """Atoms of a model that as many atoms, put at random into its convex hull, would hit.

    ``m (1 - exp(-4/3 pi r^3 n / V))``: Poisson's law at the density of the atoms found, each atom
    of the model by itself.

    Parameters
    ----------
    match : AtomMatch
    model_angstrom : ndarray
        `(m, 3)` all atoms of the model; they span the volume V.

    Returns
    -------
    float or None
        None where the model spans no volume.
    """
    from scipy.spatial import ConvexHull, QhullError

    try:
        volume = float(ConvexHull(model_angstrom).volume)
    except (QhullError, ValueError):
        return None
    reach = 4 / 3 * np.pi * match.radius_angstrom**3
    return float(match.n_model * -np.expm1(-reach * match.n_found / volume))


def measure(subject: Subject) -> Found:
    """Find the atoms of a volume and match them to the model, if there is one.

    Raises
    ------
    DataError
        The voxels are too coarse for atoms, or there are none.
    """
    if subject.voxel_size_angstrom > COARSEST_ANGSTROM:
        raise DataError(
            f"voxels of {subject.voxel_size_angstrom:.4g} Å are too coarse for atoms (at most "
            f"{COARSEST_ANGSTROM:g} Å)"
        )
    found = find_atoms(
        subject.volume, subject.voxel_size_angstrom, max_atoms=subject.max_atoms, mask=subject.mask
    )
    if len(found) == 0:
        raise DataError("no maximum stands out", field="volume")
    symbols = _symbols(subject.model)
    count = subject.species or len(symbols) or 1
    found = classify(found, min(count, len(found)))
    names = symbols if len(symbols) == count else tuple(f"species {n}" for n in range(count))
    if subject.model is None:
        return Found(found, names)
    model = np.asarray(subject.model.positions, float)
    match = rmsd_against(found.positions_angstrom, model, fit_shift=True)
    of = np.array([symbol == symbols[0] for symbol in subject.model.symbols])
    top = found.positions_angstrom[: int(of.sum())]
    heaviest = (symbols[0], rmsd_against(top, model[of], fit_shift=True)) if len(symbols) > 1 else None
    return Found(found, names, match, heaviest, model)


def _symbols(model: Any) -> tuple[str, ...]:
    """Elements of a model, heaviest first; unknown ones last, by name."""
    if model is None:
        return ()
    import gemmi

    return tuple(sorted(set(model.symbols), key=lambda s: (-gemmi.Element(s).atomic_number, s)))


def _moved(match: AtomMatch) -> str:
    length = float(np.linalg.norm(match.shift_angstrom))
    return f" A common shift of {length:.2f} Å was taken out." if length > 0 else ""


def section(subject: Subject) -> Section:
    """Positions, intensities, and the distance from the model."""
    found = measure(subject)
    mask = f" Mask: {subject.mask_text}."
    rows = found.atoms.rows()
    pictures = [
        Picture("atoms", f"All {len(rows)} atoms projected along z, y and x, from the rotation centre.",
                lambda: figures.figure_positions(found.atoms, found.names, found.model), wide=True),
        Picture("atom_intensity", "Intensity of the atoms by species (k-means of the integrals).",
                lambda: _intensities(found, subject.unit)),
    ]  # fmt: skip
    matches = _matches(found)
    if matches:
        text = "Distance of the atoms from their partners in the model."
        pictures.append(Picture("atom_distance", text, lambda: _distances(matches)))
    data: dict[str, Any] = {"atoms": found.atoms.as_dict()}
    data |= {f"match_{name}": match.as_dict() for name, match in matches}
    statements = found.statements()
    headline = statements[-1] if matches else ""
    return Section(
        KEY, TITLE, (statements[0] + mask, *statements[1:]), tuple(pictures),
        (Table("atoms", "Every atom, x, y, z from the rotation centre", rows, True),), data,
        headline=headline, files=(("atoms.xyz", xyz_text(found, subject)),),
    )  # fmt: skip


def xyz_text(found: Found, subject: Subject) -> str:
    """The atoms as an XYZ file; a species without a known element is written as X."""
    element = [name if subject.model is not None and len(name) <= 2 else "X" for name in found.names]
    lines = [str(len(found.atoms)), f"{subject.name}: x y z in angstrom from the rotation centre, intensity"]
    for place, species, value in zip(
        found.atoms.positions_angstrom, found.atoms.species, found.atoms.intensity, strict=True
    ):
        x, y, z = place
        lines.append(f"{element[species]} {x:.4f} {y:.4f} {z:.4f} {value:.6g}")
    return "\n".join(lines) + "\n"


def _matches(found: Found) -> list[tuple[str, AtomMatch]]:
    matches = [] if found.match is None else [("all", found.match)]
    return matches + ([found.heaviest] if found.heaviest is not None else [])


def _intensities(found: Found, unit: str) -> Any:
    figure = style.new_figure(6.4, 3.6)
    figures.plot_intensities(figure.subplots(), found.atoms, found.names, unit=unit)
    return figure


def _distances(matches: Sequence[tuple[str, AtomMatch]]) -> Any:
    figure = style.new_figure(6.4, 4.0)
    figures.plot_distances(figure.subplots(), matches)
    return figure


def scores(found: Sequence[Found | str]) -> list[Score]:
    """Atoms of the model that were found, and how far off, volume by volume."""
    if not any(isinstance(one, Found) and one.match is not None for one in found):
        return []
    best = [_deciding(one) if isinstance(one, Found) else None for one in found]
    name, first = next(pair for pair in best if pair is not None)
    what = f"{name} atoms of the model found within {first.radius_angstrom:g} Å"
    counts = tuple(None if pair is None else float(len(pair[1].distance_angstrom)) for pair in best)
    rmsd = tuple(None if pair is None else pair[1].rmsd_angstrom for pair in best)
    random = f"{RANDOM_RMSD * first.radius_angstrom:.2f}"
    label = f"RMSD of those {name} atoms alone that were found (partners at random: {random})"
    distance = Score(label, "Å", rmsd, less_is_better=True)
    total, luck = float(first.n_model), tuple(_luck(one) for one in found)
    return [Score(what, "", counts, total=total, finer=distance, remarks=luck), distance]


def _luck(one: Found | str) -> str:
    """How many atoms of the model chance would find, as a remark."""
    chance = _expected(one) if isinstance(one, Found) and one.match is not None else None
    return "" if chance is None else f", by chance {chance:.0f}"


def _expected(one: Found) -> float | None:
    pair = _deciding(one)
    return None if pair is None or one.model is None else by_chance(pair[1], one.model)


def _deciding(one: Found) -> tuple[str, AtomMatch] | None:
    if one.heaviest is not None:
        return one.heaviest
    return None if one.match is None else ("all", one.match)


def side_by_side(names: Sequence[str], found: Sequence[Found | str]) -> Section:
    """Atoms of several volumes."""
    key, title = "atoms", "Atoms side by side"
    pairs = list(zip(names, found, strict=True))
    statements = [f"{name}: not computed: {one}" for name, one in pairs if isinstance(one, str)]
    known = [(name, one) for name, one in pairs if isinstance(one, Found)]
    if not known:
        return Section(key, title, problem="; ".join(statements))
    statements = [f"{name}: {' '.join(one.statements())}" for name, one in known] + statements
    pictures = []
    decided = [(name, pair[1]) for name, one in known if (pair := _deciding(one)) is not None]
    if decided:
        text = "Distance of the atoms from their partners in the model, volume by volume."
        pictures.append(Picture("atom_distance", text, lambda: _distances(decided)))
    rows = [{"volume": name, **_row(one)} for name, one in known]
    return Section(key, title, tuple(statements), tuple(pictures),
                   (Table("atoms", "Atoms, volume by volume", rows),), {"atoms": rows})  # fmt: skip


def _row(found: Found) -> dict[str, Any]:
    row: dict[str, Any] = {"atoms_found": len(found.atoms), "threshold": found.atoms.threshold}
    for name, match in _matches(found):
        chance = None if found.model is None else by_chance(match, found.model)
        row |= {f"{name}: in the model": len(match.distance_angstrom), f"{name}: of": match.n_model,
                f"{name}: by chance": chance,
                f"{name}: RMSD of those found_angstrom": match.rmsd_angstrom}  # fmt: skip
    return row
