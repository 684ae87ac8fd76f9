"""Colours and small style rules, taken from napari's theme of the moment."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from textwrap import wrap
from typing import TYPE_CHECKING, Any, ClassVar
from weakref import finalize, ref

from psygnal import Signal
from qtpy.compat import isalive
from qtpy.QtCore import Qt
from qtpy.QtGui import QFontMetrics
from qtpy.QtWidgets import QFrame, QLabel, QSizePolicy, QWidget

from napari_phaset3m.gui.widgets.binding import follow

if TYPE_CHECKING:
    from napari.components import ViewerModel

#: Narrowest and widest that a panel may be, px.
PANEL_MIN_WIDTH = 300
PANEL_MAX_WIDTH = 360
#: Space between groups and between lines of a group, px.
GROUP_SPACING = 10
LINE_SPACING = 4

#: By how much a text may be drawn wider than its metrics say, px.
_LETTER_OVERHANG = 4

#: Meaning to colour, for dark and for light backgrounds; all reach a contrast of 4.5.
_ACCENTS = {
    "dark": {"error": "#ff8a80", "warning": "#ffc46b", "good": "#86d39a"},
    "light": {"error": "#a81d12", "warning": "#855000", "good": "#17692f"},
}


#: Colours of curves that go together, told apart by colour-blind readers too (Okabe and Ito 2008).
_CURVES = {
    "dark": ("#56b4e9", "#e69f00", "#2fc59b", "#e69ac4", "#f0e442"),
    "light": ("#0072b2", "#b84d00", "#00755a", "#a34f7f", "#6e6000"),
}
_FAINT = {"dark": "#8b9099", "light": "#76716f"}


def is_dark(theme_name: str) -> bool:
    """Whether a napari theme has a dark background."""
    from napari.utils.theme import get_theme

    red, green, blue = get_theme(theme_name).background.as_rgb_tuple()[:3]
    return bool(0.299 * red + 0.587 * green + 0.114 * blue < 128)


def accents(theme_name: str) -> dict[str, str]:
    """Colours of ``error``, ``warning`` and ``good`` for a napari theme."""
    return _ACCENTS["dark" if is_dark(theme_name) else "light"]


def curve_colours(tone: str) -> tuple[str, ...]:
    """Colours of things that go together, for a ``"dark"`` or ``"light"`` background."""
    return _CURVES[tone]


def style_sheet(theme_name: str) -> str:
    """Rules for widgets that carry a ``role`` property, see :func:`set_role`."""
    from napari.utils.theme import get_theme

    theme = get_theme(theme_name)
    colours = accents(theme_name)
    muted = theme.text.as_hex() if not is_dark(theme_name) else "#b4b8bf"
    accent = theme.current.as_hex()
    line, raised, fill = theme.foreground.as_hex(), theme.highlight.as_hex(), theme.primary.as_hex()
    return f"""
    QLabel[role="title"] {{ font-weight: 600; }}
    QLabel[role="muted"] {{ color: {muted}; }}
    QLabel[role="error"] {{ color: {colours["error"]}; }}
    QLabel[role="warning"] {{ color: {colours["warning"]}; }}
    QLabel[role="good"] {{ color: {colours["good"]}; }}
    QLineEdit[state="missing"] {{ border: 1px solid {colours["warning"]}; }}
    QLineEdit[state="wrong"] {{ border: 1px solid {colours["error"]}; }}
    QFrame[role="rule"] {{ background: {line}; max-height: 1px; min-height: 1px; border: none; }}
    QPushButton[role="step"] {{ text-align: left; padding: 5px 3px; border-radius: 4px; }}
    QPushButton[role="step"]:checked {{ background: {raised}; }}
    QPushButton[place="next"] {{ border: 1px solid {accent}; padding: 4px 2px; }}
    QToolButton[role="button"] {{ background: {fill}; border-radius: 2px; padding: 3px 18px 3px 6px; }}
    QToolButton[role="toggle"] {{ padding: 5px 8px; border-radius: 4px; }}
    QToolButton[role="toggle"]:checked {{ background: {line}; }}
    QToolButton[role="fold"] {{ background: {line}; border-radius: 2px; padding: 4px 6px; }}
    QToolButton[role="fold"]:hover {{ background: {raised}; }}
    QToolButton[role="button"]:hover {{ background: {raised}; }}
    QToolButton[role="button"]:disabled {{ background: transparent; }}
    QHeaderView::section {{ padding: 2px 3px; }}
    QTableView {{ gridline-color: transparent; }}
    QTableView::item {{ background: transparent; padding: 0 4px; }}
    QTableView::item:selected {{ background: {raised}; }}
    """


def set_role(widget: QWidget, role: str, value: str | None = None) -> None:
    """Give a widget a style role (or set the property ``role`` to ``value``) and repaint it."""
    name, text = ("role", role) if value is None else (role, value)
    if widget.property(name) == text:
        return
    widget.setProperty(name, text)
    widget.style().unpolish(widget)
    widget.style().polish(widget)


class _Present:
    """The theme chosen last: in the settings, or in a window by napari's shortcut, which leaves them."""

    changed: ClassVar[Signal] = Signal()

    def __init__(self) -> None:
        self.name = ""

    def note(self, name: str) -> None:
        """A window, or the settings, have this theme now."""
        if name != self.name:
            self.name = name
            self.changed.emit()

    def watch_settings(self) -> None:
        """Hear of choices in the settings, once."""
        from napari.settings import get_settings

        settings = get_settings().appearance
        if not self.name:
            self.name = str(settings.theme)
        settings.events.theme.connect(self._on_settings)  # the same slot is kept once

    def _on_settings(self, event: Any) -> None:
        self.note(str(event.value))


