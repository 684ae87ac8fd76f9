"""The guided first run: one sentence for each step, and "Do it for me" with the sample series.

A slim strip in the workspace, begun by the link in the empty Series panel or the command *Take the PhaseT3M
tour* (palette, File ▸ IO Utilities), and closed with one click. A user's first workspace offers it, once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal
from weakref import ref

import napari
from qtpy.compat import isalive
from qtpy.QtWidgets import QFrame, QHBoxLayout, QPushButton, QToolButton, QVBoxLayout

from napari_phaset3m.gui.series.loader import loader_for, user_settings
from napari_phaset3m.gui.theme import LINE_SPACING, label, rule, set_role
from napari_phaset3m.gui.widgets.binding import follow
from napari_phaset3m.session import session_for

if TYPE_CHECKING:
    from napari_phaset3m.gui.workspace import Workspace

_KEY = "tour"
_OFFERED = "tour offered"
#: Place in the workspace: after the project, the guide and the line below each.
_BELOW_GUIDE = 4
StopName = Literal["Series", "Prepare", "Align", "Microscope", "Reconstruct", "Mask", "Analyse"]


@dataclass(frozen=True)
class Stop:
    """One step of the tour.

    Attributes
    ----------
    step : str
        Of the workspace.
    text : str
        One sentence on what it is for.
    action : str
        What "Do it for me" does, for its tooltip; empty: there is nothing to do with the sample.
    """

    step: StopName
    text: str
    action: str = ""


STOPS = (
    Stop("Series", "Open images at many tilts and check what the file says of the microscope.",
         "Open the Co₃O₄ sample series"),
    Stop("Prepare", "Remove outliers, bin, crop, normalise; the sample is clean, so go on."),
    Stop("Align", "Bring all tilts onto one rotation centre and check it by eye; the sample is aligned."),
    Stop("Microscope", "Find defocus, Cs and astigmatism; those of the sample are known."),
    Stop("Reconstruct", "Start, and watch the volume and its Fourier transform grow; Finish now keeps it.",
         "Reconstruct the sample (about half a minute)"),
    Stop("Mask", "Cut the particle out; every step of the recipe can be changed, and painted on.",
         "Make the automatic mask and use it for analysis"),
    Stop("Analyse", "Resolution, Bragg peaks and atoms of the volume, and a report of one page.",
         "Compute all analyses"),
)  # fmt: skip


class Tour(QFrame):
    """The strip; belongs to one workspace.

    Parameters
    ----------
    workspace : Workspace
    """

    def __init__(self, workspace: Workspace) -> None:
        super().__init__(workspace)
        self._workspace = ref(workspace)
        self._session = session_for(workspace._viewer)
        self.place = 0
        self.title, self.text = label("", "title"), label("", wrap=True)
        self.do, self.next, self.close_ = QPushButton("Do it for me"), QPushButton("Next"), QToolButton()
        self.close_.setText("✕")
        self.close_.setToolTip("End the tour; File ▸ IO Utilities begins it again")
        self.close_.setAccessibleName("End the tour")
        head, foot, layout = QHBoxLayout(), QHBoxLayout(), QVBoxLayout(self)
        head.addWidget(self.title, 1)
        head.addWidget(self.close_)
        foot.addWidget(self.do, 1)
        foot.addWidget(self.next, 1)
        layout.setContentsMargins(8, 4, 8, 6)
        layout.setSpacing(LINE_SPACING)
        layout.addLayout(head)
        layout.addWidget(self.text)
        layout.addLayout(foot)
        layout.addWidget(rule())
        self.do.clicked.connect(self._on_do)
        self.next.clicked.connect(self._on_next)
        self.close_.clicked.connect(self.end)
        for name in ("series", "active_run", "mask", "analysis_mask"):
            follow(self._session.events[name], self._refresh)
        follow(self._session.run_changed, self._refresh)
        loader_for(self._session).busy_changed.connect(self._refresh)
        self.hide()

    def begin(self) -> None:
        """Show the first step, or the one after the series when one is open."""
        self.show()
        self._go(0)

    def end(self) -> None:
        """Close."""
        self.hide()

    def _go(self, place: int) -> None:
        self.place = place
        workspace = self._workspace()
        if workspace is not None and not self._why_not():
            workspace.show_step(STOPS[place].step)
        self._refresh()

    def _on_next(self) -> None:
        if self.place + 1 == len(STOPS):
            self.end()
        else:
            self._go(self.place + 1)

    def _why_not(self) -> str:
        """Why the step cannot be shown yet; empty when it can."""
        stop = STOPS[self.place]
        if stop.step != "Series" and self._session.series is None:
            return "Open a series first: step back to Series, or begin the tour again"
        if stop.step in ("Mask", "Analyse") and not any(r.status == "finished" for r in self._session.runs):
            return "Wait until the reconstruction is there"
        return ""

    def _why_not_do(self) -> str:
        stop = STOPS[self.place]
        if not stop.action:
            return "Nothing to do with the sample: go on"
        if self._session.active_run is not None:
            return "The reconstruction is running"
        if loader_for(self._session).busy:
            return "The series is being read"
        if stop.step == "Series" and self._session.series is not None:
            return "A series is open"
        return self._why_not()

    def _refresh(self, *_: object) -> None:
        if self.isHidden():
            return
        stop, last = STOPS[self.place], self.place + 1 == len(STOPS)
        self.title.setText(f"Tour, {self.place + 1} of {len(STOPS)}: {stop.step}")
        set_role(self.text, "muted")
        self.text.setText(stop.text)
        why = self._why_not_do()
        self.do.setEnabled(not why)
        self.do.setToolTip(why or stop.action)
        self.next.setText("End" if last else "Next")
        blocked = "" if last else self._blocked_next()
        self.next.setEnabled(not blocked)
        onward = "End the tour" if last else f"Go on to {STOPS[self.place + 1].step}"
        self.next.setToolTip(blocked or onward)

    def _blocked_next(self) -> str:
        here, self.place = self.place, self.place + 1
        why = self._why_not()
        self.place = here
        return why

    # what is done

    def _on_do(self) -> None:
        workspace = self._workspace()
        if workspace is None or self._why_not_do():
            return
        stop = STOPS[self.place]
        workspace.show_step(stop.step)
        done: dict[str, Callable[[Any], None]] = {
            "Series": self._open_sample, "Reconstruct": _reconstruct, "Mask": _mask, "Analyse": _analyse,
        }  # fmt: skip
        done[stop.step](workspace.panel(stop.step))
        self._refresh()

    def _open_sample(self, panel: Any) -> None:
        from napari_phaset3m.sample import sample_path

        panel.file.open_path(sample_path())


def _reconstruct(dock: Any) -> None:
    dock.panel.start.click()


def _mask(panel: Any) -> None:
    panel.make_automatic(analyse=True)


def _analyse(panel: Any) -> None:
    panel.ui.all.click()


def add_tour(workspace: Workspace) -> Tour:
    """Put the tour below the guide of a workspace, out of sight until it is begun."""
    tour = Tour(workspace)
    workspace.layout().insertWidget(_BELOW_GUIDE, tour)
    workspace._session.attachments[_KEY] = ref(tour)
    return tour


def offer_tour(workspace: Workspace) -> None:
    """Offer the tour in the first workspace that this user opens."""
    if not isalive(workspace) or tour_was_offered():
        return
    note_tour_offered()
    workspace.bar.notes.add(
        "First time here? A tour shows the seven steps, with sample data.",
        "muted",
        (("Take the tour", workspace.tour.begin), ("Not now", _nothing)),
    )


def _nothing() -> None:
    """Only the note goes; the empty Series panel and File ▸ IO Utilities still have the tour."""


def tour_was_offered() -> bool:
    """Whether it was, on this computer."""
    return bool(user_settings().contains(_OFFERED))


def note_tour_offered() -> None:
    """Do not offer it again."""
    user_settings().setValue(_OFFERED, 1)


def tour_of(session: Any) -> Tour | None:
    """The tour of a session's workspace, unless there is none."""
    kept = session.attachments.get(_KEY)
    tour = kept() if kept is not None else None
    return tour if tour is not None and isalive(tour) else None


def tour_command(viewer: napari.Viewer) -> None:
    """Open the workspace and begin the tour (a command of napari)."""
    from napari_phaset3m.gui.launch import add_workspace

    viewer = getattr(viewer, "__wrapped__", viewer)  # napari hands proxies to commands
    session = session_for(viewer)
    if tour_of(session) is None:
        add_workspace(viewer)
    tour = tour_of(session)
    if tour is not None:
        tour.begin()
