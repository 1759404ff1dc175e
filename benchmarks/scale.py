"""What the paper's run costs on 1, 8 and 64 GPUs, by the plan's own formulas.

    python benchmarks/scale.py            one JSON object
    python benchmarks/scale.py --table    the tables of docs/scale.md

Nothing is run: operations, bytes and messages follow from the recipe; the speed of a
GPU and of the network are assumptions, named in the output.
"""

from __future__ import annotations

import argparse
import json
from typing import Any

import open_clip

from tinyclip.config.load import load_recipe
from tinyclip.cost import size
from tinyclip.formats.openclip.model import shape_of
from tinyclip.pipeline import estimate

RECIPE, TEACHER, PAIRS = "vit-b-32-paper", "ViT-B-32", 400_000_000
WORLDS = (1, 8, 64)
# An A100's dense bf16 peak, and the share of it that CLIP training reaches: a guess
# that a first `--dry-run` and a hundred steps on the machine at hand should replace
PEAK, REACHED = 312e12, 0.35
NETWORK = 10e9  # bytes a second between two nodes; inside one it is ten times as much
DECODE = 400.0  # JPEGs of 256 px and more, decoded and resized, a second and CPU core


def figures() -> dict[str, Any]:
    """Every number of the tables."""
    recipe = load_recipe(RECIPE, ["data.source=tars:pairs"])
    shape = shape_of(open_clip.get_model_config(TEACHER), TEACHER)
    stages = [
        estimate.plan_stage(recipe, number, shape, cached, PEAK * REACHED)
        for cached in (False, True)
        for number in range(1, len(recipe.stages) + 1)
    ]
    live, cached = stages[:3], stages[3:]
    samples = sum(stage["samples"] for stage in live)
    batch = recipe.stages[0].batch
    gradients = 4 * size(shape, "total")
    worlds = []
    for world in WORLDS:
        days = sum(stage["seconds"] for stage in live) / world / 86_400
        rate = samples / days / 86_400
        worlds.append(
            {
                "gpus": world,
                "batch_a_gpu": batch // world,
                "days": days,
                "days_cached": sum(s["seconds"] for s in cached) / world / 86_400,
                "pairs_a_second": rate,
                "cores_to_decode": rate / DECODE,
                "gradient_message_seconds": 0.0
                if world <= 8
                else 2 * gradients / NETWORK,
                "step_seconds": batch / rate,
            }
        )
    return {
        "assumed": {
            "operations_a_second": PEAK * REACHED,
            "network_bytes_a_second": NETWORK,
            "decoded_a_second_and_core": DECODE,
        },
        "samples": samples,
        "stages": live,
        "teacher_share": estimate.macs(shape),
        "cache_gib": estimate.cache_bytes(shape, PAIRS, 1) / estimate.GIB,
        "activations_mib_a_pair": estimate.activation_bytes(shape) / 2**20,
        "gradient_mib": gradients / 2**20,
        "worlds": worlds,
    }


def tables(report: dict[str, Any]) -> str:
    """The tables in markdown."""
    lines = [
        "| stage | GFLOP a pair, learn | distil | checkpoint | gathered a step |",
        "|---|---|---|---|---|",
    ]
    for stage in report["stages"]:
        batch = stage["samples"] / sum(stage["phases"].values())
        gflops = {k: v / batch / 1e9 for k, v in stage["flops_per_step"].items()}
        lines.append(
            f"| {stage['start']:.0%} → {stage['target']:.0%} | {gflops['learn']:.0f} | "
            f"{gflops['distil']:.0f} | {stage['checkpoint_gib']:.2f} GiB | "
            f"{stage['gather_mib']:.0f} MiB |"
        )
    lines += [
        "",
        "| GPUs | pairs a GPU and step | days | days, teacher cached | pairs/s | "
        "CPU cores to decode | step | gradient message |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for world in report["worlds"]:
        lines.append(
            f"| {world['gpus']} | {world['batch_a_gpu']:,} | {world['days']:.1f} | "
            f"{world['days_cached']:.1f} | {world['pairs_a_second']:,.0f} | "
            f"{world['cores_to_decode']:.0f} | {world['step_seconds']:.2f} s | "
            f"{world['gradient_message_seconds']:.2f} s |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--table", action="store_true", help="markdown, not JSON")
    args = parser.parse_args()
    report = figures()
    print(tables(report) if args.table else json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
