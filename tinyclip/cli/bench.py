"""`tinyclip bench`: how fast models are, side by side."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from ..errors import UserError

if TYPE_CHECKING:
    from ..evaluation.bench import Contender


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's options."""
    add = parser.add_argument
    add(
        "models",
        metavar="MODEL",
        nargs="+",
        help="a model directory, a run, a source, or an exported folder, which runs in "
        "its own runtime; the others are compared with the first",
    )
    add("--against", metavar="TEACHER", help="what to compare with instead")
    add("--batch", metavar="A,B", default="1,32", help="batch sizes; default: 1,32")
    add("--threads", metavar="N", help="of the CPU; default: PyTorch's own choice")
    add("--rounds", metavar="N", default="20", help="calls that count; default: 20")
    add("--json", action="store_true", help="one JSON object on stdout")


def whole_number(value: str, where: str) -> int:
    """A whole number from 1.

    Raises:
        UserError: it is none.
    """
    if not (value.strip().isdecimal() and int(value) > 0):
        raise UserError(where, f"{value!r} is not a whole number from 1")
    return int(value)


def run(args: argparse.Namespace) -> int:
    """Load all models, then let them take turns.

    Raises:
        UserError: a model cannot be loaded, or a number is none.
    """
    batches = [whole_number(part, "--batch") for part in args.batch.split(",")]
    rounds = whole_number(args.rounds, "--rounds")
    threads = None if args.threads is None else whole_number(args.threads, "--threads")
    import torch

    from ..evaluation.bench import bench
    from .show import print_json, say

    before = torch.get_num_threads()
    torch.set_num_threads(threads or before)
    try:
        names = [args.against, *args.models] if args.against else args.models
        contenders = []
        for name in names:
            say(f"loading {name} ...")
            where = "--against" if name is args.against else "MODEL"
            contenders.append(contender(name, where))
        report = bench(contenders, list(dict.fromkeys(batches)), rounds, say)
    finally:
        torch.set_num_threads(before)
    report = {"against": names[0], **report}
    print_json(report) if args.json else show(report)
    return 0


def contender(name: str, where: str = "MODEL") -> Contender:
    """The model behind an argument, ready to run.

    Raises:
        UserError: it cannot be loaded.
    """
    from ..evaluation.bench import Contender
    from ..formats.lookup import open_model

    opened = open_model(name, where)
    return Contender(
        name,
        opened.loaded.model,
        opened.runtime,
        opened.precision,
        opened.bytes,
        opened.sizes,
    )


def show(report: dict[str, Any]) -> None:
    """The table that people read: one line a tower, batch size and model."""
    from ..words import rounded
    from .show import show_table, tell
    from .tables import make_table

    devices = sorted({model["device"] for model in report["models"]})
    table = make_table(
        f"{report['rounds']} rounds in turn, {report['threads']} threads, "
        f"{', '.join(devices)}; compared with {report['against']}",
        *("tower", "batch", "model", "runtime", "median", "p90", "per second"),
        *("MACs", "MAC ratio", "speed-up", "of the ratio"),
    )
    for place in range(len(report["models"][0]["timings"])):
        for model in report["models"]:
            row = model["timings"][place]
            table.add_row(
                row["tower"],
                str(row["batch"]),
                model["name"],
                f"{model['runtime']} {model['precision']}",
                f"{row['median_ms']:.1f} ms",
                f"{row['p90_ms']:.1f} ms",
                f"{row['per_second']:.0f}",
                rounded(row["macs"]),
                f"{row['mac_ratio']:.2f}",
                f"{row['speedup']:.2f}",
                f"{row['of_mac_ratio']:.2f}",
            )
        table.add_section()
    show_table(table, 160)
    for model in report["models"]:
        tell(
            f"{model['name']}: {rounded(model['params'].get('total', 0))} parameters, "
            f"{rounded(model['bytes'])}B of weights"
        )
    peak = report["peak_rss"] / 2**30
    tell(f"Peak memory of all of them together: {peak:.2f} GiB")
