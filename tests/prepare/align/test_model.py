"""Signs of an alignment, against images drawn in closed form at the places it states."""

from __future__ import annotations

import numpy as np
import pytest

from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.errors import DataError
from napari_phaset3m.prepare.align.apply import apply
from napari_phaset3m.prepare.align.model import Alignment, specimen_translation, without_translation

SHAPE = (61, 72)
#: Blobs (y, x) from the image centre, far from any symmetry, and their heights.
BLOBS = ((-14.0, 9.0), (6.0, 17.0), (11.0, -19.0), (-3.0, -8.0))
HEIGHTS = (1.0, 0.7, 0.5, 0.3)


def draw(places: np.ndarray, sigma: float = 2.2) -> np.ndarray:
    y = np.arange(SHAPE[0])[:, None] - (SHAPE[0] - 1) / 2
    x = np.arange(SHAPE[1])[None, :] - (SHAPE[1] - 1) / 2
    image = np.ones(SHAPE)
    for (py, px), height in zip(places, HEIGHTS, strict=True):
        image -= 0.3 * height * np.exp(-((y - py) ** 2 + (x - px) ** 2) / (2 * sigma**2))
    return image


def place(
    blob: tuple[float, float], rotation: float, magnification: float, shift: tuple[float, float]
) -> tuple:
    """The convention written out once more, by hand, for one place."""
    y, x = blob
    c, s = np.cos(np.radians(rotation)), np.sin(np.radians(rotation))
    return magnification * (s * x + c * y) + shift[0], magnification * (c * x - s * y) + shift[1]


def series_of(images: np.ndarray, **more: object) -> TiltFocalSeries:
    return TiltFocalSeries(
        images=images, tilt_deg=np.arange(len(images)), pixel_size_angstrom=1.0, energy_ev=3e5, **more
    )


def alignment_of(rotation: float, magnification: float, shift: tuple[float, float]) -> Alignment:
    return Alignment(
        shifts_px=np.array(shift)[None, None],
        rotation_deg=np.full((1, 1), rotation),
        magnification=np.full((1, 1), magnification),
        tilt_deg=np.zeros(1),
        used=np.ones((1, 1), bool),
    )


def shifted(image: np.ndarray, shift: np.ndarray) -> np.ndarray:
    from scipy.ndimage import shift as move

    return move(image, -np.asarray(shift), order=5, cval=1.0)


@pytest.mark.parametrize(
    "rotation, magnification, shift",
    [(0.0, 1.0, (2.0, -3.0)), (7.0, 1.0, (0.0, 0.0)), (0.0, 1.06, (0.0, 0.0)), (-4.0, 0.97, (1.5, 2.25))],
)
def test_apply_undoes_what_the_convention_states(rotation, magnification, shift):
    given = draw(np.array([place(b, rotation, magnification, shift) for b in BLOBS]))
    wanted = draw(np.array(BLOBS), sigma=2.2 / magnification)
    found = apply(series_of(given[None, None]), alignment_of(rotation, magnification, shift))
    aligned = shifted(found.images[0, 0], found.shifts_px[0, 0])
    inner = np.s_[6:-6, 6:-6]
    assert np.abs(aligned - wanted)[inner].max() < 3e-3  # quintic splines of blobs 2 px wide


def test_flipped_signs_are_seen():
    rotation, magnification, shift = -4.0, 0.97, (1.5, 2.25)
    given = draw(np.array([place(b, rotation, magnification, shift) for b in BLOBS]))
    wanted = draw(np.array(BLOBS), sigma=2.2 / magnification)
    wrong = (
        (-rotation, magnification, shift),
        (rotation, 1 / magnification, shift),
        (rotation, magnification, (-1.5, -2.25)),
        (rotation, magnification, (2.25, 1.5)),
    )
    for values in wrong:
        found = apply(series_of(given[None, None]), alignment_of(*values))
        aligned = shifted(found.images[0, 0], found.shifts_px[0, 0])
        assert np.abs(aligned - wanted)[6:-6, 6:-6].max() > 0.03, values


def test_places_go_to_where_blobs_are():
    alignment = alignment_of(5.0, 1.02, (3.0, -2.0))
    found = alignment.to_given(np.array(BLOBS))
    assert np.allclose(found[0, 0], [place(b, 5.0, 1.02, (3.0, -2.0)) for b in BLOBS])


def test_shifts_alone_leave_the_images_untouched():
    images = np.random.default_rng(1).random((3, 2, 16, 18), np.float32)
    series = series_of(
        images, defocus_angstrom=np.array([100.0, 200.0]), metadata={"history": ({"step": "a"},)}
    )
    start = Alignment.of(series)
    changed = start.replace(
        shifts_px=start.shifts_px + 1.25,
        tilt_deg=start.tilt_deg + 0.5,
        used=np.array([[True, False], [True, True], [True, True]]),
        defocus_angstrom=start.defocus_angstrom + 7,
    )
    found = apply(series, changed)
    assert found.images.base is series.images.base
    assert np.array_equal(found.shifts_px, changed.shifts_px) and np.array_equal(found.used, changed.used)
    assert np.allclose(found.tilt_deg, [0.5, 1.5, 2.5]) and np.allclose(found.defocus_angstrom[0], [107, 207])
    assert found.metadata["history"] == series.metadata["history"]


