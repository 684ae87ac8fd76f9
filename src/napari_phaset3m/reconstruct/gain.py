"""How much of a refinement step is taken: less and less of one that only follows noise.

Between two sweeps the volume has moved as well, by noise among other things, and full steps would
follow it for ever: shifts that wander keep the volume from settling. Kesten's rule for stochastic
approximation (Ann. Math. Stat. 29 (1958) 41) takes ``1 / (1 + n)`` of a step that has turned back n
times: far from the end steps agree and are taken whole; near it they turn, and their mean counts.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from napari_phaset3m.core.precision import Array

#: Beginning of the names under which a checkpoint keeps them.
_KEY = "gain"


@dataclass(eq=False)
class Gains:
    """The rule for any number of named groups of unknowns, each with its own count.

    Attributes
    ----------
    turns : dict of str to ndarray
        `(n_group,)` how often the steps of each group turned back.
    last : dict of str to ndarray
        `(n_group, n)` the steps that were last proposed.
    """

    turns: dict[str, np.ndarray] = field(default_factory=dict)
    last: dict[str, np.ndarray] = field(default_factory=dict)

    def taken(self, name: str, step: np.ndarray) -> np.ndarray:
        """The part of a proposed step, `(n_group, ...)`, that is to be taken."""
        proposed = np.array(step, np.float64).reshape(len(step), -1)
        before = self.last.get(name, np.zeros_like(proposed))
        turns = self.turns.get(name, np.zeros(len(proposed)))
        self.turns[name] = turns = turns + ((proposed * before).sum(1) < 0)
        self.last[name] = proposed
        return np.asarray((proposed / (1 + turns)[:, None]).reshape(step.shape))

    def remember(self, memory: dict[str, Array]) -> None:
        """Put them where a checkpoint saves them."""
        for kind, arrays in (("turns", self.turns), ("last", self.last)):
            memory |= {f"{_KEY} {kind} {name}": array.copy() for name, array in arrays.items()}

    def recall(self, memory: dict[str, Array]) -> None:
        """Take back what :meth:`remember` put there."""
        for key in [key for key in memory if key.startswith(f"{_KEY} ")]:
            _, kind, name = key.split(" ", 2)
            arrays = self.turns if kind == "turns" else self.last
            arrays[name] = np.asarray(memory.pop(key), np.float64)
