"""An import as ``phaset3m info`` tells it: each image, what is to be confirmed, what flags give."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from napari_phaset3m.errors import ConfigError

#: How images are loaded: nothing of it shows in the table.
_LOADING = ("counts", "normalise", "vacuum_intensity", "intensity_offset", "mtf")


def loading_flag(given: Mapping[str, Any]) -> str | None:
    """The first name of what is given that says how images are loaded; None without."""
    return next((name for name in _LOADING if name in given), None)


def with_given(plan: Any, given: Mapping[str, Any]) -> Any:
    """The plan with what flags give in place of the files'.

    Raises
    ------
    ConfigError
        A flag would do nothing here, or a value does not fit the images.
    """
    from napari_phaset3m.io.import_plan import FIELDS_OF_PLAN, WHOLE

    idle = loading_flag(given)
    if idle is not None:
        raise ConfigError(f"{idle}: info loads no images of an import. Give it to phaset3m convert")
    whole = {name: value for name, value in given.items() if name in (*WHOLE, *FIELDS_OF_PLAN)}
    return plan.edited(_cells(plan, given), **whole)


def _cells(plan: Any, given: Mapping[str, Any]) -> dict[int, dict[str, Any]]:
    """New cells by row, of what flags give for single images."""
    from napari_phaset3m.io.leave_out import image_numbers, is_none

    shape = (plan.n_tilt, plan.n_focus)
    found: dict[int, dict[str, Any]] = {}
    for name, cell in (("defocus_angstrom", "defocus_angstrom"), ("dose_per_image", "dose")):
        if name in given:
            try:
                values = np.broadcast_to(given[name], shape).reshape(-1).tolist()
            except ValueError:
                raise ConfigError(
                    f"{name}: {np.size(given[name])} values for {shape[0]} tilts with {shape[1]} foci. Give "
                    "one, or one for each focus"
                ) from None
            for row, value in enumerate(values):
                found.setdefault(row, {})[cell] = value
    unused = given.get("unused")
    if is_none(unused):
        for row, entry in enumerate(plan.images):
            found.setdefault(row, {})["used"] = not entry.is_filler
        return found
    for row in () if unused is None else image_numbers(unused):
        if row >= len(plan.images):
            raise ConfigError(
                f"unused: there is no image {row}: the {len(plan.images)} images count from 0, tilt by tilt"
            )
        found.setdefault(row, {})["used"] = False
    return found


def asked(question: Any) -> str:
    """A question with the flag that answers it, or the words of its cell."""
    from napari_phaset3m.io.raw import FIELDS, OPTIONS

    flags = {name: option for name, (_, option, _) in FIELDS.items()} | dict(OPTIONS)
    flags |= {"focus_index": "--n-focus", "dose": "--dose"}
    return f"{flags.get(question.field, question.field.replace('_', ' '))}: {question.text}"


def table(plan: Any) -> list[str]:
    """One line for each image: where it goes, and what is known of it."""
    head = ("tilt", "focus", "angle/deg", "defocus/A", "dose", "before", "order", "used", "file")
    rows = [head]
    for entry in plan.images:
        span = entry.frame_range
        name = entry.file.name + (f" frames {span[0]}-{span[1]}" if span else f"[{entry.section}]")
        if entry.frames is not None and entry.frames != entry.file:
            name += f" ({entry.frames.name})"
        cells = (
            str(entry.tilt_index),
            str(entry.focus_index),
            _shown(entry.tilt_deg, ".2f"),
            _shown(entry.defocus_angstrom, ".0f"),
            _shown(entry.dose, ".4g"),
            _shown(entry.prior_dose, ".4g"),
            _shown(entry.exposure_order, "d"),
            "yes" if entry.used else ("repeat" if entry.is_filler else "no"),
            name,
        )
        rows.append(cells)
    widths = [max(len(row[k]) for row in rows) for k in range(len(head))]
    lines = []
    for row in rows:
        padded = [f"{cell:>{width}}" for cell, width in zip(row[:-1], widths, strict=False)]
        lines.append("  ".join([*padded, row[-1]]))
    return lines


def _shown(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def describe(plan: Any) -> list[str]:
    """What was recognised, for a person."""
    ny, nx = plan.image_shape
    lines = [f"{plan.n_tilt} tilts x {plan.n_focus} foci, {ny} x {nx} pixels (y, x), {plan.dtype}"]
    for label, value, unit in (
        ("pixel", plan.pixel_size_angstrom, "A"),
        ("energy", plan.energy_ev, "V"),
        ("tilt axis", plan.tilt_axis_angle_deg, "degrees from +y towards -x"),
    ):
        lines.append(f"{label}: not stated" if value is None else f"{label}: {value:g} {unit}")
    lines += [f"note: {note}" for note in plan.notes]
    lines += [f"to confirm: {asked(question)}" for question in plan.questions]
    return [*lines, *table(plan)]
