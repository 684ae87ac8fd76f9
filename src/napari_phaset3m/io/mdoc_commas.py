"""Numbers of an mdoc with a decimal comma, by hand or by a locale: none is read, and each key is told once.

So is the angle of the tilt axis in the label of an MRC file, and in FEI's log, and one beyond ±360°.

SerialEM writes points, and blanks between several numbers; ``10,5`` may be 10.5 or two numbers.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

from napari_phaset3m.errors import DataError
from napari_phaset3m.io.limits import MAX_AXIS_DEG
from napari_phaset3m.io.mdoc import Mdoc
from napari_phaset3m.io.raw import FIELDS
from napari_phaset3m.io.text import is_decimal_comma

#: What keys tell of a series. ``TiltAngle`` is left out: a series without its angles is refused.
_TELLS = {
    "PixelSpacing": "pixel size",
    "Binning": "pixel size",
    "Voltage": "energy",
    "RotationAngle": "tilt axis",
    "TargetDefocus": "defocus",
    "CtfFind": "defocus",
    "Defocus": "defocus",
    "ExposureDose": "dose",
    "FrameDosesAndNumber": "dose",
    "DoseRate": "dose",
    "ExposureTime": "dose",
    "PriorRecordDose": "order of exposure",
}
_TITLE = re.compile(r"tilt axis angle\s*(?:\[[^\]]*\])?\s*[=:]\s*([-+]?\d+(?:\.\d*)?)(,\d+)?", re.IGNORECASE)
_AXIS = "the angle in the {where} {why} and is not read"
_COMMA, _BEYOND = "has a decimal comma", f"is {{}}°, beyond ±{MAX_AXIS_DEG:g}°,"
#: What an image cannot be read without, or would be read wrongly.
_DECIDES = {"PixelSpacing": "pixel_size_angstrom", "Voltage": "energy_ev"}


def title_axis_unread(mdoc: Mdoc) -> str:
    """Why the tilt axis that a title states is not read; empty where one is, or none states it."""
    return "" if mdoc.title_axis_deg is not None else axis_unread(*mdoc.titles)


def axis_unread(*texts: str) -> str:
    """Why the "tilt axis angle" that titles, labels or a log state is not read; empty where it is."""
    for match in filter(None, map(_TITLE.search, texts)):
        if match.group(2):
            return f"({match[1]}{match[2]}) {_COMMA}"
        if abs(float(match.group(1))) > MAX_AXIS_DEG:
            return _BEYOND.format(match.group(1))
    return ""


def axis_refusal(path: Path, why: str, where: Literal["title", "label", "log"] = "title") -> DataError:
    """Refuses images whose axis is not read: unturned they would give a wrong volume."""
    give = "give tilt_axis_angle_deg=... in Python or --tilt-axis-angle (degrees)"
    remedy = f"G{give[1:]}" if where == "label" else f"{_mend(why)} there, or {give}"
    return DataError(_AXIS.format(where=where, why=why), path=path, field="tilt_axis_angle", remedy=remedy)


def _mend(why: str) -> str:
    return "Write a point" if why.endswith(_COMMA) else "Mend it"


def refusals(path: Path, mdoc: Mdoc) -> dict[str, DataError]:
    """Field to why its value is not read, of pixel size, energy and the axis in a title."""
    why = title_axis_unread(mdoc)
    found = {"tilt_axis_angle_deg": axis_refusal(path, why)} if why else {}
    for key, name in _DECIDES.items():
        _, flag, what = FIELDS[name]
        problem = _unread_key(mdoc, key)
        if problem:
            remedy = f"Write a point there, or give {name}=... in Python or {flag} ({what})"
            found[name] = DataError(problem, path=path, field=FIELDS[name][0], remedy=remedy)
    return found


def unread(mdoc: Mdoc) -> list[str]:
    """What is not read for its decimal commas, and what to do: ``field: text``, one for each key."""
    why = title_axis_unread(mdoc)
    told = [f"tilt axis: {_AXIS.format(where='title', why=why)}. {_mend(why)}"] if why else []
    for key, field in _TELLS.items():
        problem = _unread_key(mdoc, key)
        if problem:
            told.append(f"{field}: {problem}. Write a point")
    return told


def _unread_key(mdoc: Mdoc, key: str) -> str:
    stated = [values.get(key, "") for values in (mdoc.globals, *(s.values for s in mdoc.sections))]
    found = [text for text in stated if any(map(is_decimal_comma, text.split()))]
    if not found:
        return ""
    more = f" and {len(found) - 1} more" if len(found) > 1 else ""
    written = "have a decimal comma and are" if more else "has a decimal comma and is"
    return f"{key} = {found[0]}{more} {written} not read"