def test_a_common_rotation_turns_the_axis_and_the_astigmatism():
    # An axis at 20 degrees from +y towards -x lies along y after apply; a line drawn along it shows so.
    angle = 20.0
    y = np.arange(81)[:, None] - 40.0
    x = np.arange(81)[None, :] - 40.0
    a = np.radians(angle)
    across = x * np.cos(a) + y * np.sin(a)
    line = np.exp(-(across**2) / 8)
    series = series_of(line[None, None], aberrations={"C12": 80.0, "phi12": 0.5})
    start = Alignment.of(series).with_axis_angle(angle)
    assert start.axis_angle_deg == pytest.approx(angle)
    found = apply(series, start)
    assert np.abs(found.images[0, 0] - np.exp(-(x**2) / 8))[25:-25].max() < 2e-3
    assert found.tilt_axis_angle_deg == pytest.approx(angle)
    assert found.aberrations["phi12"] == pytest.approx(0.5 - a)
    again = Alignment.of(found)
    assert not again.turned


def test_moving_the_specimen_is_seen_in_the_shifts_and_undone():
    tilts = np.linspace(-60, 60, 9)
    zero = Alignment(
        shifts_px=np.zeros((9, 2, 2)),
        rotation_deg=np.full((9, 2), 3.0),
        magnification=np.full((9, 2), 1.01),
        tilt_deg=tilts,
        used=np.ones((9, 2), bool),
    )
    point = np.array([4.0, -7.0, 11.0])  # z, y, x of the specimen
    step = np.array([2.0, -1.0, 3.0])

    def image_place(alignment: Alignment, at: np.ndarray) -> np.ndarray:
        z, y, x = at
        t = np.radians(tilts)
        aligned = np.stack((np.full(9, y), x * np.cos(t) - z * np.sin(t)), -1)
        each = np.broadcast_to(aligned[:, None, None], (9, 2, 1, 2))
        return alignment.to_given(each)

    moved = zero.moved(tuple(step))
    assert np.allclose(image_place(moved, point + step), image_place(zero, point))
    assert np.allclose(without_translation(moved).shifts_px, 0, atol=1e-9)


def test_the_translation_of_noise_free_shifts():
    tilts = np.linspace(-65, 65, 14)
    t = np.radians(tilts)
    shifts = np.stack((np.full(14, -1.5), 4 * np.cos(t) - 2 * np.sin(t)), -1)[:, None]
    assert np.allclose(specimen_translation(shifts, tilts), (2, -1.5, 4))


def test_wrong_shapes_are_refused():
    with pytest.raises(DataError, match="rotation_deg"):
        Alignment(
            shifts_px=np.zeros((3, 2, 2)),
            rotation_deg=np.zeros((2, 3)),
            magnification=1.0,
            tilt_deg=np.zeros(3),
            used=True,
        )
    with pytest.raises(DataError, match="magnification"):
        alignment_of(0, -1, (0, 0))
    series = series_of(np.ones((2, 1, 4, 4)))
    with pytest.raises(DataError, match="1 x 1 images in the alignment, 2 x 1"):
        apply(series, alignment_of(0, 1, (0, 0)))


def test_a_local_field_unbends():
    # The given image is the wanted one seen through g = p + field(p).
    y, x = np.meshgrid(*(np.arange(n) - (n - 1) / 2 for n in SHAPE), indexing="ij")
    bend = np.stack((1.5 * np.sin(x / 25), 1.2 * np.cos(y / 22)))
    given_places = [(py + 1.5 * np.sin(px / 25) + 2.0, px + 1.2 * np.cos(py / 22) - 1.0) for py, px in BLOBS]
    given = draw(np.array(given_places))
    found = apply(series_of(given[None, None]), alignment_of(0, 1, (2.0, -1.0)), bend[None, None])
    assert np.allclose(found.shifts_px[0, 0], (2.0, -1.0))
    aligned = shifted(found.images[0, 0], found.shifts_px[0, 0])

    def centre(image: np.ndarray, at: tuple[float, float]) -> np.ndarray:
        near = np.hypot(y - at[0], x - at[1]) < 5
        weight = np.clip(1 - image, 0, None) * near
        return np.array([(weight * y).sum(), (weight * x).sum()]) / weight.sum()

    for blob in BLOBS[:3]:
        assert np.abs(centre(aligned, blob) - blob).max() < 0.15
        assert np.abs(centre(shifted(given, (2.0, -1.0)), blob) - blob).max() > 0.4
