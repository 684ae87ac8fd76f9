"""Make the sample series that ships in the wheel.

usage: python resources/make_sample.py [FOLDER]

Writes src/napari_phaset3m/data/co3o4_sample.h5 and, into FOLDER when one is given,
the series with its truth beside it. About half a minute on two cores.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

import h5py

from napari_phaset3m.simulate.api import SimulationProgress, simulate
from napari_phaset3m.simulate.config import AcquisitionConfig, SimulationConfig

TARGET = Path(__file__).resolve().parents[1] / "src" / "napari_phaset3m" / "data" / "co3o4_sample.h5"
CONFIG = SimulationConfig(acquisition=AcquisitionConfig(dose_per_image=500.0), seed=7)


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


def main() -> None:
    """Simulate, compress, and keep the truth where it is asked for."""
    result = simulate(CONFIG, report)
    with tempfile.TemporaryDirectory() as folder:
        files = result.save(Path(folder) / TARGET.name)
        TARGET.parent.mkdir(exist_ok=True)
        compress(files[0], TARGET)
        if len(sys.argv) > 1:
            kept = Path(sys.argv[1])
            kept.mkdir(parents=True, exist_ok=True)
            for file in files:
                shutil.copy(file, kept)
    print(f"\n{TARGET}: {TARGET.stat().st_size / 1e6:.2f} MB, {result.atoms.counts()}")


if __name__ == "__main__":
    main()
