"""Write HDF5 so that a full disk is an error, not a crash."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from napari_phaset3m.io.atomic import atomic_path, output_error


class _Stream:
    """What h5py writes through; the first failure is kept and everything after it dropped.

    HDF5 that fails to write cannot close the file either: it tries again when the object is
    forgotten and when the program ends, prints as much, and sometimes crashes there. So it is told
    that all went well, and :func:`write_h5_file` raises once the file is closed.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self.error: OSError | None = None

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return int(self._stream.seek(offset, whence))

    def tell(self) -> int:
        return int(self._stream.tell())

    def read(self, size: int = -1) -> bytes:
        return bytes(self._stream.read(size))

    def readinto(self, buffer: Any) -> int:
        return int(self._stream.readinto(buffer))

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        size = view.nbytes
        while self.error is None and view.nbytes:
            try:
                view = view[self._stream.write(view) :]
            except OSError as error:
                self.error = error
        return size

    def truncate(self, size: int | None = None) -> int:
        if self.error is None:
            try:
                return int(self._stream.truncate(size))
            except OSError as error:
                self.error = error
        return int(size or 0)

    def flush(self) -> None:
        """Nothing is kept back: the stream is not buffered."""


@contextmanager
def write_h5_file(path: str | os.PathLike[str], expected_bytes: int) -> Iterator[Any]:
    """Give an open h5py file; it is published under ``path`` when the block ends well.

    Raises
    ------
    OutputError
        It could not be written; an older file is untouched.
    """
    import h5py

    with atomic_path(path, expected_bytes) as temporary, open(temporary, "x+b", buffering=0) as raw:
        stream = _Stream(raw)
        try:
            with h5py.File(stream, "w") as file:
                yield file
        except RuntimeError as error:  # h5py's word for a failed flush
            raise output_error(path, stream.error or error) from error
        if stream.error is not None:
            raise output_error(path, stream.error) from stream.error
