"""The freedoms of an alignment: fixing them changes no image."""

from __future__ import annotations

import numpy as np

from napari_phaset3m.prepare.align.config import AlignConfig
from napari_phaset3m.prepare.align.gauge import without_freedoms
from napari_phaset3m.prepare.align.model import Alignment
from napari_phaset3m.prepare.align.reference import Reference


def predicted(volume_of, series, place) -> list[np.ndarray]:
    reference = Reference(series, AlignConfig(), 1, 1)
    try:
        reference._volume = volume_of(reference, place)
        return [reference.predicted(t)[0] for t in range(series.n_tilt)]
    finally:
        reference.close()


def test_moving_the_specimen_is_undone_by_shifts_and_defocus(shifted, volume_of):
    """Images of a moved specimen are those of one at the centre with the shifts and defoci of the gauge.

    At zero tilt nothing is interpolated, so that they are the same to rounding.
    """
    series = shifted.series.replace(shifts_px=0.0, dose_per_image=None)
    z, y, x = 10.0, 1.0, -2.0
    flat = int(np.abs(series.tilt_deg).argmin())
    there = predicted(volume_of, series, (z, y, x))[flat]

    angle = np.radians(series.tilt_deg)
    shifts = np.stack([np.full_like(angle, y), x * np.cos(angle) - z * np.sin(angle)], -1)
    alignment = Alignment.of(series).replace(shifts_px=np.repeat(shifts[:, None], series.n_focus, 1))
    fixed = without_freedoms(alignment, series.pixel_size_angstrom, float(series.tilt_deg.mean()))
    np.testing.assert_allclose(fixed.shifts_px, 0, atol=1e-9)
    # A specimen at the centre, seen with these shifts, becomes one at (z, y, x) without: the
    # defoci that go with the latter are the fixed ones.
    follow = fixed.defocus_angstrom - series.defocus_angstrom
    moved = series.replace(shifts_px=alignment.shifts_px)
    for sign, same in ((-1, True), (1, False)):
        defocus = series.defocus_angstrom + sign * follow
        here = predicted(volume_of, moved.replace(defocus_angstrom=defocus), (0.0, 0.0, 0.0))[flat]
        off = np.linalg.norm(there - here) / np.linalg.norm(there)
        assert off < 1e-3 if same else off > 0.02


def test_mean_tilt_and_magnification_stay(shifted):
    series = shifted.series
    rng = np.random.default_rng(0)
    changed = Alignment.of(series).replace(
        tilt_deg=series.tilt_deg + 2 + rng.normal(0, 0.3, series.n_tilt),
        magnification=1.1 + rng.normal(0, 0.01, (series.n_tilt, series.n_focus)),
    )
    fixed = without_freedoms(changed, series.pixel_size_angstrom, 0.0)
    assert abs(fixed.tilt_deg.mean()) < 1e-9
    assert abs(fixed.magnification.mean() - 1) < 1e-9
    np.testing.assert_allclose(np.diff(fixed.tilt_deg), np.diff(changed.tilt_deg))


def test_a_common_rotation_is_kept(shifted):
    turned = Alignment.of(shifted.series).with_axis_angle(1.5)
    assert without_freedoms(turned, 0.6, 0.0).axis_angle_deg == turned.axis_angle_deg
