"""How much of the saved multiply-accumulates becomes speed: teacher and students.

    python benchmarks/bench_speed.py --out benchmarks/results
    python benchmarks/bench_speed.py --quick

Students of 75, 50 and 25 % of `encoder`, uniform and ragged, are cut from a teacher of
random weights (speed does not look at values) by magnitude, and take turns with it.
Prints one JSON object; with --out it writes that as DATE-speed.json, and the table as
DATE-speed.md. To be run on a machine that is idle.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from tinyclip import cost
from tinyclip.evaluation.bench import Contender, bench
from tinyclip.formats.source import load_source
from tinyclip.inherit.score import magnitude_scores
from tinyclip.inherit.slicing import inherit
from tinyclip.masks.choose import choose_by_scores
from tinyclip.model.clip import Clip

TARGETS = (0.75, 0.5, 0.25)
LAYOUTS = ("uniform", "ragged")
GOAL = {"uniform": 0.9, "ragged": 0.8}  # of the MAC ratio, at the largest batch
CALLS = 5  # that are profiled
# what an operation of torch belongs to, by a part of its name; the first that fits
KINDS = {
    "products": ("mm", "linear", "matmul"),
    "attention": ("attention",),
    "LayerNorm": ("layer_norm",),
    "activation": ("gelu", "sigmoid"),
    "convolution": ("conv",),
    "copies": ("copy", "cat", "clone", "contiguous"),
}


def spread_scores(model: Clip, spread: float) -> dict[str, Tensor]:
    """Magnitudes, each layer's times a factor of its own, so that layers come out as
    different as in a learned student; those of random weights are all alike.

    Args:
        spread: standard deviation of the factors' logarithm; 0 leaves them.
    """
    draw = torch.Generator().manual_seed(0)
    scores = dict(magnitude_scores(model))
    for tower, shape in model.shape.towers().items():
        for site in ("heads", "ffn"):
            units = [getattr(block, site) for block in shape.blocks]
            factors = (torch.randn(len(units), generator=draw) * spread).exp()
            name = f"{tower}_{site}"
            if name in scores:
                factor_U = factors.repeat_interleave(torch.tensor(units))
                scores[name] = scores[name] * factor_U
    return scores


def students(
    teacher: Clip, targets: list[float], spread: float, round_to: int
) -> dict[str, Clip]:
    """The models to compare with the teacher, by name."""
    scores = spread_scores(teacher, spread)
    cuts: dict[str, Clip] = {}
    for target in targets:
        for layout in LAYOUTS:
            keep = choose_by_scores(
                teacher.shape,
                scores,
                target,
                layout=layout,  # type: ignore[arg-type]
                round_to=round_to if layout == "ragged" else 1,
            )
            student = inherit(teacher, keep).eval()
            cuts[f"{layout} {100 * target:.0f} %"] = student
            print(f"made {layout} {target}", file=sys.stderr, flush=True)
    return cuts


def contender(name: str, model: Clip) -> Contender:
    """A model under the name that the table shows."""
    sizes = cost.sizes(model.shape)
    return Contender(name, model, size=4 * sizes["total"], params=sizes)


@torch.no_grad()
def where_time_goes(model: Clip, batch: int) -> dict[str, float]:
    """Share of the image tower's time by kind of operation, `other` included."""
    side = model.shape.image.image_size
    pixels = torch.randn(batch, 3, side, side)
    model.encode_image(pixels)
    with profile(activities=[ProfilerActivity.CPU]) as profiled:
        for _ in range(CALLS):
            model.encode_image(pixels)
    shares = dict.fromkeys([*KINDS, "other"], 0.0)
    for entry in profiled.key_averages():
        kind = next(
            (
                name
                for name, words in KINDS.items()
                if any(word in entry.key for word in words)
            ),
            "",
        )
        shares[kind or "other"] += entry.self_cpu_time_total
    total = sum(shares.values()) or 1.0
    return {kind: round(value / total, 4) for kind, value in shares.items()}


def verdicts(report: Mapping[str, Any], batch: int) -> list[str]:
    """Whether each student reaches its goal at a batch size."""
    lines = []
    for model in report["models"][1:]:
        goal = GOAL[model["name"].split()[0]]
        for row in model["timings"]:
            if row["batch"] == batch:
                reached = "reached" if row["of_mac_ratio"] >= goal else "MISSED"
                lines.append(
                    f"- {model['name']}, {row['tower']}: {row['of_mac_ratio']:.2f} of "
                    f"the MAC ratio, goal {goal}: {reached}"
                )
    return lines


