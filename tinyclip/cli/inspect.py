"""`tinyclip inspect`: what a model is, and where it came from."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..model.store import Loaded
    from ..pipeline.run_dir import RunDir


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's options."""
    parser.add_argument(
        "model", help="a model directory, a run, an export, or a teacher source"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")


def describe(loaded: Loaded, folder: Path | None) -> dict[str, Any]:
    """The keys of design §3.4, counted on the weights that were loaded.

    Args:
        folder: the model directory, where there is one.
    """
    from ..cost import FLOAT_BYTES
    from ..files import read_json
    from .inspect_folder import counts, read_header

    found = counts(loaded.model.shape, loaded.config, 0)
    # in float32, where no file says otherwise
    size, dtype = FLOAT_BYTES * found["params"]["total"], "float32"
    if folder is not None:
        header = read_header(folder / "model.safetensors")
        size, dtype = header["bytes"], header["dtype"]
        certificate = folder / "certificate.json"
        if certificate.exists():
            found["certificate"] = read_json(certificate)
    return {**found, "bytes": size, "dtype": dtype}


def _folder(model: str) -> Path | None:
    """The model directory behind an argument, if it names one."""
    path = Path(model.removeprefix("run:"))
    for folder in (path, path / "model"):
        if (folder / "config.json").exists():
            return folder
    return None


def _run_dir(model: str) -> RunDir | None:
    """The run that the argument names, if it does."""
    from ..pipeline.run_dir import RunDir

    run = RunDir(Path(model.removeprefix("run:")))
    return run if run.is_run() else None


def _stages(run: RunDir) -> dict[str, Any]:
    """What is finished of a run."""
    from ..pipeline.summary import summary

    planned = len(run.recipe().stages)
    if run.read("plan.json") is None:  # it was stopped before its first stage
        return {"finished": False, "planned": planned, "stages": []}
    keys = ("stage", "model", "sizes", "share", "bytes")
    found = summary(run)
    rows = [{key: row[key] for key in keys} for row in found["students"]]
    return {"finished": found["finished"], "planned": planned, "stages": rows}


def find(model: str) -> dict[str, Any]:
    """All there is to know of a model, a run or an export.

    Raises:
        UserError: it cannot be read.
    """
    from ..formats.source import load_source
    from .inspect_folder import describe_folder

    run = _run_dir(model)
    if run is not None:
        progress = _stages(run)
        source, folder = str(run.model), run.model
        if not (run.model / "config.json").exists():
            if not progress["stages"]:
                return progress
            source = progress["stages"][-1]["model"]
            folder = Path(source)
        return {**describe(load_source(source, "MODEL"), folder), **progress}
    place = Path(model.removeprefix("hf:"))
    exported = describe_folder(place) if place.is_dir() else None
    if exported is not None:
        return exported
    return describe(load_source(model, "MODEL"), _folder(model))


def run(args: argparse.Namespace) -> int:
    """Print what there is to know.

    Raises:
        UserError: the model cannot be read.
    """
    from .show import print_json

    found = find(args.model)
    print_json(found) if args.json else _show(args.model, found)
    return 0


def _show(name: str, found: dict[str, Any]) -> None:
    from rich.console import Console

    console = Console(width=None if Console().is_terminal else 120)
    if "params" in found:
        _show_model(console, name, found)
    for row in found.get("stages", []):
        share = f"{100 * row['share']['encoder']:.1f} %"
        console.print(
            f"stage {row['stage']}: {share} of the encoder, {row['model']}",
            highlight=False,
        )
    if not found.get("finished", True):
        console.print(
            f"{name} is not finished: {len(found['stages'])} of {found['planned']} "
            f"stages are whole. Go on with: tinyclip compress --resume --out {name}",
            highlight=False,
            soft_wrap=True,
        )


def _show_model(console: Any, name: str, found: dict[str, Any]) -> None:
    """Table, widths and origin of one model."""
    from ..words import human
    from .tables import make_table, percent

    params, share = found["params"], found["share"]
    table = make_table(name, "what", "count", "share of the teacher's")
    table.add_row("encoder", f"{params['encoder']:,}", percent(share["encoder"]))
    table.add_row("total", f"{params['total']:,}", percent(share["total"]))
    for key in ("image", "text", "token_embedding"):
        table.add_row(key.replace("_", " "), f"{params[key]:,}", "")
    for tower, macs in found["macs"].items():
        table.add_row(f"MACs, {tower}", human(macs), "")
    table.add_row("bytes", f"{found['bytes']:,}", "")
    table.add_row("type", found["dtype"], "")
    console.print(table)
    for tower, layers in found["layers"].items():
        heads = " ".join(str(layer["heads"]) for layer in layers)
        ffn = " ".join(str(layer["ffn"]) for layer in layers)
        console.print(f"{tower}: embed {found['embed'][tower]}", highlight=False)
        console.print(f"  heads  {heads}\n  ffn    {ffn}", highlight=False)
    for key, value in sorted(found["provenance"].items()):
        console.print(f"{key}: {value}", highlight=False)
    if found["certificate"]:
        worst = found["certificate"]["max_abs_diff"]
        console.print(f"inherited exactly, to {worst:.1e}", highlight=False)
    _show_export(console, found)


def _show_export(console: Any, found: dict[str, Any]) -> None:
    """What only an exported folder has."""
    if "format" in found:
        console.print(f"format: {found['format']}", highlight=False)
    for name, part in found.get("encoders", {}).items():
        ends = [
            f"{part[end]['name']} {part[end]['dtype']} "
            f"({', '.join(map(str, part[end]['shape']))})"
            for end in ("input", "output")
        ]
        console.print(
            f"{name}: {part['file']}, opset {part['opset'] or found['opset']}, "
            f"{part['bytes']:,} bytes: {ends[0]} -> {ends[1]}",
            highlight=False,
            soft_wrap=True,
        )
    parity = found.get("parity")
    if not parity:
        return
    words = f"features differ by at most {parity['max_abs_diff']:.1e}"
    if "cosine" in parity:
        image, text = parity["cosine"]["image"], parity["cosine"]["text"]
        words = f"features have a cosine of at least {image:.5f} and {text:.5f}"
    console.print(
        f"when it was exported: {words} on {parity['n']} pairs", highlight=False
    )
