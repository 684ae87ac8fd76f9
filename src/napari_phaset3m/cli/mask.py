"""``phaset3m mask``: isolate the particle."""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from napari_phaset3m.cli import options, running
from napari_phaset3m.cli.mask_steps import load_recipe, numbers, parse_step
from napari_phaset3m.errors import ConfigError, DataError, OutputError

_STEPS = "Steps, in this order unless --step or --recipe say otherwise"
_OUT = "Output"
#: Name, type, unit or kind of the value, help.
_FLAGS: tuple[tuple[str, Any, str, str], ...] = (
    ("otsu", bool, "", "Above Otsu's threshold"),
    ("threshold", float, "VALUE", "Above this level, in the volume's unit"),
    ("lowpass", float, "Å", "Low-pass the volume before the threshold"),
    ("sphere", float, "Å", "Ball of this diameter; confines a threshold"),
    ("ellipsoid", str, "X,Y,Z", "Ellipsoid of these diameters, Å; confines a threshold"),
    ("box", str, "X,Y,Z", "Box of these edges, Å; confines a threshold"),
    ("center", str, "X,Y,Z", "Centre of the shape from the rotation centre, Å"),
    ("erode", float, "Å", "Shrink"),
    ("largest", int, "N", "Keep the N largest connected parts"),
    ("fill", bool, "", "Fill enclosed holes"),
    ("dilate", float, "Å", "Grow"),
    ("union", list[str], "FILE", "Add a mask (repeatable)"),
    ("intersect", list[str], "FILE", "Keep what is also in a mask (repeatable)"),
    ("subtract", list[str], "FILE", "Take a mask away (repeatable)"),
    ("invert", bool, "", "Inside becomes outside"),
    ("soft", float, "Å", "Cosine edge of this width, outside"),
)


def _flags() -> list[inspect.Parameter]:
    made = []
    for name, kind, metavar, text in _FLAGS:
        option = typer.Option(f"--{name}", help=text, rich_help_panel=_STEPS, metavar=metavar or None)
        default, annotation = (False, kind) if kind is bool else (None, Optional[kind])  # noqa: UP045
        made.append(
            inspect.Parameter(
                name,
                inspect.Parameter.KEYWORD_ONLY,
                default=default,
                annotation=Annotated[annotation, option],
            )
        )
    return made


