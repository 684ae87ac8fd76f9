"""What the Optimise tab is going to do, and why it cannot; no widgets in here."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from napari_phaset3m.config import ReconstructionConfig
from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.errors import ConfigError
from napari_phaset3m.gui.error_words import one_line
from napari_phaset3m.gui.optimise.units import shown, shown_unit
from napari_phaset3m.optimise.auto import AutoConfig
from napari_phaset3m.optimise.checks import bounds, check
from napari_phaset3m.optimise.config import OptimiseConfig, Range
from napari_phaset3m.optimise.journal_files import in_the_way
from napari_phaset3m.optimise.parameters import PARAMETERS

Limits = tuple[float | None, float | None]


@dataclass(frozen=True)
class Plan:
    """Settings of the tab.

    Attributes
    ----------
    config : AutoConfig
        All but what is searched.
    names : tuple of str
        Parameters that are searched.
    limits : dict
        (low, high) that were typed, by parameter; None: the default one.
    sigmas : dict
        Standard deviations of the priors that were typed, by parameter.
    auto : bool
        Search and gradient; False: search only.
    journal : Path or None
    resume : bool
    """

    config: AutoConfig = field(default_factory=AutoConfig)
    names: tuple[str, ...] = ("cs_angstrom",)
    limits: dict[str, Limits] = field(default_factory=dict)
    sigmas: dict[str, float] = field(default_factory=dict)
    auto: bool = True
    journal: Path | None = None
    resume: bool = False

    def range_of(self, name: str) -> Range:
        """What is searched of a parameter.

        Raises
        ------
        ConfigError
            Reversed bounds; in the units of the window.
        """
        low, high = self.limits.get(name, (None, None))
        if low is not None and high is not None and low >= high:
            unit = shown_unit(name)[0]
            raise ConfigError(
                f"{PARAMETERS[name].label}: {shown(name, low)} is not below {shown(name, high)} {unit}; "
                "give the lower bound first"
            )
        return Range.parse(name=name, low=low, high=high, sigma=self.sigmas.get(name))

    def search(self, names: tuple[str, ...] | None = None) -> OptimiseConfig:
        """The search over ``names`` (those chosen)."""
        chosen = self.names if names is None else names
        ranges = tuple(self.range_of(name) for name in PARAMETERS if name in chosen)
        return self.config.search.model_copy(update={"ranges": ranges})

    def wanted(self) -> AutoConfig:
        """Everything, as the engine takes it."""
        return self.config.model_copy(update={"search": self.search()})

    def with_limit(self, name: str, side: int, value: float | None) -> Plan:
        """The plan with one bound changed (side 0: lower)."""
        pair = list(self.limits.get(name, (None, None)))
        pair[side] = value
        return replace(self, limits={**self.limits, name: (pair[0], pair[1])})

    def with_prior(self, name: str, sigma: float | None) -> Plan:
        """The plan with another standard deviation about the stated value; None: no prior."""
        rest = {known: value for known, value in self.sigmas.items() if known != name}
        return replace(self, sigmas=rest if sigma is None else {**rest, name: sigma})


def limits_of(plan: Plan, name: str, series: TiltFocalSeries, config: ReconstructionConfig) -> Limits:
    """Bounds to show: as typed, else the default ones."""
    typed = plan.limits.get(name, (None, None))
    try:
        default = bounds(Range(name=name, sigma=plan.sigmas.get(name)), series, config)
    except ConfigError:
        return typed
    return tuple(d if t is None else t for t, d in zip(typed, default, strict=True))  # type: ignore[return-value]


def missing(series: TiltFocalSeries) -> str:
    """What the series has to state before anything can be searched; empty when all is there."""
    if series.is_dark_field:
        return "Dark field has no optics to search"
    if series.spherical_aberration_angstrom is None:
        return "Cs is missing: give it in step Series, tab Microscope"
    if series.defocus_angstrom is None:
        return "Defocus is missing: fit it in the tab Defocus / CTF, or give it in step Series"
    if series.n_tilt < 2:
        return "One tilt only: several are needed, some of them to judge"
    return ""


def refusal(plan: Plan, series: TiltFocalSeries, config: ReconstructionConfig) -> tuple[str, tuple[str, ...]]:
    """(Why the search cannot be started, what it can find only badly)."""
    why = missing(series)
    if why:
        return why, ()
    if not plan.names:
        return "Nothing to search: tick at least one parameter", ()
    try:
        notes = check(series, config, plan.search())
    except ConfigError as error:
        return _in_words(error), ()
    rounds = plan.config.rounds if plan.auto else 1
    other = in_the_way(plan.journal, rounds, resume=plan.resume)
    if other is not None and plan.journal is not None:
        go_on = "tick Resume to go on with its trials, or " if plan.journal.exists() else ""
        return f"{other.name} exists: {go_on}choose another file", ()
    return "", notes


def reason(plan: Plan, name: str, series: TiltFocalSeries, config: ReconstructionConfig) -> str:
    """Why one parameter cannot be searched under the present settings; empty when it can."""
    if missing(series):
        return ""
    try:
        check(series, config, plan.search((name,)))
    except ConfigError as error:
        return _in_words(error)
    return ""


def _in_words(error: ConfigError) -> str:
    text = one_line(error)
    for name, parameter in PARAMETERS.items():
        if text.startswith(f"{name}:") or text.startswith(f"bounds of {name}:"):
            return text.replace(f"bounds of {name}", parameter.label, 1).replace(name, parameter.label, 1)
    return text
