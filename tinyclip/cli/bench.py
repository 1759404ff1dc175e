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
    add(
        "--sweep",
        metavar="N",
        help="batch sizes 1, 2, 4, ... up to N instead, and the one with most a second",
    )
    add(
        "--no-alone",
        action="store_true",
        help="leave out the load time and memory of each, which take a process each",
    )
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


def batches_of(args: argparse.Namespace) -> list[int]:
    """The batch sizes that are asked for.

    Raises:
        UserError: one is no whole number.
    """
    if args.sweep is None:
        sizes = [whole_number(part, "--batch") for part in args.batch.split(",")]
        return list(dict.fromkeys(sizes))
    most = whole_number(args.sweep, "--sweep")
    return [2**power for power in range(most.bit_length())]


def run(args: argparse.Namespace) -> int:
    """Load all models, then let them take turns.

    Raises:
        UserError: a model cannot be loaded, or a number is none.
    """
    batches = batches_of(args)
    rounds = whole_number(args.rounds, "--rounds")
    threads = None if args.threads is None else whole_number(args.threads, "--threads")
    import torch

    from ..evaluation.bench import bench
    from ..pipeline.alone import alone, files_of
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
        report = bench(contenders, batches, rounds, say)
        report = {"against": names[0], **report}
        for model in report["models"]:
            model["files"] = files_of(model["name"])
            if not args.no_alone:
                say(f"{model['name']}: loaded in a process of its own ...")
                model["alone"] = alone(model["name"], report["threads"])
    finally:
        torch.set_num_threads(before)
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
        tell(in_words(model))
    peak = report["peak_rss"] / 2**30
    tell(f"Peak memory of all of them together: {peak:.2f} GiB")


def in_words(model: dict[str, Any]) -> str:
    """A model's size, what it takes alone, and at which batch it does most."""
    from ..words import rounded

    parts = [
        f"{rounded(model['params'].get('total', 0))} parameters",
        f"{rounded(model['bytes'])}B of weights",
    ]
    if model.get("files"):
        parts.append(f"{rounded(sum(model['files'].values()))}B of files")
    if "alone" in model:
        own = model["alone"]
        parts.append(
            f"loaded in {own['load_seconds']:.2f} s, takes "
            f"{rounded(own['own_bytes'])}B "
            f"beyond the libraries ({rounded(own['peak_bytes'])}B in all)"
        )
    best = best_batches(model["timings"])
    if len({row["batch"] for row in model["timings"]}) > 2:
        parts += [f"most {tower}s a second with {size}" for tower, size in best.items()]
    return f"{model['name']}: {', '.join(parts)}"


def best_batches(timings: list[dict[str, Any]]) -> dict[str, int]:
    """The batch size with the most items a second, by tower."""
    best: dict[str, dict[str, Any]] = {}
    for row in timings:
        first = best.setdefault(row["tower"], row)
        if row["per_second"] > first["per_second"]:
            best[row["tower"]] = row
    return {tower: int(row["batch"]) for tower, row in best.items()}
