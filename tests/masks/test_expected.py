"""p and the counted size are one formula."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyclip import cost
from tinyclip.masks.expected import expected_shape, expected_size
from tinyclip.masks.gates import Gates
from tinyclip.shapes import BlockShape, ClipShape, ImageShape, TextShape

BUDGETS = ("encoder", "total")


def small_shape() -> ClipShape:
    return ClipShape(
        embed_dim=5,
        image=ImageShape(
            width=6,
            head_width=3,
            blocks=(BlockShape(heads=2, ffn=5), BlockShape(heads=1, ffn=0)),
            image_size=8,
            patch_size=4,
        ),
        text=TextShape(
            width=4,
            head_width=2,
            blocks=(BlockShape(heads=0, ffn=3), BlockShape(heads=2, ffn=4)),
            context_length=6,
            vocab_size=11,
        ),
    )


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def fill(gates: Gates, seed: int) -> None:
    generator = seeded(seed)
    with torch.no_grad():
        for alpha in gates.alpha.values():
            alpha.copy_(torch.rand(alpha.shape, generator=generator) * 9.2 - 4.6)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**31), budget=st.sampled_from(BUDGETS))
def test_gates_at_0_and_1_give_exactly_the_counted_size(seed: int, budget: str) -> None:
    gates = Gates(small_shape())
    fill(gates, seed)
    with torch.no_grad():
        for alpha in gates.alpha.values():
            alpha.copy_(torch.where(alpha > 0, 1e4, -1e4))  # σ is exactly 0 or 1

    def width(name: str) -> int:
        return int((gates.alpha[name] > 0).sum())

    def blocks(tower: str, old: tuple[BlockShape, ...]) -> tuple[BlockShape, ...]:
        parts = {
            site: (gates.alpha[f"{tower}_{site}"] > 0).split(
                [getattr(block, site) for block in old]
            )
            for site in ("heads", "ffn")
        }
        return tuple(
            BlockShape(heads=int(h.sum()), ffn=int(f.sum()))
            for h, f in zip(parts["heads"], parts["ffn"], strict=True)
        )

    full = small_shape()
    image = ImageShape(
        width=width("image_embed"),
        head_width=3,
        blocks=blocks("image", full.image.blocks),
        image_size=8,
        patch_size=4,
    )
    text = TextShape(
        width=width("text_embed"),
        head_width=2,
        blocks=blocks("text", full.text.blocks),
        context_length=6,
        vocab_size=11,
    )
    counted = cost.size(ClipShape(embed_dim=5, image=image, text=text), budget)
    assert float(expected_size(gates, budget).detach()) == counted


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**31), budget=st.sampled_from(BUDGETS))
def test_the_gradient_of_p_is_the_finite_difference(seed: int, budget: str) -> None:
    gates = Gates(small_shape()).double()
    fill(gates, seed)
    expected_size(gates, budget).backward()
    step, generator = 1e-5, seeded(seed)
    for alpha in gates.alpha.values():
        unit = int(torch.randint(len(alpha), (), generator=generator))
        values = []
        with torch.no_grad():
            for side in (step, -2 * step):
                alpha[unit] += side
                values.append(float(expected_size(gates, budget)))
            alpha[unit] += step
        slope = (values[0] - values[1]) / (2 * step)
        assert alpha.grad is not None
        assert float(alpha.grad[unit]) == pytest.approx(slope, rel=1e-5, abs=1e-5)


def test_p_is_the_mean_size_of_sampled_gates() -> None:
    gates = Gates(small_shape())
    fill(gates, 1)
    generator, draws = seeded(2), 20_000
    shape = small_shape()
    is_open = {
        name: torch.rand(draws, len(p), generator=generator, dtype=torch.float64) < p
        for name, p in gates.open_probability().items()
    }

    def blocks(tower: str, old: tuple[BlockShape, ...]) -> tuple[BlockShape, ...]:
        heads, ffn = (
            is_open[f"{tower}_{site}"].split([getattr(b, site) for b in old], dim=1)
            for site in ("heads", "ffn")
        )
        return tuple(
            BlockShape(heads=h.sum(1), ffn=f.sum(1))
            for h, f in zip(heads, ffn, strict=True)
        )

    sampled = shape.with_towers(
        image=replace(
            shape.image,
            width=is_open["image_embed"].sum(1),
            blocks=blocks("image", shape.image.blocks),
        ),
        text=replace(
            shape.text,
            width=is_open["text_embed"].sum(1),
            blocks=blocks("text", shape.text.blocks),
        ),
    )
    sizes = cost.size(sampled, "total").double()
    error = float(sizes.std()) / draws**0.5
    stated = float(expected_size(gates, "total").detach())
    assert stated == pytest.approx(float(sizes.mean()), abs=4 * error)


def test_sites_that_are_not_gated_keep_their_counted_width() -> None:
    shape = expected_shape(Gates(small_shape(), sites=("ffn",)))
    assert shape.image.width == 6
    assert [block.heads for block in shape.text.blocks] == [0, 2]
    assert float(shape.image.blocks[1].ffn.detach()) == 0.0
