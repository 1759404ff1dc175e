"""Stock students: SigLIP's pool, towers of different heads, exact after the cut."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from tinyclip import cost
from tinyclip.errors import UserError
from tinyclip.inherit.certify import certify
from tinyclip.inherit.slicing import inherit
from tinyclip.keep import ClipKeep
from tinyclip.masks.choose import choose, choose_by_scores
from tinyclip.masks.gates import Gates
from tinyclip.model.clip import Clip
from tinyclip.shapes import BlockShape, ClipShape


def roomy(shape: ClipShape) -> ClipShape:
    """Wide enough for every target; the image heads are wider than the text's."""
    block, small = BlockShape(heads=6, ffn=300), BlockShape(heads=5, ffn=200)
    image = replace(shape.image, width=48, head_width=8, blocks=(block,) * 3)
    if image.pool_block is not None:
        image = replace(image, pool_block=block)
    text = replace(shape.text, width=20, head_width=4, blocks=(small,) * 2)
    return shape.with_towers(image=image, text=text)


def learned(shape: ClipShape, seed: int = 0) -> Gates:
    gates, generator = Gates(shape, pool=True), torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for alpha in gates.alpha.values():
            alpha.copy_(torch.rand(alpha.shape, generator=generator) * 9 - 4.5)
    return gates


@pytest.mark.parametrize("round_to", [1, 4])
@pytest.mark.parametrize("budget", cost.BUDGETS)
@pytest.mark.parametrize("target", [0.25, 0.6])
@pytest.mark.parametrize("kind", ["siglip_shape", "pico_shape"])
def test_a_uniform_student_is_a_stock_shape_of_the_size(
    kind: str,
    target: float,
    budget: str,
    round_to: int,
    request: pytest.FixtureRequest,
) -> None:
    shape = roomy(request.getfixturevalue(kind))
    keep = choose(
        learned(shape), target, budget=budget, layout="uniform", round_to=round_to
    )
    cut = keep.cut(shape)
    assert cut.image.is_uniform and cut.text.is_uniform
    assert cut.image.pool_block in (None, cut.image.blocks[0])
    share = cost.size(cut, budget) / cost.size(shape, budget)
    assert share == pytest.approx(target, rel=0.005)
    if not shape.image.projection:
        assert cut.embed_dim == cut.image.width
    for tower in cut.towers().values():
        assert tower.width % round_to == tower.blocks[0].ffn % round_to == 0


def test_the_pool_keeps_its_own_best_units(siglip_shape: ClipShape) -> None:
    shape = roomy(siglip_shape)
    gates = learned(shape)
    with torch.no_grad():
        gates.alpha["image_pool_heads"].copy_(torch.tensor([-4.0, 4, -4, 4, -4, 4]))
    keep = choose(gates, 0.4, layout="uniform")
    heads = keep.image.sole("pool_heads")
    assert heads is not None and 0 < len(heads) < 6
    assert set(heads.kept) <= {1, 3, 5} or set(heads.kept) >= {1, 3, 5}
    assert keep.image.sole("pool_ffn") is not None
    assert keep.image.sole("pool_ffn").scale is not None
    kept = gates.alpha["image_pool_ffn"].detach()[
        list(keep.image.sole("pool_ffn").kept)
    ]
    closed = gates.alpha["image_pool_ffn"].detach().sort().values
    assert kept.min() == closed[300 - len(keep.image.sole("pool_ffn"))]


def test_a_ragged_student_keeps_its_pool_whole_even_if_it_was_gated(
    siglip_shape: ClipShape,
) -> None:
    shape = roomy(siglip_shape)
    keep = choose(learned(shape), 0.4, budget="total")
    assert not {"pool_heads", "pool_ffn"} & set(keep.image.units)
    assert keep.cut(shape).image.pool_block == shape.image.pool_block


def test_scores_of_the_pool_rank_its_units(siglip_shape: ClipShape) -> None:
    shape = roomy(siglip_shape)
    scores = {n: a.detach().exp() for n, a in learned(shape).alpha.items()}
    keep = choose_by_scores(
        shape, scores, 0.4, budget="macs", layout="uniform", round_to=2
    )
    assert keep.image.sole("pool_heads") is not None
    best = scores["image_pool_heads"].argsort(descending=True)
    number = len(keep.image.sole("pool_heads"))
    assert set(keep.image.sole("pool_heads").kept) == set(best[:number].tolist())


def test_an_untouched_image_tower_with_a_pool_stays_uniform(
    siglip_shape: ClipShape,
) -> None:
    shape = roomy(siglip_shape)
    keep = choose(
        Gates(shape, towers=("text",)), 0.5, layout="uniform", towers=("text",)
    )
    assert keep.image == ClipKeep.everything(shape).image
    assert keep.cut(shape).text.is_uniform


def test_a_narrow_pool_narrows_the_layers_with_it(siglip_shape: ClipShape) -> None:
    shape = roomy(siglip_shape)
    image = replace(shape.image, pool_block=BlockShape(heads=3, ffn=100))
    shape = shape.with_towers(image=image)
    cut = choose(learned(shape), 0.2, layout="uniform").cut(shape)
    assert cut.image.is_uniform
    assert cut.image.blocks[0].heads <= 3 and cut.image.blocks[0].ffn <= 100
    with pytest.raises(UserError, match="more than its widths allow"):
        choose(learned(shape), 1.0, layout="uniform")


