"""Contrast of a layer that changes while a run goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import ref

if TYPE_CHECKING:
    from napari.layers import Layer

#: The display range follows the data once it would have to grow by this factor.
HYSTERESIS = 1.15


class SteadyContrast:
    """Contrast that only widens while a run goes on, and is the user's once touched.

    Parameters
    ----------
    layer : napari Image layer
    """

    def __init__(self, layer: Layer) -> None:
        self._layer = ref(layer)
        self._ours = False
        self.user_owned = False
        layer.events.contrast_limits.connect(self._on_limits)

    def _on_limits(self, event: object = None) -> None:
        if not self._ours:
            self.user_owned = True

    def propose(self, limits: tuple[float, float], *, exact: bool = False) -> None:
        """Offer new limits; taken when they would widen the range enough, or ``exact``."""
        layer = self._layer()
        if layer is None or self.user_owned:
            return
        low, high = layer.contrast_limits
        slack = (HYSTERESIS - 1) * (high - low)
        if not exact:
            limits = (
                limits[0] if limits[0] < low - slack else low,
                limits[1] if limits[1] > high + slack else high,
            )
        if limits == (low, high):
            return
        self._ours = True
        try:
            layer.contrast_limits_range = (min(0.0, limits[0]), max(limits[1] * 1.5, limits[0] + 1e-9))
            layer.contrast_limits = limits
        finally:
            self._ours = False
