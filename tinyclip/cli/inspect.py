"""`tinyclip inspect`: what a model is, and where it came from."""

from __future__ import annotations

import argparse
from typing import Any

from ..files import expanded
from ..quoting import command
from .show import percent, print_json, show_table, tell


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

    report = inspect(args.model)
    print_json(report) if args.json else _show(args.model, report)
    return 0


def _show(name: str, report: dict[str, Any]) -> None:
    if "params" in report:
        _show_model(name, report)
    for row in report.get("stages", []):
        budget = report["budget"]
        if budget not in row["share"]:  # a run of before shares in it were stored
            budget = "encoder"
        share = percent(row["share"][budget])
        tell(f"stage {row['stage']}: {share} of the {budget}, {row['model']}")
    if not report.get("finished", True):
        goes_on = command(
            "compress", "--resume", out=expanded(name.removeprefix("run:"))
        )
        tell(
            f"{name} is not finished: {len(report['stages'])} of {report['planned']} "
            f"stages are whole. Go on with: {goes_on}"
        )


def _show_model(name: str, report: dict[str, Any]) -> None:
    """Table, widths and origin of one model."""
    from ..sites import in_line, width_in_words
    from ..words import on_a_line, rounded
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
    show_table(table, 120)
    for tower, layers in report["layers"].items():
        head_width = report["head_width"][tower]
        heads, ffn = (in_line(layers, site, head_width) for site in ("heads", "ffn"))
        width = width_in_words(report["embed"][tower], report["basis"][tower])
        tell(f"{tower}: embed {width}")
        tell(f"  heads  {heads}\n  ffn    {ffn}")
    for key, value in sorted(report["provenance"].items()):
        tell(f"{key}: {on_a_line(value)}")
    if repair := report.get("repair"):
        from ..model.repair import in_words

        place = "in its weights" if repair["folded"] else "beside its weights"
        tell(f"{in_words(repair)} The map lies {place}.")
    _show_certificate(report["certificate"] or {})
    _show_export(report)


def _show_certificate(certificate: dict[str, Any]) -> None:
    """How exact each step was that had to be."""
    steps = {
        "rotated exactly": certificate.get("rotated"),
        "inherited exactly": certificate,
        "then solved anew, as in float64": certificate.get("solved"),
    }
    for words, part in steps.items():
        if part:
            worst = part["max_abs_diff"]
            tell(f"{words}, to {worst:.1e}")


def _show_export(report: dict[str, Any]) -> None:
    """What only an exported folder has."""
    if "format" in report:
        tell(f"format: {report['format']}")
    for name, part in report.get("encoders", {}).items():
        ends = [
            f"{part[end]['name']} {part[end]['dtype']} "
            f"({', '.join(map(str, part[end]['shape']))})"
            for end in ("input", "output")
        ]
        tell(
            f"{name}: {part['file']}, opset {part['opset'] or report['opset']}, "
            f"{part['bytes']:,} bytes: {ends[0]} -> {ends[1]}"
        )
    parity = report.get("parity")
    if not parity:
        return
    words = f"features differ by at most {parity['max_abs_diff']:.1e}"
    if "cosine" in parity:
        image, text = parity["cosine"]["image"], parity["cosine"]["text"]
        words = f"features have a cosine of at least {image:.5f} and {text:.5f}"
    tell(f"when it was exported: {words} on {parity['n']} pairs")
    if "conversion" in parity:
        from ..formats.conversion import in_words

        tell(in_words(parity["conversion"]))
