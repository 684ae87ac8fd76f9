"""Which settings of a reconstruction the form shows, and how a field is read and changed by its path."""

from __future__ import annotations

from typing import Any

from napari_phaset3m.config import ReconstructionConfig
from napari_phaset3m.gui.widgets.editors import Row
from napari_phaset3m.parameter_help import HELP, help_text
from napari_phaset3m.reconstruct.methods.registry import METHODS, unused

_AUTO = ("auto", "auto")
MAIN = (
    Row("method", "Method", tuple((entry.label, name) for name, entry in METHODS.items())),
    Row("iterations", "Sweeps", special=_AUTO, high=99999),
    Row("slices", "Slices", special=_AUTO, high=99999),
    Row("voxel_angstrom", "Voxel", special=("as pixel", None), step=0.05, decimals=3, suffix=" Å"),
)
CONSTRAINTS = (
    Row("constraints.positivity", "Positive potential"),
    Row(
        "constraints.atomic_basis_sigma_angstrom",
        "Atomic basis",
        (("auto", "auto"), ("off", None), ("0.42 Å", 0.42), ("0.47 Å", 0.47), ("0.52 Å", 0.52)),
    ),
    Row("constraints.tv_weight", "Total variation", special=("off", 0.0), step=0.05, decimals=3, suffix=" V"),
    Row(
        "constraints.sparsity",
        "Sparsity (L1)",
        (("auto", "auto"), ("off", 0.0), ("0.5 σ", 0.5), ("1 σ", 1.0), ("2 σ", 2.0)),
    ),
    Row("constraints.lowpass_angstrom", "Low-pass", special=("off", None), step=0.1, decimals=2, suffix=" Å"),
    Row("constraints.mask_soft_edge_angstrom", "Mask edge", step=0.5, decimals=1, suffix=" Å"),
    Row("constraints.recentre", "Keep centred"),
)
ADVANCED = (
    Row(
        "depth_angstrom",
        "Depth",
        special=("as width", None),
        high=99999.0,
        step=5.0,
        decimals=1,
        suffix=" Å",
    ),
    Row("padding_px", "Padding", special=_AUTO, suffix=" px", zero=True),
    Row("rotation", "Interpolation", (("linear", "linear"), ("cubic", "cubic"), ("Fourier", "fourier"))),
    Row("step", "Step", special=_AUTO, step=0.1, decimals=3),
    Row(
        "loss",
        "Misfit",
        (
            ("auto", "auto"),
            ("amplitude", "amplitude"),
            ("Poisson", "poisson"),
            ("intensity", "intensity"),
        ),
    ),
    Row(
        "subset_size",
        "Tilts per update",
        (("auto", "auto"), ("1", 1), ("2", 2), ("4", 4), ("8", 8), ("all", "all")),
    ),
    Row("tilt_order", "Tilt order", (("random", "random"), ("golden", "golden"), ("given", "given"))),
    Row("coherence", "Focal spread", (("envelope", "envelope"), ("incoherent sum", "incoherent"))),
    Row("absorption", "Absorption"),
    Row("holdout_fraction", "Held out", special=_AUTO, high=0.49, step=0.01, decimals=2, zero=True),
    Row("threads", "Threads", special=_AUTO, high=512),
    Row("seed", "Seed", high=99999),
    Row("refine.refine_shifts", "Refine shifts"),
    Row(
        "refine.refine_defocus",
        "Refine defocus",
        (("off", "off"), ("per tilt", "tilt"), ("per image", "image")),
    ),
)
#: What is seldom changed.
MORE = (
    Row(
        "multiresolution",
        "Coarse first",
        (("off", ()), ("bin 2", (2,)), ("bins 4, 2", (4, 2)), ("bins 8, 4, 2", (8, 4, 2))),
    ),
    Row("constraints.highpass_angstrom", "High-pass", special=("off", None), high=9999.0, step=1.0,
        decimals=2, suffix=" Å"),
    Row("constraints.threshold_volts", "Threshold", special=("off", 0.0), high=9999.0, step=0.1,
        decimals=3, suffix=" V"),
    Row("convergence_semiangle_mrad", "Coherence angle", special=("as series", None), high=99.0, step=0.01,
        decimals=3, suffix=" mrad", zero=True),
    Row("momentum", "Momentum", (("auto", "auto"), ("Nesterov", "nesterov"), ("none", "none"))),
    Row("refine.refine_schedule.start", "Refine from sweep",
        tip="Sweep, counted from 0, after which shifts or defocus are refined for the first time"),
    Row("tolerance", "Least gain", high=1.0, step=1e-4, decimals=6),
    Row("patience", "Patience", special=None, suffix=" sweeps"),
)  # fmt: skip
#: Settings of a few methods only: their rows are there for these methods, and taken away for others.
METHOD = (
    Row("projection", "Projection", (("1 − I", "one_minus"), ("−ln I", "log"))),
    Row(
        "ctf_correction",
        "CTF correction",
        (("none", "none"), ("phase flip", "phase_flip"), ("Wiener", "wiener")),
    ),
    Row("wiener_snr", "Wiener SNR", high=1e6, step=1.0, decimals=2),
    Row("amplitude_contrast", "Amplitude contrast", high=0.99, step=0.01, decimals=3),
    Row("relaxation", "Relaxation", special=_AUTO, high=2.99, step=0.1, decimals=2),
    Row(
        "fbp_filter",
        "Filter",
        (
            ("ramp", "ramp"),
            ("Shepp–Logan", "shepp-logan"),
            ("cosine", "cosine"),
            ("Hamming", "hamming"),
            ("Hann", "hann"),
        ),
    ),
    Row("wbp_weighting", "Weighting", (("exact", "exact"), ("radial", "radial"))),
    Row(
        "wbp_diameter_angstrom",
        "Diameter",
        special=("as width", None),
        high=99999.0,
        step=5.0,
        decimals=1,
        suffix=" Å",
    ),
    Row(
        "filter_lowpass_angstrom",
        "Image low-pass",
        special=("off", None),
        high=9999.0,
        step=0.5,
        decimals=2,
        suffix=" Å",
    ),
    Row("tv_strength", "TV strength", high=1.0, step=0.005, decimals=4),
)

ALL = (*MAIN, *METHOD, *CONSTRAINTS, *ADVANCED, *MORE)


def reason_unused(config: ReconstructionConfig, path: str) -> str:
    """Why a row has no effect with these settings; empty when it has."""
    if path in unused(config.method):
        return f"{METHODS[config.method].label} does not use this"
    if path == "refine.refine_schedule.start" and not config.refine.on:
        return "Neither shifts nor defocus are refined"
    if path == "wiener_snr" and config.ctf_correction != "wiener":
        return "Used by the Wiener correction only"
    if path == "amplitude_contrast" and config.ctf_correction == "none":
        return "CTF correction is off"
    return ""


def field_of(path: str) -> Any:
    """Pydantic's description of a field given by its dotted path."""
    model: Any = ReconstructionConfig
    *parents, name = path.split(".")
    for parent in parents:
        model = model.model_fields[parent].annotation
    return model.model_fields[name]


def help_of(row: Row) -> str:
    """What a row's tooltip says: what it does physically, its range, its default and the reason."""
    return help_text(row.path) if row.path in HELP else f"{row.tip}\n{help_text(row.path.rpartition('.')[0])}"
