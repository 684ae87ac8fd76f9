"""Error bars that hold: parts of the images left out in turn, and two ways to the same number compared.

The curvature of the misfit (:mod:`.uncertainty`) holds the volume fixed and takes every pixel
for independent. Here the refinement is repeated without each of a few parts of the images,
from an empty volume (delete-a-group jackknife: Shao & Wu, Ann. Statist. 17 (1989) 1176): what
the volume takes up, and errors that pixels of an image share, show in the scatter.
What all images share does not. That a model is wrong shows where the search, which asks the
held-out images, and the gradient, which asks those that drive the volume, disagree; their
difference is added.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import replace

import numpy as np

from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.optimise.uncertainty import Determined, values_of
from napari_phaset3m.prepare.events import Done, Finish, Progress

#: What a standard deviation of :func:`with_scatter` holds, for a person.
SIGMA_MEANS = (
    "the scatter when parts of the images are left out, and what search and gradient disagree by: a lower "
    "bound, since errors of the model that all images share are not in it"
)

Refine = Callable[[TiltFocalSeries], Iterator[Progress | Done]]


def deal(used: np.ndarray, groups: int, seed: int) -> list[np.ndarray]:
    """Masks of the used images without one group each; no tilt is in one group only.

    Parameters
    ----------
    used : ndarray
        `(n_tilt, n_focus)` bool.
    groups : int
    seed : int

    Returns
    -------
    list of ndarray
        `(n_tilt, n_focus)` bool each.
    """
    rng, masks = np.random.default_rng([seed, 3]), [np.array(used) for _ in range(groups)]
    start = 0
    for tilt in rng.permutation(len(used)):
        for focus in rng.permutation(np.flatnonzero(used[tilt])):
            masks[start % groups][tilt, focus] = False
            start += 1
    return masks


def replicates(
    series: TiltFocalSeries, names: tuple[str, ...], refine: Refine, how: tuple[int, int, Finish | None]
) -> Generator[Progress, None, np.ndarray]:
    """What the refinement finds without each group of images.

    Parameters
    ----------
    series : TiltFocalSeries
        Each begins with what it states.
    names : tuple of str
        As :attr:`.uncertainty.Determined.names`.
    refine : callable
        Makes the events of a refinement of a series.
    how : tuple
        Number of groups, seed, and who may ask for an early end.

    Yields
    ------
    Progress

    Returns
    -------
    ndarray
        `(groups, n)` angstrom; fewer rows after an early end.
    """
    groups, seed, finish = how
    assert series.used is not None
    rows: list[np.ndarray] = []
    for number, mask in enumerate(deal(series.used, groups, seed) if groups else []):
        if finish is not None and finish.finish_requested():
            break
        for event in refine(series.replace(used=mask)):
            if isinstance(event, Progress):
                part = (number + event.fraction) / groups
                yield Progress(f"Error bars, part {number + 1} of {groups} left out", part, {})
            else:
                # The common defocus of the same images, whichever were left out.
                rows.append(values_of(event.series.replace(used=series.used), names))
    return np.array(rows).reshape(len(rows), len(names))


def with_scatter(found: Determined, rows: np.ndarray, disagreement: np.ndarray) -> Determined:
    """The standard deviations from the jackknife, with what two ways to the same number disagree by.

    Parameters
    ----------
    found : Determined
        Of the curvature: a lower bound, and the correlations.
    rows : ndarray
        `(groups, n)` of :func:`replicates`.
    disagreement : ndarray
        `(n,)` angstrom, search less gradient.
    """
    sigma = np.array(found.sigma_angstrom)
    if len(rows) > 1:
        groups = len(rows)
        scatter = np.sqrt((groups - 1) / groups * ((rows - rows.mean(0)) ** 2).sum(0))
        sigma = np.maximum(sigma, scatter)
    return replace(found, sigma_angstrom=np.hypot(sigma, disagreement))
