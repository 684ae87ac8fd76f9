"""The registry of reconstruction methods: one list for the API, CLI and GUI.

Entries are facts; the classes they name are imported when a method is made, so that
anything may read the registry.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from types import MappingProxyType
from typing import Any, Literal

#: Settings of scattering methods.
_SCATTERING = (
    "step", "loss", "coherence", "quadrature_points", "absorption", "band_limit",
    "convergence_semiangle_mrad",
    "constraints.atomic_basis_sigma_angstrom", "constraints.positivity_absorption",
    "constraints.sparsity", "momentum", "refine.refine_shifts", "refine.refine_defocus",
)  # fmt: skip
#: Settings of methods that project linearly.
_LINEAR = ("projection", "ctf_correction", "wiener_snr", "amplitude_contrast", "convergence_semiangle_mrad")
_SWEEPS = ("iterations", "tolerance", "patience", "multiresolution", "holdout_fraction")
_SUBSETS = ("subset_size", "tilt_order")


@dataclass(frozen=True, slots=True)
class MethodEntry:
    """What is known of a method without making it.

    Attributes
    ----------
    label, summary : str
        For people: a name that fits a combo box, and one line.
    cpu, cuda : str or None
        ``module:attribute`` of what makes it, called with the problem, the config and
        the number of workspaces; None: it cannot run there.
    linear : bool
        It projects along lines and needs no microscope.
    direct : bool
        One pass gives the result; there is nothing to iterate.
    sweeps : int or None
        Sweeps when none are given; None: it decides itself when to stop.
    subset : int or None
        Tilts per update when not given: a number, or None for all.
    whole : bool
        Every update needs all tilts.
    relaxation : float or None
        The one meant by "auto"; None: it has none.
    accelerated : bool
        Nesterov's extrapolation between sweeps is part of it; others only have it on request.
    volumes : int
        Volumes it holds besides the solver's, for the forecast of memory.
    constrained : {"updates", "result"}
        Where constraints act: after every update, or on what is handed out.
    parameters : tuple of str
        Settings it uses of those that not all methods use (dotted paths).
    """

    label: str
    summary: str
    cpu: str
    cuda: str | None
    parameters: tuple[str, ...]
    linear: bool = True
    direct: bool = False
    sweeps: int | None = None
    subset: int | None = None
    whole: bool = False
    relaxation: float | None = None
    accelerated: bool = False
    volumes: int = 0
    constrained: Literal["updates", "result"] = "updates"

    def factory(self, kind: Literal["cpu", "cuda"]) -> Any:
        """What makes the method on a device, or None."""
        path = self.cpu if kind == "cpu" else self.cuda
        if path is None:
            return None
        module, _, attribute = path.partition(":")
        found: Any = import_module(f"{__package__}.{module}")
        for name in attribute.split("."):
            found = getattr(found, name)
        return found


METHODS: MappingProxyType[str, MethodEntry] = MappingProxyType(
    {
        "multislice": MethodEntry(
            "PhaseT3M (multislice)", "Nonlinear phase retrieval with multiple scattering",
            "multislice:MultisliceMethod", "multislice_cuda:CudaMultisliceMethod",
            ("slices", *_SCATTERING, *_SWEEPS, *_SUBSETS), linear=False, accelerated=True,
        ),
        "singleslice": MethodEntry(
            "Single-slice", "Phase retrieval in the projection approximation",
            "multislice:MultisliceMethod", "multislice_cuda:CudaMultisliceMethod",
            (*_SCATTERING, *_SWEEPS, *_SUBSETS), linear=False, accelerated=True,
        ),
        "sirt": MethodEntry(
            "SIRT", "Simultaneous iterative reconstruction",
            "sirt:SirtMethod", "sirt:SirtMethod.on_gpu",
            (*_LINEAR, *_SWEEPS, *_SUBSETS, "relaxation", "momentum"),
            sweeps=30, relaxation=1.0,
        ),
        "sart": MethodEntry(
            "SART", "Simultaneous algebraic reconstruction, tilt by tilt",
            "sirt:SartMethod", "sirt:SartMethod.on_gpu",
            (*_LINEAR, *_SWEEPS, *_SUBSETS, "relaxation"), sweeps=10, subset=1, relaxation=0.5,
        ),
        "art": MethodEntry(
            "ART", "Algebraic reconstruction, ray by ray",
            "art:ArtMethod", "art:ArtMethod.on_gpu",
            (*_LINEAR, *_SWEEPS, *_SUBSETS, "relaxation"), sweeps=10, subset=1, relaxation=0.2,
        ),
        "fbp": MethodEntry(
            "FBP", "Filtered back-projection (direct)",
            "direct:FbpMethod", "direct:FbpMethod.on_gpu",
            (*_LINEAR, "fbp_filter", "filter_lowpass_angstrom"), direct=True, sweeps=1, whole=True,
        ),
        "wbp": MethodEntry(
            "WBP", "Weighted back-projection (direct)",
            "direct:WbpMethod", "direct:WbpMethod.on_gpu",
            (*_LINEAR, "wbp_weighting", "wbp_diameter_angstrom", "filter_lowpass_angstrom"),
            direct=True, sweeps=1, whole=True,
        ),
        "resire": MethodEntry(
            "RESIRE", "Real-space iterative reconstruction engine",
            "resire:ResireMethod", "resire:ResireMethod.on_gpu",
            (*_LINEAR, *_SWEEPS, "relaxation"), sweeps=100, whole=True, relaxation=1.0,
        ),
        "cgls": MethodEntry(
            "CGLS", "Conjugate gradients on the least squares",
            "cgls:CglsMethod", "cgls:CglsMethod.on_gpu",
            (*_LINEAR, *_SWEEPS), sweeps=15, whole=True, volumes=2, constrained="result",
        ),
        "tv": MethodEntry(
            "TV least squares", "Least squares with total variation (FISTA)",
            "tv_least_squares:TvMethod", "tv_least_squares:TvMethod.on_gpu",
            (*_LINEAR, *_SWEEPS, "relaxation", "momentum", "tv_strength"),
            sweeps=50, whole=True, relaxation=1.0, accelerated=True, volumes=7,
        ),
    }
)  # fmt: skip

#: Every setting that some methods use and others do not.
SPECIFIC = frozenset(path for entry in METHODS.values() for path in entry.parameters)


def unused(method: str) -> frozenset[str]:
    """Settings (dotted paths) that have no effect on a method."""
    return SPECIFIC - set(METHODS[method].parameters)
