"""`tinyclip export`: a model in another format, checked before it is there."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import Any

HELP = "write a model in another format"
FORMATS = ("safetensors", "openclip")
DATA = "builtin:pictograms"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of design §3.1."""
    add = parser.add_argument
    add("model", metavar="MODEL", help="a model directory, a run, or a source")
    add("--to", required=True, choices=FORMATS, help="the format")
    add("--out", type=Path, metavar="DIR", help="default: MODEL-FORMAT")
    add(
        "--data",
        metavar="SOURCE",
        default=DATA,
        help=f"pairs to compare the two models on; {DATA}; `random` makes noise",
    )
    add("--json", action="store_true", help="one JSON object on stdout")


def default_out(model: str, to: str) -> Path:
    """`demo-openclip` for `runs/demo`, `runs/demo/model` or `run:runs/demo`."""
    words = [w for w in re.split(r"[/:@]+", model) if w not in ("", ".", "..", "model")]
    return Path(f"{words[-1] if words else 'model'}-{to}")


def run(args: argparse.Namespace) -> int:
    """Write beside, load again, compare, then put in place.

    Raises:
        UserError: the model cannot be read or exported, or the folder is in use.
        TinyclipError: what was written is not the same model.
    """
    from ..export.folder import check_free

    out = args.out or default_out(args.model, args.to)
    check_free(out)  # before anything is loaded
    from ..adapters.source import beside, load_source
    from ..export.openclip import export_openclip
    from ..export.parity import probe_of
    from ..export.safetensors import export_safetensors

    loaded = load_source(args.model, "MODEL")
    work = {"safetensors": export_safetensors, "openclip": export_openclip}[args.to]
    found = work(
        loaded,
        out,
        probe_of(args.data),
        certificate=beside(args.model, "certificate.json"),
        metrics=beside(args.model, "metrics.json"),
    )
    if args.json:
        from .show import print_json

        print_json({"model": args.model, "out": str(out), "parity": found})
        return 0
    _show(out, found)
    return 0


def _show(out: Path, found: dict[str, Any]) -> None:
    inputs = "random pairs" if found["inputs"] == "random" else "real pairs"
    print(
        f"{out}: loaded again, and its features differ by at most "
        f"{found['max_abs_diff']:.1e} on {found['n']} {inputs}"
    )
    if found["format"] == "openclip":
        print(f"Load it: open_clip.create_model_and_transforms('local-dir:{out}')")
    else:
        print(f'Load it: model, preprocess, tokenizer = tinyclip.load("{out}")')