def _mask(
    volume: Annotated[Path, typer.Argument(help="Volume: .mrc, .tif, .h5, .ome.zarr")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Mask: .mrc, .tif, .h5, .ome.zarr")] = Path(
        "mask.mrc"
    ),
    recipe: Annotated[
        Path | None, typer.Option(help="Steps from a recipe (.yaml, .json) or from an earlier mask")
    ] = None,
    step: Annotated[
        list[str] | None,
        typer.Option(
            help="One step, in the order given (repeatable): 'otsu lowpass=5', 'dilate 3', "
            "'sphere 40 center=0,0,5 how=intersection', 'union M.mrc'"
        ),
    ] = None,
    crop: Annotated[
        Path | None,
        typer.Option(help="Also write the volume times the mask, cut to it", rich_help_panel=_OUT),
    ] = None,
    margin: Annotated[float, typer.Option(help="Margin around the crop, Å", min=0, rich_help_panel=_OUT)] = 0,
    keep_outside: Annotated[
        bool, typer.Option("--keep-outside", help="Crop without multiplying", rich_help_panel=_OUT)
    ] = False,
    voxel: Annotated[float | None, typer.Option(help="Voxel, Å, in place of what the file states")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON")] = False,
    **given: Any,
) -> None:
    """Make a mask of a volume; writes it with its recipe, and tells its volume (nm³).

    Without steps: Otsu's threshold after a low-pass of 10 voxels, the largest part, filled,
    grown by 4 voxels, with a soft edge of 6.
    """
    job = {"crop": crop, "margin": margin, "keep_outside": keep_outside, "voxel": voxel}
    record = make(volume, output, _wanted(given, recipe, step or []), job)
    if as_json:
        print(json.dumps(record, indent=2))
    else:
        _tell(record, output)


#: The command with a flag for each common step.
mask = options.with_flags(_mask, _flags())


def _tell(record: dict[str, Any], output: Path) -> None:
    print(" → ".join(record["steps"]))
    levels = "".join(f", threshold {level:.4g}" for level in record["threshold_levels"])
    print(f"{output}: {record['volume_nm3']:.4g} nm³, {100 * record['fraction']:.3g} % of the volume{levels}")
    if "crop" in record:
        size = " x ".join(map(str, record["crop"]["shape_zyx"]))
        print(f"{record['crop']['path']}: {size} voxels (z, y, x)")


def _wanted(given: dict[str, Any], recipe: Path | None, step: list[str]) -> list[dict[str, Any]]:
    flags = _from_flags(given)
    if flags and (recipe or step):
        raise ConfigError(
            f"--{flags[0]['flag']}: has no place among the steps of --recipe and --step. "
            "Write it as a --step, where it shall act"
        )
    steps = [{key: value for key, value in item.items() if key != "flag"} for item in flags]
    return steps + (load_recipe(recipe) if recipe else []) + [parse_step(text) for text in step]


def _from_flags(given: dict[str, Any]) -> list[dict[str, Any]]:
    """The steps that the flags stand for, in the fixed order; each tells its flag."""
    steps: list[dict[str, Any]] = []

    def add(flag: str, kind: str, **fields: Any) -> None:
        steps.append({"flag": flag, "kind": kind, **fields})

    if given["otsu"] and given["threshold"] is not None:
        raise ConfigError("--threshold: cannot be given with --otsu, which finds the level itself")
    if given["otsu"] or given["threshold"] is not None:
        level = "otsu" if given["otsu"] else given["threshold"]
        name = "otsu" if given["otsu"] else "threshold"
        add(name, "threshold", value=level, lowpass_angstrom=given["lowpass"])
    elif given["lowpass"] is not None:
        raise ConfigError("--lowpass: smooths the volume before a threshold. Add --otsu or --threshold")
    _add_shapes(steps, given, add)
    for name in ("erode", "largest", "fill", "dilate"):
        field = {"erode": "distance_angstrom", "dilate": "distance_angstrom", "largest": "count"}.get(name)
        if given[name] is not None and given[name] is not False:
            add(name, name, **({field: given[name]} if field else {}))
    for how, flag in (("union", "union"), ("intersection", "intersect"), ("difference", "subtract")):
        for path in given[flag] or ():
            add(flag, "combine", path=path, how=how)
    if given["invert"]:
        add("invert", "invert")
    if given["soft"] is not None:
        add("soft", "soft", width_angstrom=given["soft"])
    return steps


def _add_shapes(steps: list[dict[str, Any]], given: dict[str, Any], add: Any) -> None:
    # Several shapes together, and a threshold inside them, is what several flags can mean.
    center = (0.0, 0.0, 0.0) if given["center"] is None else numbers(given["center"], "--center")
    shapes = [name for name in ("sphere", "ellipsoid", "box") if given[name] is not None]
    if len(shapes) > 1:
        raise ConfigError(f"--{shapes[1]}: only one shape can be given by flags. Use --step for more")
    if given["center"] is not None and not shapes:
        raise ConfigError("--center: is of a shape. Add --sphere, --ellipsoid or --box")
    how = "intersection" if steps else "union"
    if "sphere" in shapes:
        add("sphere", "sphere", diameter_angstrom=given["sphere"], center_angstrom=center, how=how)
    for name, field in (("ellipsoid", "diameters_angstrom"), ("box", "edges_angstrom")):
        if name in shapes:
            size = numbers(given[name], f"--{name}")
            add(name, name, **{field: size}, center_angstrom=center, how=how)


def make(path: Path, output: Path, steps: list[dict[str, Any]], job: dict[str, Any]) -> dict[str, Any]:
    """Make, write and describe a mask; ``job`` has crop, margin, keep_outside and voxel."""
    from napari_phaset3m.analyse.masks import Recipe, automatic
    from napari_phaset3m.analyse.masks_make import make_mask
    from napari_phaset3m.io.mask import save_mask
    from napari_phaset3m.io.volume import load_volume, require_cubic

    wanted = Recipe.parse(steps=tuple(steps)) if steps else None
    _check_outputs(path, output, job["crop"], steps)
    source = load_volume(path, voxel_size_angstrom=job["voxel"])
    if job["voxel"] is None:
        require_cubic(path)
    edge = source.voxel_size_angstrom
    wanted = wanted or automatic(edge)
    made = make_mask(wanted, source.data, edge, read=lambda name: _other(name, edge))
    told = made.as_dict()
    record = save_mask(
        output, made.mask, edge, origin=source.origin, recipe=wanted, source=path,
        **{k: v for k, v in told.items() if k != "recipe"},
    )  # fmt: skip
    if job["crop"]:
        record["crop"] = _crop(source, made.mask, (path, output), job)
    return record


def _check_outputs(path: Path, output: Path, crop: Path | None, steps: list[dict[str, Any]]) -> None:
    from napari_phaset3m.io.provenance import provenance_path
    from napari_phaset3m.io.volume import volume_format

    outputs: dict[str, Path | None] = {"the mask": output, "its .json": provenance_path(output)}
    if crop is not None:
        outputs |= {"the cropped volume": crop, "the .json of the crop": provenance_path(crop)}
    for target in (output, crop):
        if target is not None and volume_format(target) is None:
            raise OutputError(f"{target}: unknown suffix. Use .mrc, .tif, .h5 or .ome.zarr")
    files = [Path(step["path"]) for step in steps if "path" in step]
    inputs: dict[str, Path | None] = {f"mask {n}": file for n, file in enumerate(files, 1)}
    inputs |= {"the volume": path, "the record of the volume": provenance_path(path)}
    running.check_outputs(outputs, inputs)


def _other(name: str, edge: float) -> Any:
    from napari_phaset3m.io.mask import load_mask
    from napari_phaset3m.io.volume import SAME_BOX

    other = load_mask(name)
    if other.voxel_size_angstrom is not None and abs(other.voxel_size_angstrom / edge - 1) > SAME_BOX:
        raise DataError(
            f"has voxels of {other.voxel_size_angstrom:g} Å, but the volume has {edge:g} Å",
            path=name,
            field="mask",
            remedy="Use a mask made on the same volume",
        )
    return other.mask


def _crop(source: Any, weights: Any, files: tuple[Path, Path], job: dict[str, Any]) -> dict[str, Any]:
    from napari_phaset3m.io.mask import crop_to_mask
    from napari_phaset3m.io.provenance import provenance
    from napari_phaset3m.io.volume import save_volume

    cut = crop_to_mask(source, weights, job["margin"], keep_outside=job["keep_outside"])
    told = {"shape_zyx": list(cut.shape), "origin_angstrom_zyx": list(cut.origin)}
    told |= {"margin_angstrom": job["margin"], "multiplied": not job["keep_outside"]}
    save_volume(cut, job["crop"], provenance(files, None, None, kind="crop", **told))
    return {"path": str(job["crop"]), **told}
