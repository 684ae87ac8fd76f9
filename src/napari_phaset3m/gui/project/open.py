"""Puts a project into a session and its viewer, in place of what is there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_phaset3m.gui.layers.publisher import LayerPublisher
from napari_phaset3m.gui.project.layers import LayersAsTheyWere
from napari_phaset3m.gui.project.view import restore_panels
from napari_phaset3m.gui.reconstruct.driver import driver_for

if TYPE_CHECKING:
    from napari_phaset3m.project import Loaded
    from napari_phaset3m.session import Session

_LAYERS = "project layers"


def fill_session(session: Session, publisher: LayerPublisher, loaded: Loaded | None) -> list[str]:
    """Show a project (None: nothing); returns a line for each thing that could not be brought back."""
    _empty(session, publisher)
    viewer = publisher.viewer
    if loaded is None or viewer is None:
        return []
    project: Any = loaded.project
    session.config, session.device, session.live = project.config, project.device, project.live
    if loaded.series is not None:
        session.series_read, session.series_path = loaded.read, loaded.path
        session.series_overrides = dict(project.series.overrides)
        if loaded.path is not None and project.series.inside and project.series.name:
            session.series_title = loaded.path, project.series.name
        session.series = loaded.series
        session.series_mark = project.series.mark or session.series_mark
        session.shown_image = project.series.shown_image
    for record in loaded.runs:
        session.add_run(record)
    session.analysis_mask = loaded.analysis_mask
    if loaded.mask is not None:
        session.mask = loaded.mask.mask
        # after the mask: whoever hears of a new one names it himself
        session.mask_name, session.mask_recipe = loaded.mask.name, loaded.mask.recipe
    shown = {entry.key for entry in project.layers}
    driver = driver_for(session, viewer)
    for record in loaded.runs:
        if record.run_id in shown:
            driver.show(record)
    refused = restore_panels(session, viewer, project.panels)
    session.attachments[_LAYERS] = LayersAsTheyWere(publisher, project.layers, loaded.layer_data)
    return refused


def _empty(session: Session, publisher: LayerPublisher) -> None:
    viewer = publisher.viewer
    session.attachments.pop(_LAYERS, None)
    session.attachments.pop("mask files", None)
    mask, analyse = (session.attachments.get(key) for key in ("mask work", "analyse work"))
    if mask is not None:
        mask.set_steps(())
        mask.set_source(None)
    if analyse is not None:
        analyse.close()
        analyse.outcomes.clear()
        analyse.choose(source=None, halves=None, cell=None, line=None)
    session.mask = session.analysis_mask = session.frame = session.progress = None
    for record in list(session.runs):
        session.remove_run(record.run_id)
    session.series_read = session.series_path = session.series = None
    session.series_overrides, session.message = {}, ""
    if viewer is not None:
        viewer.layers.clear()
