"""What the record of a linear run means for a comparison: contrast transfer undone, fit of the result."""

from __future__ import annotations

from dataclasses import replace

from napari_phaset3m.reconstruct.methods import METHODS
from napari_phaset3m.reconstruct.plan import outcome_note
from napari_phaset3m.report.subject import Subject

UNCORRECTED = "no CTF correction"


def is_uncorrected(subject: Subject) -> bool:
    """A linear method without CTF correction, of a series whose defocus and Cs are known."""
    settings, series = subject.record.get("parameters"), subject.series
    if not isinstance(settings, dict) or series is None:
        return False
    known = series.defocus_angstrom is not None and series.spherical_aberration_angstrom is not None
    entry = METHODS.get(str(settings.get("method")))
    linear = entry is not None and entry.linear
    return known and linear and settings.get("ctf_correction", "none") == "none"


def labelled(subject: Subject) -> Subject:
    """The subject, its name ending in "no CTF correction" where that could have been done and was not."""
    if not is_uncorrected(subject):
        return subject
    name = subject.name
    told = f"{name[:-1]}, {UNCORRECTED})" if name.endswith(")") else f"{name} ({UNCORRECTED})"
    return replace(subject, name=told)


def fit_note(subject: Subject) -> str | None:
    """That the run ended worse than an empty volume, where its record says so."""
    settings, errors = subject.record.get("parameters"), subject.record.get("error_per_iteration")
    if not isinstance(settings, dict) or not errors or settings.get("method") not in METHODS:
        return None
    positivity = bool((settings.get("constraints") or {}).get("positivity", True))
    return outcome_note(settings["method"], float(errors[-1]), positivity=positivity)
