"""Tokens of layers, of a student in training and of the teacher itself."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import token_formulas as formulas  # type: ignore[import-not-found]
import torch
from torch import Tensor
from towers import watched  # type: ignore[import-not-found]

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from processes import (  # type: ignore[import-not-found]
    SHAPE,
    make_batch,
    phase_of,
    random_clip,
    train,
)

from tinyclip.data.batch import Batch
from tinyclip.model.clip import Clip
from tinyclip.training.engine import Engine
from tinyclip.training.needs.tokens import counted
from tinyclip.training.phase import TrainingPhase
from tinyclip.training.step import backward
from tinyclip.training.teacher.live import LiveTeacher

EPS = SHAPE.image.eps


def phase(kind: str = "distil", **losses: Any) -> TrainingPhase:
    made: TrainingPhase = phase_of(kind, SHAPE, Engine(), {"layerwise": 1.0, **losses})
    return made


def streams(model: Clip, batch: Batch) -> dict[str, list[Any]]:
    """Of every block, normalised, as hooks see it."""
    found = {}
    for name, inputs in (("image", batch.pixels.double()), ("text", batch.tokens_BT)):
        tower = getattr(model, name)
        gave = watched(tower, inputs)
        found[name] = [formulas.normalised(gave[x][1].numpy()) for x in tower.blocks]
    return found


def test_a_phase_gives_the_objective_distances_of_every_layers_tokens() -> None:
    trained, batch = phase(), make_batch(SHAPE, 4, 0)
    more = trained.features(batch, 0).more
    mine = streams(random_clip(SHAPE, 0), batch)
    theirs = streams(random_clip(SHAPE, 1), batch)
    ends = batch.tokens_BT.argmax(dim=1) + 1
    module: Any = trained.losses[0].module
    for tower, lengths in (("image", None), ("text", ends.tolist())):
        W = module.project[tower].weight.detach().numpy()
        expected = formulas.layerwise(mine[tower], theirs[tower], W, lengths)
        given_B = more[f"layerwise.{tower}"].detach().numpy()
        np.testing.assert_allclose(given_B, expected, rtol=1e-9)


def counting(
    model: Clip, monkeypatch: pytest.MonkeyPatch
) -> Callable[[], dict[str, int]]:
    """How often each tower ran since it was last asked."""
    counts = dict.fromkeys(("image", "text"), 0)
    for name in counts:
        tower = getattr(model, name)

        def run(*args: Any, name: str = name, forward: Any = tower.forward) -> Tensor:
            counts[name] += 1
            out: Tensor = forward(*args)
            return out

        monkeypatch.setattr(tower, "forward", run)

    def told() -> dict[str, int]:
        now = dict(counts)
        counts.update(dict.fromkeys(counts, 0))
        return now

    return told


def test_the_teacher_runs_once_a_step_for_tokens_and_features(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trained = phase(mimic=1.0, tat={"anchors": 1})
    live: Any = trained.teacher
    told, own = (counting(x, monkeypatch) for x in (live.model, trained.model))
    for step in range(2):
        backward(trained, make_batch(SHAPE, 6, step), step, trained.engine, 1)
        assert told() == own() == {"image": 1, "text": 1}


def test_a_pass_beside_the_students_own_is_not_looked_at() -> None:
    batch = make_batch(SHAPE, 4, 0)
    alone = phase().features(batch, 0).more
    for losses in ({"layerwise": 1.0, "mfd": 1.0}, {"mfd": 1.0, "layerwise": 1.0}):
        beside = phase_of("distil", SHAPE, Engine(), losses).features(batch, 0).more
        assert torch.equal(beside["layerwise.image"], alone["layerwise.image"])


def test_tokens_are_held_no_longer_than_their_distance_takes() -> None:
    trained = phase(mimic=1.0)
    backward(trained, make_batch(SHAPE, 6, 0), 0, trained.engine, 3)
    provider: Any = trained.providers["layerwise"]
    assert not provider.mine.holds and not provider.theirs.holds


def test_a_phase_that_is_over_looks_on_no_more() -> None:
    trained = phase()
    live: Any = trained.teacher
    assert len(live.watched_by) == 1
    del trained
    gc.collect()
    assert len(live.watched_by) == 0


@pytest.mark.parametrize("kind", ["learn", "distil"])
def test_activations_that_are_made_twice_give_the_same_step(kind: str) -> None:
    plain, twice = phase(kind, mimic=1.0), phase(kind, mimic=1.0)
    losses = [train(plain, plain.engine)]
    with twice.engine.tuned(twice.model, True, False):
        losses.append(train(twice, twice.engine))
    assert losses[0] == pytest.approx(losses[1], abs=1e-12)


def test_compiled_towers_give_the_same_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """By torch's own tracing, without the compiler behind it."""
    compile_ = torch.nn.Module.compile
    monkeypatch.setattr(
        torch.nn.Module, "compile", lambda self: compile_(self, backend="eager")
    )
    plain, fast = phase(mfd=1.0), phase(mfd=1.0)
    batches = [make_batch(SHAPE, 4, step) for step in range(3)]
    with fast.engine.tuned(fast.model, False, True):
        for step, batch in enumerate(batches):
            one, other = (x.features(batch, step).more for x in (plain, fast))
            for name, value in one.items():
                torch.testing.assert_close(other[name], value, rtol=1e-9, atol=1e-12)
    torch._dynamo.reset()


