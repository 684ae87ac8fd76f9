"""Two halves of a series that share no electron: what a Fourier shell correlation compares."""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np

from napari_phaset3m.core.precision import REAL
from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.errors import ConfigError, DataError

HalvesKind = Literal["tilts", "foci", "dose"]
KINDS: tuple[HalvesKind, ...] = get_args(HalvesKind)

#: The halves in words, as a resolution states them.
DESCRIPTION: dict[HalvesKind, str] = {
    "tilts": "odd and even tilts",
    "foci": "odd and even foci",
    "dose": "halves of the counts",
}
#: How the sentence begins that says what halves have in common; it qualifies every resolution by them.
SHARED = "Both halves share"
#: That sentence for halves of which no record says how they were made.
SHARED_UNKNOWN = (
    f"{SHARED} whatever optics and priors they were reconstructed with, which their agreement does not test; "
    "no record says what these were."
)
#: Angles closer than this are one tilt, degrees.
_SAME_DEG = 0.01
#: Counts may miss a whole number by this much (float32 rounding of large ones).
_WHOLE = 0.02


def split(
    series: TiltFocalSeries, kind: HalvesKind, *, seed: int = 0
) -> tuple[TiltFocalSeries, TiltFocalSeries]:
    """Split a series into two independent halves.

    Parameters
    ----------
    series : TiltFocalSeries
        Images that are not ``used`` belong to neither half.
    kind : {"tilts", "foci", "dose"}
        ``tilts``: every other tilt in the order of the angles; images at one angle stay together,
        because halves with the same angles share the artefacts of their geometry. Each half has the
        coarser angular sampling of half the tilts, so their FSC underrates the whole.
        ``foci``: in each tilt the images are dealt out alternately in the order of defocus, and the
        half that gets the first one alternates from tilt to tilt: both halves see every tilt, all
        defoci and (nearly) the same dose, also with an odd number of foci.
        ``dose``: each image's counts are thinned binomially with probability 1/2; Poisson counts so
        split are two independent Poisson images of half the dose. Both halves keep the geometry of
        the whole.
    seed : int
        Of the thinning.

    Returns
    -------
    first, second : TiltFocalSeries
        Images are shared with ``series`` for tilts and foci (``used`` tells them apart).

    Raises
    ------
    DataError
        Too few tilts or foci to split, or no whole counts to thin.
    ConfigError
        Another kind.
    """
    if kind == "tilts":
        return _by_flags(series, _tilt_flags(series))
    if kind == "foci":
        return _by_flags(series, _focus_flags(series))
    if kind == "dose":
        return _thinned(series, seed)
    raise ConfigError(f"halves: is {kind!r}. Use one of {', '.join(KINDS)}")


def _by_flags(series: TiltFocalSeries, second: np.ndarray) -> tuple[TiltFocalSeries, TiltFocalSeries]:
    assert series.used is not None
    return (
        series.replace(used=series.used & ~second),
        series.replace(used=series.used & second),
    )


def _tilt_flags(series: TiltFocalSeries) -> np.ndarray:
    """`(n_tilt, n_focus)` bool: belongs to the second half."""
    assert series.used is not None
    order = [i for i in np.argsort(series.tilt_deg, kind="stable") if series.used[i].any()]
    angles = series.tilt_deg[order]
    rank = np.cumsum(np.diff(angles, prepend=angles[:1]) > _SAME_DEG)
    if not order or rank[-1] < 1:
        raise DataError(
            f"the {len(order)} used images are all at one angle, which cannot be split",
            field="tilt_angles",
            remedy="Use halves of foci or dose",
        )
    second = np.zeros(series.used.shape, bool)
    second[np.asarray(order)[rank % 2 == 1]] = True
    return second


def _focus_flags(series: TiltFocalSeries) -> np.ndarray:
    assert series.used is not None
    if series.used.sum(1).max() < 2:
        raise DataError(
            "no tilt has two used images, so foci cannot be split",
            field="defocus_values",
            remedy="Use halves of tilts or dose",
        )
    defocus = np.broadcast_to(np.arange(series.n_focus), series.used.shape)
    if series.defocus_angstrom is not None:
        defocus = series.defocus_angstrom
    second = np.zeros(series.used.shape, bool)
    turn = 0
    for tilt in np.argsort(series.tilt_deg, kind="stable"):
        order = [i for i in np.argsort(defocus[tilt], kind="stable") if series.used[tilt, i]]
        second[tilt, order[(turn + 1) % 2 :: 2]] = True
        turn += bool(order)
    return second


def _thinned(series: TiltFocalSeries, seed: int) -> tuple[TiltFocalSeries, TiltFocalSeries]:
    level = counts_per_unit(series)
    rng = np.random.default_rng([seed, 11])
    halves = [np.empty_like(series.images), np.empty_like(series.images)]
    for tilt in range(series.n_tilt):
        for focus in range(series.n_focus):
            scale = level[tilt, focus]
            counts = _whole_counts(series.images[tilt, focus], scale, (tilt, focus))
            one = rng.binomial(counts, 0.5)
            halves[0][tilt, focus] = one * (2 / scale)
            halves[1][tilt, focus] = (counts - one) * (2 / scale)
    dose = None if series.dose_per_image is None else series.dose_per_image / 2
    metadata: dict[str, Any] = {**series.metadata, "scale": level / 2}
    first, second = (
        series.replace(images=np.asarray(half, REAL), dose_per_image=dose, metadata=metadata)
        for half in halves
    )
    return first, second


def counts_per_unit(series: TiltFocalSeries) -> np.ndarray:
    """Electron counts per pixel that an intensity of 1 stands for.

    Returns
    -------
    ndarray
        `(n_tilt, n_focus)` float64.

    Raises
    ------
    DataError
        The series does not hold counts, or does not say by what they were divided.
    """
    if not series.metadata.get("counts"):
        raise DataError(
            "holds no electron counts that could be divided",
            field="counts",
            remedy="Say so when it does (--counts, or counts=True in Python), or use halves of tilts or foci",
        )
    scale = series.metadata.get("scale")
    if scale is None:
        if series.normalisation == "counts" and series.dose_per_image is not None:
            scale = series.dose_per_image * series.pixel_size_angstrom**2
        elif series.normalisation == "given":
            scale = 1.0
        else:
            raise DataError(
                "does not say by what the counts were divided",
                field="dose_per_image",
                remedy="Give the dose (--dose), or use halves of tilts or foci",
            )
    level = np.broadcast_to(np.asarray(scale, float), series.images.shape[:2])
    if not (np.isfinite(level).all() and level.min() > 0):
        raise DataError("must be positive for every image", field="dose_per_image")
    return level


def _whole_counts(image: np.ndarray, scale: float, where: tuple[int, int]) -> np.ndarray:
    values = image.astype(float) * scale
    counts = np.rint(values)
    # float32 keeps 24 bits: allow for its rounding of large counts.
    allowed = _WHOLE + np.abs(counts) * 2.0**-22
    if counts.min() < 0 or np.any(np.abs(values - counts) > allowed):
        raise DataError(
            f"image {where} holds no whole counts (was it resampled, shifted or filtered?)",
            field="tilt_series",
            remedy="Split the raw counts, or use halves of tilts or foci",
        )
    return np.asarray(counts, np.int64)
