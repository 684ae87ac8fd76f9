"""What a preparation step is to the command line, the window and a recipe."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from napari_phaset3m.config import Model
from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.prepare.events import Event, Finish

#: `(series, config, tilt, focus)` -> `(ny, nx)` float32: one image after the step.
Preview = Callable[[TiltFocalSeries, Any, int, int], np.ndarray]


class Run(Protocol):
    """A step at work: a pure function of series and config, told as events."""

    def __call__(
        self, series: TiltFocalSeries, config: Any, *, finish: Finish | None = None
    ) -> Iterator[Event]:
        """Yield Progress, and Done at last; the given series is not changed.

        A step that treats one image after the other has nothing to end early with: it may be stopped
        (the generator closed), and ``finish`` is for those that get better by going on.
        """
        ...


@dataclass(frozen=True, slots=True)
class StepEntry:
    """One preparation step.

    Attributes
    ----------
    name : str
        Word in recipes, flags and the history.
    label : str
        For a button or a list.
    help : str
        One or two sentences: what it does and when.
    config : type of Model
        Its parameters; all have defaults.
    run : Run
    preview : Preview or None
        None where one image alone cannot show it.
    """

    name: str
    label: str
    help: str
    config: type[Model]
    run: Run
    preview: Preview | None = None
