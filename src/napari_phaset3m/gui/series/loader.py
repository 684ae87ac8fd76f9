"""Opens and saves series in a worker thread; belongs to the session, not to a panel."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, QSettings, Signal

from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.errors import DataError, OutputError, PhaseT3MError
from napari_phaset3m.gui.widgets.numbers import AXIS
from napari_phaset3m.io.raw import FIELDS, OPTIONS
from napari_phaset3m.reconstruct.methods.registry import METHODS

if TYPE_CHECKING:
    from napari_phaset3m.session import Session

RECENT_MAX = 8
FILE_FILTER = (
    "Tilt/focal series "
    "(*.h5 *.hdf5 *.mrc *.st *.ali *.rec *.mrcs *.map *.tif *.tiff *.toml *.npy *.mat *.gif)"
    ";;All files (*)"
)
SAVE_FILTER = "PhaseT3M series (*.h5);;Text with the images beside it (*.toml)"


class SeriesLoader(QObject):
    """Loads series for one session; the last request wins.

    Parameters
    ----------
    session : Session
    """

    #: Loading or saving began or ended.
    busy_changed = Signal(bool)
    loaded = Signal()
    failed = Signal(object)
    saved = Signal(str)

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session
        self._token = 0
        self._pending = 0
        self.path: Path | None = None
        self.overrides: dict[str, Any] = {}
        self.error: Exception | None = None

    @property
    def edited(self) -> bool:
        """Whether the series differs from what is in its file."""
        return self._session.series is not None and self._session.series is not self._session.series_read

    @property
    def busy(self) -> bool:
        """Whether something is being read or written."""
        return self._pending > 0

    def load(self, path: str | Path, **overrides: Any) -> None:
        """Open a file; ``overrides`` complete what it does not state."""
        path = Path(path)
        self._token += 1
        self.path, self.overrides, self.error = path, overrides, None
        self._start(partial(_load, self._token, path, overrides), self._on_loaded)

    def save(self, path: str | Path, suffix: str = ".h5") -> None:
        """Write the session's series; refused for the file it was read from.

        Parameters
        ----------
        path : path-like
            ``.h5`` or ``.toml``; otherwise ``suffix`` is appended.
        suffix : str
        """
        series, path = self._session.series, Path(path)
        if series is None:
            return
        if path.suffix.lower() not in (".h5", ".hdf5", ".toml"):
            path = path.with_name(path.name + suffix)
        source = self._session.series_path
        if source is not None and path.resolve() == source.resolve():
            self._fail(
                OutputError(f"{path.name}: is the input, which is never overwritten. Choose another name")
            )
            return
        self._start(partial(_save, series, path), self._on_saved)

    def _start(self, work: Callable[[], Any], slot: Callable[[Any], None]) -> None:
        from napari_phaset3m.gui.worker import in_background

        self._pending += 1
        self.busy_changed.emit(True)
        in_background(work, slot, self._on_crash)

    def _settle(self) -> None:
        self._pending -= 1
        self.busy_changed.emit(self.busy)

    def _on_loaded(self, outcome: tuple[int, TiltFocalSeries | None, Exception | None]) -> None:
        token, series, error = outcome
        self._settle()
        if token != self._token:  # another file was asked for meanwhile
            return
        if series is None:
            self._fail(error or PhaseT3MError("The series could not be read"))
            return
        self._session.series_read = series
        self._session.series_overrides = self.overrides
        self._session.series_path = self.path
        self._session.series = series
        suit_dark_field(self._session)
        remember(self.path)
        self.loaded.emit()

    def _on_saved(self, outcome: tuple[Path, Exception | None]) -> None:
        path, error = outcome
        self._settle()
        if error is not None:
            self._fail(error)
            return
        remember(path)
        self._session.message = f"Saved {path.name}"
        self.saved.emit(str(path))

    def _on_crash(self, error: Exception) -> None:
        self._settle()
        self._fail(error)
        raise error

    def _fail(self, error: Exception) -> None:
        self.error = error
        self.failed.emit(error)


def loader_for(session: Session) -> SeriesLoader:
    """Return the loader of a session, made on first use."""
    found = session.attachments.get("loader")
    if found is None:
        found = session.attachments["loader"] = SeriesLoader(session)
    return found


def _load(token: int, path: Path, overrides: dict[str, Any]) -> tuple[int, Any, Exception | None]:
    from napari_phaset3m.io.series import load_series

    try:
        return token, load_series(path, **overrides), None
    except (PhaseT3MError, OSError, MemoryError) as error:
        return token, None, error


def _save(series: TiltFocalSeries, path: Path) -> tuple[Path, Exception | None]:
    from napari_phaset3m.io.series import save_series

    try:
        save_series(series, path)
    except (PhaseT3MError, OSError, MemoryError) as error:
        return path, error
    return path, None


def suffix_of(chosen_filter: str) -> str:
    """The suffix that a chosen entry of :data:`SAVE_FILTER` stands for."""
    return ".toml" if "*.toml" in chosen_filter else ".h5"


def line_without_folder(error: Exception) -> str:
    """Write the error as one line; the folder is left out (the panel shows the path)."""
    text = " ".join(str(error).split()) or type(error).__name__
    path = getattr(error, "path", None)
    return text.replace(str(path), Path(path).name, 1) if path else text


def missing_field(error: Exception | None) -> str | None:
    """Key of the field that a file lacks, if that is what the error says."""
    if isinstance(error, DataError) and error.field and "is not in the file" in error.problem:
        return error.field
    return None


def unusable_field(error: Exception | None) -> str | None:
    """Key of a field whose value cannot be taken from a file and may be given in its place."""
    if not isinstance(error, DataError):
        return None
    flags = {flag: key for key, flag, _ in FIELDS.values()} | {OPTIONS[AXIS.name]: AXIS.key}
    asked = re.search(r"=\.\.\. in Python or (--[a-z-]+)", error.remedy or "")
    return flags.get(asked[1]) if asked else None


def told(error: Exception) -> str:
    """File and problem of an error about a file, without what to do."""
    if not isinstance(error, DataError):
        return line_without_folder(error)
    return f"{Path(error.path).name}: {error.problem}" if error.path else error.problem


def has_no_level(error: Exception | None) -> bool:
    """Whether an error says that images have no bright background, as those of STEM."""
    return isinstance(error, DataError) and "cannot be scaled to 1" in error.problem


def _settings() -> QSettings:
    return QSettings(QSettings.Format.IniFormat, QSettings.Scope.UserScope, "napari-phaset3m", "gui")


def recent() -> list[str]:
    """Files opened or saved last that still exist, newest first."""
    value = _settings().value("recent", []) or []
    paths = [value] if isinstance(value, str) else list(value)
    return [path for path in paths if Path(path).exists()]


def suit_dark_field(session: Session) -> None:
    """Images of STEM have no phase to retrieve: a linear method is chosen for them."""
    config, series = session.config, session.series
    stem = series is not None and series.is_dark_field
    if stem and not METHODS[config.method].linear:
        session.config = config.model_copy(update={"method": "sirt"})
        session.message = "Dark field: method SIRT was chosen, as there is no phase to retrieve"


def remember(path: Path | None) -> None:
    """Put a file on top of the recent ones."""
    if path is None:
        return
    full = str(path.resolve())
    _settings().setValue("recent", [full, *(p for p in recent() if p != full)][:RECENT_MAX])


def user_settings() -> QSettings:
    """Where what was used last is remembered."""
    return _settings()
