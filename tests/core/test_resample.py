from __future__ import annotations

import numpy as np
import pytest

from napari_phaset3m.core.resample import fourier_resample


def _blob(n: int, step: float) -> np.ndarray:
    x = (np.arange(n) - (n - 1) / 2) * step
    return np.exp(-((x[:, None] - 3) ** 2) / 50 - (x[None] - 1) ** 2 / 50).astype(np.float32)


@pytest.mark.parametrize("m", [31, 32, 48, 65, 96])
def test_content_keeps_its_place_and_its_mean(m: int) -> None:
    image = _blob(64, 1.0)
    result = fourier_resample(image, (m, m))
    np.testing.assert_allclose(result, _blob(m, 64 / m), atol=2e-6)
    assert result.mean(dtype=np.float64) == pytest.approx(image.mean(dtype=np.float64), rel=1e-4)


def test_down_and_up_again_keeps_what_fits() -> None:
    image = _blob(64, 1.0)
    np.testing.assert_allclose(
        fourier_resample(fourier_resample(image, (32, 32)), (64, 64)), image, atol=2e-6
    )
