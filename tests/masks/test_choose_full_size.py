"""Law 2 for the shapes of full-size models; nothing is built of them."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Any

import pytest
from drawn import random_gates  # type: ignore[import-not-found]

from tinyclip import cost
from tinyclip.masks.choose import check_target, choose
from tinyclip.shapes import (
    BlockShape,
    ClipShape,
    ImageShape,
    TextShape,
)


def clip_like(name: str) -> ClipShape:
    """Full-size shapes; nothing is built of them."""

    def tower(
        kind: type, heads: int, layers: int, head_width: int = 64, **more: Any
    ) -> Any:
        block = BlockShape(heads=heads, ffn=4 * heads * head_width)
        return kind(
            width=heads * head_width,
            head_width=head_width,
            blocks=(block,) * layers,
            **more,
        )

    words: dict[str, Any] = {"context_length": 77, "vocab_size": 49408}
    if name == "ViT-B-32":
        image = tower(ImageShape, 12, 12, image_size=224, patch_size=32)
        text = tower(TextShape, 8, 12, **words)
        return ClipShape(embed_dim=512, image=image, text=text)
    if name == "ViT-L-14":
        image = tower(ImageShape, 16, 24, image_size=224, patch_size=14)
        text = tower(TextShape, 12, 12, **words)
        return ClipShape(embed_dim=768, image=image, text=text)
    # SigLIP-B-16; the gopt one differs in the heads' width of its towers, as here
    image = tower(
        ImageShape,
        *(12, 12, 64) if name == "SigLIP-B-16" else (16, 40, 96),
        image_size=224,
        patch_size=16,
        class_token=False,
        patch_bias=True,
        norm_pre=False,
        pool="map",
        projection=False,
    )
    image = replace(image, pool_block=image.blocks[0])
    text = tower(
        TextShape,
        *(12, 12, 64) if name == "SigLIP-B-16" else (16, 27, 72),
        context_length=64,
        vocab_size=32000,
        causal=False,
        pool="last",
        projection_bias=True,
    )
    return ClipShape(embed_dim=image.width, logit_bias=True, image=image, text=text)


@pytest.mark.parametrize("layout", ["ragged", "uniform"])
@pytest.mark.parametrize("budget", cost.BUDGETS)
@pytest.mark.parametrize(
    "name",
    [
        "ViT-B-32",
        "SigLIP-B-16",
        pytest.param("ViT-L-14", marks=pytest.mark.slow),
        pytest.param("gopt", marks=pytest.mark.slow),
    ],
)
def test_full_sizes_reach_every_target_in_widths_of_eight(
    name: str, budget: str, layout: Any
) -> None:
    shape = clip_like(name)
    for target, towers in product((0.1, 0.25, 0.75), (("image", "text"), ("text",))):
        check_target(
            shape, target, budget=budget, layout=layout, towers=towers, round_to=8
        )


@pytest.mark.slow
@pytest.mark.parametrize("round_to", [1, 8])
@pytest.mark.parametrize("layout", ["ragged", "uniform"])
@pytest.mark.parametrize("name", ["ViT-B-32", "SigLIP-B-16"])
def test_full_size_gates_are_cut_to_the_size_asked_for(
    name: str, layout: Any, round_to: int
) -> None:
    shape = clip_like(name)
    gates = random_gates(shape, 3, pool=layout == "uniform")
    for budget, target in product(cost.BUDGETS, (0.1, 0.25, 0.5, 0.75, 0.9)):
        cut = choose(
            gates, target, budget=budget, layout=layout, round_to=round_to
        ).cut(shape)
        share = cost.size(cut, budget) / cost.size(shape, budget)
        assert share == pytest.approx(target, rel=0.005)
