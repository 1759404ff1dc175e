"""Models take turns, and what is compared is what was measured."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from tinyclip.evaluation import bench as room
from tinyclip.evaluation.bench import Contender, bench, take_turns
from tinyclip.model.clip import Clip
from tinyclip.shapes import BlockShape


@pytest.fixture
def smaller(pico_clip: Clip) -> Clip:
    """The same towers with one block each."""
    shape = pico_clip.shape
    towers = {
        name: replace(tower, blocks=(BlockShape(heads=1, ffn=4),))
        for name, tower in shape.towers().items()
    }
    return Clip(shape.with_towers(**towers)).eval()


@pytest.fixture
def clocked(monkeypatch: pytest.MonkeyPatch) -> Callable[[Clip, float], Clip]:
    """A clock that only models move: each call of one takes the seconds it is given."""
    now = itertools.count()
    state = {"at": 0.0}
    monkeypatch.setattr(time, "perf_counter", lambda: next(now) * 0 + state["at"])

    def give(model: Clip, seconds: float) -> Clip:
        def spend(*args: object, **kwargs: object) -> None:
            state["at"] += seconds

        monkeypatch.setattr(model, "encode_image", spend)
        monkeypatch.setattr(model, "encode_text", spend)
        return model

    return give


def test_every_round_calls_each_model_once_in_changing_order(pico_clip: Clip) -> None:
    called: list[int] = []
    calls = [lambda i=i: called.append(i) for i in range(4)]
    seconds = take_turns([pico_clip] * 4, calls, rounds=6)
    rounds = [called[i : i + 4] for i in range(0, len(called), 4)]
    assert len(rounds) == room.WARM_UP + 6
    assert all(sorted(order) == [0, 1, 2, 3] for order in rounds)
    assert len({tuple(order) for order in rounds}) > 1
    assert [len(part) for part in seconds] == [6] * 4


def test_ratios_are_against_the_first(
    pico_clip: Clip, smaller: Clip, clocked: Callable[[Clip, float], Clip]
) -> None:
    models = [
        Contender("whole", clocked(pico_clip, 0.008)),
        Contender("small", clocked(smaller, 0.002)),
    ]
    report = bench(models, batches=[1, 8], rounds=3)
    whole, small = report["models"]
    assert [(r["tower"], r["batch"]) for r in small["timings"]] == [
        ("image", 1),
        ("image", 8),
        ("text", 1),
        ("text", 8),
    ]
    row = small["timings"][1]
    assert row["median_ms"] == pytest.approx(2.0)
    assert row["per_second"] == pytest.approx(4000)
    assert row["speedup"] == pytest.approx(4.0)
    ratio = whole["macs"]["image"] / small["macs"]["image"]
    assert row["mac_ratio"] == pytest.approx(ratio)
    assert row["of_mac_ratio"] == pytest.approx(4.0 / ratio)
    assert row["macs"] == 8 * small["macs"]["image"]
    assert {r["speedup"] for r in whole["timings"]} == {1.0}


def test_models_run_in_eval_mode_on_batches_of_their_own_shape(
    pico_clip: Clip, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = set()

    def watch(name: str) -> None:
        real = getattr(pico_clip, name)

        def spied(inputs: torch.Tensor, normalize: bool) -> torch.Tensor:
            seen.add((name, tuple(inputs.shape), pico_clip.training))
            assert not torch.is_grad_enabled()
            return real(inputs, normalize=normalize)

        monkeypatch.setattr(pico_clip, name, spied)

    watch("encode_image")
    watch("encode_text")
    pico_clip.train()
    bench([Contender("one", pico_clip)], batches=[3], rounds=1)
    assert seen == {
        ("encode_image", (3, 3, 16, 16), False),
        ("encode_text", (3, 8), False),
    }
    assert pico_clip.training


def test_what_is_measured_next_is_said(pico_clip: Clip) -> None:
    lines: list[str] = []
    report = bench([Contender("one", pico_clip)], [2], 1, lines.append)
    assert [line.split(":")[0] for line in lines] == [
        "image tower, batch 2",
        "text tower, batch 2",
    ]
    assert report["peak_rss"] > 10_000_000
