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
    assert score.best() is None
    told, best = score.statement(NAMES[:2]), score.row(NAMES[:2])["best"]
    if values[0] is None:
        assert told == "SSIM: no volume has a value." and best == "none"
    else:
        assert told == "SSIM: a tie of one and two (both 0.5)." and best == "tie: one and two"


def test_a_tie_is_told_as_one_and_the_finer_figure_decides() -> None:
    finer = Score("RMSD", "Å", (0.12, 0.066, 0.01), less_is_better=True)
    score = Score("Atoms", "", (323.0, 323.0, 300.0), total=323, finer=finer)
    assert score.leaders() == (0, 1) and score.best() is None
    told = score.statement(NAMES)
    assert told.startswith("Atoms: a tie of one and two (both 323 of 323); three 300 of 323 (−23).")
    # three is not among those that tie: its few atoms may lie better
    assert told.endswith("In this tie, RMSD: one 0.12 Å, two 0.066 Å; two is ahead.")
    same = Score("Atoms", "", (3.0, 3.0), total=3, finer=Score("RMSD", "Å", (0.1, 0.1), less_is_better=True))
    assert "a tie in this too" in same.statement(NAMES[:2])


def test_what_differs_only_in_digits_that_are_not_shown_is_a_tie() -> None:
    assert Score("FSC", "", (0.91801, 0.91799)).best() is None
    assert Score("FSC", "", (0.919, 0.918)).best() == 0


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
    from types import SimpleNamespace

    from napari_phaset3m.analyse.bragg_table import BraggReport
    from napari_phaset3m.report.contest import Contest
    from napari_phaset3m.report.quality import Judgement

    def report(
        hkl: list[tuple[int, int, int]], family: list[tuple[int, int, int]], snr: list[float]
    ) -> BraggReport:
        return BraggReport(
            window=SimpleNamespace(width_angstrom=50.0), peaks=None, lattice=object(),
            voxel_size_angstrom=0.5, phases_checked=True,
            hkl=np.array(hkl), family=np.array(family), q_per_angstrom=np.array(hkl) / 8.0, snr=np.array(snr),
            background_above=np.zeros(len(snr)),
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
                    hkl=hkl, family=hkl, q_per_angstrom=hkl / a, snr=np.array([9.0, 1.0]),
                    background_above=np.zeros(2))
        for a in (8.0, 9.0)
    )  # fmt: skip
    rows = _side_by_side([("one", one), ("two", two)])
    assert [row["d_angstrom"] for row in rows] == pytest.approx([8 / np.sqrt(3), 8 / np.sqrt(8)])
    assert [row["two found"] for row in rows] == ["1 of 1", "0 of 1"]


def test_mean_fsc_is_plain_and_ends_at_the_stated_spacing() -> None:
    from napari_phaset3m.analyse.fsc_curve import FscCurve
    from napari_phaset3m.report.mean_fsc import mean_fsc, mean_fsc_limit

    k = np.array([0.2, 0.4, 0.6, 0.8, 1.0])
    curve = FscCurve(
        frequency_per_angstrom=k, fsc=np.array([1.0, 0.8, np.nan, 0.3, -0.9]), n_voxels=k**2 * 1e4,
        noise_bound=np.zeros(5), corrected=np.full(5, -1.0),
    )  # fmt: skip
    assert mean_fsc_limit(curve) == 1.2
    assert mean_fsc(curve) == pytest.approx((1 + 0.8 + 0.3) / 3)  # neither weighted nor corrected
    coarse = FscCurve(
        frequency_per_angstrom=k / 10, fsc=np.full(5, 0.5), n_voxels=np.ones(5), noise_bound=np.zeros(5)
    )
    assert mean_fsc_limit(coarse) == pytest.approx(10) and mean_fsc(coarse) == pytest.approx(0.5)


