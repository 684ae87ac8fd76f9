"""What can be computed of a volume: one topic each, for a worker thread."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from napari_phaset3m.analyse.fsc import CRITERIA, ConicalFsc, FscCurve, WedgeFsc
from napari_phaset3m.errors import DataError
from napari_phaset3m.gui.analyse.inputs import Inputs, why_not_volume
from napari_phaset3m.report.subject import Subject

#: Longest edge of a transform that is shown, voxels.
POWER_MAX_VOXELS = 192
Results = Mapping[str, Any]


@dataclass(frozen=True, slots=True, eq=False)
class SlicesResult:
    """Central slices xy, xz, yz and the log power of each.

    Attributes
    ----------
    planes, powers : tuple of ndarray
    voxel_size_angstrom, thickness_angstrom : float
    limits : tuple of float
        Common black and white of the slices.
    """

    planes: tuple[np.ndarray, ...]
    powers: tuple[np.ndarray, ...]
    voxel_size_angstrom: float
    thickness_angstrom: float
    limits: tuple[float, float]

    def statement(self) -> str:
        """One sentence."""
        count = round(self.thickness_angstrom / self.voxel_size_angstrom)
        voxels = "voxel" if count == 1 else "voxels"
        return f"Central slices, {self.thickness_angstrom:.3g} Å thick ({count} {voxels} averaged)."


@dataclass(frozen=True, slots=True, eq=False)
class FscResult:
    """Half-set correlation: all directions, outside and inside the wedge, cones; control without priors."""

    curve: FscCurve
    cones: ConicalFsc
    wedge: WedgeFsc | None
    notes: tuple[str, ...]
    free: FscCurve | None = None

    def statement(self) -> str:
        """By every criterion, then by direction; all with mask and halves."""
        from napari_phaset3m.report.resolution_sections import control_words

        told = [str(self.curve.resolution(name)) for name in CRITERIA]
        if self.free is not None:
            told.append(control_words(self.curve, self.free))
        if self.wedge is not None:
            told.append(self.wedge.statement())
        return "\n".join(dict.fromkeys([*told, self.cones.statement(), *self.curve.notes, *self.notes]))


@dataclass(frozen=True, slots=True, eq=False)
class FourierResult:
    """Log power of the whole volume.

    Attributes
    ----------
    power : ndarray
        `(nz, ny, nx)` float32, zero frequency at ``n // 2``.
    voxel_size_angstrom : float
    limits : tuple of float
    tilt_range_deg : tuple of float or None
    """

    power: np.ndarray
    voxel_size_angstrom: float
    limits: tuple[float, float]
    tilt_range_deg: tuple[float, float] | None

    def statement(self) -> str:
        """One sentence."""
        edge = 2 * self.voxel_size_angstrom
        wedge = "; the missing wedge is outlined" if self.tilt_range_deg else "; tilts not known"
        return f"Log power to {edge:.3g} Å (Hann window){wedge}."


@dataclass(frozen=True, slots=True, eq=False)
class OpticsResult:
    """Contrast transfer of each focus, and the SSNR of all together; ``where`` is what the foci are."""

    curves: tuple[Any, ...]
    together: Any
    where: str

    def statement(self) -> str:
        """The set of defoci first."""
        told = f"{self.where[:1].upper()}{self.where[1:]}."
        return "\n".join([self.together.statement(), told, *(curve.statement() for curve in self.curves)])


@dataclass(frozen=True, slots=True)
class Topic:
    """Something that can be computed.

    Attributes
    ----------
    key, title, tip : str
    uses : tuple of str
        Fields of :class:`Inputs` that it depends on.
    compute : callable
        ``(subject, inputs, results so far) -> result``; the result has ``statement()``.
    after : tuple of str
        Topics whose fresh results it takes along.
    """

    key: str
    title: str
    tip: str
    uses: tuple[str, ...]
    compute: Callable[[Subject, Inputs, Results], Any]
    after: tuple[str, ...] = ()

    def why_not(self, inputs: Inputs) -> str:
        """Why it cannot be computed now; empty when it can."""
        why = why_not_volume(inputs.source)
        if why and "source" in self.uses:
            return why
        if self.key == "fsc" and inputs.halves is None:
            return "Two half volumes are needed: compute or open them above."
        if self.key in ("wedge", "optics") and inputs.series is None:
            return "The tilt series is needed: open it (step Series) and tick Series above."
        if self.key == "profile" and inputs.line is None:
            return "Draw a line first."
        return ""


def slices(subject: Subject, inputs: Inputs, results: Results) -> SlicesResult:
    """Central slices and their transforms."""
    from napari_phaset3m.analyse.figures.overview import slices_of
    from napari_phaset3m.analyse.figures.pictures import levels
    from napari_phaset3m.analyse.fourier import log_power

    voxel, thick = subject.voxel_size_angstrom, subject.thickness_angstrom
    planes = tuple(slices_of(subject.volume, voxel, thick))
    powers = tuple(np.asarray(log_power(plane, window=True)) for plane in planes)
    return SlicesResult(planes, powers, voxel, thick, levels(planes, 0.5))


def resolution(subject: Subject, inputs: Inputs, results: Results) -> FscResult:
    """Half-set FSC with mask and halves named."""
    from napari_phaset3m.analyse.fsc import conical_fsc, wedge_fsc

    if subject.halves is None:
        raise DataError("are missing", field="halves", remedy="Compute or open them")
    from napari_phaset3m.report.resolution_sections import half_set_fsc

    (a, b), voxel, names = subject.halves, subject.voxel_size_angstrom, subject.halves_name
    options: dict[str, Any] = {"mask": subject.mask, "halves": names}
    options["mask_name"] = subject.mask_text if subject.mask is not None else ""
    curve = half_set_fsc(subject, subject.halves)
    free = None if subject.free_halves is None else half_set_fsc(subject, subject.free_halves)
    tilts = subject.tilt_deg
    wedge = None if tilts is None else wedge_fsc(a, b, voxel, tilts, **options)
    cones = conical_fsc(a, b, voxel, tilt_deg=tilts, **options)
    return FscResult(curve, cones, wedge, subject.halves_notes, free)


def bragg(subject: Subject, inputs: Inputs, results: Results) -> Any:
    """The peaks, their heights and, with halves, their phases."""
    from napari_phaset3m.report.bragg_sections import measure

    return measure(subject)


def atoms(subject: Subject, inputs: Inputs, results: Results) -> Any:
    """Atoms with their species: :class:`report.atom_sections.Found`."""
    from napari_phaset3m.report.atom_sections import measure

    return measure(subject)


def spectrum(subject: Subject, inputs: Inputs, results: Results) -> Any:
    """Radial power with the families of peaks that were found."""
    from napari_phaset3m.analyse.spectrum import radial_spectrum

    return radial_spectrum(
        subject.volume, subject.voxel_size_angstrom, mask=subject.mask, report=_lattice(results)
    )


def profile(subject: Subject, inputs: Inputs, results: Results) -> Any:
    """Values along the line."""
    from napari_phaset3m.analyse.profiles import line_profile

    if inputs.line is None:
        raise DataError("is missing", field="line", remedy="Draw one")
    start, stop = inputs.line
    return line_profile(subject.volume, subject.voxel_size_angstrom, start, stop)


def wedge(subject: Subject, inputs: Inputs, results: Results) -> Any:
    """How full the missing wedge is."""
    from napari_phaset3m.analyse.wedge import wedge_completeness

    if subject.tilt_deg is None:
        raise DataError("are missing", field="tilts", remedy="Open the series")
    return wedge_completeness(
        subject.volume, subject.voxel_size_angstrom, subject.tilt_deg, mask=subject.mask,
        report=_lattice(results),
    )  # fmt: skip


def optics(subject: Subject | None, inputs: Inputs, results: Results) -> OpticsResult:
    """CTF curves and SSNR of the defoci asked for, or of the series' own at the tilt nearest to 0."""
    from napari_phaset3m.analyse.ctf import ctf, series_microscope
    from napari_phaset3m.analyse.ssnr import focal_ssnr, series_defoci

    series, asked = inputs.series, inputs.ssnr_defoci_angstrom
    if series is None or (series.defocus_angstrom is None and not asked):
        remedy = "Enter it (step Series), or write Defoci here"
        raise DataError("is missing in the series", field="defocus_values", remedy=remedy)
    microscope = series_microscope(series)
    defoci, where = series_defoci(series, asked)
    options: dict[str, Any] = {"aperture_semiangle_mrad": inputs.aperture_mrad or None}
    options["pixel_size_angstrom"] = series.pixel_size_angstrom
    curves = tuple(ctf(microscope, float(value), **options) for value in defoci)
    return OpticsResult(curves, focal_ssnr(microscope, defoci, **options), where)


