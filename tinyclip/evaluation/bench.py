"""Several models side by side on one machine: latency, throughput, and their MACs.

The models take turns, one call each a round, so that a machine that slows down in
between slows down all of them; in another order every round, because a call is slower
after one that left another model in the caches. A speed-up is that of the medians.
"""

from __future__ import annotations

import random
import resource
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor

from ..cost import tower_macs
from ..shapes import ClipShape
from .features import evaluating
from .latency import WARM_UP, quantiles, timed

ROUNDS = 20
BATCHES = (1, 32)
Say = Callable[[str], None]


class Encoders(Protocol):
    """Two encoders, as `Clip` and an exported ONNX folder have them.

    The first parameter says on which device they run, and in which type.
    """

    @property
    def shape(self) -> ClipShape: ...

    def parameters(self) -> Iterator[Tensor]: ...

    def encode_image(self, pixels: Tensor, normalize: bool = ...) -> Tensor: ...

    def encode_text(self, tokens_BT: Tensor, normalize: bool = ...) -> Tensor: ...


@dataclass(frozen=True)
class Contender:
    """One model of a bench.

    Args:
        name: as the user wrote it.
        model: both encoders.
        runtime: `pytorch` or `onnxruntime`.
        precision: of its weights.
        size: bytes of its weights.
        params: of the model, by `cost.sizes`.
    """

    name: str
    model: Encoders
    runtime: str = "pytorch"
    precision: str = "fp32"
    size: int = 0
    params: Mapping[str, int] = field(default_factory=dict)

    @property
    def device(self) -> torch.device:
        return next(iter(self.model.parameters())).device


def bench(
    contenders: Sequence[Contender],
    batches: Sequence[int] = BATCHES,
    rounds: int = ROUNDS,
    say: Say = lambda line: None,
) -> dict[str, Any]:
    """Time both towers of every model at every batch size.

    Args:
        contenders: the first is what the others are compared with.
        rounds: calls of each that count, after some that do not.
        say: told what is measured next.

    Returns:
        `models`, each with its `timings` (`tower`, `batch`, `median_ms`, `p90_ms`,
        `per_second`, `speedup`, `mac_ratio` and `of_mac_ratio`, their quotient), and
        `peak_rss`, the process's largest resident memory in bytes.
    """
    rows: list[list[dict[str, Any]]] = [[] for _ in contenders]
    for tower in ("image", "text"):
        for batch in batches:
            say(f"{tower} tower, batch {batch}: {len(contenders)} models in turn ...")
            calls = [_call(contender, tower, batch) for contender in contenders]
            seconds = take_turns(
                [contender.model for contender in contenders], calls, rounds
            )
            first: dict[str, Any] | None = None
            for place, contender in enumerate(contenders):
                row = _row(contender, tower, batch, seconds[place])
                first = first or row
                row |= _against(first, row)
                rows[place].append(row)
    return {
        "threads": torch.get_num_threads(),
        "rounds": rounds,
        "peak_rss": peak_rss(),
        "models": [
            {**_facts(contender), "timings": timings}
            for contender, timings in zip(contenders, rows, strict=True)
        ],
    }


def _facts(contender: Contender) -> dict[str, Any]:
    """What is known of a model before it is timed."""
    return {
        "name": contender.name,
        "runtime": contender.runtime,
        "device": str(contender.device),
        "precision": contender.precision,
        "bytes": contender.size,
        "params": dict(contender.params),
        "macs": _macs(contender.model.shape),
    }


def take_turns(
    models: Sequence[Any], calls: Sequence[Callable[[], object]], rounds: int
) -> list[list[float]]:
    """Seconds of every call of each, all called once a round."""
    seconds: list[list[float]] = [[] for _ in calls]
    draw = random.Random(0)
    for turn in range(WARM_UP + rounds):
        for place in draw.sample(range(len(calls)), len(calls)):
            model = models[place]
            with evaluating(model):
                spent = timed(calls[place], next(iter(model.parameters())).device)
            if turn >= WARM_UP:
                seconds[place].append(spent)
    return seconds


def run_once(contender: Contender) -> None:
    """One picture and one caption, for what that takes."""
    with evaluating(contender.model):  # type: ignore[arg-type]
        for tower in ("image", "text"):
            _call(contender, tower, 1)()


def _call(contender: Contender, tower: str, batch: int) -> Callable[[], object]:
    """One forward pass on inputs made beforehand."""
    shape: ClipShape = contender.model.shape
    draw = torch.Generator().manual_seed(0)
    parameter = next(iter(contender.model.parameters()))
    if tower == "image":
        size = shape.image.image_size
        pixels = torch.randn(batch, 3, size, size, generator=draw)
        pixels = pixels.to(parameter.device, parameter.dtype)
        return lambda: contender.model.encode_image(pixels, normalize=True)
    length, ids = shape.text.context_length, shape.text.vocab_size
    tokens_BT = torch.randint(ids, (batch, length), generator=draw).to(parameter.device)
    return lambda: contender.model.encode_text(tokens_BT, normalize=True)


def _macs(shape: ClipShape) -> dict[str, int]:
    return {
        name: int(tower_macs(tower, shape.embed_dim))
        for name, tower in shape.towers().items()
    }


def _row(
    contender: Contender, tower: str, batch: int, seconds: Sequence[float]
) -> dict[str, Any]:
    """What was measured of one tower and batch size."""
    milliseconds = quantiles(seconds)
    return {
        "tower": tower,
        "batch": batch,
        **milliseconds,
        "per_second": 1e3 * batch / milliseconds["median_ms"],
        "macs": _macs(contender.model.shape)[tower] * batch,
    }


def _against(first: Mapping[str, Any], row: Mapping[str, Any]) -> dict[str, float]:
    """Speed-up, MAC ratio, and how much of the ratio became speed."""
    speedup = first["median_ms"] / row["median_ms"]
    ratio = first["macs"] / row["macs"]
    return {"speedup": speedup, "mac_ratio": ratio, "of_mac_ratio": speedup / ratio}


def peak_rss() -> int:
    """The process's largest resident memory, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak
