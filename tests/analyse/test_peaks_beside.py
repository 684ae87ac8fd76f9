"""The same reflections in several volumes: rows that agree, phases against the first, no lattice said."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from _crystals import VOXEL, noisy, particle, rotation, scrambled

from napari_phaset3m.analyse.bragg import bragg_report
from napari_phaset3m.analyse.bragg_claim import claim
from napari_phaset3m.analyse.peaks_beside import peaks_beside
from napari_phaset3m.errors import CancelledError, ConfigError


@pytest.fixture(scope="module")
def crystal() -> np.ndarray:
    return noisy(particle(rotation(3)), 0.3)


def test_rows_are_common_and_phases_are_against_the_first(crystal: np.ndarray) -> None:
    silent = scrambled(crystal, 7)  # every height is kept, no phase
    found = peaks_beside([crystal, noisy(crystal, 0.2), silent], "ABC", VOXEL, tilt_deg=[-60, 0, 60])
    rows, alone = found.rows(), bragg_report(crystal, VOXEL, tilt_deg=[-60, 0, 60]).rows()
    assert found.lender == 0 and len(rows) == len(alone) > 20
    assert [row["volumes"][0]["snr"] for row in rows] == [row["snr"] for row in alone]
    assert all(row["volumes"][0]["phase_agreement"] is None for row in rows)
    strong = [row for row in rows if row["volumes"][0]["snr"] > 20]
    assert len(strong) > 10
    for row in strong:
        b = row["volumes"][1]
        assert b["found"] and b["phase_agreement"] > 0.9
    agreed = [row["volumes"][2]["phase_agreement"] for row in strong]
    assert abs(np.mean(agreed)) < 0.4 and np.std(agreed) > 0.4, "unrelated phases agree by chance alone"
    lattice, a, b, c = found.statements()
    assert lattice.startswith("Lattice of A, a = ") and c.startswith("C: ")
    assert "with A's phase" in b and "with A's phase" not in a and "in the missing wedge" in a
    asked = int(lattice.rpartition(": ")[2].rstrip("."))
    numbers = [int(word) for word in b.partition(";")[0].replace(",", "").split() if word.isdigit()]
    assert asked >= numbers[0] >= numbers[1] > asked / 2
    assert "by chance" in b


def test_two_reconstructions_that_agree_claim_no_resolution(crystal: np.ndarray) -> None:
    found = peaks_beside([crystal, noisy(crystal, 0.2)], "AB", VOXEL)
    assert claim(found.reports[1]).family is None
    assert "Resolved to" not in found.reports[1].statement()


def test_progress_is_told_and_may_end_it(crystal: np.ndarray) -> None:
    def stop(part: float) -> None:
        raise CancelledError("enough")

    with pytest.raises(CancelledError):
        peaks_beside([crystal, crystal], "AB", VOXEL, show=stop)


def test_what_another_report_settles_cannot_be_asked_for_again(crystal: np.ndarray) -> None:
    first = bragg_report(crystal, VOXEL)
    with pytest.raises(ConfigError, match="like"):
        bragg_report(crystal, VOXEL, like=first, max_frequency=0.5)


def test_the_first_volume_with_a_lattice_lends_it(crystal: np.ndarray) -> None:
    noise = np.random.default_rng(0).standard_normal(crystal.shape).astype(np.float32)
    found = peaks_beside([noise, crystal], "AB", VOXEL)
    assert found.lender == 1 and found.statements()[0].startswith("Lattice of B")
    first, second = (np.mean([row["volumes"][n]["found"] for row in found.rows()]) for n in range(2))
    assert first < 0.1 < 0.4 < second, "noise has no peaks, wherever one looks"


def test_without_a_lattice_it_says_so(crystal: np.ndarray) -> None:
    rng = np.random.default_rng(1)
    noise = [rng.standard_normal(crystal.shape).astype(np.float32) for _ in range(2)]
    found = peaks_beside(noise, "AB", VOXEL)
    assert found.rows() == [] and "No lattice was found" in found.statements()[0]


def test_shapes_must_agree(crystal: np.ndarray) -> None:
    with pytest.raises(ConfigError, match="same shape"):
        peaks_beside([crystal, crystal[1:]], "AB", VOXEL)
    with pytest.raises(ConfigError, match="two or more"):
        peaks_beside([crystal], "A", VOXEL)
