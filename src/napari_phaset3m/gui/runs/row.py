"""What the list of runs says of one run."""

from __future__ import annotations

import numpy as np
from qtpy.QtCore import QSize
from qtpy.QtGui import QIcon, QImage, QPixmap

from napari_phaset3m.gui.layers.volumes import METHOD_LABELS
from napari_phaset3m.gui.runs.words import setting_words
from napari_phaset3m.gui.widgets.binding import format_seconds
from napari_phaset3m.session import RunRecord

COLUMNS = ("", "Run", "Settings", "Error", "Resolution", "Time", "State")
TIPS = (
    "Central slice, z = 0",
    "Method, and the series it was made of",
    "What is not the default",
    "Relative misfit of the images used, and of those held out",
    "Where the half-set correlation falls below the criterion; measured in step Analyse",
    "Computing time, and the device",
    "How it ended",
)
#: Edge of the picture, px.
EDGE = 36
_STATES = {
    "sweeps": "all sweeps done",
    "converged": "converged",
    "held-out": "held out stopped",
    "finished early": "finished by hand",
    "diverged": "diverged",
}


def row_of(record: RunRecord) -> tuple[str, ...]:
    """The texts of a run's row, one per column; two lines at most."""
    last = record.sweeps[-1] if record.sweeps else None
    held = last.held_out_error if last else None
    sweeps = f"{len(record.sweeps)} sweep{'' if len(record.sweeps) == 1 else 's'}"
    error = "" if last is None else f"{last.error:.3g}"
    return (
        "",
        f"{method_of(record)}\n{record.series_name}",
        f"{sweeps}\n{settings_line(record)}" if record.sweeps else settings_line(record),
        error if held is None else f"{error}\n{held:.3g} held out",
        resolution_of(record),
        f"{format_seconds(record.seconds)}\n{record.device}" if record.sweeps else record.device,
        state_of(record),
    )


def method_of(record: RunRecord) -> str:
    """What the method is called."""
    return METHOD_LABELS.get(record.config.method, record.config.method)


def settings_line(record: RunRecord) -> str:
    """Settings that are not the defaults, in one line."""
    words = setting_words(record.config)
    if record.sweeps:  # their number is told anyway
        words.pop("Sweeps", None)
    return ", ".join(f"{name} {value}" for name, value in words.items()) or "defaults"


def resolution_of(record: RunRecord) -> str:
    """Resolution and its criterion; a dash where it was not measured."""
    found = record.resolution
    if not found:
        return "–"
    angstrom = found.get("angstrom")
    criterion = f"FSC {found['criterion']}"
    if angstrom is None:
        return f"none\n{criterion}"
    bound = "≤ " if found.get("status") == "nyquist" else ""
    return f"{bound}{angstrom:.3g} Å\n{criterion}"


def state_of(record: RunRecord) -> str:
    """How it stands, or how it ended."""
    if record.error:
        return "failed"
    reason = _STATES.get(record.reason, record.reason)
    return f"{record.status}\n{reason}" if reason and reason != record.status else record.status


def tips_of(record: RunRecord) -> tuple[str, ...]:
    """What is said of each cell when the mouse rests on it."""
    measured = str(record.resolution["statement"]) if record.resolution else (
        "Not measured: compute halves in step Analyse, under Resolution"
    )  # fmt: skip
    lines = "\n".join(f"{name}: {value}" for name, value in setting_words(record.config).items())
    return (TIPS[0], record.series_name, lines or "All defaults", TIPS[3], measured, record.device,
            record.error or record.reason)  # fmt: skip


def thumbnail(record: RunRecord) -> QIcon | None:
    """The central slice as a small picture; None without a volume."""
    volume = record.volume
    if volume is None:
        return None
    plane = np.asarray(volume[volume.shape[0] // 2])
    step = max(1, min(plane.shape) // (2 * EDGE))
    plane = plane[::step, ::step]
    low, high = np.percentile(plane, (1, 99.8))
    grey = np.clip((plane - low) / max(high - low, 1e-12) * 255, 0, 255).astype(np.uint8)
    ny, nx = grey.shape
    pixels = grey.tobytes()  # held until the pixmap has its copy
    image = QImage(pixels, nx, ny, nx, QImage.Format.Format_Grayscale8)
    picture, icon = QPixmap.fromImage(image), QIcon()
    for mode in (QIcon.Mode.Normal, QIcon.Mode.Selected):  # else a selected one is tinted
        icon.addPixmap(picture, mode)
    return icon


def icon_size() -> QSize:
    """Of the pictures in the list."""
    return QSize(EDGE, EDGE)
