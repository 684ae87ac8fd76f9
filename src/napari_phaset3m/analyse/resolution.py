"""From a Fourier shell correlation to a resolution, with everything that qualifies it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

import numpy as np

from napari_phaset3m.errors import ConfigError

Criterion = Literal["0.143", "0.5", "half-bit"]
CRITERIA: tuple[Criterion, ...] = get_args(Criterion)
Status = Literal["crossed", "nyquist", "first shell", "undecided", "empty"]
#: Below so many independent Fourier voxels the half-bit curve is too near 1 to be passed.
FEWEST = 3.0


def half_bit_threshold(n_effective: np.ndarray) -> np.ndarray:
    """Half-bit information threshold of an FSC between half sets.

    ``(0.2071 + 1.9102 / sqrt(n)) / (1.2071 + 0.9102 / sqrt(n))``: the curve at which the sum of
    both halves carries half a bit per Fourier voxel, ``log2(1 + 2 SNR) = 1/2`` (van Heel and
    Schatz, J. Struct. Biol. 151 (2005) 250).

    Parameters
    ----------
    n_effective : ndarray
        Independent Fourier voxels of each shell, Friedel pairs counted once.

    Returns
    -------
    ndarray
        Float64; 1 where a shell has no voxel.
    """
    n = np.asarray(n_effective, float)
    root = np.divide(1, np.sqrt(n), out=np.full_like(n, np.inf), where=n > 0)
    finite = np.minimum(root, 1e6)
    value = (0.2071 + 1.9102 * finite) / (1.2071 + 0.9102 * finite)
    return np.asarray(np.minimum(value, 1.0))


def threshold(criterion: Criterion, n_effective: np.ndarray) -> np.ndarray:
    """The criterion's level in each shell.

    Parameters
    ----------
    criterion : {"0.143", "0.5", "half-bit"}
        0.143: Rosenthal and Henderson, J. Mol. Biol. 333 (2003) 721, for half sets; 0.5: Böttcher,
        Wynne and Crowther, Nature 386 (1997) 88; half-bit: :func:`half_bit_threshold`.
    n_effective : ndarray

    Raises
    ------
    ConfigError
        Another criterion.
    """
    if criterion not in CRITERIA:
        raise ConfigError(f"criterion: is {criterion!r}. Use one of {', '.join(CRITERIA)}")
    if criterion == "half-bit":
        return half_bit_threshold(n_effective)
    return np.full(np.shape(n_effective), float(criterion))


@dataclass(frozen=True, slots=True)
class Resolution:
    """A resolution with its criterion, mask, halves and region; ``str`` says it all.

    Attributes
    ----------
    angstrom : float or None
        Where the curve first falls below the criterion (linear between shells). With status
        ``"nyquist"`` the finest shell there is: the resolution is that or better. None when the
        curve begins below the criterion.
    criterion, mask_name, halves, region : str
    status : str
        ``"crossed"``, ``"nyquist"`` (never below), ``"first shell"`` (below from the first one on
        that holds enough Fourier voxels to tell), ``"undecided"`` (no shell holds enough) or
        ``"empty"`` (no Fourier voxel in the region).
    first_angstrom, finest_angstrom : float or None
        Resolution at the first shell that can tell signal from noise, and at the last one.
    last_above_angstrom : float or None
        Finest shell above the criterion and the noise bound, when the curve rises again after it
        fell: a crystal correlates at its peaks, phase contrast has zeros.
    curve : str
        Which curve was read.
    """

    angstrom: float | None
    criterion: Criterion
    mask_name: str
    halves: str
    region: str
    status: Status
    first_angstrom: float | None
    finest_angstrom: float | None
    last_above_angstrom: float | None
    curve: str

    @property
    def at_least(self) -> bool:
        """The sampling ended before the curve fell: ``angstrom`` is only a bound."""
        return self.status == "nyquist"

    def as_dict(self) -> dict[str, Any]:
        """JSON-able form, with the sentence."""
        return {**asdict(self), "statement": str(self)}

    def __str__(self) -> str:
        name = "the half-bit curve" if self.criterion == "half-bit" else self.criterion
        what = f"{self.curve} of {self.halves}"
        where = f"(mask: {self.mask_name}; region: {self.region})"
        again = ""
        if self.last_above_angstrom is not None:
            again = f" It is above it again further out, last at {self.last_above_angstrom:.3g} Å."
        if self.status == "empty":
            return f"No resolution: the region holds no Fourier voxel {where}."
        if self.status == "undecided":
            return (
                f"No resolution: no shell of the {what} holds enough independent Fourier voxels to tell "
                f"signal from noise {where}."
            )
        if self.status == "first shell":
            return (
                f"No resolution: the {what} is below {name} from the first shell on, "
                f"{self.first_angstrom:.3g} Å {where}.{again}"
            )
        if self.status == "nyquist":
            return (
                f"Resolution {self.angstrom:.3g} Å or better: the {what} stays above {name} "
                f"up to the last shell, where the sampling ends {where}."
            )
        return f"Resolution {self.angstrom:.3g} Å: the {what} falls below {name} there {where}.{again}"


def decidable(criterion: Criterion, n_effective: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """`(n,)` bool: shells in which a curve could be told from noise at all.

    Not where noise alone may reach 1, nor, for the half-bit curve, which is 1 at one voxel, where
    fewer than ``FEWEST`` independent voxels are left: perfect data would fail there.
    """
    enough = np.asarray(noise) < 1
    return np.asarray(enough & (np.asarray(n_effective) >= FEWEST) if criterion == "half-bit" else enough)


def crossing(
    frequency: np.ndarray,
    curve: np.ndarray,
    level: np.ndarray,
    noise: np.ndarray | None = None,
    decided: np.ndarray | None = None,
) -> tuple[float | None, Status, int]:
    """First place where a curve falls below a level.

    Parameters
    ----------
    frequency, curve, level : ndarray
        `(n,)`; shells whose ``curve`` is NaN (no Fourier voxel) are passed over.
    noise : ndarray, optional
        `(n,)` level that noise may reach: a shell under it does not count as above again.
    decided : ndarray, optional
        `(n,)` bool: the shells before the first true one are passed over (:func:`decidable`).

    Returns
    -------
    frequency : float or None
        Linear interpolation of ``curve - level`` between the two shells.
    status : str
    last : int
        Index of the last shell at or above level and noise after the curve fell, -1 for none.
    """
    seen = np.flatnonzero(~np.isnan(curve))
    if seen.size == 0:
        return None, "empty", -1
    if decided is not None:
        told = np.flatnonzero(decided[seen])
        if told.size == 0:
            return None, "undecided", -1
        seen = seen[told[0] :]
    k, above = frequency[seen], (curve - level)[seen]
    low = np.flatnonzero(above < 0)
    if low.size == 0:
        return float(k[-1]), "nyquist", -1
    first = int(low[0])
    again = above >= 0 if noise is None else (above >= 0) & (curve[seen] > noise[seen])
    later = np.flatnonzero(again[first:])
    last = int(seen[first + later[-1]]) if later.size else -1
    if first == 0:
        return None, "first shell", last
    share = above[first - 1] / (above[first - 1] - above[first])
    return float(k[first - 1] + share * (k[first] - k[first - 1])), "crossed", last
