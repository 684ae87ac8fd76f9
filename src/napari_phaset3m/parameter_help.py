"""What each setting of a reconstruction does physically, its range, and why its default is what it is.

One text for every field of :class:`.ReconstructionConfig`, shown in the window's tooltips. Figures
are those measured in docs/decisions and docs/methods.md.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from napari_phaset3m.config import ReconstructionConfig, Schedule, fields_of
from napari_phaset3m.wording import allowed

_ALWAYS = "from the first to the last, where it is switched on."
#: (what it does physically, why the default is what it is), by dotted path.
HELP: dict[str, tuple[str, str]] = {
    "method": (
        "How images follow from the potential. Multislice lets the wave scatter again and again on its way, "
        "single-slice once; all others project along lines, as if images were proportional to thickness.",
        "only multislice describes thick or heavy specimens and uses the phase contrast of a focal series.",
    ),
    "iterations": (
        "One sweep shows every tilt to the algorithm once. More sweeps fit finer detail, in the end noise.",
        "with the sparsity penalty and a known dose a fixed number settles without fitting noise; else "
        "held-out images say when to stop.",
    ),
    "slices": (
        "The box is cut into slices; within one the wave is not spread, between them it is. More slices "
        "follow multiple scattering more closely and cost time in proportion.",
        "slices of about 2 Å are thin against the depth of field d²/λ at atomic resolution.",
    ),
    "voxel_angstrom": (
        "Edge of a voxel of the volume, Å. Larger voxels take less time and memory, but no detail finer than "
        "two of them can be told.",
        "the pixel of the images keeps all that was measured.",
    ),
    "depth_angstrom": (
        "Depth of the box along the beam at zero tilt, Å. It must hold the whole specimen; time and memory "
        "grow with it.",
        "a particle is about as deep as its image is wide; a film can do with less.",
    ),
    "padding_px": (
        "Border of vacuum around the images, px: light that the optics move out of the field does not come "
        "back on the other side of the box.",
        "half of how far they move it raised the FSC at every dose (docs/decisions/0008-padding.md).",
    ),
    "rotation": (
        "How the volume is sampled along tilted beams. Linear blurs slightly, cubic less, Fourier not at "
        "all; "
        "in that order they take longer.",
        "linear is the fastest, and its adjoint is exact.",
    ),
    "step": (
        "How far an update follows the gradient, in units of 1/(voxels in depth). Too large diverges, too "
        "small takes long.",
        "it is found for the data at hand from the steepest curvature (power iteration).",
    ),
    "loss": (
        "How a misfit is weighed: Poisson as counting statistics, amplitude nearly so without a dose, "
        "intensity with the same weight for bright and dark.",
        "counting noise is Poisson's where the dose is known; the amplitude is its nearest stand-in.",
    ),
    "subset_size": (
        "Tilts that share one update. Few make more progress in a sweep, many average their noise.",
        "two tilts gave the best FSC at a sweep's cost; nine with the atomic basis at low dose.",
    ),
    "tilt_order": (
        "Order in which tilts are shown. Neighbouring tilts tell nearly the same, so that one after the "
        "other "
        "converges slowly.",
        "random order mixes near and far tilts, and is the same for the same seed.",
    ),
    "momentum": (
        "Each sweep goes on in the direction of the last ones (Nesterov), which saves sweeps and can "
        "overshoot.",
        "multislice gains a factor 3 in error at equal sweeps; linear methods are run as published.",
    ),
    "coherence": (
        "How the energy spread of the source damps fine detail: one envelope on the wave (fast), or a sum of "
        "images over defoci, right also for strong, nonlinear contrast.",
        "the envelope is as good where the specimen scatters weakly, and much faster.",
    ),
    "quadrature_points": (
        "Defoci of the incoherent sum (Gauss–Hermite). A larger focal spread needs more.",
        "five nodes integrate polynomials up to the ninth order in defocus exactly.",
    ),
    "convergence_semiangle_mrad": (
        "Half-angle of the illumination (standard deviation), mrad: it blurs contrast at high frequency and "
        "large defocus.",
        "the series states it; without a statement the illumination is taken as parallel.",
    ),
    "absorption": (
        "Also reconstruct where electrons are lost from the image (scattered outside the aperture): contrast "
        "by mass and thickness. Doubles the unknowns.",
        "a thin specimen loses few, and phase contrast then carries all that is known.",
    ),
    "band_limit": (
        "Highest frequency that travels from slice to slice, as a fraction of Nyquist. 2/3 excludes "
        "aliasing, "
        "1.4143 cuts nothing.",
        "2/3 would cut the Co3O4 {440} reflections (1.43 Å) at 0.52 Å pixels (docs/decisions/0002).",
    ),
    "multiresolution": (
        "First solve on images binned by these factors, then go on finer: coarse shape comes cheaply, and a "
        "bad start does less harm.",
        "a well aligned series converges without, and each stage makes all its sweeps.",
    ),
    "holdout_fraction": (
        "Part of the images that the volume never sees; once they are predicted no better, more sweeps would "
        "only fit noise.",
        "8 % are enough to judge by; none where the noise is known and the sparsity penalty balances it.",
    ),
    "tolerance": (
        "The run ends when the misfit falls by less than this part in a sweep.",
        "smaller gains are not visible in the volume.",
    ),
    "patience": (
        "Sweeps without a gain before the run ends; the best volume is kept.",
        "held-out error fluctuates from sweep to sweep, four in a row do not by chance.",
    ),
    "projection": (
        "What linear methods take as thickness: 1 − I for weak contrast, −ln I for absorption by Beer's law.",
        "contrast of thin specimens is weak, and 1 − I stays finite where a pixel is dark.",
    ),
    "ctf_correction": (
        "Linear methods cannot undo the lens. Phase flip turns reversed contrast round, Wiener also weighs "
        "frequencies and joins the foci.",
        "without it they are what they are compared as: plain tomography.",
    ),
    "wiener_snr": (
        "Power of the signal over that of the noise: lower values boost weak frequencies less.",
        "10 is cautious for the doses of HRTEM series.",
    ),
    "amplitude_contrast": (
        "Part of the contrast that is absorption, 0..1; it shifts the zeros of the transfer at low "
        "frequency.",
        "thin inorganic specimens have next to none; vitrified biological ones about 0.07–0.1.",
    ),
    "relaxation": (
        "How much of a correction is applied. Below 1 noise spreads less, from 2 on it diverges.",
        "each method as published.",
    ),
    "fbp_filter": (
        "Window on the ramp of filtered back-projection; cosine, Hamming and Hann damp noise and fine "
        "detail.",
        "the bare ramp keeps the resolution that the other methods are compared at.",
    ),
    "wbp_weighting": (
        "Weight of frequencies against their number of measurements: exact for the tilts at hand, radial as "
        "if they were evenly spaced.",
        "tilts with gaps are weighed right only by exact weights.",
    ),
    "wbp_diameter_angstrom": (
        "Diameter of the specimen, Å: it sets how broad a tilt's slab is in Fourier space.",
        "the image width is the largest that is measured.",
    ),
    "filter_lowpass_angstrom": (
        "Detail finer than this, Å, is taken out of the images first: less noise in the volume.",
        "off, so that no resolution is lost unasked.",
    ),
    "tv_strength": (
        "Weight of smooth areas with sharp edges against the images, as a fraction of max |Aᵀb|.",
        "the value that the phantoms of docs/methods.md were compared with.",
    ),
    "seed": ("Start of every random choice: the same seed gives the same bytes.", "any number would do."),
    "threads": (
        "Threads of the CPU that work on tilts at the same time.",
        "all cores that this process may use.",
    ),
    "constraints.positivity": (
        "No negative potential: atoms attract electrons everywhere. The strongest help against the missing "
        "wedge.",
        "true of matter in vacuum; switch it off where contrast is relative to ice or resin.",
    ),
    "constraints.positivity_absorption": (
        "No place may send out more electrons than arrive.",
        "it holds for every specimen.",
    ),
    "constraints.mask_soft_edge_angstrom": (
        "Width of a cosine edge around the mask, Å: a hard edge makes ripples in the Fourier transform.",
        "the Mask step makes a soft edge of its own.",
    ),
    "constraints.atomic_basis_sigma_angstrom": (
        "The potential is a sum of Gaussians of this width (standard deviation, Å) with non-negative "
        "heights: "
        "what is sharper than an atom cannot be, and noise is.",
        "0.36 Å found most atoms at low dose, 0.20 Å keeps weak reflections at higher; free voxels beyond "
        "and above 0.8 Å.",
    ),
    "constraints.tv_weight": (
        "Smooths areas and keeps edges (total variation), V. Too much flattens atoms to steps.",
        "off: atoms are no areas; it suits pores, shells and domains at nm resolution.",
    ),
    "constraints.tv_schedule": ("Sweeps in which total variation acts.", _ALWAYS),
    "constraints.sparsity": (
        "Draws the potential towards zero by this many standard deviations of the noise, so that only what "
        "the "
        "images ask for stays; it fills the missing wedge of crystals.",
        "1 raised the FSC at every dose where atoms are sampled (voxels up to 0.8 Å); a dense film or ice is "
        "not sparse: 0 there.",
    ),
    "constraints.threshold_volts": (
        "Smaller potentials become 0, V: it clears the vacuum, and weak atoms with it.",
        "off: the sparsity penalty does the same gently.",
    ),
    "constraints.threshold_schedule": ("Sweeps in which the threshold acts.", _ALWAYS),
    "constraints.lowpass_angstrom": (
        "Detail finer than this, Å, is removed from the volume after each update.",
        "off: held-out images and priors keep noise down without cutting detail.",
    ),
    "constraints.highpass_angstrom": (
        "Detail coarser than this, Å, is removed: slow background of thickness and charging.",
        "off: slow contrast is part of the potential.",
    ),
    "constraints.butterworth_order": (
        "How steeply low-pass and high-pass cut; very steep ones ring.",
        "4 is a usual compromise between steepness and ringing.",
    ),
    "constraints.filter_dimensions": (
        "Filter each slice by itself (2) or the volume (3).",
        "3 treats all directions alike.",
    ),
    "constraints.filter_schedule": ("Sweeps in which low-pass and high-pass act.", _ALWAYS),
    "constraints.recentre": (
        "Moves the centre of mass to the centre of rotation: for a single particle whose series is not well "
        "centred.",
        "an aligned series has its centre where it belongs, and a film has no centre.",
    ),
    "constraints.recentre_schedule": (
        "Sweeps in which the volume is centred.",
        "sweeps 1 to 5: once there is a shape, and before detail settles.",
    ),
    "refine.refine_shifts": (
        "Finds the rest of each image's shift from the misfit between sweeps (Gauss–Newton).",
        "alignment comes first; from a wrong start it can lock in a wrong place.",
    ),
    "refine.refine_defocus": (
        "Finds small changes of defocus, for each tilt or each image, from the misfit.",
        "defocus and height of the specimen are hard to tell apart at low dose.",
    ),
    "refine.refine_optics": (
        "Finds Cs, astigmatism, coma or focal spread, common to all images, from the misfit.",
        "from far away it ends in false minima: search first (step Microscope, Optimise).",
    ),
    "refine.refine_schedule": (
        "Sweeps after which shifts, defocus or optics are refined.",
        "from the third sweep on: before, the volume predicts too little.",
    ),
}
_RANGES = {
    "holdout_fraction": "0 to below 0.5, or auto",
    "multiresolution": "whole numbers that fall and end above 1, or none",
    "refine.refine_optics": "any of C30, C12, C21, C23, focal_spread",
}
_SCHEDULE = "first sweep, first one without, every n-th"


@lru_cache(maxsize=1)
def _fields() -> dict[str, Any]:
    return {".".join(path): field for path, field in fields_of(ReconstructionConfig)}


def range_of(path: str) -> str:
    """What a setting may be, in words."""
    field = _fields()[path]
    if field.annotation is Schedule:
        return _SCHEDULE
    return _RANGES.get(path) or allowed(field.annotation, field.metadata)


def default_of(path: str) -> str:
    """Its default, in words."""
    value = _fields()[path].get_default(call_default_factory=True)
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, Schedule):
        return f"{value.start}:{'' if value.stop is None else value.stop}:{value.every}"
    if value in (None, ()):
        return "none"
    return f"{value:g}" if isinstance(value, float) else str(value)


def help_text(path: str) -> str:
    """All of it: what it does, its range, its default and the reason.

    Parameters
    ----------
    path : str
        Dotted path of a plain field of :class:`.ReconstructionConfig`.

    Raises
    ------
    KeyError
        There is no such field.
    """
    what, why = HELP[path]
    description = str(_fields()[path].description or "").rstrip(".")
    head = f"{description}.\n{what}" if description else what
    return f"{head}\nRange: {range_of(path)}.\nDefault: {default_of(path)}; {why}"
