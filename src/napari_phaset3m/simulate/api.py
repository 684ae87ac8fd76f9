"""Simulate a tilt/focal series whose truth is known."""

from __future__ import annotations

import json
import queue
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from napari_phaset3m.core.precision import REAL
from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.errors import OutputError
from napari_phaset3m.io.atomic import atomic_path
from napari_phaset3m.io.series import save_series
from napari_phaset3m.io.volume import Volume, save_volume
from napari_phaset3m.simulate.build import build_matter, particle_rotation, stream
from napari_phaset3m.simulate.config import SimulationConfig
from napari_phaset3m.simulate.forecast import check_memory, simulation_threads
from napari_phaset3m.simulate.imaging import Imager, Matter, Sampling, padding_px, true_microscope
from napari_phaset3m.simulate.potentials import SOURCE, voxel_potential
from napari_phaset3m.simulate.specimens import Atoms, write_xyz
from napari_phaset3m.simulate.vesicles import Spheres, sphere_potential

Report = Callable[["SimulationProgress"], None]
#: Where each stage begins and ends on a bar (of the example in the README, by time).
_SHARES = {"specimen": (0.0, 0.03), "images": (0.03, 0.97), "potential": (0.97, 1.0)}


@dataclass(frozen=True, slots=True)
class SimulationProgress:
    """How far a simulation is.

    Attributes
    ----------
    stage : {"specimen", "images", "potential"}
        What is being computed; nearly all time goes into the images.
    done, total : int
        Tilts of ``"images"``; 0 when a stage begins.
    seconds : float
        Since the stage began.
    """

    stage: str
    done: int
    total: int
    seconds: float

    @property
    def fraction(self) -> float:
        """Done part of the whole, 0..1."""
        first, last = _SHARES[self.stage]
        return first + (last - first) * self.done / self.total

    @property
    def remaining_seconds(self) -> float | None:
        """Estimate for this stage; None while nothing of it is done."""
        return self.seconds / self.done * (self.total - self.done) if self.done else None

    @property
    def text(self) -> str:
        """What is being done, for a progress bar."""
        counted = f" {self.done}/{self.total}" if self.total > 1 else ""
        return {"specimen": "Specimen", "images": "Tilt", "potential": "True potential"}[self.stage] + counted


@dataclass(frozen=True, slots=True, eq=False)
class Simulation:
    """A series and everything that is true about it.

    Attributes
    ----------
    series : TiltFocalSeries
        With the stated (perhaps wrong) metadata.
    potential : Volume
        `(nz, ny, nx)` volts, band-limited to the series' pixel.
    matter : Atoms or Spheres
        Sample frame, angstrom from the rotation centre.
    truth : dict
        True tilts, defoci, shifts, aberrations, configuration (JSON-able).
    """

    series: TiltFocalSeries
    potential: Volume
    matter: Matter
    truth: dict[str, Any]

    @property
    def atoms(self) -> Atoms:
        """The atoms; none when the specimen is vesicles."""
        return self.matter if isinstance(self.matter, Atoms) else Atoms(np.empty(0, "U2"), np.empty((0, 3)))

    def save(self, path: str | Path) -> tuple[Path, ...]:
        """Write the series and its truth beside it: ``_truth.json``, ``_truth_V.mrc``, ``_truth_atoms.xyz``.

        Vesicles have no atoms to write.

        Returns
        -------
        tuple of Path
            The files, the series first.

        Raises
        ------
        OutputError
            One cannot be written.
        """
        path = Path(path)
        ends = ("_truth.json", "_truth_V.mrc", *(("_truth_atoms.xyz",) if len(self.atoms) else ()))
        paths = tuple(path.with_name(path.stem + end) for end in ends)
        for target in (path, *paths):
            if not target.parent.is_dir():
                raise OutputError(f"{target}: its folder does not exist")
        save_series(self.series, path)
        with atomic_path(paths[0]) as temporary:
            Path(temporary).write_text(json.dumps(self.truth, indent=1), encoding="utf-8")
        save_volume(self.potential, paths[1])
        for target in paths[2:]:
            with atomic_path(target) as temporary:
                write_xyz(self.atoms, temporary, "x y z in angstrom from the rotation centre, untilted")
        return (path, *paths)


@dataclass(frozen=True, slots=True, eq=False)
class _True:
    """What acts, as against what is stated."""

    tilts: np.ndarray
    defocus: np.ndarray
    shifts: np.ndarray


def _inject(config: SimulationConfig) -> _True:
    errors, acquisition = config.errors, config.acquisition
    tilts = acquisition.tilts_deg
    defoci = np.asarray(acquisition.defocus_angstrom)
    wander = stream(config.seed, "defocus").normal(size=(len(tilts), 1)) * errors.defocus_sigma_angstrom
    shifts = stream(config.seed, "shift").normal(size=(len(tilts), len(defoci), 2)) * errors.shift_sigma_px
    return _True(tilts + errors.tilt_offset_deg, defoci + wander, shifts)


