"""Where to try next: ask for points of the unit cube, tell what they gave.

scikit-optimize and Optuna stand behind the same two verbs, so that either can be replaced.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from itertools import product
from typing import Any, Protocol

import numpy as np

from napari_phaset3m.errors import ConfigError
from napari_phaset3m.optimise.config import OptimiseConfig

Point = tuple[float, ...]
#: Length scales that the process may have, in units of the ranges; least score (a logarithm is taken).
LENGTHS, _LEAST = (0.1, 3.0), 1e-9


class Proposer(Protocol):
    """Asks and is told; points lie in 0..1 on each axis."""

    def ask(self, n: int = 1) -> list[Point]:
        """Up to ``n`` points to try next; none when everything was tried."""
        ...

    def tell(self, point: Point, score: float | None) -> None:
        """What a point gave; None: the trial failed."""
        ...

    def expected_gain(self) -> float:
        """By how much the best score is expected to fall at the next point; inf: not known."""
        ...


class Random:
    """Uniform random points.

    Parameters
    ----------
    n_axis : int
    seed : int
    """

    def __init__(self, n_axis: int, seed: int) -> None:
        self._rng, self._n = np.random.default_rng(seed), n_axis

    def ask(self, n: int = 1) -> list[Point]:
        """See :class:`Proposer`."""
        return [tuple(map(float, self._rng.random(self._n))) for _ in range(n)]

    def tell(self, point: Point, score: float | None) -> None:
        """See :class:`Proposer`: nothing is learnt."""

    def expected_gain(self) -> float:
        """See :class:`Proposer`."""
        return float("inf")


def grid_edge(n_axis: int, calls: int) -> int:
    """Points of a regular grid along each axis, when all of them are at most ``calls``."""
    return int(np.floor(calls ** (1 / n_axis) + 1e-9))


class Grid:
    """A regular grid, from the middle outwards.

    Parameters
    ----------
    n_axis : int
    calls : int
        At most so many points; each axis gets the same number.
    """

    def __init__(self, n_axis: int, calls: int) -> None:
        edge = max(2, grid_edge(n_axis, calls))
        self._axis = np.linspace(0, 1, edge)
        points = [tuple(map(float, point)) for point in product(self._axis, repeat=n_axis)]
        self._scores = np.full((edge,) * n_axis, np.nan)
        self._left = sorted(points, key=lambda point: sum((x - 0.5) ** 2 for x in point))

    def ask(self, n: int = 1) -> list[Point]:
        """See :class:`Proposer`."""
        taken, self._left = self._left[:n], self._left[n:]
        return taken

    def tell(self, point: Point, score: float | None) -> None:
        """See :class:`Proposer`; a point that is known already is not asked for again."""
        self._left = [other for other in self._left if not np.allclose(other, point, atol=1e-9)]
        if score is not None:
            self._scores[tuple(np.rint(np.array(point) * (self._axis.size - 1)).astype(int))] = score

    def predict(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
        """Scores between the grid's points, linear; no model before all were told. Failed ones: the worst."""
        from scipy.interpolate import RegularGridInterpolator

        if self._left or np.isnan(self._scores).all():
            return None
        known = np.where(np.isnan(self._scores), np.nanmax(self._scores), self._scores)
        mean = RegularGridInterpolator((self._axis,) * known.ndim, known)(points)
        return mean, np.zeros(len(points))

    def expected_gain(self) -> float:
        """See :class:`Proposer`."""
        return float("inf")


