"""`tinyclip inspect`: what a model is, and where it came from."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..model.store import Loaded

HELP = "sizes, widths per layer, MACs, where a model came from"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of design §3.1."""
    parser.add_argument("model", help="a model directory, a run, or a teacher source")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")


def describe(loaded: Loaded, folder: Path | None) -> dict[str, Any]:
    """The keys of design §3.4, counted on the weights that were loaded.

    Args:
        folder: the model directory, where there is one.
    """
    from .. import cost
    from ..model.files import read_json

    shape, config = loaded.model.shape, loaded.config
    sizes = cost.sizes(shape)
    teacher = config.get("teacher_sizes", sizes)
    found: dict[str, Any] = {
        "params": sizes,
        "share": {key: sizes[key] / teacher[key] for key in ("encoder", "total")},
        "macs": {
            name: cost.tower_macs(tower, shape.embed_dim)
            for name, tower in shape.towers().items()
        },
        "bytes": 4 * sizes["total"],  # in float32, where no file says otherwise
        "layers": {
            name: [{"heads": b.heads, "ffn": b.ffn} for b in tower.blocks]
            for name, tower in shape.towers().items()
        },
        "embed": {name: tower.width for name, tower in shape.towers().items()},
        "embed_dim": shape.embed_dim,
        "uniform": all(tower.is_uniform for tower in shape.towers().values()),
        "certificate": None,
        "provenance": config.get("provenance", {}),
    }
    if folder is not None:
        found["bytes"] = (folder / "model.safetensors").stat().st_size
        certificate = folder / "certificate.json"
        if certificate.exists():
            found["certificate"] = read_json(certificate)
    return found


def _folder(model: str) -> Path | None:
    """The model directory behind an argument, if it names one."""
    path = Path(model.removeprefix("run:"))
    for folder in (path, path / "model"):
        if (folder / "config.json").exists():
            return folder
    return None


def _stages(model: str) -> list[dict[str, Any]]:
    """The stages of a run, if the argument names one."""
    from ..pipeline.run_dir import RunDir
    from ..pipeline.summary import summary

    run = RunDir(Path(model.removeprefix("run:")))
    if not run.is_run() or run.read("plan.json") is None:
        return []
    keys = ("stage", "model", "sizes", "share", "bytes")
    return [{key: row[key] for key in keys} for row in summary(run)["students"]]


def run(args: argparse.Namespace) -> int:
    """Print what there is to know.

    Raises:
        UserError: the model cannot be read.
    """
    from ..adapters.source import load_source
    from .show import print_json

    found = describe(load_source(args.model, "MODEL"), _folder(args.model))
    stages = _stages(args.model)
    if stages:
        found["stages"] = stages
    print_json(found) if args.json else _show(args.model, found)
    return 0


def _show(name: str, found: dict[str, Any]) -> None:
    from rich.console import Console

    from .tables import human, make_table, percent

    params, share = found["params"], found["share"]
    console = Console(width=None if Console().is_terminal else 120)
    table = make_table(name, "what", "count", "share of the teacher's")
    table.add_row("encoder", f"{params['encoder']:,}", percent(share["encoder"]))
    table.add_row("total", f"{params['total']:,}", percent(share["total"]))
    for key in ("image", "text", "token_embedding"):
        table.add_row(key.replace("_", " "), f"{params[key]:,}", "")
    for tower, macs in found["macs"].items():
        table.add_row(f"MACs, {tower}", human(macs), "")
    table.add_row("bytes", f"{found['bytes']:,}", "")
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
    for row in found.get("stages", []):
        console.print(
            f"stage {row['stage']}: {percent(row['share']['encoder'])} of the encoder, "
            f"{row['model']}",
            highlight=False,
        )
