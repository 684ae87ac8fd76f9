"""The exceptions that users meet.

None derives from :class:`RuntimeError`: napari's generator workers turn those
into warnings and never report them.
"""

from __future__ import annotations

import os


class PhaseT3MError(Exception):
    """Base of every error this package raises on purpose."""


class ConfigError(PhaseT3MError, ValueError):
    """A parameter has a value that cannot be used; the message names the field."""


class DataError(PhaseT3MError, ValueError):
    """An input file or array is missing something or is damaged.

    Parameters
    ----------
    problem : str
        What is wrong, as one clause.
    path : path-like, optional
        The file it is wrong in.
    field : str, optional
        The key, header field or array it is wrong in.
    remedy : str, optional
        What the user can do about it.
    """

    def __init__(
        self,
        problem: str,
        *,
        path: str | os.PathLike[str] | None = None,
        field: str | None = None,
        remedy: str | None = None,
    ) -> None:
        self.problem, self.path, self.field, self.remedy = problem, path, field, remedy
        where = ": ".join(str(part) for part in (path, field) if part)
        message = f"{where}: {problem}" if where else problem
        super().__init__(f"{message}. {remedy}" if remedy else message)


class DeviceError(PhaseT3MError):
    """The asked-for device cannot be used; the message says how to mend it."""


class ResourceError(PhaseT3MError, MemoryError):
    """A run would not fit in the memory or on the disk there is."""


class DivergedError(PhaseT3MError, ArithmeticError):
    """The iteration produced NaN or kept diverging; the last good volume is kept."""


class OutputError(PhaseT3MError, OSError):
    """A result could not be written; nothing half-written is left behind."""


class CancelledError(PhaseT3MError):
    """The user stopped the run."""
