"""Steps of refinement: whole while they agree, their mean once they follow noise."""

from __future__ import annotations

import numpy as np

from napari_phaset3m.reconstruct.gain import Gains


def test_steps_that_agree_are_taken_whole() -> None:
    gains = Gains()
    for scale in (1.0, 0.5, 0.2):
        step = scale * np.array([[[1.0, 2.0]], [[-3.0, 0.1]]])
        np.testing.assert_array_equal(gains.taken("shifts", step), step)


def test_each_group_counts_its_own_turns() -> None:
    gains = Gains()
    for sign, share in ((1, 1), (-1, 1 / 2), (1, 1 / 3)):
        taken = gains.taken("defocus", np.array([[5.0], [5.0 * sign]]))
        np.testing.assert_allclose(taken, [[5.0], [5.0 * sign * share]])
    # Another name begins anew.
    assert gains.taken("C30", np.array([[-1.0]]))[0, 0] == -1.0


def test_noise_is_averaged() -> None:
    """A place told anew each time with noise of 1: full steps stay off by 1, these by far less."""
    rng = np.random.default_rng(0)
    gains, place = Gains(), np.full((400, 2), 30.0)
    for _ in range(30):
        place += gains.taken("shifts", rng.normal(0, 1, place.shape) - place)
    assert np.sqrt((place**2).mean()) < 0.45


def test_a_checkpoint_keeps_them() -> None:
    gains, other, memory = Gains(), Gains(), {"refined_shifts_px": np.zeros(2)}
    steps = [np.array([[1.0, 1.0]]), np.array([[-1.0, 0.5]]), np.array([[1.0, 0.0]])]
    for step in steps[:2]:
        gains.taken("shifts", step)
    gains.remember(memory)
    other.recall(memory)
    assert list(memory) == ["refined_shifts_px"]
    np.testing.assert_array_equal(other.taken("shifts", steps[2]), gains.taken("shifts", steps[2]))