def markdown(report: Mapping[str, Any]) -> str:
    """The dated table."""
    batch = max(row["batch"] for row in report["models"][0]["timings"])
    lines = [
        f"# Speed of teacher and students, {report['date']}",
        "",
        f"`{report['teacher']}` and its students by `encoder`, cut "
        f"by magnitude (layers spread by {report['spread']}, ragged widths in "
        f"multiples of {report['round_to']}); PyTorch {report['torch']}, "
        f"{report['threads']} threads, {report['machine']}; median of "
        f"{report['rounds']} rounds in turn, in changing order. Peak memory of all "
        f"together "
        f"{report['peak_rss'] / 2**30:.1f} GiB.",
        "",
        "| model | encoder | tower | batch | median ms | p90 ms | per second | MACs | "
        "MAC ratio | speed-up | of the ratio |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for model in report["models"]:
        for row in model["timings"]:
            lines.append(
                f"| {model['name']} | {model['params']['encoder'] / 1e6:.2f} M | "
                f"{row['tower']} | {row['batch']} | {row['median_ms']:.1f} | "
                f"{row['p90_ms']:.1f} | {row['per_second']:.1f} | "
                f"{row['macs'] / 1e9:.2f} G | {row['mac_ratio']:.2f} | "
                f"{row['speedup']:.2f} | {row['of_mac_ratio']:.2f} |"
            )
    lines += ["", f"Goals at batch {batch}:", "", *verdicts(report, batch)]
    kinds = [*KINDS, "other"]
    lines += [
        "",
        f"Where the image tower's time goes at batch {batch}, % of {CALLS} calls:",
        "",
        "| model | " + " | ".join(kinds) + " |",
        "|---" * (1 + len(kinds)) + "|",
    ]
    for model in report["models"]:
        shares = " | ".join(f"{100 * model['profile'][kind]:.0f}" for kind in kinds)
        lines.append(f"| {model['name']} | {shares} |")
    return "\n".join(lines) + "\n"


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Make the students, let all take turns, then profile one call of each."""
    teacher = load_source(args.teacher).model.eval()
    models = {"teacher": teacher}
    targets = [float(part) for part in args.targets.split(",")]
    models |= students(teacher, targets, args.spread, args.round_to)
    batches = [int(part) for part in args.batch.split(",")]
    report = bench(
        [contender(name, model) for name, model in models.items()],
        batches,
        args.rounds,
        lambda line: print(line, file=sys.stderr, flush=True),
    )
    for entry, model in zip(report["models"], models.values(), strict=True):
        entry["profile"] = where_time_goes(model, max(batches))
    return {
        "date": args.date,
        "teacher": args.teacher,
        "spread": args.spread,
        "round_to": args.round_to,
        "torch": torch.__version__,
        "machine": platform.machine(),
        **report,
    }


def main() -> None:
    """Parse the options, measure, print, write both files."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add = parser.add_argument
    add("--quick", action="store_true", help="a pico teacher, seconds")
    quick = "--quick" in sys.argv
    add("--teacher", default="builtin:pico" if quick else "openclip:ViT-B-32")
    add("--targets", default="0.5" if quick else ",".join(map(str, TARGETS)))
    add("--batch", default="2" if quick else "1,32")
    add("--rounds", type=int, default=2 if quick else 20)
    add("--threads", type=int, default=torch.get_num_threads())
    add("--spread", type=float, default=0.05)
    add("--round-to", type=int, default=1)
    add("--date", default=date.today().isoformat())
    add("--out", type=Path, help="folder for both files")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    report = measure(args)
    text = json.dumps(report, indent=1)
    print(text)
    if args.out is None:
        return
    args.out.mkdir(parents=True, exist_ok=True)
    name = f"{args.date}-speed" + (f"-by-{args.round_to}" if args.round_to > 1 else "")
    (args.out / f"{name}.json").write_text(text + "\n")
    (args.out / f"{name}.md").write_text(markdown(report))


if __name__ == "__main__":
    main()
