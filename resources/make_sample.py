"""Make the simulated sample series that ship in the wheel.

usage: python resources/make_sample.py [co3o4|hiv] [--truth FOLDER]

Writes src/napari_phaset3m/data/NAME_sample.h5 (both without a name) and, into FOLDER when one is given,
the series with its truth beside it. About half a minute (Co3O4) and three minutes (HIV) on two cores.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path

import h5py

from napari_phaset3m.simulate.api import SimulationProgress, simulate
from napari_phaset3m.simulate.config import (
    AcquisitionConfig,
    NumericsConfig,
    OpticsConfig,
    SimulationConfig,
    SpecimenConfig,
    VesicleConfig,
)

FOLDER = Path(__file__).resolve().parents[1] / "src" / "napari_phaset3m" / "data"
CONFIGS = {
    "co3o4": SimulationConfig(acquisition=AcquisitionConfig(dose_per_image=500.0), seed=7),
    # A mature HIV-like particle: bilayer with spikes and matrix, and a conical capsid. 41 tilts of 3 e/Å².
    "hiv": SimulationConfig(
        specimen=SpecimenConfig(kind="vesicles", diameter_angstrom=1120.0),
        vesicles=VesicleConfig(
            inner_gap_angstrom=5.0,
            inner_thickness_angstrom=30.0,
            inner_contrast_volts=0.8,
            n_spike=40,
            capsid="cone",
        ),
        acquisition=AcquisitionConfig(
            tilt_min_deg=-60.0,
            tilt_max_deg=60.0,
            n_tilt=41,
            defocus_angstrom=(30000.0,),
            pixel_size_angstrom=8.0,
            image_size_px=176,
            dose_per_image=3.0,
        ),
        optics=OpticsConfig(spherical_aberration_angstrom=2.7e7, chromatic_aberration_angstrom=2.7e7),
        numerics=NumericsConfig(supersampling=2),
        seed=11,
    ),
}


def compress(source: Path, target: Path) -> None:
    """Copy a series file, its images gzipped (Poisson counts shrink to a third)."""
    with h5py.File(source) as old, h5py.File(target, "w") as new:
        new.attrs.update(old.attrs)
        for name in old:
            if name == "tilt_series":
                images = old[name][()]
                new.create_dataset(name, data=images, compression="gzip", compression_opts=9, shuffle=True)
            else:
                old.copy(name, new)


def report(event: SimulationProgress) -> None:
    """One line that counts the tilts."""
    print(f"\r{event.text}, {event.seconds:.0f} s", end="", flush=True)


def make(name: str, truth: Path | None) -> None:
    """Simulate, compress, and keep the truth where it is asked for."""
    result = simulate(CONFIGS[name], report)
    target = FOLDER / f"{name}_sample.h5"
    with tempfile.TemporaryDirectory() as folder:
        files = result.save(Path(folder) / target.name)
        FOLDER.mkdir(exist_ok=True)
        compress(files[0], target)
        if truth is not None:
            truth.mkdir(parents=True, exist_ok=True)
            for file in files:
                shutil.copy(file, truth)
    print(f"\n{target}: {target.stat().st_size / 1e6:.2f} MB")


def main() -> None:
    """Make what is named, or all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("name", nargs="?", choices=CONFIGS)
    parser.add_argument("--truth", type=Path)
    given = parser.parse_args()
    for name in [given.name] if given.name else CONFIGS:
        make(name, given.truth)


if __name__ == "__main__":
    main()