def fourier(subject: Subject, inputs: Inputs, results: Results) -> FourierResult:
    """Log power of the volume, cut to its middle where it is large."""
    from napari_phaset3m.analyse.fourier import log_power

    volume = subject.volume
    cut = tuple(slice((n - min(n, POWER_MAX_VOXELS)) // 2, (n + min(n, POWER_MAX_VOXELS)) // 2)
                for n in volume.shape)  # fmt: skip
    power = np.asarray(log_power(volume[cut], window=True), np.float32)
    low, high = (float(v) for v in np.percentile(power[::2, ::2, ::2], (60, 99.95)))
    limits = (low, max(high, low + 0.1))
    return FourierResult(power, subject.voxel_size_angstrom, limits, subject.tilt_range_deg)


def statement_of(key: str, result: Any, inputs_mask: str) -> str:
    """What a result says, with mask where that matters."""
    if key == "atoms":
        found, *matched = result.statements()
        return " ".join([found, f"Mask: {inputs_mask}.", *matched])
    if key == "spectrum":
        named = ", ".join(mark.name for mark in result.marks if 2 * mark.found >= mark.total)
        window = "Hann window" if inputs_mask == "none" else f"mask: {inputs_mask}"
        return f"Mean power in shells ({window}). " + (
            f"Marked: {named}." if named else "Find the Bragg peaks first to have them marked."
        )
    if key == "profile":
        length = float(result.distance_angstrom[-1])
        return f"{length:.4g} Å long, {result.value.min():.4g} to {result.value.max():.4g}."
    if key == "wedge":
        return f"{result.statement()} Mask: {inputs_mask}."
    if key == "bragg":
        return f"{result.statement()} Mask: {inputs_mask}."
    return str(result.statement())


def _lattice(results: Results) -> Any:
    found = results.get("bragg")
    return found if found is not None and found.lattice is not None else None


_V = "source"
TOPICS: dict[str, Topic] = {
    topic.key: topic
    for topic in (
        Topic("slices", "Slices", "Central slices along the axes and their 2D transforms",
              (_V, "slice_angstrom"), slices),
        Topic("fsc", "Resolution (FSC)", "Correlate the half volumes shell by shell",
              (_V, "mask", "halves", "series"), resolution),
        Topic("bragg", "Bragg peaks", "Find, index and measure the peaks; takes a while",
              (_V, "mask", "halves", "series", "cell"), bragg),
        Topic("atoms", "Atoms", "Find atoms, refine them and show them as points",
              (_V, "mask", "species", "model"), atoms),
        Topic("fourier", "3D Fourier transform", "Isosurface with resolution shells and missing wedge",
              (_V, "series"), fourier),
        Topic("spectrum", "Power spectrum", "Mean power in shells, peaks marked", (_V, "mask"), spectrum,
              ("bragg",)),
        Topic("wedge", "Missing wedge", "How full it is, against the measured directions",
              (_V, "mask", "series"), wedge, ("bragg",)),
        Topic("profile", "Line profile", "Values along a line drawn in the viewer", (_V, "line"), profile),
        Topic("optics", "CTF and SSNR", "Contrast transfer of each focus, SSNR of all",
              ("series", "aperture_mrad", "ssnr_defoci_angstrom"), optics),
    )
}  # fmt: skip
