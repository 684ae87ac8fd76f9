"""What happened, in the words of the window: its own fields, no flags of the command line."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from napari_phaset3m.config import ReconstructionConfig, Schedule, changed_fields
from napari_phaset3m.gui.reconstruct.rows import ALL
from napari_phaset3m.gui.widgets.editors import Row
from napari_phaset3m.gui.widgets.field_words import in_words
from napari_phaset3m.gui.widgets.numbers import QUANTITIES
from napari_phaset3m.session import RunRecord
from napari_phaset3m.wording import flag

#: How a run ended, by what its record says.
_ENDS = {
    "sweeps": "Finished: all sweeps done",
    "converged": "Finished: converged",
    "held-out": "Finished: held-out images stopped improving",
    "finished early": "Finished early: the volume is kept",
    "diverged": "Finished: diverged; the last good volume is kept",
}


@lru_cache(maxsize=1)
def _labels() -> tuple[dict[str, str], dict[str, str]]:
    """What the window calls a flag, and what it calls a setting."""
    from napari_phaset3m.io.raw import FIELDS

    of_flag = {flag(row.path.rpartition(".")[2]): row.label for row in ALL}
    of_flag |= {FIELDS[q.name][1]: q.label for q in QUANTITIES}
    return of_flag, {row.path: row.label for row in ALL}


def in_window(error: Exception) -> str:
    """An error as one line that names the fields as the window does."""
    of_flag, of_path = _labels()
    return in_words(error, of_path, of_flag)


def closing_line(record: RunRecord) -> str:
    """How a run ended, how many images stayed out of its volume and what was refined."""
    resolved = record.settings.get("resolved", {})
    parts = [_ENDS.get(record.reason) or f"Finished: {record.reason}"]
    held = int(resolved.get("held_out_images") or 0)
    if held:
        parts.append(f"{held} held-out image{'' if held == 1 else 's'} stayed out of the volume")
    refine, kinds = record.config.refine, []
    if "refined" in record.settings:
        kinds += ["shifts"] if refine.refine_shifts else []
        kinds += [f"defocus per {refine.refine_defocus}"] if refine.refine_defocus != "off" else []
    if kinds:
        parts.append(f"refined: {' and '.join(kinds)}")
    return "; ".join(parts)


def setting_words(config: ReconstructionConfig) -> dict[str, str]:
    """Settings that are not the defaults, named and written as the form does."""
    rows = {row.path: row for row in ALL}
    return {
        rows[path].label if path in rows else path.rpartition(".")[2].replace("_", " "): _value_words(
            rows.get(path), value
        )
        for path, value in changed_fields(config).items()
        if path != "method"
    }


def _value_words(row: Row | None, value: Any) -> str:
    if row is not None:
        texts = [text for text, choice in row.choices if choice == value and type(choice) is type(value)]
        if texts:
            return texts[0]
        if row.special is not None and value == row.special[1]:
            return row.special[0]
    if isinstance(value, bool):
        return "on" if value else "off"
    if value is None:
        return "none"
    if isinstance(value, Schedule):
        end = "the end" if value.stop is None else f"sweep {value.stop}"
        return f"from sweep {value.start} to {end}, every {value.every}"
    if isinstance(value, tuple):
        return ", ".join(map(str, value)) or "none"
    number = f"{value:.6g}" if isinstance(value, float) else str(value)
    return f"{number}{'' if row is None else row.suffix}"
