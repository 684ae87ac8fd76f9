"""The tilt axis of an alignment: angle and offset, against shifts made by hand."""

from __future__ import annotations

import numpy as np
import pytest

from napari_phaset3m.prepare.align.gauge import without_freedoms
from napari_phaset3m.prepare.align.model import Alignment
from napari_phaset3m.prepare.align.tilt_axis import TiltAxis, axis_words

TILTS = np.arange(-60.0, 61, 3)


def alignment(offset=6.0, x=9.0, z=-4.0, noise=0.0, angle=0.0, tilts=TILTS) -> Alignment:
    t = np.radians(tilts)
    across = offset + x * np.cos(t) - z * np.sin(t) + np.random.default_rng(0).normal(0, noise, t.size)
    a = np.radians(angle)
    given = np.stack((np.sin(a) * across, np.cos(a) * across), -1)[:, None]  # (y, x): R(angle) (across, 0)
    images = (t.size, 1)
    return Alignment(
        shifts_px=given, rotation_deg=np.full(images, angle), magnification=np.ones(images),
        tilt_deg=tilts, used=np.ones(images, bool),
    )  # fmt: skip


@pytest.mark.parametrize("angle", [0.0, 12.0])
def test_the_offset_is_what_does_not_change_with_tilt(angle):
    axis = TiltAxis.of(alignment(angle=angle), 2.0)
    assert axis.offset_px == pytest.approx(6.0) and axis.offset_angstrom == pytest.approx(12.0)
    assert axis.angle_deg == pytest.approx(angle) and axis.offset_error_px < 1e-6


def test_moving_the_specimen_does_not_change_it():
    """The gauge takes x cos - z sin off; with it goes no part of the offset."""
    fixed = without_freedoms(alignment(), 2.0, 0.0)
    assert np.abs(fixed.shifts_px).max() < 6
    assert TiltAxis.of(fixed, 2.0).offset_px == pytest.approx(6.0)


def test_its_error_is_of_the_right_size():
    found = [TiltAxis.of(alignment(noise=0.5), 1.0)]
    off = found[0].offset_px - 6.0
    assert 0.3 < found[0].offset_error_px < 3 and abs(off) < 3 * found[0].offset_error_px
    short = TiltAxis.of(alignment(noise=0.5, tilts=TILTS / 4), 1.0)
    assert short.offset_error_px > 5 * found[0].offset_error_px


def test_images_left_out_do_not_count():
    spoiled = alignment()
    shifts, used = spoiled.shifts_px.copy(), spoiled.used.copy()
    shifts[3], used[3] = 50.0, False
    assert TiltAxis.of(spoiled.replace(shifts_px=shifts, used=used), 1.0).offset_px == pytest.approx(6.0)


def test_an_axis_that_is_turned_has_no_known_error():
    known = alignment().replace(axis_error_deg=0.1)
    assert known.moved((1.0, 0.0, 0.0)).axis_error_deg == 0.1
    turned = known.with_axis_angle(known.axis_angle_deg + 2.0)
    assert turned.axis_error_deg is None and "°, offset" in axis_words(TiltAxis.of(turned, 1.0).told())


def test_too_few_tilts_are_said():
    axis = TiltAxis.of(alignment(tilts=np.array([-10.0, 0, 10])), 1.0)
    assert axis.offset_px is None and "not known" in axis_words(axis.told())
    still = alignment().replace(shifts_px=np.zeros((TILTS.size, 1, 2)))
    assert TiltAxis.of(still, 1.0).offset_px is None, "never aligned: 0 is not a finding"
    words = axis_words(TiltAxis.of(alignment().replace(axis_error_deg=0.1), 2.0).told())
    assert "+6.00" in words and "+12.0 Å" in words
    assert "± 0.10° (σ; heavy atoms at low dose can be off by several), offset" in words