class Bayesian:
    """Gaussian process with a Matern kernel and fitted noise (scikit-optimize).

    Snoek, Larochelle & Adams, NIPS 25 (2012); a Latin hypercube begins. It models the logarithm of the
    score: a deep well in a plateau is closer to stationary so, and near 1 (strong noise) nothing changes.

    Parameters
    ----------
    n_axis : int
    config : OptimiseConfig
    """

    def __init__(self, n_axis: int, config: OptimiseConfig) -> None:
        from skopt import Optimizer

        self._worst: float | None = None
        #: Which of the told points failed.
        self._failed: list[int] = []
        self.optimizer: Any = Optimizer(
            [(0.0, 1.0)] * n_axis,
            _process(n_axis, config.seed),
            acq_func=config.acquisition,
            n_initial_points=config.initial,
            initial_point_generator="lhs",
            random_state=config.seed,
        )

    def ask(self, n: int = 1) -> list[Point]:
        """See :class:`Proposer`."""
        with _one_thread(), warnings.catch_warnings():
            # A point that was tried is replaced by a random one, which is as it should be.
            warnings.filterwarnings("ignore", "The objective has been evaluated", UserWarning)
            points = [self.optimizer.ask()] if n == 1 else self.optimizer.ask(n_points=n, strategy="cl_min")
        return [tuple(map(float, point)) for point in points]

    def tell(self, point: Point, score: float | None) -> None:
        """See :class:`Proposer`; failed points count as the worst so far, so that they are avoided.

        Before there is a score they count as 1, an empty volume's: points not told would be asked again.
        """
        known = self.optimizer.yi
        if score is None:
            self._failed.append(len(known))
            score = 1.0 if self._worst is None else self._worst
        elif self._worst is None or score > self._worst:
            self._worst = score
            for number in self._failed:
                known[number] = _logarithm(score)
        with _one_thread():
            self.optimizer.tell(list(point), _logarithm(score))

    @classmethod
    def fitted(cls, config: OptimiseConfig, told: Sequence[tuple[Point, float | None]]) -> Bayesian:
        """A process that knows these trials, for a look at what another way of searching found."""
        found = cls(len(config.ranges), config)
        known = [(list(point), _logarithm(score)) for point, score in told if score is not None]
        if len(known) > 1:
            found.optimizer._n_initial_points = 0
            with _one_thread():
                found.optimizer.tell(*map(list, zip(*known, strict=True)))
        return found

    def predict(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
        """Mean and standard deviation of the score at `(n, n_axis)` points; None without a model."""
        if not self.optimizer.models:
            return None
        with _one_thread():
            mean, sigma = self.optimizer.models[-1].predict(points, return_std=True)
        return np.exp(mean), np.exp(mean) * sigma

    def expected_gain(self) -> float:
        """See :class:`Proposer`: largest expected improvement over the cube."""
        if not self.optimizer.models:
            return float("inf")
        from skopt.acquisition import gaussian_ei

        points = np.random.default_rng(0).random((2000, len(self.optimizer.space.dimensions)))
        with _one_thread():
            lowest = float(np.min(self.optimizer.yi))
            gains = gaussian_ei(points, self.optimizer.models[-1], y_opt=lowest, xi=0)
        return float(np.max(gains) * np.exp(lowest))


def _logarithm(score: float) -> float:
    return float(np.log(max(score, _LEAST)))


def _process(n_axis: int, seed: int) -> Any:
    """The Gaussian process.

    Fitted to a dozen points, length scales without bounds often come out so short that no point tells
    of another, or infinite: a score follows neither.
    """
    from skopt.learning import GaussianProcessRegressor
    from skopt.learning.gaussian_process.kernels import ConstantKernel, Matern

    kernel = ConstantKernel(1.0, (0.05, 50.0)) * Matern(np.full(n_axis, 0.4), [LENGTHS] * n_axis, nu=2.5)
    return GaussianProcessRegressor(
        kernel, noise="gaussian", normalize_y=True, n_restarts_optimizer=2, random_state=seed
    )


class Tpe:
    """Tree-structured Parzen estimator (Optuna, when installed): the second backend.

    Parameters
    ----------
    n_axis : int
    config : OptimiseConfig

    Raises
    ------
    ConfigError
        Optuna is not installed.
    """

    def __init__(self, n_axis: int, config: OptimiseConfig) -> None:
        try:
            import optuna
        except ImportError:
            raise ConfigError("backend: Optuna is not installed; pip install optuna, or use skopt") from None
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        sampler = optuna.samplers.TPESampler(seed=config.seed, n_startup_trials=config.initial)
        self._optuna, self._n = optuna, n_axis
        self._study: Any = optuna.create_study(sampler=sampler)
        self._asked: dict[Point, Any] = {}

    def _space(self) -> dict[str, Any]:
        return {f"x{i}": self._optuna.distributions.FloatDistribution(0.0, 1.0) for i in range(self._n)}

    def ask(self, n: int = 1) -> list[Point]:
        """See :class:`Proposer`."""
        points = []
        for _ in range(n):
            trial = self._study.ask(self._space())
            point = tuple(float(trial.params[f"x{i}"]) for i in range(self._n))
            self._asked[point] = trial
            points.append(point)
        return points

    def tell(self, point: Point, score: float | None) -> None:
        """See :class:`Proposer`."""
        states = self._optuna.trial.TrialState
        trial = self._asked.pop(point, None)
        if trial is None:
            params = {f"x{i}": x for i, x in enumerate(point)}
            made = self._optuna.trial.create_trial(
                params=params,
                distributions=self._space(),
                value=score,
                state=states.COMPLETE if score is not None else states.FAIL,
            )
            self._study.add_trial(made)
        elif score is None:
            self._study.tell(trial, state=states.FAIL)
        else:
            self._study.tell(trial, score)

    def expected_gain(self) -> float:
        """See :class:`Proposer`: not known."""
        return float("inf")


def make_proposer(config: OptimiseConfig, told: Sequence[tuple[Point, float | None]] = ()) -> Proposer:
    """The proposer of a config, which knows of earlier trials already.

    Parameters
    ----------
    told : sequence of (point, score)
        Of earlier trials, oldest first.
    """
    n = len(config.ranges)
    proposer: Proposer
    if config.method == "random":
        proposer = Random(n, config.seed)
        proposer.ask(len(told))  # go on where an interrupted search would have
    elif config.method == "grid":
        proposer = Grid(n, config.calls)
    else:
        proposer = Tpe(n, config) if config.backend == "optuna" else Bayesian(n, config)
    for point, score in told:
        proposer.tell(point, score)
    return proposer


def _one_thread() -> Any:
    """The process's BLAS confined to one thread: a Gaussian process of a few points is slower on more."""
    from threadpoolctl import threadpool_limits

    return threadpool_limits(1)
