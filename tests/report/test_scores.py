"""Who is ahead and by how much; volumes against a truth whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from napari_phaset3m.errors import DataError
from napari_phaset3m.report import scores
from napari_phaset3m.report.comparison import compare_volumes, contest
from napari_phaset3m.report.scores import Score
from napari_phaset3m.report.subject import Subject

NAMES = ("one", "two", "three")


def test_the_best_and_its_margin() -> None:
    score = Score("Correlation", "", (0.5, 0.75, None))
    assert score.best() == 1
    assert score.statement(NAMES) == "Correlation: two is ahead with 0.75; one 0.5 (−0.25), three none."
    assert score.row(NAMES)["best"] == "two"


def test_less_may_be_better() -> None:
    score = Score("RMSD", "Å", (0.2, 0.1, np.nan), less_is_better=True)
    assert score.best() == 1
    assert score.statement(NAMES) == "RMSD: two is ahead with 0.1 Å; one 0.2 Å (+0.1), three none."


def test_counts_are_told_of_their_total() -> None:
    score = Score("Atoms", "", (323.0, 100.0), total=330)
    assert score.statement(NAMES[:2]) == "Atoms: one is ahead with 323 of 330; two 100 of 330 (−223)."


@pytest.mark.parametrize("values", [(0.5, 0.5), (None, None)])
def test_nobody_is_ahead(values) -> None:
    score = Score("SSIM", "", values)
    assert score.best() is None and "no difference" in score.statement(NAMES[:2])
    assert score.row(NAMES[:2])["best"] == "equal"


def test_without_anything_to_judge_by_the_section_says_what_it_needs() -> None:
    assert "--truth" in str(scores.section(NAMES, []).problem)


def subject(name: str, noise: float, seed: int = 0, **more) -> Subject:
    n, voxel = 32, 1.0
    z = (np.arange(n) - (n - 1) / 2) * voxel
    r2 = z[:, None, None] ** 2 + z[None, :, None] ** 2 + z[None, None, :] ** 2
    rng = np.random.default_rng(1)
    grain = rng.normal(size=(n, n, n))
    body = np.exp(-r2 / 60) * (1 + 0.5 * grain)
    volume = body + noise * np.random.default_rng(seed).normal(size=body.shape)
    return Subject(name=name, volume=volume.astype(np.float32), voxel_size_angstrom=voxel, unit="V", **more)


def test_the_less_noisy_volume_wins_every_quality() -> None:
    truth = subject("truth", 0.0)
    good, poor = subject("good", 0.02, 2), subject("poor", 0.2, 3)
    report = compare_volumes([poor, good], {}, truth=truth)
    better = next(s for s in report.sections if s.key == "better")
    rows = better.data["scores"]
    assert {row["quality"].split(",")[0] for row in rows} >= {
        "Correlation with the truth",
        "SSIM with the truth",
    }
    assert {row["best"] for row in rows} == {"good"}
    assert all(len({row["good"], row["poor"]}) == 2 for row in rows)


def test_scale_offset_and_shift_do_not_count() -> None:
    truth = subject("truth", 0.0)
    same = subject("same", 0.0)
    changed = Subject(name="moved", volume=3 * np.roll(same.volume, 2, axis=2) - 5, voxel_size_angstrom=1.0)
    match = contest([changed], truth)
    found = match.comparisons[0]
    assert found.correlation > 0.999 and found.shift_angstrom[2] == pytest.approx(-2, abs=0.05)
    assert match.everyone == (changed,)


def test_without_a_truth_the_first_is_the_reference_and_is_judged_too() -> None:
    one, two = subject("one", 0.0), subject("two", 0.1, 4)
    match = contest([one, two])
    assert match.reference is one and match.everyone == (one, two)
    report = compare_volumes([one, two], {})
    sections = {section.key: section for section in report.sections}
    assert list(sections) == ["better", "agreement", "slices", "transforms", "bragg", "atoms", "spectra"]
    assert "No truth was given" in sections["agreement"].statements[-1]


def test_one_volume_is_no_comparison() -> None:
    with pytest.raises(DataError, match="two or more"):
        contest([subject("one", 0.0)])


def test_a_mask_of_another_grid_is_refused() -> None:
    with pytest.raises(DataError, match="mask: has shape"):
        subject("one", 0.0, mask=np.ones((3, 3, 3), np.float32))


def test_pairs_are_counted_over_families_that_all_volumes_share() -> None:
    from napari_phaset3m.analyse.bragg_table import BraggReport
    from napari_phaset3m.report.contest import Contest
    from napari_phaset3m.report.quality import Judgement

    def report(
        hkl: list[tuple[int, int, int]], family: list[tuple[int, int, int]], snr: list[float]
    ) -> BraggReport:
        return BraggReport(
            window=None, peaks=None, lattice=object(), voxel_size_angstrom=0.5, phases_checked=True,
            hkl=np.array(hkl), family=np.array(family), q_per_angstrom=np.array(hkl) / 8.0, snr=np.array(snr),
            wedge_gap_per_angstrom=np.array([0.0, 0.1, 0.0][: len(hkl)]),
            phase_agreement=np.array([0.9, 0.9, -0.9][: len(hkl)]),
        )  # fmt: skip

    good = report([(1, 1, 1), (1, 1, -1), (2, 2, 0)], [(1, 1, 1), (1, 1, 1), (2, 2, 0)], [9, 9, 9])
    poor = report([(1, 1, 1), (1, 1, -1)], [(1, 1, 1), (1, 1, 1)], [9, 1])
    one, two = subject("one", 0.0), subject("two", 0.1)
    judged = Judgement(Contest(one, (two,), (), False), (good, poor), ("none", "none"))
    outside, inside = judged.scores()
    # {220} is not among poor's; good's is high there with the wrong phase
    assert (outside.values, outside.total) == ((1.0, 1.0), 1.0)
    assert (inside.values, inside.total) == ((1.0, 0.0), 1.0)
    assert "phases agree between the halves" in inside.quality and "missing wedge" in inside.quality


def test_the_first_volume_names_the_spacings() -> None:
    from napari_phaset3m.analyse.bragg_table import BraggReport
    from napari_phaset3m.report.quality import _side_by_side

    hkl = np.array([[1, 1, 1], [2, 2, 0]])
    one, two = (
        BraggReport(window=None, peaks=None, lattice=object(), voxel_size_angstrom=0.5, phases_checked=False,
                    hkl=hkl, family=hkl, q_per_angstrom=hkl / a, snr=np.array([9.0, 1.0]))
        for a in (8.0, 9.0)
    )  # fmt: skip
    rows = _side_by_side([("one", one), ("two", two)])
    assert [row["d_angstrom"] for row in rows] == pytest.approx([8 / np.sqrt(3), 8 / np.sqrt(8)])
    assert [row["two found"] for row in rows] == ["1 of 1", "0 of 1"]
