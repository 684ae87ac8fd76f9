"""Offers another preset where dose and pixels say that the default one was made for something else."""

from __future__ import annotations

from functools import partial

from napari_phaset3m.gui.widgets.binding import follow
from napari_phaset3m.gui.widgets.notes import Notes
from napari_phaset3m.gui.widgets.numbers import show, show_number
from napari_phaset3m.presets import DEFAULT, PRESETS, preset_config, preset_of, suited_preset
from napari_phaset3m.session import Session


class PresetOffer(Notes):
    """One line with a button, once for each series; settings are changed by the button only.

    Parameters
    ----------
    session : Session
    """

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session
        self._told = -1
        for name in ("series", "config"):
            follow(session.events[name], self.refresh)
        self.refresh()

    def refresh(self) -> None:
        """Offer, or take the offer back where it is settled."""
        session, series = self._session, self._session.series
        generation = session.history.generation
        name = None if series is None else suited_preset(series)
        wanted = name is not None and preset_of(session.config) == DEFAULT
        if not wanted or generation != self._told:
            self.clear()
        if wanted and generation != self._told:
            self._told = generation
            self._offer(str(name))

    def _offer(self, name: str) -> None:
        series = self._session.series
        assert series is not None and series.dose_per_image is not None
        dose = show_number(float(series.dose_per_image[series.used].mean()), 3)
        text = (
            f"{dose} e/Å² in an image and pixels of {show(series.pixel_size_angstrom, 'Å', 3)} Å: the preset "
            f"“{PRESETS[name].label}” suits this series better."
        )
        self.add(text, "warning", [("Use it", partial(self._take, name))])

    def _take(self, name: str) -> None:
        self._session.config = preset_config(name, self._session.config)
