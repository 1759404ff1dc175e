"""`tinyclip export`: a model in another format, checked before it is there."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..dtypes import short_name
from ..formats.registry import FORMATS, options
from .show import tell

DATA = "builtin:pictograms"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of design §3.1, and those of every format."""
    add = parser.add_argument
    add("model", metavar="MODEL", help="a model directory, a run, or a source")
    formats = "; ".join(f"{name}: {kind.writes}" for name, kind in FORMATS.items())
    add("--to", required=True, choices=tuple(FORMATS), help=formats)
    for name, owners in options().items():
        choices = dict.fromkeys(c for _, option in owners for c in option.choices)
        words = (
            f"of --to {kind.name}; default: {option.default}"
            + (f"; {option.help}" if option.help else "")
            for kind, option in owners
        )
        add(
            f"--{name}",
            type=short_name,
            choices=tuple(choices),
            help="; ".join(words),
        )
    add("--out", type=Path, metavar="DIR", help="default: MODEL-FORMAT")
    add(
        "--data",
        metavar="SOURCE",
        default=DATA,
        help=f"pairs to compare the two models on; {DATA}; `random` makes noise",
    )
    add("--json", action="store_true", help="one JSON object on stdout")


def run(args: argparse.Namespace) -> int:
    """Export, and tell how near it came.

    Raises:
        UserError, TinyclipError: as `pipeline.exports.export`.
    """
    from ..pipeline.exports import export
    from .show import print_json, say

    values = {name: getattr(args, name) for name in options()}
    chosen = {name: value for name, value in values.items() if value is not None}
    report = export(
        args.model, args.to, out=args.out, data=args.data, say=say, **chosen
    )
    print_json(report) if args.json else _show(report)
    return 0


def _show(report: dict[str, Any]) -> None:
    """The lines that people read."""
    out, parity = report["out"], report["parity"]
    inputs = "random pairs" if parity["inputs"] == "random" else "real pairs"
    cosine = parity.get("cosine")
    if cosine is None:
        words = f"its features differ by at most {parity['max_abs_diff']:.1e}"
    else:
        words = (
            f"its features have a cosine of at least {cosine['image']:.5f} (image) and "
            f"{cosine['text']:.5f} (text)"
        )
    tell(f"{out}: loaded again, and {words} on {parity['n']} {inputs}")
    if loss := parity.get("conversion"):
        from ..formats.conversion import in_words

        tell(in_words(loss))
    if tasks := parity.get("tasks"):
        for name, value in tasks["ours"].items():
            exported = tasks[parity["format"]][name]
            tell(f"{name}: {100 * value:.1f}, exported {100 * exported:.1f}")
    tell(FORMATS[parity["format"]].how_to_load(parity, out))