def _simulate_images(
    config: SimulationConfig,
    matter: Matter,
    sampling: Sampling,
    true: _True,
    report: Report,
) -> np.ndarray:
    """`(n_tilt, n_focus, ny, nx)` expected intensity; threads own tilts."""
    n_tilt, n_focus = true.defocus.shape
    report(SimulationProgress("images", 0, n_tilt, 0.0))
    n = sampling.image_px
    images = np.empty((n_tilt, n_focus, n, n), REAL)
    threads = simulation_threads(config)
    symbols = list(matter.counts()) if isinstance(matter, Atoms) else []
    free: queue.SimpleQueue[Imager] = queue.SimpleQueue()
    for _ in range(threads):  # FFT planning is not thread-safe, so it happens here
        free.put(Imager(config, sampling, symbols))

    def one(i: int) -> None:
        imager = free.get()
        try:
            images[i] = imager.images(matter, float(true.tilts[i]), true.defocus[i], true.shifts[i])
        finally:
            free.put(imager)

    start = time.perf_counter()
    with ThreadPoolExecutor(threads) as pool:
        futures = [pool.submit(one, i) for i in range(n_tilt)]
        try:
            for done, future in enumerate(as_completed(futures), 1):
                future.result()
                report(SimulationProgress("images", done, n_tilt, time.perf_counter() - start))
        except BaseException:  # a failed or interrupted tilt: do not compute the rest
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return images


def _expose(config: SimulationConfig, images: np.ndarray) -> np.ndarray:
    """Poisson counts of the dose, scaled back so that the incident beam is 1."""
    dose = config.acquisition.dose_per_image
    if dose is None:
        return images
    per_pixel = dose * config.acquisition.pixel_size_angstrom**2
    expected = np.maximum(images, 0).astype(np.float64) * per_pixel
    counts = stream(config.seed, "dose").poisson(expected)
    return np.asarray(counts / per_pixel, REAL)


def simulate(
    config: SimulationConfig | None = None,
    on_event: Report | None = None,
) -> Simulation:
    """Simulate a tilt/focal series.

    Parameters
    ----------
    config : SimulationConfig, optional
        Defaults: a Co3O4 sphere, 31 tilts, 3 foci, noiseless.
    on_event : callable, optional
        Called with a :class:`SimulationProgress` when a stage begins and after each tilt, in
        this thread; an exception it raises ends the simulation.

    Returns
    -------
    Simulation

    Raises
    ------
    ResourceError
        It would not fit into the memory.
    ConfigError, DataError
        The specimen does not fit or its file cannot be read.
    """
    config, report = config or SimulationConfig(), on_event or (lambda event: None)
    acquisition = config.acquisition
    n, pixel = acquisition.image_size_px, acquisition.pixel_size_angstrom
    border = padding_px(config, true_microscope(config))
    sampling = Sampling(n, n + 2 * border, config.numerics.supersampling, pixel)
    check_memory(config, sampling)
    report(SimulationProgress("specimen", 0, 1, 0.0))
    matter = build_matter(config, sampling.box_angstrom)
    true = _inject(config)
    images = _expose(config, _simulate_images(config, matter, sampling, true, report))
    report(SimulationProgress("potential", 0, 1, 0.0))
    if isinstance(matter, Spheres):
        data = sphere_potential(matter, (n, n, n), pixel)
    else:
        data = voxel_potential(matter, (n, n, n), pixel, config.numerics.thermal_b_angstrom2)
    potential = Volume(data=data, voxel_size_angstrom=pixel, unit="V")
    return Simulation(_series(config, images), potential, matter, _truth(config, matter, true, sampling))


def _series(config: SimulationConfig, images: np.ndarray) -> TiltFocalSeries:
    """Make the series with its stated metadata."""
    optics, acquisition = config.optics, config.acquisition
    stated_cs = config.errors.stated_spherical_aberration_angstrom
    return TiltFocalSeries(
        images=images,
        tilt_deg=acquisition.tilts_deg,
        pixel_size_angstrom=acquisition.pixel_size_angstrom,
        energy_ev=optics.energy_ev,
        defocus_angstrom=np.asarray(acquisition.defocus_angstrom),
        spherical_aberration_angstrom=(
            optics.spherical_aberration_angstrom if stated_cs is None else stated_cs
        ),
        chromatic_aberration_angstrom=optics.chromatic_aberration_angstrom,
        energy_spread_ev=optics.energy_spread_ev,
        focal_spread_angstrom=optics.sigma_f_angstrom,
        convergence_semiangle_mrad=optics.convergence_semiangle_mrad,
        phase_shift_deg=optics.phase_shift_deg or None,
        mtf=None if acquisition.mtf is None else np.transpose(acquisition.mtf),
        aberrations=optics.aberrations,
        dose_per_image=None if acquisition.dose_per_image is None else np.asarray(acquisition.dose_per_image),
        metadata={"simulated": f"napari-phaset3m; {_source(config)}; seed {config.seed}"},
    )


def _truth(config: SimulationConfig, matter: Matter, true: _True, sampling: Sampling) -> dict[str, Any]:
    optics = config.optics
    return {
        "tilts_deg": true.tilts.tolist(),
        "defocus_center_angstrom": true.defocus.tolist(),
        "shifts_px_yx": true.shifts.tolist(),
        "shift_sense": "a feature at p of the aligned image sits at p + shift in the given one (y, x)",
        "spherical_aberration_angstrom": optics.spherical_aberration_angstrom,
        "focal_spread_angstrom": optics.sigma_f_angstrom,
        "aberrations": {**optics.aberrations, **config.errors.unstated_aberrations},
        **_truth_of(config, matter),
        "box_px": sampling.box_px,
        "wave_sampling_angstrom": sampling.fine.pixel_size_angstrom,
        "config": config.model_dump(mode="json"),
    }


def _source(config: SimulationConfig) -> str:
    return "vesicles in ice" if config.specimen.kind == "vesicles" else SOURCE


def _truth_of(config: SimulationConfig, matter: Matter) -> dict[str, Any]:
    if isinstance(matter, Spheres):
        return {"vesicles": matter.as_dict()}
    rotation = particle_rotation(config.specimen, config.seed).tolist()
    return {"crystal_to_xyz": rotation, "atoms": matter.counts(), "potential_source": SOURCE}