def test_a_narrow_pool_fits_into_the_largest_student(siglip_shape: ClipShape) -> None:
    shape = roomy(siglip_shape)
    narrow = BlockShape(heads=3, ffn=300)
    image = replace(shape.image, pool_block=narrow)
    shape = shape.with_towers(image=image)
    largest = shape.with_towers(image=replace(image, width=24, blocks=(narrow,) * 3))
    target = cost.size(largest, "encoder") / cost.size(shape, "encoder")
    cut = choose(learned(shape), target, layout="uniform").cut(shape)
    assert (cut.image.width, cut.image.pool_block) == (24, cut.image.blocks[0])
    assert cut.image.blocks[0].heads == 3


def test_a_pool_unlike_its_layers_cannot_stay_whole(siglip_shape: ClipShape) -> None:
    shape = roomy(siglip_shape)
    for pool in (BlockShape(heads=7, ffn=300), BlockShape(heads=6, ffn=301)):
        odd = shape.with_towers(image=replace(shape.image, pool_block=pool))
        with pytest.raises(UserError, match="image tower cannot be uniform"):
            choose(Gates(odd, towers=("text",)), 0.5, layout="uniform")


def test_layers_of_different_ffn_cannot_stay_so(pico_shape: ClipShape) -> None:
    shape = roomy(pico_shape)
    blocks = (BlockShape(heads=5, ffn=200), BlockShape(heads=5, ffn=199))
    shape = shape.with_towers(text=replace(shape.text, blocks=blocks))
    gates = Gates(shape, sites=("heads", "embed"))
    with pytest.raises(UserError, match="layers differ in ffn, which is not gated"):
        choose(gates, 0.8, layout="uniform")


def test_a_layer_far_narrower_than_the_others_leaves_the_rest_to_the_image(
    pico_shape: ClipShape,
) -> None:
    wide, narrow = BlockShape(heads=2, ffn=400), BlockShape(heads=2, ffn=16)
    shape = pico_shape.with_towers(
        image=replace(pico_shape.image, width=16, head_width=8, blocks=(wide,) * 2),
        text=replace(
            pico_shape.text, width=16, head_width=8, blocks=(wide, wide, narrow)
        ),
    )
    cut = choose(Gates(shape), 0.3, layout="uniform").cut(shape)
    assert cut.image.is_uniform and cut.text.blocks[0].ffn <= 16
    share = cost.size(cut, "encoder") / cost.size(shape, "encoder")
    assert share == pytest.approx(0.3, rel=0.005)


def test_widths_that_are_no_multiple_shrink_to_one(pico_shape: ClipShape) -> None:
    block = BlockShape(heads=4, ffn=303)
    shape = pico_shape.with_towers(
        image=replace(pico_shape.image, width=32, head_width=8, blocks=(block,) * 2),
        text=replace(pico_shape.text, width=32, head_width=8, blocks=(block,) * 2),
    )
    cut = choose(Gates(shape), 0.98, layout="uniform", round_to=8).cut(shape)
    assert cut.image.blocks[0].ffn % 8 == cut.text.blocks[0].ffn % 8 == 0
    with pytest.raises(UserError, match="more than its widths allow"):
        choose(Gates(shape), 1.0, layout="uniform", round_to=8)


def test_towers_without_ffn_gates_keep_their_width(siglip_shape: ClipShape) -> None:
    shape = roomy(siglip_shape)
    gates = Gates(shape, sites=("heads", "embed"), pool=True)
    full = cost.size(shape, "encoder")
    halves = shape.with_towers(
        image=replace(
            shape.image,
            width=24,
            blocks=(BlockShape(heads=3, ffn=300),) * 3,
            pool_block=BlockShape(heads=3, ffn=300),
        )
    )
    target = cost.size(halves, "encoder") / full
    cut = choose(gates, target, layout="uniform").cut(shape)
    assert cut.image.pool_block == cut.image.blocks[0]
    assert cut.image.blocks[0].ffn == 300


def random_model(shape: ClipShape) -> Clip:
    """Biases not 0 and norms not 1, so that every term counts."""
    model, generator = Clip(shape), torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator) * 0.2
            is_norm = "norm" in name and name.endswith("weight")
            parameter.copy_(1 + noise if is_norm else noise)
    return model.eval()


@pytest.mark.parametrize("layout", ["ragged", "uniform"])
@pytest.mark.parametrize("kind", ["siglip_shape", "pico_shape"])
def test_the_student_is_the_gated_model(
    kind: str, layout: Any, request: pytest.FixtureRequest
) -> None:
    model = random_model(roomy(request.getfixturevalue(kind)))
    keep = choose(learned(model.shape), 0.3, budget="total", layout=layout, round_to=2)
    student = inherit(model, keep)
    generator = torch.Generator().manual_seed(2)
    pixels = torch.randn(64, 3, 16, 16, generator=generator)
    tokens = torch.randint(0, 50, (64, 8), generator=generator)
    stated = certify(model, keep, student, pixels, tokens)
    assert stated["max_abs_diff"] <= 1e-5
    stored = sum(parameter.numel() for parameter in student.parameters())
    assert stored == pytest.approx(0.3 * cost.size(model.shape, "total"), rel=0.005)
