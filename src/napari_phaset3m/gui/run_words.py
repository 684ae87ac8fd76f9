"""What happened, in the words of the window: its own fields, no flags of the command line."""

from __future__ import annotations

import re
from functools import lru_cache

from napari_phaset3m.errors import DataError
from napari_phaset3m.gui.forms import QUANTITIES
from napari_phaset3m.gui.reconstruct_rows import ALL
from napari_phaset3m.session import RunRecord
from napari_phaset3m.wording import flag

_REASONS = {
    "sweeps": "all sweeps done",
    "converged": "converged",
    "held-out": "held-out images stopped improving",
    "finished early": "finished early, volume kept",
    "diverged": "diverged; the last good volume is kept",
}
_FLAG = re.compile(r"--[a-z][a-z0-9-]*[a-z0-9]")
_PATH = re.compile(r"(?:(?<=^)|(?<=; ))([a-z0-9_.]+): ")


@lru_cache(maxsize=1)
def _labels() -> tuple[dict[str, str], dict[str, str]]:
    """What the window calls a flag, and what it calls a setting."""
    from napari_phaset3m.io.raw import FIELDS

    of_flag = {flag(row.path.rpartition(".")[2]): row.label for row in ALL}
    of_flag |= {FIELDS[q.name][1]: q.label for q in QUANTITIES}
    return of_flag, {row.path: row.label for row in ALL}


def in_window(error: Exception) -> str:
    """An error as one line that names the fields as the window does."""
    quantity = next((q for q in QUANTITIES if q.key == getattr(error, "field", None)), None)
    if isinstance(error, DataError) and quantity is not None and error.path is None:
        return f"{quantity.label} {error.problem}. Give it in the Series step, under Microscope"
    text = " ".join(str(error).split()) or type(error).__name__
    of_flag, of_path = _labels()
    text = _PATH.sub(lambda m: f"{of_path.get(m[1], m[1])}: ", text)
    return _FLAG.sub(lambda m: f"“{of_flag[m[0]]}”" if m[0] in of_flag else m[0], text)


def closing_line(record: RunRecord) -> str:
    """How a run ended, how many images stayed out of its volume and what was refined."""
    resolved = record.settings.get("resolved", {})
    parts = [f"Finished: {_REASONS.get(record.reason, record.reason)}"]
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
