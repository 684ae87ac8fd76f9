"""Several preparation steps in a row, as a recipe that can be kept and run again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Self

from pydantic import Field, model_validator

from napari_phaset3m.config import Model
from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.errors import ConfigError
from napari_phaset3m.prepare.events import Done, Event, Finish, Progress, drain
from napari_phaset3m.prepare.history import history
from napari_phaset3m.prepare.steps import step_entry


class PrepareStep(Model):
    """One step of a recipe."""

    step: str = Field(description="Name of the step")
    parameters: dict[str, Any] = Field(
        default_factory=dict, description="Its parameters; what is left out has its default"
    )

    @model_validator(mode="after")
    def _complete(self) -> Self:
        try:
            config = step_entry(self.step).config.parse(**self.parameters)
        except ConfigError as error:
            raise ValueError(f"{self.step}: {error}") from None
        # A recipe that is kept says all, so that it means the same when defaults change.
        object.__setattr__(self, "parameters", config.model_dump(mode="json"))
        return self

    @property
    def config(self) -> Model:
        """The parameters, complete and checked."""
        return step_entry(self.step).config.parse(**self.parameters)


class PrepareConfig(Model):
    """Steps in the order in which they are carried out."""

    steps: tuple[PrepareStep, ...] = Field((), description="Steps, first one first")

    @classmethod
    def of(cls, *steps: str | tuple[str, Mapping[str, Any]]) -> PrepareConfig:
        """A recipe from names, or names with parameters.

        Raises
        ------
        ConfigError
            A name or a parameter is wrong.
        """
        pairs = [(item, {}) if isinstance(item, str) else item for item in steps]
        return cls.parse(steps=tuple({"step": name, "parameters": dict(given)} for name, given in pairs))

    @classmethod
    def from_history(cls, series: TiltFocalSeries) -> PrepareConfig:
        """The recipe that a series was prepared with: the steps of its history that are known here."""
        from napari_phaset3m.prepare.steps import STEPS

        done = [(item["step"], item["parameters"]) for item in history(series) if item["step"] in STEPS]
        return cls.of(*done)


def iterate_prepare(
    series: TiltFocalSeries, config: PrepareConfig, *, finish: Finish | None = None
) -> Iterator[Event]:
    """Carry out the steps one after the other.

    Parameters
    ----------
    series : TiltFocalSeries
        Not changed.
    config : PrepareConfig
    finish : Finish, optional
        Asks to end after the step at work, with what was done so far.

    Yields
    ------
    Progress, and Done with a tuple of the steps' results.

    Raises
    ------
    PhaseT3MError
        A step cannot be carried out; the message names step and field.
    """
    total, results = max(len(config.steps), 1), []
    for number, item in enumerate(config.steps):
        if finish is not None and number and finish.finish_requested():
            break
        for event in step_entry(item.step).run(series, item.config, finish=finish):
            if isinstance(event, Done):
                series = event.series
                results.append(event.result)
            else:
                yield Progress(event.text, (number + event.fraction) / total, event.detail)
    yield Done(series, tuple(results))


def prepare(
    series: TiltFocalSeries, config: PrepareConfig, on_event: Callable[[Event], None] | None = None
) -> Done:
    """Run a recipe to its end; see :func:`iterate_prepare`."""
    return drain(iterate_prepare(series, config), on_event)
