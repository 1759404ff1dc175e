"""What single settings do to a run: each fact is gone when its setting is ignored."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tinyclip.config.schema import Recipe
from tinyclip.data.batch import Batch
from tinyclip.errors import Interrupted
from tinyclip.formats.source import load_source
from tinyclip.inherit.score import magnitude_scores
from tinyclip.inherit.slicing import inherit
from tinyclip.model.block import Block
from tinyclip.model.clip import Clip
from tinyclip.model.store import load_model
from tinyclip.pipeline.context import RunContext
from tinyclip.pipeline.phases.distil import DistilPhase
from tinyclip.pipeline.request import Request
from tinyclip.pipeline.run_dir import RunDir
from tinyclip.pipeline.scheduler import execute
from tinyclip.training.state import Checkpoints

MakeRecipe = Callable[..., Recipe]
DISTIL = ("stages[*].phases=[distil]", "stages[*].target=null")


@pytest.fixture
def run(one_stage: MakeRecipe, tmp_path: Path) -> Callable[..., RunDir]:
    """Runs one stage of two steps a phase under some settings."""
    numbers = iter(range(100))
    few = ("stages[*].learn.steps=2", "stages[*].distil.steps=2")

    def execute_one(*sets: str) -> RunDir:
        out = tmp_path / f"run-{next(numbers)}"
        return execute(Request(out, one_stage(*few, *sets)))

    return execute_one


def bytes_of(run: RunDir) -> bytes:
    return (run.model / "model.safetensors").read_bytes()


def losses_of(run: RunDir) -> list[float]:
    return [record["loss"] for record in run.metrics.records()]


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Callable[[type], list[int]]:
    """Counts the pairs of every forward pass of a module that is being trained."""

    def count(kind: type) -> list[int]:
        seen: list[int] = []
        forward = kind.forward  # type: ignore[attr-defined]

        def counted(self: nn.Module, *args: Any, **others: Any) -> Any:
            if self.training:
                seen.append(len(args[0]))
            return forward(self, *args, **others)

        monkeypatch.setattr(kind, "forward", counted)
        return seen

    return count


def test_accumulate_sends_pieces_of_a_batch_and_takes_the_same_steps(
    run: Callable[..., RunDir], calls: Callable[[type], list[int]]
) -> None:
    sizes = calls(Clip)
    # a large epsilon: a step is then as long as its gradient, and not 1 whatever
    sets = (
        *DISTIL,
        *(f"stages[*].distil.optim.{one}" for one in ("eps=1.0", "lr=0.1")),
    )
    whole = losses_of(run(*sets))
    assert set(sizes) == {8}
    sizes.clear()
    pieces = losses_of(run(*sets, "stages[*].accumulate=4"))
    assert set(sizes) == {2}
    # the second step's loss stands on the first one's update
    assert abs(whole[1] - whole[0]) > 1e-4
    assert pieces == pytest.approx(whole, rel=1e-6)


def test_recompute_makes_activations_twice_and_the_same_bytes(
    run: Callable[..., RunDir], calls: Callable[[type], list[int]]
) -> None:
    blocks = calls(Block)
    kept = run(*DISTIL)
    once = len(blocks)
    blocks.clear()
    again = run(*DISTIL, "recompute=true")
    assert len(blocks) == 2 * once
    assert bytes_of(again) == bytes_of(kept)


def test_compile_is_for_the_towers_while_they_are_trained(
    run: Callable[..., RunDir], monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled: list[nn.Module] = []
    through: list[bool] = []

    def compile_eagerly(self: nn.Module) -> None:
        compiled.append(self)

        def call(*args: Any, **others: Any) -> Any:
            through.append(self.training)
            return self._call_impl(*args, **others)

        self._compiled_call_impl = call  # type: ignore[assignment]

    monkeypatch.setattr(nn.Module, "compile", compile_eagerly)
    plain = run(*DISTIL)
    assert compiled == []
    fast = run(*DISTIL, "compile=true")
    assert len(compiled) == 2
    assert through == [True] * 4  # two towers, two steps, and nothing after them
    assert bytes_of(fast) == bytes_of(plain)


@pytest.mark.parametrize("trained", [True, False])
def test_without_train_weights_the_learn_phase_leaves_them_bit_for_bit(
    run: Callable[..., RunDir], trained: bool
) -> None:
    student_run = run(
        "stages[*].phases=[learn, inherit]",
        f"stages[*].learn.train_weights={str(trained).lower()}",
    )
    (folder,) = student_run.stages(student_run.recipe())
    keep = folder.keep()
    assert keep is not None
    teacher = load_source("builtin:pico").model
    cut = inherit(teacher, keep).state_dict()
    student = load_model(student_run.model).model.state_dict()
    assert all(torch.equal(student[name], cut[name]) for name in cut) is not trained


@pytest.fixture
def first_gates(
    one_stage: MakeRecipe, tmp_path: Path
) -> Callable[..., dict[str, Tensor]]:
    """The gates that a learn phase starts with, read from its first state."""
    numbers = iter(range(100))

    def gates(*sets: str) -> dict[str, Tensor]:
        out = tmp_path / f"gates-{next(numbers)}"
        recipe = one_stage("stages[*].batch=4", *sets)
        with pytest.raises(Interrupted):
            execute(Request(out, recipe), stop=lambda: True)
        (folder,) = RunDir(out).stages(recipe)
        state = Checkpoints(folder.checkpoints, 2).latest("learn", 0)
        assert state is not None
        return state.part("gates")

    return gates


def openness(gates: dict[str, Tensor]) -> Tensor:
    """P(z > 0) of every unit: design §5, a = -0.1, b = 1.1, T = 2/3."""
    named = sorted(gates.items())  # a file has no order of its own
    alpha = torch.cat([value.double().flatten() for _, value in named])
    shift = torch.log(torch.tensor(0.1 / 1.1, dtype=torch.float64)) * 2 / 3
    return torch.sigmoid(alpha - shift)


def test_gates_start_alike_unless_importance_is_asked_for(
    first_gates: Callable[..., dict[str, Tensor]],
) -> None:
    alike = openness(first_gates("stages[*].learn.init_open=0.8"))
    assert torch.allclose(alike, torch.full_like(alike, 0.8), atol=1e-5)
    ranked = openness(
        first_gates("stages[*].learn.init=magnitude", "stages[*].learn.init_open=0.8")
    )
    assert float(ranked.std()) > 0.01


def test_taylor_gates_follow_from_as_many_samples_as_are_asked_for(
    first_gates: Callable[..., dict[str, Tensor]],
) -> None:
    def taylor(samples: int, kind: str = "taylor") -> Tensor:
        return openness(
            first_gates(
                f"stages[*].learn.init={kind}",
                f"stages[*].learn.init_samples={samples}",
            )
        )

    few = taylor(4)
    assert torch.equal(few, taylor(4))
    assert not torch.equal(few, taylor(16))
    assert torch.equal(taylor(4, "magnitude"), taylor(16, "magnitude"))


def test_hessian_looks_at_the_share_of_each_pair(
    one_stage: MakeRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Tensor] = []

    def scores(model: Clip, losses: Iterable[Tensor]) -> dict[str, Tensor]:
        parameter = model.text.projection
        seen.extend(torch.autograd.grad(loss, parameter)[0] for loss in losses)
        return magnitude_scores(model)

    monkeypatch.setattr("tinyclip.pipeline.stage_context.hessian_scores", scores)
    batches: list[Batch] = []
    drawn = RunContext.batches

    def remembered(self: RunContext, batch: int, steps: int) -> Iterator[Batch]:
        batches.extend(drawn(self, batch, steps))
        return iter(batches)

    monkeypatch.setattr(RunContext, "batches", remembered)
    sets = ("phases=[score,inherit]", "score.importance=hessian", "score.samples=8")
    recipe = one_stage("stages[*].batch=4", *(f"stages[*].{text}" for text in sets))
    execute(Request(tmp_path / "run", recipe))
    assert (len(batches), len(seen)) == (2, 8)
    teacher = load_source(recipe.teacher).model.requires_grad_(True)
    for batch, parts in zip(batches, (seen[:4], seen[4:]), strict=True):
        features = teacher(batch.pixels, batch.tokens_BT)
        own = torch.eye(4).argmax(-1)
        logits = features.scale * features.image_BE @ features.text_BE.T
        loss = (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2
        (whole,) = torch.autograd.grad(loss, teacher.text.projection)
        torch.testing.assert_close(sum(parts), whole, rtol=1e-4, atol=1e-6)


@pytest.fixture
def raised(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """From its tenth step on, the loss of distillation is twice as high."""
    monkeypatch.setattr("tinyclip.training.guard.WINDOW", 5)
    objective = DistilPhase.objective

    def higher(self: DistilPhase, mine: Any, theirs: Any, step: int) -> Any:
        loss, parts = objective(self, mine, theirs, step)
        return (loss * 2 if step >= 9 else loss), parts

    monkeypatch.setattr(DistilPhase, "objective", higher)
    yield


@pytest.mark.parametrize(
    ("factor", "patience", "goes_back"),
    [(1.5, 3, True), (3.0, 3, False), (1.5, 4, False)],
)
@pytest.mark.usefixtures("raised")
def test_a_loss_that_runs_away_is_gone_back_from(
    run: Callable[..., RunDir],
    caplog: pytest.LogCaptureFixture,
    factor: float,
    patience: int,
    goes_back: bool,
) -> None:
    sets = (
        "stages[*].distil.steps=12",
        f"divergence={factor}",
        f"divergence_steps={patience}",
        "stages[*].distil.optim.lr=1.0e-9",  # so that nothing else moves the loss
    )
    with caplog.at_level(logging.WARNING):
        try:
            run(*DISTIL, *sets)
        except Exception as again:  # the loss is as high the second time
            assert "again. Try a lower learning rate" in str(again)
    words = f"the loss was over {factor:g} times its running median for 3 steps"
    assert (words in caplog.text) is goes_back
    assert ("Going back to step" in caplog.text) is goes_back