def test_the_label_of_the_mean_fsc_names_weighting_limit_and_mask() -> None:
    truth = subject("truth", 0.0, mask=np.ones((32, 32, 32), np.float32), mask_name="ball")
    report = compare_volumes([subject("one", 0.1, 2), subject("two", 0.2, 3)], {}, truth=truth)
    labels = [row["quality"] for row in next(s for s in report.sections if s.key == "better").data["scores"]]
    said = "FSC with the truth, plain mean over shells to 2.07 Å, mask: ball, not corrected for it"
    assert said in labels


def test_captions_tell_the_scale() -> None:
    truth = subject("truth", 0.0)
    weak = Subject(name="weak", volume=truth.volume / 4, voxel_size_angstrom=1.0)
    report = compare_volumes([weak], {}, truth=truth)
    captions = {picture.name: picture.caption for one in report.sections for picture in one.pictures}
    for name in ("side_by_side", "difference", "spectra"):
        assert "weak ×4 " in captions[name], captions[name]


def _linear(name: str, error: float, series, **settings) -> Subject:
    constraints = {"positivity": True}
    record = {
        "parameters": {"method": "fbp", "ctf_correction": "none", "constraints": constraints} | settings,
        "error_per_iteration": [error],
    }
    return subject(name, 0.1, 2, record=record, series=series)


def test_a_linear_volume_without_ctf_correction_says_so_where_the_optics_are_known() -> None:
    from types import SimpleNamespace

    from napari_phaset3m.report.correction import labelled

    known = SimpleNamespace(defocus_angstrom=np.zeros(3), spherical_aberration_angstrom=0.0)
    unknown = SimpleNamespace(defocus_angstrom=None, spherical_aberration_angstrom=None)
    assert labelled(_linear("fbp", 0.5, known)).name == "fbp (no CTF correction)"
    assert labelled(_linear("fbp (x 1)", 0.5, known)).name == "fbp (x 1, no CTF correction)"
    assert labelled(_linear("fbp", 0.5, unknown)).name == "fbp"
    assert labelled(_linear("fbp", 0.5, None)).name == "fbp"
    assert labelled(_linear("fbp", 0.5, known, ctf_correction="wiener")).name == "fbp"
    assert labelled(_linear("multislice", 0.5, known, method="multislice")).name == "multislice"


def test_a_linear_volume_worse_than_an_empty_one_is_noted() -> None:
    truth = subject("truth", 0.0)
    report = compare_volumes([_linear("bad", 9.1, None), _linear("fair", 0.9, None)], {}, truth=truth)
    told = " ".join(next(s for s in report.sections if s.key == "better").statements)
    assert (
        "bad: the FBP volume, its negative values cut off, has 9.1 times the misfit of an empty one" in told
    )
    assert "fair: the FBP" not in told


def test_pairs_are_told_with_their_rate_off_the_lattice() -> None:
    from types import SimpleNamespace

    from napari_phaset3m.report.peak_scores import by_chance

    def report(rate):
        return SimpleNamespace(false_alarms=SimpleNamespace(phase_rate=rate))

    assert by_chance([report(0.62), "no", report(None)]) == (", off the lattice 62%", "", "")
    score = Score("Pairs", "", (9.0, 9.0, 4.0), total=10, remarks=by_chance([report(0.6), report(0.1), "no"]))
    assert score.leaders() == (0, 1), "a remark parted a tie"
    assert score.among([1, 2]).told(0) == "9 of 10, off the lattice 10%"
    assert "c 4 of 10 (" in score.statement("abc")
    axes = (
        scores.section(["multislice", "sirt (no CTF correction)", "c"], [score] * 2).pictures[0].draw().axes
    )
    axes[0].figure.draw_without_rendering()
    ends = [text.get_window_extent().x1 for text in axes[0].texts]
    assert max(ends) <= axes[0].get_window_extent().x1 + 3, "a value runs out of its axes"
    assert score.row("abc")["remarks"] == "a, off the lattice 60%; b, off the lattice 10%"