def test_under_gates_tokens_are_those_of_open_channels() -> None:
    trained, batch = phase("learn"), make_batch(SHAPE, 4, 0)
    gates: Any = trained.gates(0)
    open_D = gates.image.embed_D
    closed = replace(
        gates,
        image=replace(gates.image, units={**gates.image.units, "embed": (open_D * 0,)}),
    )
    trained.gates = lambda _step: closed  # type: ignore[method-assign,assignment]
    given_B = trained.features(batch, 0).more["layerwise.image"]
    assert torch.allclose(given_B, torch.ones_like(given_B), atol=1e-3)


def test_a_teacher_with_a_tokenizer_of_its_own_says_where_captions_end() -> None:
    model = random_clip(SHAPE, 1)
    told = torch.tensor([[3, 19, 1, 1, 1], [3, 4, 19, 1, 1]])
    live = LiveTeacher(model, Engine(), None, lambda _captions: told)
    trained = phase()
    provider: Any = trained.providers["layerwise"]
    provider.live = live
    live.watched_by.add(provider.theirs)
    mine = torch.tensor([[2, 9, 1, 1, 1], [2, 3, 3, 9, 1]])  # the second is longer
    batch = replace(make_batch(SHAPE, 2, 0), tokens_BT=mine, captions=("a", "b"))
    given_B = trained.features(batch, 0).more["layerwise.text"]
    assert float(given_B[0].detach()) > 0 and float(given_B[1].detach()) == 0


@pytest.mark.parametrize(
    ("pool", "counts"),
    [("argmax", [2, 5]), ("eos", [3, 1]), ("last", None), ("first", None)],
)
def test_tokens_of_captions_count_up_to_their_end(pool: Any, counts: Any) -> None:
    text = replace(SHAPE.text, pool=pool, eos_id=7 if pool == "eos" else None)
    model = Clip(SHAPE.with_towers(text=text))
    ids = torch.tensor([[1, 9, 7, 0, 0], [7, 2, 2, 2, 8]])
    found = counted(model, ids)
    told = None if found is None else found.sum(dim=1).tolist()
    assert told == counts
    if found is not None:
        assert (found.int().diff(dim=1) <= 0).all()


def test_without_weight_the_teacher_is_not_run_for_it() -> None:
    losses: Any = {"mimic": 1.0, "layerwise": 0.0}
    trained = phase_of("distil", SHAPE, Engine(), losses)
    assert trained.providers == {} and set(trained.modules()) == {"model"}
    assert len(trained.teacher.watched_by) == 0
