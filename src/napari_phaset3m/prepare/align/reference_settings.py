"""Settings of the volumes that predict images: which model, which constraints, how many sweeps."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from napari_phaset3m.config import ConstraintConfig, ReconstructionConfig
from napari_phaset3m.core.constants import wavelength_angstrom
from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.prepare.align.config import AlignConfig
from napari_phaset3m.reconstruct.problem import sparsity as reconstructed_sparsity

#: What keeps a reference volume in bounds, see :func:`reference_config`.
Kind = Literal["sparse", "plain", "thin", "joint", "fine", "confined", "judged"]
#: Phase (rad) that the wave gains at most within a box that may be taken as flat.
FLAT = 0.3
#: Coarsest pixel (angstrom) of a series in which atoms stand apart: there volumes are sparse.
ATOMIC_PIXEL = 0.8
#: Coarsest voxel that is written as Gaussians, and their width (standard deviation), angstrom.
BASIS_VOXEL, BASIS_SIGMA = 1.3, 0.7
#: Tilts per update of such a volume: its few sweeps average noise rather than converge.
BASIS_SUBSET = 9
#: L1 penalty: sparser than a reconstruction, it predicts better; a mask leaves less noise to it. Sweeps.
FINE_SPARSITY, FINE_SWEEPS = {"fine": 1.7, "confined": 1.0}, 10
#: L1 penalty of a volume whose misfit tells the axis.
JUDGED_SPARSITY = 0.25
#: Coarsest voxel at which half as many sweeps are enough.
COARSE_VOXEL = 2.5
#: Depth of a volume of one slice.
THIN_VOXELS = 4


def forward_model(series: TiltFocalSeries, config: AlignConfig) -> str:
    """Name of the model, "multislice" or "sirt": as asked for, else what the images call for.

    Multislice where the optics are stated and the wave changes within a box as deep as the image is wide
    (curvature of the Ewald sphere): ``pi lambda depth k^2`` at the Nyquist frequency. Where it does not, line
    projections with the signs of the transfer undone say the same, and converge much sooner: what is
    large and coarse hardly shows in a defocused image.
    """
    if config.reference.forward != "auto":
        return config.reference.forward
    if not _shows_phase(series):
        return "sirt"
    pixel = series.pixel_size_angstrom
    depth, nyquist = min(series.image_shape) * pixel, 0.5 / pixel
    return (
        "multislice" if np.pi * wavelength_angstrom(series.energy_ev) * depth * nyquist**2 > FLAT else "sirt"
    )


def _shows_phase(series: TiltFocalSeries) -> bool:
    """Whether the optics of bright-field images are stated."""
    stated = series.defocus_angstrom is not None and series.spherical_aberration_angstrom is not None
    return stated and not series.is_dark_field


def why_not_multislice(series: TiltFocalSeries, config: AlignConfig) -> str:
    """Why stages that need the multislice model have none; empty when they have it."""
    if forward_model(series, config) == "multislice":
        return ""
    if config.reference.forward == "sirt":
        return "needs the multislice model, but line projections are asked for (forward = sirt)"
    if series.is_dark_field:
        return "needs the multislice model, and images of dark field show no phase"
    stated = {"defocus": series.defocus_angstrom, "Cs": series.spherical_aberration_angstrom}
    lacking = [name for name, value in stated.items() if value is None]
    if lacking:
        return f"needs the multislice model, and the series lacks {' and '.join(lacking)}"
    pixel = series.pixel_size_angstrom
    return f"needs the multislice model, which pixels of {pixel:.3g} Å do not call for (forward is auto)"


def joint_config(
    series: TiltFocalSeries,
    config: AlignConfig,
    bin_: int,
    sweeps: int | None = None,
    *,
    judged: bool = False,
) -> ReconstructionConfig:
    """Settings of a volume that is built while its images are aligned with it.

    Free voxels, as sparse as a reconstruction makes them, and amplitudes: a volume held by an atomic basis
    converges too late, and its first sweeps lead the optics away. Where the misfits of differently turned
    images are compared (``judged``), intensities: a turn keeps the sum of their squares, but makes the noise
    less skew, which in amplitudes looks like a better fit. A light penalty then tells a right volume from
    a wrong one.
    """
    penalty = reconstructed_sparsity(ReconstructionConfig(), series.pixel_size_angstrom)
    return ReconstructionConfig.parse(
        voxel_angstrom=series.pixel_size_angstrom * bin_,
        holdout_fraction=0.0,
        iterations=sweeps or config.reference.sweeps,
        threads=config.threads,
        seed=config.seed,
        padding_px=0,
        loss="intensity" if judged else "amplitude",
        constraints=ConstraintConfig(
            sparsity=JUDGED_SPARSITY if judged else penalty,
            atomic_basis_sigma_angstrom=None,
        ),
    )


def reference_config(
    series: TiltFocalSeries, config: AlignConfig, bin_: int, sweeps: int | None = None, kind: Kind = "sparse"
) -> ReconstructionConfig:
    """Settings of a reference volume at a bin of the series' pixel.

    Parameters
    ----------
    sweeps : int, optional
        The configured number when omitted.
    kind : {"sparse", "plain", "thin", "joint", "fine", "confined", "judged"}
        Constraints as configured; positivity alone, which keeps the amplitude of faint frequencies and so
        the size of derivatives; the same in one slice, a phase object for the images of one tilt; those of
        a volume that is built while its images are aligned with it (:func:`joint_config`); those of a
        reconstruction, sparser still, without and with a mask; or joint ones under which what is left
        unexplained tells a wrong axis.
    """
    if kind in ("joint", "judged"):
        return joint_config(series, config, bin_, sweeps, judged=kind == "judged")
    voxel, model = series.pixel_size_angstrom * bin_, forward_model(series, config)
    n = sweeps or config.reference.sweeps
    common: dict[str, Any] = {"voxel_angstrom": voxel, "holdout_fraction": 0.0, "iterations": n}
    # Images are compared as whole spectra, in which a border without data would count.
    common |= {"threads": config.threads, "seed": config.seed, "padding_px": 0}
    if model == "sirt":
        return ReconstructionConfig.parse(
            **common,
            method="sirt",
            ctf_correction="phase_flip" if _shows_phase(series) else "none",
            constraints=ConstraintConfig(positivity=config.reference.positivity is not False),
        )
    if sweeps is None and voxel > COARSE_VOXEL:
        common["iterations"] = max(1, n // 2)
    if kind in FINE_SPARSITY:
        common["iterations"] = sweeps or FINE_SWEEPS
        limits = ConstraintConfig(sparsity=FINE_SPARSITY[kind])
        return ReconstructionConfig.parse(**common, constraints=limits)
    if kind == "thin":
        common |= {"slices": 1, "depth_angstrom": THIN_VOXELS * voxel}
    if kind != "sparse":
        return ReconstructionConfig.parse(**common)
    limits = _constraints(series, config, voxel)
    if limits.atomic_basis_sigma_angstrom is not None:
        common["subset_size"] = BASIS_SUBSET
    return ReconstructionConfig.parse(**common, constraints=limits)


def _constraints(series: TiltFocalSeries, config: AlignConfig, voxel: float) -> ConstraintConfig:
    atomic = series.pixel_size_angstrom <= ATOMIC_PIXEL and series.dose_per_image is not None
    sparsity = config.reference.sparsity
    if sparsity == "auto":
        sparsity = 1.0 if atomic else 0.0
    basis = BASIS_SIGMA if atomic and voxel <= BASIS_VOXEL else None
    return ConstraintConfig(sparsity=sparsity, atomic_basis_sigma_angstrom=basis)
