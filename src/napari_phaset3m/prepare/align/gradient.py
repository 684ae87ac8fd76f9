"""Gauss-Newton refinement with the multislice model's own derivatives.

Joint alignment inside the reconstruction (Lee et al. 2025; Ren et al., Ultramicroscopy 208 (2020) 112860).
At each bin the volume is built from zero, several times over, and after every sweep from the third
on one damped step changes the shifts and defoci (:mod:`napari_phaset3m.reconstruct.gauss_newton`).
"""

from __future__ import annotations

from napari_phaset3m.config import RefineConfig
from napari_phaset3m.errors import ConfigError
from napari_phaset3m.prepare.align.reference import Reference, forward_model
from napari_phaset3m.prepare.align.work import Share, StageEvents, Work, built, detail
from napari_phaset3m.prepare.events import Progress
from napari_phaset3m.reconstruct.gauss_newton import GaussNewton


def refine(work: Work, share: Share) -> StageEvents:
    """The stage "gradient"; see the module.

    Raises
    ------
    ConfigError
        The model of the images has no such derivatives.
    """
    if forward_model(work.original, work.config) != "multislice":
        raise ConfigError(
            "stages: gradient needs the multislice model, and the series lacks defocus or Cs; leave it out"
        )
    settings = work.config.gradient
    plan = [bin_ for bin_ in settings.gradient_bins for _ in range(settings.gradient_rounds)]
    for number, bin_ in enumerate(plan):
        part = share.part(number, len(plan))
        hook = GaussNewton(RefineConfig(refine_shifts=True, refine_defocus=settings.refine_defocus))
        reference = Reference(work.series, work.config, bin_, settings.gradient_sweeps, (hook,))
        try:
            yield from built(reference, f"Gradient refinement, bin {bin_}", part)
            problem = reference.stage.problem
            found = work.alignment.replace(
                shifts_px=work.given_shifts_px(problem.shifts_px * reference.scale),
                defocus_angstrom=problem.defocus_angstrom,
            )
            work = work.at(found)
        finally:
            reference.close()
        yield Progress(f"Refined at bin {bin_}", part.at(1.0), detail(work))
        if work.finishing:
            break
    return work