_PRESENT = _Present()


def follow_theme(widget: QWidget, viewer: ViewerModel) -> None:
    """Keep the style of a panel in step with the viewer's theme."""
    # Both weakly: what waits for a widget's end must not keep its viewer, and with it the widget, alive.
    target, owner = ref(widget), ref(viewer)

    def apply(event: object = None) -> None:
        found, shown = target(), owner()
        if found is not None and shown is not None and isalive(found):
            found.setStyleSheet(style_sheet(shown.theme))
            _PRESENT.note(shown.theme)

    def release() -> None:
        if (shown := owner()) is not None:
            with suppress(ValueError):
                shown.events.theme.disconnect(apply)

    apply()
    viewer.events.theme.connect(apply)
    # Not by Qt's "destroyed": it may call into a function that is being collected with its object.
    finalize(widget, release).atexit = False


@dataclass(frozen=True)
class Colours:
    """The theme's colours as ``#rrggbb``."""

    background: str
    foreground: str
    text: str
    accent: str
    warning: str
    error: str
    #: Of lines and letters that stand back.
    faint: str
    #: Of curves that go together.
    curves: tuple[str, ...]
    #: Of points and letters that warn, readable on the background.
    alarm: str

    def on_accent(self) -> str:
        """Black or white, whichever reads better on the accent colour."""
        red, green, blue = (int(self.accent[i : i + 2], 16) for i in (1, 3, 5))
        return "#000000" if 0.299 * red + 0.587 * green + 0.114 * blue > 140 else "#ffffff"


def theme_colours() -> Colours:
    """Colours of napari's present theme."""
    from napari.utils.theme import get_theme

    _PRESENT.watch_settings()
    chosen = _PRESENT.name
    theme, tone = get_theme(chosen), "dark" if is_dark(chosen) else "light"
    names = {"background": "background", "foreground": "foreground", "text": "text", "accent": "current"}
    names |= {"warning": "warning", "error": "error"}
    taken = {ours: getattr(theme, theirs).as_hex(format="long") for ours, theirs in names.items()}
    return Colours(**taken, faint=_FAINT[tone], curves=_CURVES[tone], alarm=_ACCENTS[tone]["error"])


def on_theme_change(slot: Callable[..., None]) -> None:
    """Call a widget's method when the user changes napari's theme."""
    _PRESENT.watch_settings()
    follow(_PRESENT.changed, slot)


def label(text: str = "", role: str = "", *, wrap: bool = False) -> QLabel:
    """Make a label with a style role; plain text, so that file names cannot be read as HTML."""
    made = QLabel(text)
    made.setTextFormat(Qt.TextFormat.PlainText)
    made.setWordWrap(wrap)
    if role:
        set_role(made, role)
    return made


def wrapped(text: str, width: int = 64) -> str:
    """A tooltip's text in lines that are not wider than a person reads; its own lines are kept."""
    return "\n".join(line for part in text.splitlines() for line in wrap(part, width) or [""])


def rule() -> QFrame:
    """Make a hairline between groups."""
    line = QFrame()
    set_role(line, "rule")
    return line


class ElidedLabel(QLabel):
    """A one-line label that shortens its text in the middle and shows all of it as a tooltip."""

    def __init__(self, text: str = "") -> None:
        super().__init__()
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self._full = text
        self.set_full_text(text)

    def set_full_text(self, text: str, tooltip: str | None = None) -> None:
        """Show ``text`` as far as it fits."""
        self._full = text
        self.setToolTip(text if tooltip is None else tooltip)
        self._elide()

    def full_text(self) -> str:
        """Return what would be shown if there were room."""
        return self._full

    def resizeEvent(self, event: Any) -> None:
        """Fit the text into the new width."""
        super().resizeEvent(event)
        self._elide()

    def _elide(self) -> None:
        metrics = QFontMetrics(self.font())
        room = max(10, self.width() - _LETTER_OVERHANG)
        self.setText(metrics.elidedText(self._full, Qt.TextElideMode.ElideMiddle, room))
