"""The named optimiser."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tinyclip.config.schema import Optim
from tinyclip.masks.gates import Gates
from tinyclip.model.clip import Clip
from tinyclip.training.engine import Engine
from tinyclip.training.optim import NamedAdamW, Trainable, decays


def of_weights(model: Clip) -> NamedAdamW:
    return NamedAdamW([Trainable.of_weights(model, Optim())])


def step(optimizer: NamedAdamW, model: Clip, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        parameter.grad = torch.randn(parameter.shape, generator=generator)
    optimizer.torch.step()
    optimizer.torch.zero_grad()


def test_matrices_decay_and_biases_norms_and_embeddings_do_not(pico_clip: Clip) -> None:
    named = dict(pico_clip.named_parameters())
    decayed = {name for name, value in named.items() if decays(name, value)}
    assert "image.blocks.0.attention.q.weight" in decayed
    assert not {n for n in decayed if "norm" in n or n.endswith(("bias", "position"))}
    assert "text.token_embedding" not in decayed


def test_loaded_moments_go_on_as_if_nothing_had_happened(pico_clip: Clip) -> None:
    import copy

    twin = copy.deepcopy(pico_clip)
    whole = of_weights(pico_clip)
    for seed in range(4):
        step(whole, pico_clip, seed)
    first = of_weights(twin)
    step(first, twin, 0)
    step(first, twin, 1)
    second = of_weights(twin)
    second.load(first.state())
    step(second, twin, 2)
    step(second, twin, 3)
    for mine, theirs in zip(twin.parameters(), pico_clip.parameters(), strict=True):
        assert torch.equal(mine, theirs)


def test_the_schedule_moves_only_what_follows_it(pico_clip: Clip) -> None:
    weights = Trainable.of_weights(pico_clip, Optim(lr=0.1))
    gates = Trainable(
        dict(Gates(pico_clip).named_parameters()),
        lr=0.05,
        betas=(0.9, 0.999),
        eps=1e-8,
        scheduled=False,
    )
    optimizer = NamedAdamW([weights, gates])
    for share in (0.5, 0.1):
        optimizer.set_lr_share(share)
        rates = [group["lr"] for group in optimizer.torch.param_groups]
        assert rates == [0.1 * share, 0.1 * share, 0.05]


def test_only_matrices_of_a_group_decay(pico_clip: Clip) -> None:
    named = dict(pico_clip.named_parameters())
    optimizer = NamedAdamW([Trainable.of_weights(pico_clip, Optim(weight_decay=0.3))])
    decayed, rest = optimizer.torch.param_groups
    assert (decayed["weight_decay"], rest["weight_decay"]) == (0.3, 0.0)
    assert [id(p) for p in decayed["params"]] == [
        id(value) for name, value in named.items() if decays(name, value)
    ]
    assert len(decayed["params"]) + len(rest["params"]) == len(named)


def test_a_group_without_a_clip_stands_outside_the_others_norm() -> None:
    engine = Engine()
    small, large = (nn.Parameter(torch.zeros(2)) for _ in range(2))
    same = {"lr": 1.0, "betas": (0.0, 0.0), "eps": 1.0}  # a step of g / (|g| + 1)
    clipped = Trainable({"small": small}, clip=1.0, **same)  # type: ignore[arg-type]
    free = Trainable({"large": large}, **same)  # type: ignore[arg-type]
    optimizer = NamedAdamW([clipped, free])
    small.grad, large.grad = torch.tensor([3.0, 4.0]), torch.tensor([30.0, 40.0])
    assert engine.update(optimizer)
    assert torch.allclose(small, torch.tensor([-0.6 / 1.6, -0.8 / 1.8]), atol=1e-5)
    assert torch.allclose(large, torch.tensor([-30 / 31, -40 / 41]), atol=1e-5)


@pytest.mark.parametrize("clip", [None, 1.0])
def test_a_gradient_that_is_no_number_in_any_group_skips_the_step(
    clip: float | None,
) -> None:
    fine, broken = (nn.Parameter(torch.ones(2)) for _ in range(2))
    groups = [
        Trainable({name: value}, 0.1, (0.9, 0.99), 1e-8, clip=clip)
        for name, value in (("fine", fine), ("broken", broken))
    ]
    fine.grad, broken.grad = torch.ones(2), torch.tensor([1.0, torch.nan])
    assert not Engine().update(NamedAdamW(groups))
    assert torch.equal(fine, torch.ones(2))
