"""Scoring, choosing and inheriting at full size, without training: time and memory.

    python benchmarks/full_size.py openclip:ViT-L-14
    python benchmarks/full_size.py --quick

Weights are random where the source has none: time and memory do not depend on them.
Each part is timed alone, on real pairs of the embedded set; the certificate's 64 too.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import torch

from tinyclip import cost
from tinyclip.config.schema import Data
from tinyclip.data.loader import Loader
from tinyclip.data.pairs import open_split
from tinyclip.formats.source import load_source
from tinyclip.inherit.certify import certify
from tinyclip.inherit.score import magnitude_scores, taylor_scores
from tinyclip.inherit.slicing import inherit
from tinyclip.losses.contrastive import contrastive
from tinyclip.masks.choose import choose_by_scores
from tinyclip.model.store import load_model, save_model

T = TypeVar("T")
GIB = 1024**3


class Clock:
    """Seconds and peak memory of each part, in order."""

    def __init__(self) -> None:
        self.parts: dict[str, dict[str, float]] = {}

    def time(self, name: str, work: Callable[[], T]) -> T:
        began = time.perf_counter()
        result = work()
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / GIB
        self.parts[name] = {
            "seconds": round(time.perf_counter() - began, 2),
            "peak_gib": round(peak, 2),
        }
        return result


def measure(source: str, target: float, layout: str, pairs: int) -> dict[str, Any]:
    """One cut of a source, timed."""
    clock = Clock()
    loaded = clock.time("load", lambda: load_source(source))
    model, shape = loaded.model, loaded.model.shape
    train, _ = open_split(Data(source="builtin:pictograms"))

    def batch(size: int) -> Any:
        rows = range(len(train))
        loader = Loader(
            train, rows, loaded.preprocess, loaded.tokenizer, seed=0, batch=size
        )
        return loader.batch(0)

    few_pairs = batch(pairs)
    clock.time("magnitude", lambda: magnitude_scores(model))
    scores = clock.time(
        f"taylor, {pairs} pairs",
        lambda: taylor_scores(
            model, [few_pairs], lambda m, b: contrastive(m(b.pixels, b.tokens_BT))
        ),
    )
    keep = clock.time(
        "choose",
        lambda: choose_by_scores(shape, scores, target, layout=layout),  # type: ignore[arg-type]
    )
    student = clock.time("inherit", lambda: inherit(model, keep))
    many_pairs = batch(64)
    proof = clock.time(
        "certificate, 64 pairs",
        lambda: certify(model, keep, student, many_pairs.pixels, many_pairs.tokens_BT),
    )
    with TemporaryDirectory() as folder:
        out = Path(folder) / "model"
        clock.time(
            "write and read",
            lambda: (
                save_model(
                    out,
                    student,
                    loaded.preprocess,
                    loaded.tokenizer,
                    provenance={},
                    teacher_sizes=cost.sizes(shape),
                ),
                load_model(out),
            ),
        )
        size = (out / "model.safetensors").stat().st_size
    encoder = cost.size(student.shape, "encoder") / cost.size(shape, "encoder")
    return {
        "source": source,
        "layout": layout,
        "threads": torch.get_num_threads(),
        "parts": clock.parts,
        "encoder_share": round(encoder, 5),
        "certificate": proof["max_abs_diff"],
        "bytes_counted": cost.size(student.shape, "bytes"),
        "bytes_of_file": size,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("source", nargs="*", default=["builtin:pictoclip"])
    parser.add_argument("--quick", action="store_true", help="a pico model, seconds")
    parser.add_argument("--target", type=float, default=0.25)
    parser.add_argument("--layout", choices=("ragged", "uniform"), default="ragged")
    parser.add_argument("--pairs", type=int, default=8, help="of Taylor importance")
    args = parser.parse_args()
    sources = ["builtin:pico"] if args.quick else args.source
    cuts = [measure(source, args.target, args.layout, args.pairs) for source in sources]
    report = {"torch": torch.__version__, "target": args.target, "cuts": cuts}
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
