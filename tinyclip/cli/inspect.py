"""`tinyclip inspect`: what a model is, and where it came from."""

from __future__ import annotations

import argparse
from typing import Any


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's options."""
    parser.add_argument(
        "model", help="a model directory, a run, an export, or a teacher source"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")


def run(args: argparse.Namespace) -> int:
    """Print what there is to know.

    Raises:
        UserError: the model cannot be read.
    """
    from ..pipeline.inspection import inspect
    from .show import print_json

    report = inspect(args.model)
    print_json(report) if args.json else _show(args.model, report)
    return 0


def _show(name: str, report: dict[str, Any]) -> None:
    from rich.console import Console

    from .show import percent

    console = Console(width=None if Console().is_terminal else 120)
    if "params" in report:
        _show_model(console, name, report)
    for row in report.get("stages", []):
        budget = report["budget"]
        if budget not in row["share"]:  # a run of before shares in it were stored
            budget = "encoder"
        share = percent(row["share"][budget])
        console.print(
            f"stage {row['stage']}: {share} of the {budget}, {row['model']}",
            highlight=False,
        )
    if not report.get("finished", True):
        console.print(
            f"{name} is not finished: {len(report['stages'])} of {report['planned']} "
            f"stages are whole. Go on with: tinyclip compress --resume --out {name}",
            highlight=False,
            soft_wrap=True,
        )


def _show_model(console: Any, name: str, report: dict[str, Any]) -> None:
    """Table, widths and origin of one model."""
    from ..sites import in_line, width_in_words
    from ..words import rounded
    from .show import percent
    from .tables import make_table

    params, share = report["params"], report["share"]
    table = make_table(name, "what", "count", "share of the teacher's")
    table.add_row("encoder", f"{params['encoder']:,}", percent(share["encoder"]))
    table.add_row("total", f"{params['total']:,}", percent(share["total"]))
    for name, part in share.items():
        if name not in ("encoder", "total"):
            table.add_row(f"{name}, the budget", "", percent(part))
    for key in ("image", "text", "token_embedding"):
        table.add_row(key.replace("_", " "), f"{params[key]:,}", "")
    for tower, macs in report["macs"].items():
        table.add_row(f"MACs, {tower}", rounded(macs), "")
    table.add_row("bytes", f"{report['bytes']:,}", "")
    table.add_row("type", report["dtype"], "")
    console.print(table)
    for tower, layers in report["layers"].items():
        head_width = report["head_width"][tower]
        heads, ffn = (in_line(layers, site, head_width) for site in ("heads", "ffn"))
        width = width_in_words(report["embed"][tower], report["basis"][tower])
        console.print(f"{tower}: embed {width}", highlight=False)
        console.print(f"  heads  {heads}\n  ffn    {ffn}", highlight=False)
    for key, value in sorted(report["provenance"].items()):
        words = ", ".join(map(str, value)) if isinstance(value, list) else value
        console.print(f"{key}: {words}", highlight=False)
    _show_certificate(console, report["certificate"] or {})
    _show_export(console, report)


def _show_certificate(console: Any, certificate: dict[str, Any]) -> None:
    """How exact each step was that had to be."""
    steps = {
        "rotated exactly": certificate.get("rotated"),
        "inherited exactly": certificate,
        "then solved anew, as in float64": certificate.get("solved"),
    }
    for words, part in steps.items():
        if part:
            worst = part["max_abs_diff"]
            console.print(f"{words}, to {worst:.1e}", highlight=False)


def _show_export(console: Any, report: dict[str, Any]) -> None:
    """What only an exported folder has."""
    if "format" in report:
        console.print(f"format: {report['format']}", highlight=False)
    for name, part in report.get("encoders", {}).items():
        ends = [
            f"{part[end]['name']} {part[end]['dtype']} "
            f"({', '.join(map(str, part[end]['shape']))})"
            for end in ("input", "output")
        ]
        console.print(
            f"{name}: {part['file']}, opset {part['opset'] or report['opset']}, "
            f"{part['bytes']:,} bytes: {ends[0]} -> {ends[1]}",
            highlight=False,
            soft_wrap=True,
        )
    parity = report.get("parity")
    if not parity:
        return
    words = f"features differ by at most {parity['max_abs_diff']:.1e}"
    if "cosine" in parity:
        image, text = parity["cosine"]["image"], parity["cosine"]["text"]
        words = f"features have a cosine of at least {image:.5f} and {text:.5f}"
    console.print(
        f"when it was exported: {words} on {parity['n']} pairs", highlight=False
    )
    if "conversion" in parity:
        from ..formats.conversion import in_words

        console.print(in_words(parity["conversion"]), highlight=False)
