"""Sets of settings for kinds of specimens, each with its reason; one list for API, CLI and GUI."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from napari_phaset3m.config import ReconstructionConfig, changed_fields
from napari_phaset3m.errors import ConfigError

if TYPE_CHECKING:
    from napari_phaset3m.core.series import TiltFocalSeries

#: What is of the series or the machine rather than of the kind of specimen: a preset leaves it alone.
KEPT = ("voxel_angstrom", "depth_angstrom", "padding_px", "convergence_semiangle_mrad", "threads", "seed")
#: What is set when nothing is chosen.
DEFAULT = "nanoparticle"
#: Highest dose per image, e/Å², and smallest pixel, angstrom, of a series that is taken for one of ice: the
#: HIV-like sample has 3 and 8, the series of crystals at hand have 5 to 500 and 0.5.
ICE_DOSE, ICE_PIXEL_ANGSTROM = 10.0, 1.0
_NOT_SPARSE: dict[str, Any] = {"sparsity": 0.0, "atomic_basis_sigma_angstrom": None}


@dataclass(frozen=True, slots=True)
class Preset:
    """Settings for a kind of specimen.

    Attributes
    ----------
    label : str
        For people.
    why : str
        Why these settings, in a few sentences.
    values : mapping
        Fields that differ from the defaults.
    """

    label: str
    why: str
    values: Mapping[str, Any] = field(default_factory=dict)


PRESETS: dict[str, Preset] = {
    "nanoparticle": Preset(
        "Nanoparticle on carbon",
        "Heavy atoms that stand apart: multislice for strong scattering, positivity, and, as far as dose and "
        "voxel allow, an atomic basis and a sparsity penalty that fill the missing wedge. These are the "
        "defaults; they were tuned on a Co3O4 particle, with and without carbon (docs/decisions/0004).",
    ),
    "film": Preset(
        "Thick film",
        "Matter everywhere, so no sparsity and no atomic basis: they would carve holes into it. Electrons "
        "are "
        "lost with thickness, so an absorptive part is reconstructed too. Positivity stays: it is matter in "
        "vacuum. Set Depth to the thickness of the film: time and memory grow with it.",
        {"absorption": True, "constraints": _NOT_SPARSE},
    ),
    "vitrified": Preset(
        "Vitrified cell or virus",
        "Contrast is relative to the ice around, which is not sparse: no positivity, no sparsity, no atomic "
        "basis. At the dose that ice stands, detail of one particle finer than some nm is noise that sweeps "
        "would fit: a low-pass of 50 Å (an HIV-like series of 41 tilts of 3 e/Å²: correlation with the "
        "truth 0.45, at 30 Å 0.15). No absorption: fitted freely at this dose it takes up noise (held-out "
        "error 1.02, without it 0.98), so the few per cent of amplitude contrast that ice has are left out. "
        "At nm resolution the depth of field d²/λ is deeper than the specimen, so 12 slices are plenty "
        "(measured on vesicles: single-slice correlates with them at 0.97, docs/real_data.md).",
        {"slices": 12, "constraints": {"positivity": False, "lowpass_angstrom": 50.0, **_NOT_SPARSE}},
    ),
    "quick": Preset(
        "Quick look",
        "Ten sweeps of SIRT, to see in seconds whether the series is aligned and where the specimen lies. It "
        "needs neither defocus nor Cs, and uses every image. No result to publish: it has no phase "
        "retrieval.",
        {"method": "sirt", "iterations": 10, "holdout_fraction": 0.0},
    ),
}


def preset_config(name: str, base: ReconstructionConfig | None = None) -> ReconstructionConfig:
    """The settings of a preset.

    Parameters
    ----------
    name : str
        Key of :data:`PRESETS`.
    base : ReconstructionConfig, optional
        From where what is of series and machine is kept (:data:`KEPT`).

    Raises
    ------
    ConfigError
        There is no such preset.
    """
    kept = {} if base is None else {key: getattr(base, key) for key in KEPT}
    return ReconstructionConfig.parse(**preset_values(name), **kept)


def suited_preset(series: TiltFocalSeries) -> str | None:
    """The preset that a series asks for in place of the default one; None where nothing says so.

    Few electrons per image (:data:`ICE_DOSE`) and large pixels (:data:`ICE_PIXEL_ANGSTROM`) are those of ice:
    no atom can be seen, so the atomic basis and positivity of the default would make noise into matter.

    Parameters
    ----------
    series : TiltFocalSeries
        One without a known dose, or of dark field, gets None.
    """
    if series.dose_per_image is None or series.is_dark_field:
        return None
    dose = float(series.dose_per_image[series.used].mean())
    low = dose <= ICE_DOSE and series.pixel_size_angstrom >= ICE_PIXEL_ANGSTROM
    return "vitrified" if low else None


def preset_values(name: str) -> dict[str, Any]:
    """Fields of a preset that differ from the defaults, in plain types.

    Raises
    ------
    ConfigError
        There is no such preset.
    """
    if name not in PRESETS:
        raise ConfigError(f"preset: must be {', '.join(PRESETS)} (got {name})")
    return {key: dict(value) if isinstance(value, Mapping) else value
            for key, value in PRESETS[name].values.items()}  # fmt: skip


def preset_of(config: ReconstructionConfig) -> str | None:
    """Name of the preset that a configuration is, leaving :data:`KEPT` aside; None for another one."""
    changed = _told(config)
    return next((name for name in PRESETS if _told(preset_config(name)) == changed), None)


def _told(config: ReconstructionConfig) -> dict[str, Any]:
    return {path: value for path, value in changed_fields(config).items() if path not in KEPT}
