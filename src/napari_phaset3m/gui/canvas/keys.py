"""Keys of the canvas that a panel takes over for a while, and gives back as they were."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from inspect import isgeneratorfunction
from typing import TYPE_CHECKING, Any
from weakref import ref

if TYPE_CHECKING:
    from napari.components import ViewerModel

#: A generator function goes on when the key is let go.
Slot = Callable[[], Any]


class CanvasKeys:
    """Binds keys of one viewer; napari's own bindings are only covered, never changed.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        Held weakly.
    slots : mapping of str to callable
        Key (as napari writes it) to what it does.
    """

    def __init__(self, viewer: ViewerModel, slots: Mapping[str, Slot]) -> None:
        # napari hands proxies to widgets of its menu: what is bound must be the viewer's own
        self._viewer, self._slots = ref(getattr(viewer, "__wrapped__", viewer)), dict(slots)
        self._before: dict[str, Any] = {}
        self.bound = False

    def bind(self, on: bool = True) -> None:
        """Take the keys over, or give them back."""
        viewer = self._viewer()
        if viewer is None or on == self.bound:
            return
        self.bound = on
        for key, slot in self._slots.items():
            if on:
                self._before[key] = viewer.bind_key(key, _calling(slot), overwrite=True)
            else:
                viewer.bind_key(key, self._before.pop(key, None), overwrite=True)


def _calling(slot: Slot) -> Callable[[Any], Any]:
    def call(viewer: Any) -> None:
        slot()

    def hold(viewer: Any) -> Any:
        yield from slot()

    return hold if isgeneratorfunction(slot) else call
