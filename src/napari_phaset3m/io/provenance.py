"""Where a result comes from: enough to cite it, compare it and run it again."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from napari_phaset3m import __version__
from napari_phaset3m.errors import OutputError
from napari_phaset3m.io.atomic import write_text

SCHEMA = 1
PROGRAM = "napari-phaset3m"


def package_version() -> str:
    """The version, with the git revision when this is a checkout."""
    revision = git_revision()
    return f"{__version__}+g{revision}" if revision else __version__


@lru_cache(maxsize=1)
def git_revision() -> str | None:
    """Short revision of the checkout this package runs from (`-dirty` when changed), or None."""
    root = Path(__file__).resolve().parents[3]
    if not (root / ".git").exists():
        return None
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--exclude=*", "--abbrev=10"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None


def history_entry(
    step: str, parameters: Mapping[str, Any] | None = None, told: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """One step of a series' history (``metadata["history"]``), as prepare/history.py records it."""
    return {
        "step": step,
        "parameters": jsonable(dict(parameters or {})),
        "told": jsonable(dict(told or {})),
        "version": package_version(),
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def sha256(path: str | os.PathLike[str]) -> str:
    """Hex digest of a file; of a folder, over its files' names and contents in order."""
    digest = hashlib.sha256()
    root = Path(path)
    files = sorted(p for p in root.rglob("*") if p.is_file()) if root.is_dir() else [root]
    for file in files:
        if root.is_dir():
            digest.update(file.relative_to(root).as_posix().encode() + b"\0")
        with file.open("rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def jsonable(value: Any) -> Any:
    """``value`` in plain JSON types: arrays become lists, models and mappings dicts, NaN None."""
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    if isinstance(value, Mapping):
        return {str(key): jsonable(item) for key, item in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return jsonable(value.tolist())
    if isinstance(value, str | bool | int) or value is None:
        return value
    if isinstance(value, float):
        return value if np.isfinite(value) else None
    if isinstance(value, Sequence | set | frozenset) and not isinstance(value, bytes):
        return [jsonable(item) for item in value]
    return str(value)


def provenance(
    series_path: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | None,
    config: Any = None,
    device: Any = None,
    **extra: Any,
) -> dict[str, Any]:
    """Describe a run in JSON types.

    Parameters
    ----------
    series_path : path-like, sequence of path-like, or None
        The inputs; each is named with its SHA-256. None when the data never was a file.
    config : ReconstructionConfig or mapping, optional
        The parameters, kept whole under ``parameters`` so that they can be run again.
    device : Device or str, optional
    **extra
        Anything else: ``seconds_per_iteration``, ``error_per_iteration``, ``peak_memory_bytes`` ...

    Returns
    -------
    dict
    """
    one = series_path is None or isinstance(series_path, str | os.PathLike)
    given: Any = [series_path] if one else series_path
    paths = [Path(item) for item in given if item is not None]
    parameters = jsonable(config) if config is not None else {}
    record = {
        "schema": SCHEMA,
        "program": PROGRAM,
        "version": __version__,
        "revision": git_revision(),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "inputs": [{"path": str(p.resolve()), "sha256": sha256(p)} for p in paths if p.exists()],
        "parameters": parameters,
        "device": getattr(device, "label", None if device is None else str(device)),
        "seed": parameters.get("seed") if isinstance(parameters, dict) else None,
        "platform": _platform(),
    }
    record.update({key: jsonable(value) for key, value in extra.items()})
    return record


def _platform() -> dict[str, Any]:
    return {
        "system": platform.platform(),
        "machine": platform.machine(),
        "python": sys.version.split()[0],
        "numpy": np.__version__,
        "cpus": os.cpu_count(),
    }


def provenance_path(path: str | os.PathLike[str]) -> Path:
    """The JSON that belongs to a result: ``VOL.mrc`` and ``VOL.ome.zarr`` -> ``VOL.json``."""
    result = Path(path)
    name = result.name
    for suffix in (".ome.zarr", ".ome.tiff", ".ome.tif"):
        if name.lower().endswith(suffix):
            return result.with_name(name[: -len(suffix)] + ".json")
    return result.with_suffix(".json")


def check_record(path: str | os.PathLike[str]) -> None:
    """Refuse a result beside whose name there is a JSON that is not its own record.

    Raises
    ------
    OutputError
    """
    target, name = provenance_path(path), Path(path).name
    if not target.exists():
        return
    try:
        known = json.loads(target.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        known = None
    owner = known.get("file") if isinstance(known, dict) and known.get("program") == PROGRAM else None
    if owner == name:
        return
    what = f"is the record of {owner}" if owner else f"is there and is not the record of {name}"
    raise OutputError(f"{target}: {what}. Choose another name than {name}, or move it away")


def write_provenance(path: str | os.PathLike[str], record: Mapping[str, Any]) -> Path:
    """Write the record beside a result, atomically; return where.

    Raises
    ------
    OutputError
        It could not be written, or would replace something else (:func:`check_record`).
    """
    check_record(path)
    target, named = provenance_path(path), {**record, "program": PROGRAM, "file": Path(path).name}
    write_text(target, json.dumps(jsonable(named), indent=2, ensure_ascii=False, allow_nan=False) + "\n")
    return target
