"""Peaks counted against those of the truth."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from napari_phaset3m.analyse.bragg_table import BraggReport
from napari_phaset3m.report.peak_scores import scores_by_truth

# The truth is silent at (2, 0, 0); (2, 2, 0) lies in the wedge.
HKL = np.array([(1, 1, 1), (1, 1, -1), (2, 0, 0), (2, 2, 0)])


def report(snr, agreement=None, *, turned: bool = False, phase_error=None, power=None) -> BraggReport:
    """Four pairs; turned: indexed in an equivalent setting and with the other of each pair."""
    q = HKL / 8.0 + 0.002  # each volume's own fit
    hkl = HKL[:, [1, 2, 0]] if turned else HKL
    return BraggReport(
        window=SimpleNamespace(width_angstrom=50.0), peaks=None, lattice=object(), voxel_size_angstrom=0.5,
        phases_checked=agreement is not None, hkl=hkl, family=np.abs(hkl), q_per_angstrom=-q if turned else q,
        snr=np.array(snr, float), background_above=np.zeros(4),
        wedge_gap_per_angstrom=np.array([0.0, 0.0, 0.0, 0.1]),
        phase_agreement=None if agreement is None else np.array(agreement, float),
        phase_error_deg=None if phase_error is None else np.array(phase_error, float),
        pair_power=None if power is None else np.array(power, float),
    )  # fmt: skip


TRUTH = report([50, 40, 1, 30])


def test_a_peak_where_the_truth_has_none_counts_against_a_volume() -> None:
    good = report([9, 9, 1, 9], [1, 1, 0, 1], phase_error=[0, 10, 90, 20], power=[[4, 1, 0, 2], [4, 1, 0, 2]])
    loud = report(
        [9, 9, 9, 9], [1, -1, 1, 1], phase_error=[0, 170, 0, 20], power=[[4, 1, 9, 2], [4, 1, 0, 2]],
    )
    every, outside, wedge, wrong, error, intensity = scores_by_truth([good, loud], TRUTH)
    assert (every.values, every.total) == ((3.0, 2.0), 3.0)
    assert (outside.values, outside.total) == ((2.0, 1.0), 2.0)
    assert (wedge.values, wedge.total) == ((1.0, 1.0), 1.0)
    # loud: one with another phase, one where the truth has nothing
    assert wrong.values == (0.0, 2.0) and wrong.less_is_better
    # silent (2, 0, 0) has no part in either figure; weights are the truth's amplitudes
    assert error.values[0] == pytest.approx((2 * 0 + 1 * 10 + np.sqrt(2) * 20) / (3 + np.sqrt(2)))
    assert intensity.values == pytest.approx((1.0, 1.0))


def test_pairs_are_matched_by_place_not_by_name() -> None:
    same = report([9, 9, 1, 9], [1, 1, 0, 1], turned=True)
    _, outside, wedge, wrong, error, _ = scores_by_truth([same], TRUTH)
    assert outside.values == (2.0,) and wedge.values == (1.0,) and wrong.values == (0.0,)
    assert error.values == (None,)


def test_what_has_no_lattice_has_no_score() -> None:
    good = report([9, 9, 1, 9], [1, 1, 0, 1])
    _, outside, *_ = scores_by_truth(["no peaks", good], TRUTH)
    assert outside.values == (None, 2.0)
    assert scores_by_truth(["no peaks"], TRUTH) == []
    assert scores_by_truth([good], "no peaks") == []
    assert scores_by_truth([good], report([1, 1, 1, 1])) == []
