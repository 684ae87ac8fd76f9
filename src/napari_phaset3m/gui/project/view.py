"""What a project keeps of canvas and panels, in JSON types, and how they get it back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.compat import isalive

from napari_phaset3m.errors import ConfigError
from napari_phaset3m.gui.error_words import one_line
from napari_phaset3m.io.provenance import jsonable

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from napari_phaset3m.session import Session

_CAMERA = ("center", "zoom", "angles", "perspective")
_GRID = ("enabled", "stride", "shape")


def capture_view(viewer: ViewerModel | None, session: Session) -> dict[str, Any]:
    """Camera, dimensions, grid, and what workspace and views show."""
    if viewer is None:
        return {}
    camera, dims, grid = viewer.scene.camera, viewer.dims, viewer.canvas.grid
    told: dict[str, Any] = {
        "camera": {name: getattr(camera, name) for name in _CAMERA},
        "dims": {"ndisplay": dims.ndisplay, "order": dims.order, "point": dims.point},
        "grid": {name: getattr(grid, name) for name in _GRID},
    }
    workspace, views = (_living(session, key) for key in ("workspace", "views"))
    if workspace is not None:
        told["step"] = workspace.step
    if views is not None:
        told["views"] = {"tab": views.tabs.tabText(views.tabs.currentIndex()), "folded": views.collapsed}
    return dict(jsonable(told))


def restore_view(viewer: ViewerModel, session: Session, told: Mapping[str, Any]) -> None:
    """Bring back what :func:`capture_view` told; what does not fit any more is passed over."""
    dims, camera = told.get("dims", {}), told.get("camera", {})
    if dims:
        viewer.dims.ndisplay = dims["ndisplay"]
        if len(dims["order"]) == viewer.dims.ndim:
            viewer.dims.order = tuple(dims["order"])
            viewer.dims.point = tuple(dims["point"])
    for name in _GRID:
        if name in told.get("grid", {}):
            value = told["grid"][name]
            setattr(viewer.canvas.grid, name, tuple(value) if isinstance(value, list) else value)
    for name in _CAMERA:
        if name in camera:
            value = camera[name]
            setattr(viewer.scene.camera, name, tuple(value) if isinstance(value, list) else value)
    views = _living(session, "views")
    if views is not None and "views" in told:
        titles = [views.tabs.tabText(index) for index in range(views.tabs.count())]
        if told["views"]["tab"] in titles:
            views.tabs.setCurrentIndex(titles.index(told["views"]["tab"]))
        views.collapse(bool(told["views"]["folded"]))


def _living(session: Session, key: str) -> Any:
    kept = session.attachments.get(key)
    found = kept() if kept is not None else None
    return found if found is not None and isalive(found) else None


# panels


def capture_panels(session: Session) -> dict[str, Any]:
    """Settings of the panels that were used."""
    told = {}
    for key, (capture, _) in _PANELS.items():
        work = session.attachments.get(key)
        if work is not None:
            told[key] = jsonable(capture(work))
    return told


def restore_panels(session: Session, viewer: ViewerModel, told: Mapping[str, Any]) -> list[str]:
    """Give settings back; returns a line for each panel that cannot take its own."""
    refused = []
    for key, (_, restore) in _PANELS.items():
        if key not in told:
            continue
        try:
            restore(session, viewer, told[key])
        except (ConfigError, KeyError, TypeError, ValueError) as error:
            refused.append(f"Settings of {key.removesuffix(' work')}: {one_line(error)}")
    return refused


def _prepare(work: Any) -> Any:
    return {"steps": work.configs, "chosen": sorted(work.chosen)}


def _to_prepare(session: Session, viewer: ViewerModel, told: Any) -> None:
    from napari_phaset3m.gui.prepare.work import prepare_work_for

    work = prepare_work_for(session, viewer)
    for name, values in told["steps"].items():
        if name in work.configs:
            work.set_config(name, type(work.configs[name]).parse(**values))
    for name in work.configs:
        work.choose(name, name in told["chosen"])


def _to_align(session: Session, viewer: ViewerModel, told: Any) -> None:
    from napari_phaset3m.gui.align.work import align_work_for

    work = align_work_for(session, viewer)
    work.config = type(work.config).parse(**told)
    work.changed.emit()


def _to_ctf(session: Session, viewer: ViewerModel, told: Any) -> None:
    from napari_phaset3m.gui.microscope.ctf_work import ctf_work_for

    work = ctf_work_for(session, viewer)
    work.config = type(work.config).parse(**told)
    work.changed.emit()


def _optimise(work: Any) -> Any:
    plan = work.plan
    return {"config": plan.config, "names": plan.names, "limits": plan.limits, "auto": plan.auto}


def _to_optimise(session: Session, viewer: ViewerModel, told: Any) -> None:
    from napari_phaset3m.gui.optimise.work import optimise_work_for

    work = optimise_work_for(session, viewer)
    limits = {name: (low, high) for name, (low, high) in told["limits"].items()}
    config = type(work.plan.config).parse(**told["config"])
    work.set_plan(config=config, names=tuple(told["names"]), limits=limits, auto=told["auto"])


def _mask(work: Any) -> Any:
    source = work.source
    place = None if source is None or source.path is None else str(source.path)
    return {"source": None if source is None else source.key, "file": place, "steps": work.steps}


def _to_mask(session: Session, viewer: ViewerModel, told: Any) -> None:
    from napari_phaset3m.gui.mask.work import work_for

    work = work_for(session, viewer)
    work.set_steps(told["steps"])
    source = _source(session, viewer, told)
    if source is not None:
        work.set_source(source)


def _source(session: Session, viewer: ViewerModel, told: Any) -> Any:
    from napari_phaset3m.gui.mask.sources import add_file, sources
    from napari_phaset3m.io.volume import load_volume

    if told.get("file") and Path(told["file"]).exists():
        add_file(session, load_volume(told["file"]), Path(told["file"]))
    return next((found for found in sources(session, viewer) if found.key == told["source"]), None)


def _analyse(work: Any) -> Any:
    from napari_phaset3m.gui.analyse.inputs import cell_text

    inputs = work.inputs
    cubic = inputs.cell is None or inputs.cell.is_cubic
    return {
        "source": None if inputs.source is None else inputs.source.key, "use_mask": work.use_mask,
        "use_series": work.own.wanted, "cell": cell_text(inputs.cell) if cubic else None,
        "species": inputs.species, "slice_angstrom": inputs.slice_angstrom, "line": inputs.line,
    }  # fmt: skip


def _to_analyse(session: Session, viewer: ViewerModel, told: Any) -> None:
    from napari_phaset3m.gui.analyse.inputs import parse_cell
    from napari_phaset3m.gui.analyse.work import work_of

    work = work_of(session, viewer)
    work.use_mask, work.own.wanted = told["use_mask"], told["use_series"]
    line: Any = None if told["line"] is None else tuple(tuple(end) for end in told["line"])
    work.inputs = replace(
        work.inputs, slice_angstrom=told["slice_angstrom"], species=told["species"], line=line
    )
    source = _source(session, viewer, told)
    cell = {} if told["cell"] is None else {"cell": parse_cell(told["cell"])}
    work.choose(**cell, **({} if source is None else {"source": source}))


def _config(work: Any) -> Any:
    return work.config


#: Attachment of the session: what is told of it, and what takes it back.
_PANELS: dict[str, tuple[Callable[[Any], Any], Callable[[Any, Any, Any], None]]] = {
    "prepare work": (_prepare, _to_prepare),
    "align work": (_config, _to_align),
    "ctf work": (_config, _to_ctf),
    "optimise work": (_optimise, _to_optimise),
    "mask work": (_mask, _to_mask),
    "analyse work": (_analyse, _to_analyse),
}
