"""Checkpoints of a run: HDF5, atomic, versioned, signed by their inputs."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from napari_phaset3m.errors import DataError
from napari_phaset3m.io.h5safe import open_h5, read_array
from napari_phaset3m.io.h5write import write_h5_file
from napari_phaset3m.io.provenance import jsonable

SCHEMA = 1
_KIND = "phaset3m-checkpoint"


def signature(*parts: Any) -> str:
    """A digest of arrays and parameters; a checkpoint is resumed only with the same inputs."""
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, np.ndarray):
            digest.update(f"{part.dtype.str}{part.shape}".encode())
            digest.update(np.ascontiguousarray(part).data)
        else:
            digest.update(json.dumps(jsonable(part), sort_keys=True).encode())
        digest.update(b"\0")
    return digest.hexdigest()


def save_checkpoint(path: str | os.PathLike[str], state: Mapping[str, Any], inputs: str = "") -> None:
    """Write a state of arrays, numbers, strings, None, lists and nested mappings, atomically.

    Parameters
    ----------
    path : path-like
    state : mapping
        Arrays are stored as datasets, everything else as JSON.
    inputs : str
        :func:`signature` of what the state belongs to.

    Raises
    ------
    OutputError
        It could not be written; the checkpoint before it is untouched.
    """
    arrays: dict[str, np.ndarray] = {}
    tree = _split(state, "", arrays)
    with write_h5_file(path, sum(array.nbytes for array in arrays.values())) as file:
        file.attrs["kind"], file.attrs["schema"], file.attrs["inputs"] = _KIND, SCHEMA, inputs
        group = file.create_group("arrays")
        for number, array in enumerate(arrays.values()):
            group.create_dataset(str(number), data=array, fletcher32=array.ndim > 0 and array.size > 0)
        file.create_dataset("state", data=np.frombuffer(json.dumps(tree).encode() or b" ", np.uint8))
        # Written last and read first: a file without it is not whole.
        file.attrs["complete"] = True


def _split(value: Any, where: str, arrays: dict[str, np.ndarray]) -> Any:
    if isinstance(value, np.ndarray):
        arrays[where] = value
        return {"$array": len(arrays) - 1}
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Mapping):
        return {str(key): _split(item, f"{where}/{key}", arrays) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_split(item, f"{where}/{index}", arrays) for index, item in enumerate(value)]
    if value is None or isinstance(value, str | bool | int | float):
        return value
    raise TypeError(f"{where}: a checkpoint cannot hold {type(value).__name__}")


def is_checkpoint(path: str | os.PathLike[str]) -> bool:
    """Whether a file is one that :func:`save_checkpoint` wrote, whole or not."""
    try:
        with open_h5(os.fspath(path)) as file:
            return bool(file.attrs.get("kind") == _KIND)
    except DataError:
        return False


def load_checkpoint(path: str | os.PathLike[str], inputs: str | None = None) -> dict[str, Any]:
    """Read a state; tuples come back as lists.

    Parameters
    ----------
    path : path-like
    inputs : str, optional
        Refuse a checkpoint of other data or parameters than these.

    Raises
    ------
    DataError
        Damaged, of another schema, or of other inputs.
    """
    name = os.fspath(path)
    with open_h5(name) as file:
        if file.attrs.get("kind") != _KIND or not bool(file.attrs.get("complete", False)):
            raise DataError(
                "is not a whole checkpoint", path=name, remedy="Start the run again without --resume"
            )
        if int(file.attrs.get("schema", 0)) != SCHEMA:
            raise DataError(f"has schema {file.attrs.get('schema')}, this program reads {SCHEMA}", path=name,
                            remedy="Resume with the version that wrote it")  # fmt: skip
        if inputs is not None and str(file.attrs.get("inputs", "")) != inputs:
            raise DataError(
                "belongs to another series, other settings or another start volume",
                path=name,
                field="inputs",
                remedy="Resume with what the run was started with, or name another checkpoint",
            )
        text = read_array(file, "state", name)
        try:
            tree = json.loads(text.tobytes() if text is not None else b"")
            arrays = [file[f"arrays/{number}"][()] for number in range(len(file["arrays"]))]
            state = _merge(tree, arrays)
        except (ValueError, KeyError, IndexError, TypeError) as error:
            raise DataError(
                f"is damaged ({error})", path=name, remedy="Start again without --resume"
            ) from None
    return dict(state)


def _merge(value: Any, arrays: list[Any]) -> Any:
    if isinstance(value, dict):
        if set(value) == {"$array"}:
            return np.asarray(arrays[value["$array"]])
        return {key: _merge(item, arrays) for key, item in value.items()}
    return [_merge(item, arrays) for item in value] if isinstance(value, list) else value
