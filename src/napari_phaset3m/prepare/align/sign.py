"""Whether a reference volume of line projections may be negative.

Matter is positive, but contrast need not be: defocused images lack what is coarsest, and levels told from a
specimen's own median are relative. A volume of a film held positive then predicts least where it should most;
a particle in vacuum is predicted better even so. So both are tried (docs/alignment_measured.md,
"Bright-field vesicles").
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace

from napari_phaset3m.prepare.align.config import AlignConfig
from napari_phaset3m.prepare.align.reference_settings import forward_model
from napari_phaset3m.prepare.align.work import Share, Work, judge
from napari_phaset3m.prepare.events import Progress

#: Pixels across the shorter side at which both are tried, about.
TRIED_AT_PX = 64
#: Gain of information for which volumes may be negative (measured: HAADF 0.93 to 0.99, a particle 0.76,
#: films 1.5 to 3.2).
LEAST_GAIN = 1.1


def settled(work: Work, share: Share) -> Generator[Progress, None, tuple[AlignConfig, str]]:
    """The settings with ``reference.positivity`` decided, and a line on it where negative values are allowed.

    Parameters
    ----------
    work : Work
        The series as it is.
    share : Share
        Of the progress.

    Returns
    -------
    config : AlignConfig
    note : str
        Empty where volumes are held positive, or nothing had to be decided.
    """
    if forward_model(work.original, work.config) != "sirt" or work.config.reference.positivity != "auto":
        return work.config, ""
    bin_ = max(1, work.short_side // TRIED_AT_PX)
    told = []
    for number, positive in enumerate((True, False)):
        config = _with(work.config, positive)
        text = "Judging whether volumes may be negative"
        judged = yield from judge(replace(work, config=config), bin_, share.part(number, 2), text)
        told.append(judged.information)
    if told[1] <= LEAST_GAIN * told[0]:
        return _with(work.config, True), ""
    return _with(work.config, False), (
        f"volumes that may be negative tell {told[1]:.0f} nats of an image, positive ones {told[0]:.0f} "
        f"(bin {bin_}): images are compared with the former"
    )


def _with(config: AlignConfig, positive: bool) -> AlignConfig:
    reference = config.reference.model_copy(update={"positivity": positive})
    return config.model_copy(update={"reference": reference})
