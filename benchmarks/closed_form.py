"""The closed form at full size, phase after phase: time, memory and exactness.

    python benchmarks/closed_form.py openclip:ViT-L-14
    python benchmarks/closed_form.py --quick

Weights are random where the source has none, and are then made to look like trained
ones: streams with decaying spectra, heads with decaying dims, norms and biases that are
not 1 and 0. Seconds are the processor's, on one thread unless OMP_NUM_THREADS says
otherwise; the peak is that of each part, weights and pairs included.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from tinyclip.config.schema import Data
from tinyclip.data.batch import Batch
from tinyclip.data.loader import Loader
from tinyclip.data.pairs import open_split
from tinyclip.errors import UserError
from tinyclip.formats.source import load_source
from tinyclip.goal import SizeGoal
from tinyclip.inherit.carried import carried
from tinyclip.inherit.certify import certify, certify_same, certify_solved
from tinyclip.inherit.rotate import rotate
from tinyclip.inherit.search import Search, fewer_pictures
from tinyclip.inherit.slicing import inherit
from tinyclip.inherit.solve import Ridges, solve
from tinyclip.keep import ClipKeep
from tinyclip.masks.allocate import allocate
from tinyclip.model.block import Block
from tinyclip.model.clip import Clip
from tinyclip.model.store import Loaded
from tinyclip.pipeline.phases.allocate import MimicJudge
from tinyclip.training.engine import Engine

T = TypeVar("T")
GIB = 1024**3
SITES = ("dims", "ffn", "embed")
BATCH = 64


class Clock:
    """Seconds of the clock and of the processor, and peak memory, of each part."""

    def __init__(self) -> None:
        self.parts: dict[str, dict[str, float]] = {}

    def time(self, name: str, work: Callable[[], T]) -> T:
        ctypes.CDLL(None).malloc_trim(0)  # what earlier parts left is not this one's
        Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
        began, spent = time.perf_counter(), time.process_time()
        result = work()
        self.parts[name] = {
            "seconds": round(time.perf_counter() - began, 2),
            "cpu_seconds": round(time.process_time() - spent, 2),
            "peak_gib": round(_peak() / GIB, 2),
        }
        print(name, self.parts[name], file=sys.stderr)  # a large model takes long
        return result


def _peak() -> int:
    """Bytes that the process held at most since the peak started anew."""
    lines = Path("/proc/self/status").read_text().splitlines()
    (line,) = [line for line in lines if line.startswith("VmHWM")]
    return int(line.split()[1]) * 1024


@torch.no_grad()
def enliven(model: Clip, seed: int = 0) -> None:
    """Give random weights what training gives: one decaying spectrum a tower for all
    that writes to its stream, one a head, norms and biases that are not trivial."""
    generator = torch.Generator().manual_seed(seed)

    def noise(like: Tensor) -> Tensor:
        return torch.randn(like.shape, generator=generator)

    def decay(count: int, power: float) -> Tensor:
        sizes = torch.arange(1, count + 1).float() ** -power
        return sizes / sizes.square().mean().sqrt()

    for name, shape in model.shape.towers().items():
        tower = getattr(model, name)
        basis_DD = torch.linalg.qr(noise(torch.empty(shape.width, shape.width)))[0]
        writes_DD = basis_DD * decay(shape.width, 0.5) @ basis_DD.T
        for inner, value in tower.named_parameters():
            if "norm" in inner and inner.endswith("weight"):
                value.copy_((0.3 * noise(value)).exp())
            elif inner.endswith("bias"):
                value.add_(0.1 * noise(value))
        for block in tower.blocks:
            assert isinstance(block, Block)
            if block.attention is not None:
                sizes_d = decay(block.attention.dims, 0.5)
                sizes_I = sizes_d.repeat(block.attention.heads)[:, None]
                block.attention.q.weight.mul_(2 * sizes_I)
                block.attention.v.weight.mul_(sizes_I)
                out = block.attention.out
                out.weight.copy_(2 * writes_DD @ out.weight)
            if block.ffn is not None:
                sizes_F = decay(block.ffn.units, 0.5)
                block.ffn.down.weight.copy_(
                    2 * writes_DD @ (block.ffn.down.weight * sizes_F)
                )


def measure(source: str, target: float, settings: argparse.Namespace) -> dict[str, Any]:
    """One cut of a source, timed."""
    clock = Clock()
    loaded = clock.time("load", lambda: load_source(source))
    if source.startswith("openclip:") and "/" not in source and "@" not in source:
        enliven(loaded.model)
    model = loaded.model.eval().requires_grad_(False)
    pairs = batches(loaded, settings.pairs)
    proof = pairs[0]
    pixels, tokens = proof.pixels, proof.tokens_BT
    turned = clock.time("rotate", lambda: rotate(model, pairs))
    rotated = turned.model
    same = clock.time(
        "rotate, certificate", lambda: certify_same(model, rotated, pixels, tokens)
    )
    goal = SizeGoal(target).against(model.shape)
    keep, search = shared(rotated, model, goal, pairs, clock, settings)
    student = clock.time("inherit", lambda: inherit(rotated, keep))
    cut = clock.time(
        "inherit, certificate", lambda: certify(rotated, keep, student, pixels, tokens)
    )
    solved = clock.time("solve", lambda: solve(rotated, keep, pairs))
    exact = clock.time(
        "solve, certificate", lambda: certify_solved(rotated, keep, proof, Ridges())
    )
    return {
        "source": source,
        "pairs": settings.pairs,
        "parts": clock.parts,
        "certificates": {
            "rotate": same["max_abs_diff"],
            "inherit": cut["max_abs_diff"],
            "solve": exact["max_abs_diff"],
            "pairs": [len(pixels), exact["n"]],
        },
        "spectra": {
            name: [round(float(held_K[: len(held_K) // n].sum()), 3) for n in (2, 4, 8)]
            for name, held_K in turned.spectra.items()
        },
        "search": search,
        "encoder_share": round(goal.share(solved.model.shape), 5),
    }


def batches(loaded: Loaded, count: int) -> list[Batch]:
    """Real pairs of the embedded set, in parts; where the tokenizer cannot be had, the
    ids that CLIP's gives, which are words to the model as well."""
    train, _ = open_split(Data(source="builtin:pictograms"))
    shape, size = loaded.model.shape.text, min(BATCH, count)

    def borrowed(texts: list[str]) -> Tensor:
        ids_BT = load_source("builtin:pictoclip").tokenizer(texts)
        wide_BT = ids_BT.new_zeros(len(texts), shape.context_length)
        length = min(ids_BT.shape[1], shape.context_length)
        wide_BT[:, :length] = ids_BT[:, :length] % shape.vocab_size
        return wide_BT

    def drawn(tokenizer: Any) -> list[Batch]:
        rows = range(len(train))
        loader = Loader(train, rows, loaded.preprocess, tokenizer, seed=0, batch=size)
        return [loader.batch(step) for step in range(count // size)]

    try:
        return drawn(loaded.tokenizer)
    except UserError:
        return drawn(borrowed)


def shared(
    rotated: Clip,
    teacher: Clip,
    goal: SizeGoal,
    pairs: Sequence[Batch],
    clock: Clock,
    settings: argparse.Namespace,
) -> tuple[ClipKeep, dict[str, Any]]:
    """The allocate phase: what units carry, then the search."""
    few = fewer_pictures(pairs, rotated.shape.image)
    worth = clock.time("allocate, carried", lambda: carried(rotated, few))
    judge = MimicJudge(teacher, pairs[:1], Engine())
    search = Search(
        rotated, worth, lambda keep: solve(rotated, keep, few).model, judge, SITES
    )
    if settings.tries < 0:  # without the search, which is most of the work
        keep = allocate(rotated.shape, worth, goal, sites=SITES)
        return keep, {}
    keep, verdict = clock.time(
        "allocate, search", lambda: search.best(goal, settings.tries)
    )
    return keep, search.told(verdict)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("source", nargs="*", default=["builtin:pictoclip"])
    parser.add_argument("--quick", action="store_true", help="a pico model, seconds")
    parser.add_argument("--target", type=float, default=0.25)
    parser.add_argument("--pairs", type=int, default=256, help="looked at")
    parser.add_argument(
        "--tries", type=int, default=-1, help="of the search; -1 leaves it out"
    )
    args = parser.parse_args()
    sources = args.source
    if args.quick:
        sources, args.pairs, args.tries = ["builtin:pico"], 64, 0
    cuts = [measure(source, args.target, args) for source in sources]
    report = {
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "target": args.target,
        "cuts": cuts,
    }
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
