"""Errors of the engine in the words of the panels: labels for the names of fields, no flags."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from napari_phaset3m.config import Model
from napari_phaset3m.errors import DataError
from napari_phaset3m.gui.error_words import one_line
from napari_phaset3m.gui.widgets.model_rows import label_of, rows_of, sections_of
from napari_phaset3m.gui.widgets.numbers import QUANTITIES
from napari_phaset3m.io.raw import FIELDS, OPTIONS

_FLAG = re.compile(r"--[a-z][a-z0-9-]*[a-z0-9]")
#: What a line, or a part of one, is about; and a field that is compared with a value.
_SUBJECT = re.compile(r"(?:(?<=^)|(?<=; ))([a-z0-9_.]+): ")
_COMPARED = re.compile(r"(?<![\w.])([a-z0-9_.]+)(?= = )")
#: What a flag is called in Python, which no window needs.
_IN_PYTHON = re.compile(r"\w+=\.\.\. in Python or (?=--)")
#: A name that is no English word; none in the path of a file.
_NAME = re.compile(r"(?<![\w./\\-])([a-z][a-z0-9]*(?:[._][a-z0-9]+)+)(?![\w/\\-])(?!\.\w)")


def in_words(error: Exception, of_path: Mapping[str, str], of_flag: Mapping[str, str] | None = None) -> str:
    """An error as one line that names the fields as the window does.

    Parameters
    ----------
    error : Exception
    of_path : mapping
        What the window calls a setting, by the name (dotted path) that the engine has for it.
    of_flag : mapping, optional
        What it calls a flag of the command line; without: fields of the series.
    """
    quantity = next((q for q in QUANTITIES if q.key == getattr(error, "field", None)), None)
    if isinstance(error, DataError) and quantity is not None and error.path is None:
        return f"{quantity.label} {error.problem}. Give it in the Series step, under Microscope"
    return _reworded(one_line(error), of_path, of_flag)


def _reworded(text: str, of_path: Mapping[str, str], of_flag: Mapping[str, str] | None) -> str:
    text = _IN_PYTHON.sub("", text)
    text = _SUBJECT.sub(lambda m: f"{of_path.get(m[1], m[1])}: ", text)
    for pattern in (_COMPARED, _NAME):
        text = pattern.sub(lambda m: of_path.get(m[1], m[1]), text)
    flags = _series_flags() if of_flag is None else of_flag
    return _FLAG.sub(lambda m: f"“{flags[m[0]]}”" if m[0] in flags else m[0], text)


def labels_of(model: type[Model], prefix: str = "") -> dict[str, str]:
    """Label of each field of a model and of its sections, by dotted path."""
    found = {row.path: row.label for row, _ in rows_of(model, prefix)}
    for name, part in sections_of(model).items():
        found |= labels_of(part, f"{prefix}{name}.")
    return found


def in_step_words(error: Exception) -> str:
    """An error of Prepare, Align or Microscope, in the words of these panels."""
    return in_words(error, _step_labels())


#: Cells and fields of an import, as its dialog calls them.
IMPORT_LABELS = {
    "used": "Use", "tilt_deg": "Tilt", "tilt_angles": "Tilt", "tilt_index": "Tilt no.",
    "focus_index": "Focus", "defocus_angstrom": "Defocus", "dose": "Dose", "exposure_order": "Order",
    "section": "Section", "pixel_size_angstrom": "Pixel size", "pixel_size": "Pixel size",
    "energy_ev": "Voltage", "energy": "Voltage", "spherical_aberration_angstrom": "Cs",
    "tilt_axis_angle_deg": "Tilt axis", "bin": "Bin", "crop": "Crop", "tilt_series": "Images",
    "size": "Size", "gain": "Gain", "gain_rotate": "Gain quarter turns", "eer_upsampling": "EER upsampling",
}  # fmt: skip
#: What an alignment holds, as the Align panel calls it.
_ALIGNMENT_LABELS = {
    "shifts_px": "Shifts", "rotation_deg": "Rotation", "magnification": "Magnification", "tilt_deg": "Tilt",
    "used": "Use this image", "xf": "Transforms", "alignment": "Alignment",
    "pixel_ratio": "Pixel ratio", "SEC": "Sections", "TILT": "Tilt", "angles": "Tilt",
}  # fmt: skip


def in_import_words(error: Exception) -> str:
    """An error of looking at files, of the table or of loading, in the words of the import dialog."""
    return _of_a_file(error, IMPORT_LABELS)


def import_text(text: str) -> str:
    """A note or a question of an import in the words of its dialog."""
    return _reworded(text, IMPORT_LABELS, None)


def in_alignment_words(error: Exception) -> str:
    """An error of importing or exporting an alignment, in the words of the Align panel."""
    return _of_a_file(error, _ALIGNMENT_LABELS)


def _of_a_file(error: Exception, labels: Mapping[str, str]) -> str:
    """One line: the file's name without its folders, what in it, what is wrong, what to do."""
    if not isinstance(error, DataError):
        return in_words(error, labels)
    fields = ", ".join(labels.get(name, name) for name in (error.field or "").split(", ") if name)
    problem, remedy = (_reworded(part, labels, None) for part in (error.problem, error.remedy or ""))
    file = "" if error.path is None else Path(error.path).name
    text = ": ".join(part for part in (file, fields, problem) if part)
    return f"{text}. {remedy}" if remedy else text


@lru_cache(maxsize=1)
def _series_flags() -> dict[str, str]:
    # No field of the window leaves images out by their numbers.
    of_option = {flag: label_of(name) for name, flag in OPTIONS.items() if name != "unused"}
    of_option["--tilt-axis-angle"] = "Tilt axis"  # so called at import
    return of_option | {FIELDS[q.name][1]: q.label for q in QUANTITIES}


@lru_cache(maxsize=1)
def _step_labels() -> dict[str, str]:
    from napari_phaset3m.prepare.align.config import AlignConfig
    from napari_phaset3m.prepare.ctf.config import CtfConfig
    from napari_phaset3m.prepare.steps import STEPS

    found = labels_of(AlignConfig) | labels_of(CtfConfig)
    for name, entry in STEPS.items():
        labels = labels_of(entry.config)
        found |= labels | {f"{name}.{path}": f"{entry.label} · {label}" for path, label in labels.items()}
        found[name] = entry.label
    return found | {"defocus": "Defocus", "tilt_series": "The series"}
