"""A smooth distortion that is injected is found and undone."""

from __future__ import annotations

import numpy as np
import pytest

from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.errors import ConfigError
from napari_phaset3m.prepare.align.api import align
from napari_phaset3m.prepare.align.apply import apply
from napari_phaset3m.prepare.align.config import AlignConfig
from napari_phaset3m.prepare.align.local import _field
from napari_phaset3m.prepare.align.local_config import LocalConfig
from napari_phaset3m.prepare.align.words import why_undone

SIZE = 128
TILTS = np.arange(-30, 31, 6.0)
#: Bends more at each image, as a beam-induced motion does.
STRENGTH = np.linspace(-1, 1, TILTS.size) ** 3 + 0.6 * np.cos(np.arange(TILTS.size))


def bend(strength: float, y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """(y, x) displacement of the given image at aligned places (pixels from the centre)."""
    u, v = 2 * y / SIZE, 2 * x / SIZE
    return 2 * strength * np.stack((1.6 * u * v - 0.8 * v**2, 1.4 * u**2 + 0.6 * v))


def series() -> TiltFocalSeries:
    rng = np.random.default_rng(3)
    blobs = rng.uniform(-80, 80, (420, 2))
    grid = np.arange(SIZE) - (SIZE - 1) / 2
    images = np.zeros((TILTS.size, 1, SIZE, SIZE))
    for tilt, degrees in enumerate(TILTS):
        y, x = blobs[:, 0], blobs[:, 1] * np.cos(np.radians(degrees))
        dy, dx = bend(STRENGTH[tilt], y, x)
        rows = np.exp(-((grid[:, None] - (y + dy)) ** 2) / 8)
        columns = np.exp(-((grid[:, None] - (x + dx)) ** 2) / 8)
        images[tilt, 0] = 1 - 0.1 * rows @ columns.T
    images += rng.normal(0, 0.01, images.shape)
    return TiltFocalSeries(images=images, tilt_deg=TILTS, pixel_size_angstrom=4.0, energy_ev=3e5)


def run(**settings):
    config = AlignConfig.parse(
        stages=("local",), local=settings, match={"match_bins": (4,)}, reference={"sweeps": 4}, threads=1
    )
    return align(series(), config)


def test_an_injected_bend_is_found():
    config = LocalConfig(local_patches=5, local_rounds=2)
    done = run(**config.model_dump())
    assert done.result.stages[0].kept
    line = np.linspace(-1, 1, config.local_grid) * (SIZE - 1) / 2
    y, x = np.meshgrid(line, line, indexing="ij")
    true = np.stack([bend(s, y, x) for s in STRENGTH])
    # At every place what stays over the tilts, or goes as a height does, is no distortion.
    angle = np.radians(TILTS)
    inner = np.s_[:, :, 1:-1, 1:-1]

    def free(field: np.ndarray) -> np.ndarray:
        result = np.empty_like(field)
        for part, columns in ((0, [np.ones_like(angle)]), (1, [np.cos(angle), np.sin(angle)])):
            design = np.stack(columns, -1)
            flat = field[:, part].reshape(len(angle), -1)
            result[:, part] = (flat - design @ np.linalg.lstsq(design, flat, rcond=None)[0]).reshape(
                field[:, part].shape
            )
        return result

    error = (free(done.result.local_px[:, 0]) - free(true))[inner]
    before = free(true)[inner]
    assert np.sqrt((before**2).mean()) > 0.3
    assert np.sqrt((error**2).mean()) < 0.35 * np.sqrt((before**2).mean())
    wrong = (free(-done.result.local_px[:, 0]) - free(true))[inner]
    assert np.sqrt((wrong**2).mean()) > 1.5 * np.sqrt((before**2).mean())
    given = apply(series(), done.result.alignment, done.result.local_px)
    np.testing.assert_array_equal(done.series.images, given.images)
    told = done.series.metadata["history"][-1]["told"]["stages"][0]["told"]
    assert 0.3 < told["rms_px"] < 3 and told["residual_px"] < 0.5


def test_what_cannot_work_is_refused():
    with pytest.raises(ConfigError, match="and 16 are needed"):
        run(local_patch_size=0.1)
    with pytest.raises(ConfigError, match="do not tell order 4"):
        run(local_patches=3, local_order=4)


def test_a_field_that_no_bend_makes_is_left_out():
    """Whole images that are off by pixels: what patches say then is no bend."""
    rng = np.random.default_rng(1)
    moved = [np.roll(image, rng.integers(-6, 7, 2), (0, 1)) for image in np.asarray(series().images)[:, 0]]
    config = AlignConfig.parse(
        stages=("local",), match={"match_bins": (4,)}, reference={"sweeps": 4}, threads=1,
        local={"local_max_shift_px": 1.0},
    )  # fmt: skip
    done = align(series().replace(images=np.stack(moved)[:, None]), config)
    (stage,) = done.result.stages
    assert not stage.kept and done.result.local_px is None
    assert why_undone("local", stage.told).startswith(
        "images left as they are: patches seem to move by up to"
    )


def test_nothing_is_continued_beyond_the_patches():
    config = LocalConfig(local_patch_size=0.4, local_grid=11)
    bent = np.zeros((1, 2, 6))
    bent[:, :, -1] = 1.0  # a term of the second order
    field = _field(bent, config)
    inner = np.abs(field[0, 0]).max(where=np.ones_like(field[0, 0], bool), initial=0)
    assert inner == pytest.approx(0.6**2)
