"""What a refused target says: the smallest size, what limits it, what to do."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from tinyclip import cost
from tinyclip.errors import UserError
from tinyclip.masks.choose import check_target, choose, choose_by_scores
from tinyclip.masks.gates import Gates
from tinyclip.model.clip import Clip
from tinyclip.shapes import BlockShape, ClipShape, ImageShape, TextShape


@pytest.fixture(scope="module")
def vit_b_32() -> ClipShape:
    block = BlockShape(heads=12, ffn=3072)
    return ClipShape(
        embed_dim=512,
        image=ImageShape(
            width=768,
            head_width=64,
            blocks=(block,) * 12,
            image_size=224,
            patch_size=32,
        ),
        text=TextShape(
            width=512,
            head_width=64,
            blocks=(BlockShape(heads=8, ffn=2048),) * 12,
            context_length=77,
            vocab_size=49408,
        ),
    )


def refusal(shape: ClipShape, target: float, **settings: Any) -> UserError:
    with pytest.raises(UserError) as refused:
        check_target(shape, target, **settings)
    return refused.value


def test_the_token_embedding_is_named_when_it_limits(vit_b_32: ClipShape) -> None:
    error = refusal(vit_b_32, 0.1, budget="total", sites=("heads", "ffn"))
    assert error.where == "target"
    assert "10 % of 151.28 M parameters is out of reach" in error.what
    assert "heads, ffn gated" in error.what
    assert "text embed is not gated" in error.what
    assert "the token embedding alone 25.30 M parameters" in error.what
    assert "gate embed, too" in error.todo and "--vocab captions" in error.todo


def test_the_smallest_size_is_that_of_the_cut_without_heads_and_units(
    vit_b_32: ClipShape,
) -> None:
    bare = vit_b_32.with_towers(
        **{
            name: replace(tower, blocks=(BlockShape(heads=0, ffn=0),) * 12)
            for name, tower in vit_b_32.towers().items()
        }
    )
    smallest = cost.size(bare, "total")
    error = refusal(vit_b_32, 0.1, budget="total", sites=("heads", "ffn"))
    share = smallest / cost.size(vit_b_32, "total")
    assert f"{smallest / 1e6:.2f} M parameters ({100 * share:.4g} %)" in error.what
    assert f"a target of {share:.4g} or more" in error.todo
    near = refusal(vit_b_32, 0.99 * share, budget="total", sites=("heads", "ffn"))
    assert "is out of reach" in near.what


def test_shares_count_from_the_reference(vit_b_32: ClipShape) -> None:
    bare = {
        name: replace(tower, width=8, blocks=(BlockShape(heads=0, ffn=0),) * 12)
        for name, tower in vit_b_32.towers().items()
    }
    with torch.device("meta"):
        least = Clip(vit_b_32.with_towers(**bare))
    smallest = sum(parameter.numel() for parameter in least.parameters())
    error = refusal(vit_b_32, 0.0001, budget="total", reference=10**9)
    assert "0.01 % of 1.00 G parameters" in error.what
    assert f"{smallest:,} parameters ({smallest / 1e7:.4g} %)" in error.what


@pytest.mark.parametrize(
    ("budget", "unit"),
    [("encoder", "parameters"), ("macs", "G MACs"), ("bytes", "MB")],
)
def test_sizes_are_told_in_the_unit_of_the_budget(
    vit_b_32: ClipShape, budget: str, unit: str
) -> None:
    error = refusal(vit_b_32, 0.05, budget=budget, sites=("ffn",))
    assert error.what.count(unit) >= 2


def test_every_site_that_has_to_be_gated_is_named(vit_b_32: ClipShape) -> None:
    by_ffn = refusal(vit_b_32, 0.3, sites=("ffn",))
    assert "gate heads, too" in by_ffn.todo
    both = refusal(vit_b_32, 0.003, budget="total", sites=("ffn",))
    assert "gate embed and heads, too" in both.todo
    none = refusal(vit_b_32, 1e-6, sites=("ffn",))
    assert "gate" not in none.todo


def test_sites_that_went_with_their_layers_are_told_as_gated(
    vit_b_32: ClipShape,
) -> None:
    error = refusal(vit_b_32, 0.5, sites=("heads", "attention_layers"))
    assert "with heads, attention_layers gated" in error.what
    assert "gate heads" not in error.todo


def test_a_tower_without_gates_limits_a_budget_of_both(vit_b_32: ClipShape) -> None:
    with pytest.raises(UserError, match="text embed is not gated") as refused:
        choose(Gates(vit_b_32, towers=("image",)), 0.2, budget="total")
    assert "gate the text tower, too" in refused.value.todo
    assert "towers: [image]" in refused.value.todo


def test_when_all_is_gated_the_last_channels_limit(vit_b_32: ClipShape) -> None:
    error = refusal(vit_b_32, 0.001, budget="total")
    assert "text embed keeps 8 channels at least" in error.what
    error = refusal(vit_b_32, 0.01, budget="total", layout="uniform")
    assert "1 head a layer and 64 embed channels" in error.what
    assert "--layout ragged" in error.todo


def test_multiples_that_limit_are_named(vit_b_32: ClipShape) -> None:
    error = refusal(vit_b_32, 0.01, budget="encoder", layout="uniform", round_to=384)
    assert "6 heads a layer and 384 embed channels" in error.what
    assert "smaller --round-to" in error.todo
    error = refusal(vit_b_32, 1.0, budget="macs", round_to=100)
    assert "more than its widths allow" in error.what
    error = refusal(vit_b_32, 0.5, round_to=1000)
    assert (error.where, "768 channels" in error.what) == ("round_to", True)


def test_sizes_too_far_apart_ask_for_smaller_multiples(vit_b_32: ClipShape) -> None:
    error = refusal(
        vit_b_32, 0.9, budget="total", layout="uniform", towers=("image",), round_to=64
    )
    assert "within 0.5% of 79.06 M parameters (90 %)" in error.what
    assert "sizes are 78.41 M parameters (89.25 %) and 79.59 M" in error.what
    assert "smaller --round-to" in error.todo and "--layout ragged" in error.todo


def test_no_head_number_makes_the_width_a_multiple(vit_b_32: ClipShape) -> None:
    error = refusal(vit_b_32, 0.5, layout="uniform", round_to=100)
    assert error.where == "round_to"
    assert "heads × 64, a multiple of 100" in error.what


def test_a_multiple_wider_than_the_ffn_is_refused_in_a_uniform_student(
    siglip_shape: ClipShape,
) -> None:
    error = refusal(siglip_shape, 0.5, layout="uniform", sites=("ffn",), round_to=64)
    assert "32 ffn units, fewer than 64" in error.what


def test_a_whole_attention_pool_is_named_when_it_limits(
    siglip_shape: ClipShape,
) -> None:
    big = replace(siglip_shape.image, pool_block=BlockShape(heads=99, ffn=9999))
    shape = siglip_shape.with_towers(image=big)
    error = refusal(shape, 0.01, budget="total", towers=("image",))
    assert "the attention pool holds" in error.what
    assert "--layout uniform" in error.todo


def test_a_uniform_pool_needs_gates_or_scores_of_its_own(
    siglip_shape: ClipShape,
) -> None:
    with pytest.raises(UserError, match=r"Gates\(model, pool=True\)"):
        choose(Gates(siglip_shape), 0.5, layout="uniform")
    scores = {name: alpha.detach() for name, alpha in Gates(siglip_shape).alpha.items()}
    with pytest.raises(UserError, match="scores of image_pool_heads"):
        choose_by_scores(siglip_shape, scores, 0.5, layout="uniform")
    scores |= {"image_pool_heads": torch.ones(4), "image_pool_ffn": torch.ones(5)}
    with pytest.raises(UserError, match="need 32 values for 'image_pool_ffn'"):
        choose_by_scores(siglip_shape, scores, 0.5, layout="uniform")


def test_values_that_mean_nothing_are_refused(pico_shape: ClipShape) -> None:
    for settings, where in (
        ({"round_to": 0}, "round_to"),
        ({"layout": "raged"}, "layout"),
        ({"budget": "totl"}, "budget"),
        ({"towers": ("imag",)}, "towers"),
        ({"towers": ()}, "towers"),
        ({"sites": ("head",)}, "sites"),
    ):
        assert refusal(pico_shape, 0.5, **settings).where == where  # type: ignore[arg-type]
    with pytest.raises(UserError, match="no unit of text may go"):
        choose(Gates(pico_shape, towers=("image",)), 0.5, towers=("text",))


def test_a_tower_left_whole_must_be_uniform_in_a_uniform_student(
    pico_shape: ClipShape,
) -> None:
    error = refusal(pico_shape, 0.5, layout="uniform", towers=("text",))
    assert "the image tower cannot be uniform" in error.what


def test_a_dead_layer_cannot_become_a_stock_one(siglip_shape: ClipShape) -> None:
    dead = BlockShape(heads=4, ffn=0)
    text = replace(siglip_shape.text, blocks=(*siglip_shape.text.blocks, dead))
    error = refusal(siglip_shape.with_towers(text=text), 0.5, layout="uniform")
    assert "a layer has no ffn unit left" in error.what
