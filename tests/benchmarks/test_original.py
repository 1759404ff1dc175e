"""TinyCLIP as published: what is not a setting of tinyclip's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import ModuleType
from typing import Any

import pytest
import torch

from tinyclip.keep import ClipKeep, Keep, TowerKeep
from tinyclip.masks.choose import choose
from tinyclip.masks.gates import Gates
from tinyclip.model.clip import Clip
from tinyclip.model.gating import ClipGates, TowerGates
from tinyclip.shapes import BlockShape, ClipShape, ImageShape, TextShape


@pytest.fixture(scope="module")
def original(scripts: Callable[[str], ModuleType]) -> Any:
    return scripts("comparison.original")


@pytest.fixture
def model() -> Clip:
    block = BlockShape(heads=4, ffn=32)
    shape = ClipShape(
        embed_dim=12,
        image=ImageShape(
            width=24, head_width=6, blocks=(block,) * 2, image_size=16, patch_size=8
        ),
        text=TextShape(
            width=16, head_width=4, blocks=(block,) * 2, context_length=8, vocab_size=50
        ),
    )
    clip = Clip(shape).init_weights(0)
    noise = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in clip.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=noise)
    return clip.eval()


@pytest.fixture
def keep(model: Clip, original: Any) -> ClipKeep:
    gates = Gates(model)
    noise = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for alpha in gates.alpha.values():
            alpha.copy_(2 * torch.randn(alpha.shape, generator=noise))
    return original.with_soft_gates(choose(gates, 0.5), gates)


@pytest.fixture
def pairs() -> tuple[torch.Tensor, torch.Tensor]:
    noise = torch.Generator().manual_seed(2)
    pixels = torch.randn(3, 3, 16, 16, generator=noise)
    return pixels, torch.randint(0, 50, (3, 8), generator=noise)


def as_gates(keep: ClipKeep) -> ClipGates:
    """The soft value of each survivor, 0 for the rest."""

    def vector(kept: Keep) -> torch.Tensor:
        gate = torch.zeros(kept.total)
        gate[list(kept.kept)] = torch.tensor(kept.scales)
        return gate

    def tower(kept: TowerKeep) -> TowerGates:
        return TowerGates({k: tuple(map(vector, v)) for k, v in kept.units.items()})

    return ClipGates(*(tower(kept) for kept in keep.towers().values()))


def features(model: Clip, pairs: Any, gates: ClipGates | None = None) -> torch.Tensor:
    with torch.no_grad():
        found = model(*pairs, gates=gates)
    return torch.cat([found.image_BE, found.text_BE])


def test_survivors_are_as_soft_as_their_gates(model: Clip, original: Any) -> None:
    gates = Gates(model).init_constant(0.9)
    soft = original.with_soft_gates(choose(gates, 0.5), gates)
    alpha = float(gates.alpha["image_ffn"][0].detach())
    expected = 1 / (1 + torch.exp(torch.tensor(-1.2 * alpha)))
    scales = {s for k in soft.image["ffn"] for s in k.scales}
    assert [*scales] == pytest.approx([float(expected)])


def test_the_cut_model_is_the_masked_one_but_for_the_last_norm(
    model: Clip, keep: ClipKeep, original: Any, pairs: Any
) -> None:
    masked = original.with_published_norms(model)
    # the published cut scales the projection's rows, the masked model does not
    for norm in (masked.image.norm_post, masked.text.norm_final):
        norm.__class__ = type(model.image.norm_post)
    student = original.cut(model, keep)
    assert student.shape == keep.cut(model.shape)
    torch.testing.assert_close(
        features(student, pairs), features(masked, pairs, as_gates(keep))
    )


def test_published_norms_see_open_channels_and_have_no_gate(
    model: Clip, original: Any
) -> None:
    norm = original.with_published_norms(model).image.blocks[0].norm_1
    x, gate = torch.randn(2, 5, 24), torch.rand(24)
    gate[::3] = 0
    seen = gate > 0
    expected = torch.zeros_like(x)
    expected[..., seen] = torch.nn.functional.layer_norm(
        x[..., seen], (16,), norm.weight[seen], norm.bias[seen], norm.eps
    )
    torch.testing.assert_close(norm(x, gate), expected)
    plain = model.image.blocks[0].norm_1
    torch.testing.assert_close(norm(x, None), plain(x, None))


def test_a_zero_padded_student_under_its_gates_is_the_student(
    model: Clip, keep: ClipKeep, original: Any, pairs: Any
) -> None:
    student = original.cut(model, keep)
    padded = original.zero_padded(student, keep, model)
    assert padded.shape == model.shape
    alone = {
        name: TowerKeep(
            {
                k: tuple(replace(one, scale=None) for one in v)
                for k, v in t.units.items()
            },
            t.layers,
        )
        for name, t in keep.towers().items()
    }
    whole = original.with_published_norms(padded)
    torch.testing.assert_close(
        features(whole, pairs, as_gates(ClipKeep(**alone))), features(student, pairs)
    )


def test_gates_of_units_that_are_gone_start_closed(
    model: Clip, keep: ClipKeep, original: Any
) -> None:
    gates = Gates(model)
    original.begin(gates, None)
    assert {a for v in gates.alpha.values() for a in v.tolist()} == {10.0}
    original.begin(gates, keep)
    kept = keep.image.sole("embed")
    assert kept is not None
    alpha = gates.alpha["image_embed"]
    assert [i for i in range(24) if alpha[i] > 0] == list(kept.kept)
    assert set(alpha.tolist()) == {10.0, -10.0}


def test_multipliers_climb_as_adam_climbs(original: Any) -> None:
    ours = original.PublishedMultipliers(0.02)
    theirs = torch.nn.Parameter(torch.tensor([10.0, 10.0], dtype=torch.float64))
    adam = torch.optim.Adam([theirs], lr=0.02, maximize=True)
    for gap in (0.3, 0.1, -0.2, 0.05):
        over = max(gap, 0.0)
        theirs.grad = torch.tensor([over, over**2], dtype=torch.float64)
        adam.step()
        ours.ascend(gap)
    found = torch.stack([ours.lambda_, ours.beta])
    torch.testing.assert_close(found, theirs.detach(), rtol=1e-9, atol=1e-9)
