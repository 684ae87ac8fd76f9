"""Write to a temporary name, sync, rename: a reader sees the old file or the new one, never half of one."""

from __future__ import annotations

import errno
import os
import re
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from napari_phaset3m.errors import OutputError

_REMEDIES = {
    errno.ENOSPC: "Free some space or choose another folder",
    errno.EDQUOT: "Your quota is used up: free some space or choose another folder",
    errno.EACCES: "Choose a folder you may write to",
    errno.EPERM: "Choose a folder you may write to",
    errno.EROFS: "The disk is read-only: choose another folder",
    errno.ENOENT: "Create the folder first",
    errno.ENOTDIR: "A part of the path is a file: choose another folder",
    errno.ENAMETOOLONG: "Choose a shorter name",
}
#: Suffixes of outputs that are folders: volumes of OME-Zarr, and films as pictures.
_FOLDERS = (".zarr", "")
#: What such a folder holds, and what tells that it is one.
_WRITTEN = re.compile(r"\.z\w+|zarr\.json|\d+|film\.json|frame_\d+\.png")
_MARKS = frozenset((".zgroup", ".zattrs", "zarr.json", "film.json"))


def output_error(path: str | os.PathLike[str], error: BaseException) -> OutputError:
    """One line that says which output failed, why, and what to do."""
    code = getattr(error, "errno", None)
    reason = os.strerror(code) if isinstance(code, int) and code else _first_line(error)
    remedy = _REMEDIES.get(code, "Choose another place") if code else "Choose another place"
    return OutputError(f"{os.fspath(path)}: cannot be written ({reason}). {remedy}")


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some file systems cannot sync a folder; a file that does not sync is a failed write.
        if not path.is_dir() or error.errno not in (errno.EINVAL, errno.EBADF, errno.EACCES):
            raise
    finally:
        os.close(descriptor)


def _sync_tree(path: Path) -> None:
    if path.is_dir():
        for folder, _, names in os.walk(path):
            for name in names:
                _sync(Path(folder, name))
            _sync(Path(folder))
    else:
        _sync(path)


def _is_replaceable(folder: Path) -> bool:
    """Whether a folder is empty, or holds nothing but a volume or film as it is written here."""
    names = os.listdir(folder)
    return not names or (bool(_MARKS.intersection(names)) and all(map(_WRITTEN.fullmatch, names)))


def _publish(temporary: Path, target: Path) -> None:
    """Rename over ``target``; a folder in the way is set aside first and put back on failure."""
    if not target.is_dir():
        os.replace(temporary, target)
    else:
        _check_folder(target, temporary.is_dir())
        old = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.old")
        os.rename(target, old)
        try:
            os.rename(temporary, target)
        except OSError:
            os.rename(old, target)
            raise
        _remove(old)
    if os.name == "posix":
        _sync(target.parent)


def _temporary_name(target: Path) -> Path:
    # The suffix stays last: libraries choose the format by it.
    stem, dot, suffix = target.name.partition(".")
    room = 255 - 24 - len((dot + suffix).encode())
    short = stem.encode()[: max(room, 8)].decode(errors="ignore")
    return target.with_name(f".{short}.{uuid.uuid4().hex[:12]}.tmp{dot}{suffix}")


def _check_folder(target: Path, is_folder: bool) -> None:
    """Refuse to put a file, or a folder, in place of a folder with other things in it."""
    if not is_folder or not _is_replaceable(target):
        what = "with other files in it" if is_folder else "not a file"
        raise OutputError(f"{target}: is a folder, {what}. Choose another name")


def _check_target(target: Path, expected_bytes: int) -> None:
    if target.is_dir():
        _check_folder(target, target.suffix.lower() in _FOLDERS)
    if not target.parent.is_dir():
        code = errno.ENOTDIR if target.parent.exists() else errno.ENOENT
        raise output_error(target, OSError(code, os.strerror(code)))
    free = shutil.disk_usage(target.parent).free
    if expected_bytes > free:
        raise OutputError(
            f"{target}: needs {expected_bytes / 1e6:.0f} MB but {free / 1e6:.0f} MB are free. "
            f"{_REMEDIES[errno.ENOSPC]}"
        )


@contextmanager
def atomic_path(path: str | os.PathLike[str], expected_bytes: int = 0) -> Iterator[Path]:
    """Give a temporary path to write; publish it under ``path`` when the block ends well.

    Parameters
    ----------
    path : path-like
        Where the file (or folder, for Zarr) shall end up. A link is followed.
    expected_bytes : int
        Refused before anything is written when the disk has less room.

    Yields
    ------
    Path
        A name in the same folder, with the same suffixes, that does not exist yet.

    Raises
    ------
    OutputError
        It could not be written. Nothing is left behind and an older file is untouched.
    """
    target = Path(os.path.realpath(path))
    try:
        _check_target(target, expected_bytes)
        temporary = _temporary_name(target)
    except OutputError:
        raise
    except (OSError, ValueError) as error:
        raise output_error(path, error) from error
    try:
        yield temporary
        _sync_tree(temporary)
        _publish(temporary, target)
    except OutputError:
        raise
    except OSError as error:
        raise output_error(path, error) from error
    finally:
        _remove(temporary)


def check_output(path: str | os.PathLike[str], expected_bytes: int = 0) -> None:
    """Raise :class:`OutputError` now if ``path`` could not be written after a long run."""
    target = Path(os.path.realpath(path))
    try:
        _check_target(target, expected_bytes)
        probe = _temporary_name(target)
        try:
            probe.touch(exist_ok=False)
        finally:
            _remove(probe)
    except OutputError:
        raise
    except (OSError, ValueError) as error:
        raise output_error(path, error) from error


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write UTF-8 text atomically."""
    data = encoded(path, text)
    with atomic_path(path, len(data)) as temporary:
        temporary.write_bytes(data)


def encoded(path: str | os.PathLike[str], text: str) -> bytes:
    """The text in UTF-8.

    Raises
    ------
    OutputError
        It holds the name of a file that is none.
    """
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        near = text[max(error.start - 20, 0) : error.end + 10].encode(errors="replace").decode()
        raise OutputError(
            f"{os.fspath(path)}: cannot be written (a file name is not UTF-8: …{near}…). Rename that file"
        ) from None
