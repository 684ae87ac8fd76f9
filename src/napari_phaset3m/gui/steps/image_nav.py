"""The tilt and focus sliders of the steps that work on images; all panels look at the same image."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_phaset3m.core.series import TiltFocalSeries
from napari_phaset3m.gui.layers.images import IMAGES, show_changed_images, show_image
from napari_phaset3m.gui.layers.publisher import LayerPublisher
from napari_phaset3m.gui.series.view import SeriesView, same_images
from napari_phaset3m.gui.widgets.binding import follow

if TYPE_CHECKING:
    from napari_phaset3m.session import Session


class ImageNav(SeriesView):
    """Sliders bound to :attr:`Session.shown_image`; draws that image while it is on screen.

    Parameters
    ----------
    session : Session
    publisher : LayerPublisher
    draws : bool
        False: another picture of the image takes its place on the canvas.
    covered_by : str
        Key of a layer that may cover the image for a while.
    """

    def __init__(
        self, session: Session, publisher: LayerPublisher, *, draws: bool = True, covered_by: str = ""
    ) -> None:
        super().__init__()
        self._draws, self._covered_by = draws, covered_by
        self._session, self._publisher = session, publisher
        self._drawn: TiltFocalSeries | None = None
        self.moved.connect(self._on_user)
        self.show_requested.connect(self._on_show)
        follow(session.events.series, self._on_session)
        follow(session.events.shown_image, self._on_place)
        follow(publisher.visibility_changed, self._on_canvas)
        self._on_session()

    def _on_user(self, tilt: int, focus: int) -> None:
        self._session.shown_image = (tilt, focus)
        self.draw()

    def _on_place(self, place: tuple[int, int]) -> None:
        if self._session.series is not None and place != self.position():
            self.place(*place)
            self.draw()

    def _on_session(self) -> None:
        series = self._session.series
        self.set_series(series, keep=True)
        if series is None:
            self._drawn = None
            return
        tilt, focus = self._session.shown_image
        self.place(min(tilt, series.n_tilt - 1), min(focus, series.n_focus - 1))
        self.draw()

    def draw(self) -> None:
        """Put the image on the canvas."""
        series = self._session.series
        if series is None or not self._draws:
            return
        args = (self._publisher, series, *self.position(), self._session.series_name)
        if self._drawn is not None and not same_images(self._drawn, series):
            show_changed_images(*args)
        else:
            show_image(*args)
        self._drawn = series
        self._on_canvas()

    def _on_show(self) -> None:
        self.draw()
        self._publisher.bring_forward(IMAGES)
        self._on_canvas()

    def _on_canvas(self, *_: object) -> None:
        """Offer to bring the images back when they cannot be seen."""
        hidden = self._session.series is not None and self._publisher.hidden(IMAGES)
        covered = bool(self._covered_by) and self._publisher.layer(self._covered_by) is not None
        self.forward.setVisible(hidden and self._draws and not covered)
