"""Motion correction against injected drift: error, time and memory.

    python benchmarks/bench_motion.py [--size 4096] [--frames 20] [--dose 1] [--type uint8] [--rigid]

The specimen is amorphous (white noise through a falling envelope with Thon rings, 15 % rms of the
mean) with dark particles of 20 to 40 pixels. It is drawn on a sheet wider than the frames, so that new
parts come in at the border, moved by an early fast and later slow drift of about 7 pixels, and, unless
--rigid, bent by up to 1.5 pixels (quadratic over the image). Poisson counts. Runs in a child process; memory
is the anonymous resident memory above the loaded process (the file is memory-mapped), sampled every 10 ms.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

from common import machine, print_table, write

MARGIN = 32


def specimen(n: int, contrast: float, rng: np.random.Generator) -> np.ndarray:
    """`(n, n)` float32 mean image, 1 on average."""
    from scipy import fft

    ky, kx = np.fft.fftfreq(n).astype(np.float32)[:, None], np.fft.rfftfreq(n).astype(np.float32)
    k2 = ky * ky + kx * kx
    envelope = np.exp(-60 * k2) + 0.3 * np.exp(-k2 / 0.0625) * np.abs(np.sin(40 * np.pi * k2))
    sheet = fft.irfft2(fft.rfft2(rng.standard_normal((n, n), np.float32), workers=-1) * envelope, s=(n, n))
    sheet *= contrast / sheet.std()
    y, x = np.ogrid[:n, :n]
    for _ in range(max(n * n // 40_000, 1)):
        cy, cx, r = *rng.uniform(0, n, 2), rng.uniform(10, 20)
        part = (
            slice(max(int(cy - 2 * r), 0), int(cy + 2 * r)),
            slice(max(int(cx - 2 * r), 0), int(cx + 2 * r)),
        )
        distance = np.hypot(y[part[0]] - cy, x[:, part[1]] - cx)
        sheet[part] -= 0.3 / (1 + np.exp((distance - r) / 1.5))
    return np.clip(1 + sheet, 0.02, None).astype(np.float32)


def drift(n_frames: int) -> np.ndarray:
    """`(n, 2)` pixels (y, x): settles fast, then creeps; mean 0."""
    t = np.arange(n_frames) * 20 / n_frames
    track = np.stack([6 * np.exp(-t / 4) + 0.3 * t, -4 * np.exp(-t / 5) + 0.15 * t], axis=1)
    return track - track.mean(axis=0)


def bend(n_frames: int) -> np.ndarray:
    """`(n, 2, 6)` of 1, x, y, x², xy, y² (−1..1), pixels; mean 0 over the frames."""
    t = np.linspace(-1, 1, n_frames)
    amount = -t + 0.3 * t * t
    shape = np.array([[0.0, 0.5, -0.4, 0.4, 0.2, -0.2], [0.0, -0.3, 0.6, -0.2, 0.3, 0.3]])
    return (amount - amount.mean())[:, None, None] * shape


def make_movie(path: Path, size: int, frames: int, dose: float, kind: str, rigid: bool) -> None:
    """Write the movie as .npy, frame by frame."""
    from scipy import fft
    from scipy.ndimage import map_coordinates, spline_filter

    rng = np.random.default_rng(7)
    sheet = specimen(size + 2 * MARGIN, 0.15, rng)
    out = np.lib.format.open_memmap(path, "w+", np.dtype(kind), (frames, size, size))
    spectrum = fft.rfft2(sheet, workers=-1) if rigid else None
    coefficients = None if rigid else spline_filter(sheet, 5, output=np.float32)
    y, x = (v.astype(np.float32) for v in np.ogrid[:size, :size])
    v, u = (2 * y - (size - 1)) / size, (2 * x - (size - 1)) / size
    terms = (1, u, v, u * u, u * v, v * v)
    for i, (shift, field) in enumerate(zip(drift(frames), bend(frames), strict=True)):
        if spectrum is not None:
            ramp = np.exp(-2j * np.pi * (np.fft.fftfreq(len(sheet)) * shift[0])).astype(np.complex64)[:, None]
            ramp = ramp * np.exp(-2j * np.pi * np.fft.rfftfreq(len(sheet)) * shift[1]).astype(np.complex64)
            inside = slice(MARGIN, MARGIN + size)
            mean = fft.irfft2(spectrum * ramp, s=sheet.shape, workers=-1)[inside, inside]
        else:
            # The frame at p + d(p) shows p: d is taken back at the frame's pixel in two fixed-point rounds.
            dy, dx = np.zeros((2, size, size), np.float32)
            for _ in range(3):
                vv, uu = v - 2 * dy / size, u - 2 * dx / size
                terms = (1, uu, vv, uu * uu, uu * vv, vv * vv)
                dy = shift[0] + sum(c * t for c, t in zip(field[0].astype("f4"), terms, strict=True))
                dx = shift[1] + sum(c * t for c, t in zip(field[1].astype("f4"), terms, strict=True))
            places = np.stack((y - dy + MARGIN, x - dx + MARGIN))
            mean = map_coordinates(coefficients, places, order=5, prefilter=False, output=np.float32)
        out[i] = rng.poisson(np.maximum(mean, 0) * dose)
    out.flush()


class Memory:
    """Samples the anonymous resident memory of this process."""

    def __init__(self) -> None:
        self.peak, self._stop = 0, threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    @staticmethod
    def now() -> int:
        """Return bytes."""
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) * 1024
        raise SystemExit("/proc/self/status has no RssAnon: this benchmark needs Linux")

    def _watch(self) -> None:
        while not self._stop.wait(0.01):
            self.peak = max(self.peak, self.now())

    def stop(self) -> int:
        """Return the peak, bytes."""
        self._stop.set()
        self._thread.join()
        return self.peak


def correct(path: Path, rigid: bool) -> dict[str, object]:
    """Correct the movie and score it."""
    from napari_phaset3m.prepare.motion.config import MotionConfig
    from napari_phaset3m.prepare.motion.correct import iterate_motion
    from napari_phaset3m.prepare.motion.movie import ArrayMovie
    from napari_phaset3m.prepare.motion.result import MotionResult

    def run(frames: np.ndarray) -> MotionResult:
        *_, last = iterate_motion(ArrayMovie(frames), MotionConfig())
        assert isinstance(last, MotionResult)
        return last

    # A small run first: compiled kernels belong to the loaded process.
    run(np.random.default_rng(0).poisson(1.0, (4, 512, 512)).astype(np.uint8))
    movie = np.load(path, mmap_mode="r")
    idle, memory = Memory.now(), Memory()
    wall, cpu = time.perf_counter(), time.process_time()
    result = run(movie)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    peak = memory.stop() - idle
    truth, n = drift(len(movie)), len(movie)
    grid = np.linspace(-0.9, 0.9, 13)
    y, x = (v.ravel() for v in np.meshgrid(grid, grid, indexing="ij"))
    space = np.stack((np.ones_like(x), x, y, x * x, x * y, y * y), axis=-1)
    true_field = np.zeros((n, 2, 6)) if rigid else bend(n)
    expected = truth[:, None] + np.einsum("ndk,pk->npd", true_field, space)
    gap = result.shifts_px[:, None] + result.field.at(y, x) - expected
    gap -= gap.mean(axis=0)
    whole = result.shifts_px - truth
    return {
        "seconds": wall,
        "cpu_seconds": cpu,
        "peak_bytes": peak,
        "movie_bytes": int(movie.nbytes),
        "ratio": peak / movie.nbytes,
        "rms_px_each_axis": [float(v) for v in np.sqrt((gap**2).mean(axis=(0, 1)))],
        "rms_whole_frames_px_each_axis": [float(v) for v in np.sqrt((whole**2).mean(axis=0))],
        "claimed_error_px": float(result.error_px.mean()),
        "local_rms_px": result.field.rms,
        "contrast_gain": float(_contrast(result.image) / _contrast(result.uncorrected)),
    }


def _contrast(image: np.ndarray) -> float:
    """High-frequency power beyond the counting noise."""
    middle = image[64:-64, 64:-64].astype(np.float64)
    return float(middle.var() / middle.mean() - 1)


def main() -> None:
    """Make the movie, measure in a child, print and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=4096)
    parser.add_argument("--frames", type=int, default=20)
    parser.add_argument("--dose", type=float, default=1.0, help="electrons per pixel and frame")
    parser.add_argument("--type", default="uint8", choices=["uint8", "float32"])
    parser.add_argument("--rigid", action="store_true", help="no local motion")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(correct(options.child, options.rigid)))
        return
    found = machine()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "movie.npy"
        make_movie(path, options.size, options.frames, options.dose, options.type, options.rigid)
        command = [sys.executable, __file__, "--child", str(path), *(["--rigid"] if options.rigid else [])]
        result = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    rms = max(result["rms_px_each_axis"])
    print_table([
        ("what", "value", "must"),
        ("drift error, rms px, worse axis", f"{rms:.4f}", "<= 0.05"),
        ("seconds", f"{result['seconds']:.1f}", "<= 60 (4096, 20 frames)"),
        ("CPU seconds", f"{result['cpu_seconds']:.1f}", ""),
        (f"peak memory / movie ({options.type})", f"{result['ratio']:.2f}", "<= 4"),
    ])  # fmt: skip
    settings = {"size": options.size, "frames": options.frames, "dose": options.dose, "type": options.type}
    name = f"motion-{options.size}-{options.type}{'-rigid' if options.rigid else ''}"
    print(write(name, {"machine": found, "settings": settings | {"rigid": options.rigid}, **result}))


if __name__ == "__main__":
    main()
