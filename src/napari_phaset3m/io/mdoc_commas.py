"""Numbers of an mdoc with a decimal comma, by hand or by a locale: none is read, and each key is told once.

SerialEM writes points, and blanks between several numbers; ``10,5`` may be 10.5 or two numbers.
"""

from __future__ import annotations

import re

from napari_phaset3m.io.mdoc import Mdoc
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
_TITLE = re.compile(r"tilt axis angle\s*(?:\[[^\]]*\])?\s*[=:]\s*[-+]?\d+,\d", re.IGNORECASE)


def unread(mdoc: Mdoc) -> list[str]:
    """What is not read for its decimal commas, and what to do: ``field: text``, one for each key."""
    told = []
    if any(_TITLE.search(title) for title in mdoc.titles):
        told.append("tilt axis: the angle in the title has a decimal comma and is not read. Write a point")
    for key, field in _TELLS.items():
        stated = [values.get(key, "") for values in (mdoc.globals, *(s.values for s in mdoc.sections))]
        found = [text for text in stated if any(map(is_decimal_comma, text.split()))]
        if found:
            more = f" and {len(found) - 1} more" if len(found) > 1 else ""
            written = "have a decimal comma and are" if more else "has a decimal comma and is"
            told.append(f"{field}: {key} = {found[0]}{more} {written} not read. Write a point")
    return told
