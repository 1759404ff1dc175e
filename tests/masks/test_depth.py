"""Whole layers that go: the size that is expected, asked for, and given."""

from __future__ import annotations

import itertools
import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from drawn import random_gates  # type: ignore[import-not-found]
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyclip import cost
from tinyclip.errors import UserError
from tinyclip.goal import SizeGoal
from tinyclip.inherit.slicing import inherit
from tinyclip.keep import ClipKeep
from tinyclip.masks.choose import check_target, choose, choose_by_scores, gates_of
from tinyclip.masks.expected import expected_shape
from tinyclip.masks.gates import Gates
from tinyclip.model.clip import Clip
from tinyclip.shapes import BlockShape, ClipShape, ImageShape, TextShape

LAYERS = ("attention_layers", "ffn_layers")
ALL = ("heads", "ffn", "embed", *LAYERS)
BUDGETS = st.sampled_from(list(cost.BUDGETS))
NAMED = st.sampled_from([("image", "text"), ("image",), ("text",)])
SITES = st.sampled_from(
    [ALL, ALL, ("ffn", *LAYERS), ("heads", "ffn", "attention_layers"), LAYERS]
)


@st.composite
def shapes(draw: Any, alike: bool = False, ffn: int = 40) -> ClipShape:
    """Ragged towers, some of whose blocks lack a layer; or stock ones."""

    def tower(kind: type, **switches: Any) -> Any:
        head_width = draw(st.integers(1, 4))
        if alike:
            heads, depth = draw(st.integers(1, 4)), draw(st.integers(1, 4))
            blocks = (BlockShape(heads=heads, ffn=ffn),) * depth
            width = heads * head_width
        else:
            block = st.builds(
                BlockShape, heads=st.integers(0, 4), ffn=st.sampled_from([0, 9, ffn])
            ) | st.sampled_from(
                [
                    BlockShape(heads=0, ffn=9, attention_layers=0),
                    BlockShape(heads=2, ffn=0, ffn_layers=0),
                ]
            )
            blocks = tuple(draw(st.lists(block, min_size=1, max_size=4)))
            width = draw(st.integers(8, 16))
        return kind(
            width=width,
            head_width=head_width,
            blocks=blocks,
            layer_scale=draw(st.booleans()),
            **switches,
        )

    projection = draw(st.booleans())
    image = tower(ImageShape, image_size=8, patch_size=4, projection=projection)
    if draw(st.booleans()):
        block = image.blocks[0] if alike else BlockShape(heads=2, ffn=5)
        image = replace(image, class_token=False, pool="map", pool_block=block)
    text = tower(TextShape, context_length=6, vocab_size=30)
    embed = draw(st.integers(2, 9)) if projection else image.width
    return ClipShape(embed_dim=embed, image=image, text=text)


def stored(shape: ClipShape, budget: str, towers: tuple[str, ...]) -> int:
    """Parameters that torch stores for the named towers."""
    with torch.device("meta"):
        named = dict(Clip(shape).named_parameters())
    if budget == "encoder":
        named = {
            name: value
            for name, value in named.items()
            if ".blocks." in name and ".norm_" not in name and ".scale_" not in name
        }
    both = len(towers) == 2
    return sum(
        value.numel()
        for name, value in named.items()
        if name.split(".")[0] in towers or (both and name.startswith("logit_"))
    )


@settings(max_examples=40, deadline=None)
@given(
    shape=shapes(),
    seed=st.integers(0, 2**31),
    sites=SITES,
    budget=st.sampled_from(["encoder", "total"]),
)
def test_gates_at_0_and_1_give_exactly_the_stored_size(
    shape: ClipShape, seed: int, sites: tuple[str, ...], budget: str
) -> None:
    gates = random_gates(shape, seed, sites=sites)
    with torch.no_grad():
        for alpha in gates.alpha.values():
            alpha.copy_(torch.where(alpha > 0, 1e4, -1e4))  # σ is exactly 0 or 1

    def tower(name: str, old: Any) -> Any:
        def units(site: str) -> list[int]:
            counts = [getattr(block, site) for block in old.blocks]
            if site not in sites:
                return counts
            opened = gates.alpha[f"{name}_{site}"] > 0
            return [int(part.sum()) for part in opened.split(counts)]

        blocks = []
        for heads, ffn, attention, up in zip(
            *map(units, ALL[:2] + LAYERS), strict=True
        ):
            # a closed layer takes its heads and units along
            smaller = BlockShape(
                heads=heads * attention,
                ffn=ffn * up,
                attention_layers=attention,
                ffn_layers=up,
            )
            blocks += [smaller] if attention or up else []
        width = old.width
        if "embed" in sites:
            width = int((gates.alpha[f"{name}_embed"] > 0).sum())
        return replace(old, width=width, blocks=tuple(blocks))

    cut = shape.with_towers(**{n: tower(n, t) for n, t in shape.towers().items()})
    with torch.no_grad():
        expected = cost.size(expected_shape(gates), budget)
    assert float(expected) == stored(cut, budget, ("image", "text"))


def test_the_expectation_is_the_product_of_open_probabilities() -> None:
    block = BlockShape(heads=3, ffn=5)
    image = ImageShape(
        width=6, head_width=2, blocks=(block, block), image_size=8, patch_size=4
    )
    text = TextShape(
        width=6, head_width=2, blocks=(block,), context_length=4, vocab_size=9
    )
    gates = random_gates(ClipShape(embed_dim=4, image=image, text=text), 1, sites=ALL)
    block = expected_shape(gates).image.blocks[1]
    chance = {name: p.double() for name, p in gates.open_probability().items()}
    layer = chance["image_attention_layers"][1]
    heads = chance["image_heads"][3:].sum() * layer
    torch.testing.assert_close(block.heads, heads, rtol=1e-6, atol=0)
    torch.testing.assert_close(block.attention_layers, layer, rtol=1e-6, atol=0)
    units = chance["image_ffn"][5:].sum() * chance["image_ffn_layers"][1]
    torch.testing.assert_close(block.ffn, units, rtol=1e-6, atol=0)


@settings(max_examples=120, deadline=None)
@given(
    shape=shapes() | shapes(alike=True, ffn=200),
    seed=st.integers(0, 2**31),
    target=st.floats(0.02, 1.0),
    budget=BUDGETS,
    towers=NAMED,
    sites=SITES,
    layout=st.sampled_from(["ragged", "uniform"]),
    round_to=st.sampled_from([1, 2]),
)
def test_the_size_asked_for_is_the_size_given_or_refused(
    shape: ClipShape,
    seed: int,
    target: float,
    budget: str,
    towers: tuple[str, ...],
    sites: tuple[str, ...],
    layout: str,
    round_to: int,
) -> None:
    asked = SizeGoal(target, budget, layout, towers=towers, round_to=round_to)
    gates = random_gates(shape, seed, sites=sites, pool=asked.uniform)
    try:
        keep = choose(gates, asked)
    except UserError as error:
        assert error.where in ("target", "layout", "sites", "round_to")
        return
    cut = keep.cut(shape)
    student = inherit(Clip(shape), keep)
    assert student.shape == cut
    if budget in ("encoder", "total"):
        counted = stored(cut, budget, towers) / stored(shape, budget, towers)
    else:
        counted = cost.size(cut, budget, towers) / cost.size(shape, budget, towers)
    assert counted == pytest.approx(target, rel=0.005)
    for name, tower in cut.towers().items():
        assert all(b.attention_layers or b.ffn_layers for b in tower.blocks) or (
            tower.blocks == shape.towers()[name].blocks
        )
        if layout == "uniform":
            assert tower.is_uniform or tower == shape.towers()[name]
        if name not in towers:
            assert tower == shape.towers()[name]


@settings(max_examples=60, deadline=None)
@given(
    shape=shapes(),
    seed=st.integers(0, 2**31),
    place=st.floats(0.01, 1, exclude_max=True),
    exact=st.booleans(),
    budget=BUDGETS,
)
def test_what_layers_alone_cannot_reach_is_refused_with_the_nearest_sizes(
    shape: ClipShape, seed: int, place: float, exact: bool, budget: str
) -> None:
    gates = random_gates(shape, seed, sites=LAYERS)

    def best(tower: str, site: str) -> list[set[int]]:
        """The blocks whose layer stays, for every number of them."""
        there = [
            i
            for i, block in enumerate(shape.towers()[tower].blocks)
            if getattr(block, site)
        ]
        alpha = gates.alpha[f"{tower}_{site}"].detach()
        order = alpha.argsort(descending=True, stable=True).tolist()
        return [{there[u] for u in order[:n]} for n in range(len(there) + 1)]

    def cut(tower: str, attention: set[int], ffn: set[int]) -> Any:
        old, blocks = shape.towers()[tower], []
        for i, block in enumerate(old.blocks):
            a, f = int(i in attention), int(i in ffn)
            smaller = BlockShape(
                heads=a * block.heads,
                ffn=f * block.ffn,
                attention_layers=a,
                ffn_layers=f,
            )
            blocks += [smaller] if a or f else []
        return replace(old, blocks=tuple(blocks))

    knobs = [best(t, s) for t in ("image", "text") for s in LAYERS]
    sizes = np.array(
        [
            cost.size(
                shape.with_towers(image=cut("image", a, b), text=cut("text", c, d)),
                budget,
            )
            for a, b, c, d in itertools.product(*knobs)
        ],
        dtype=float,
    )
    whole = cost.size(shape, budget)
    target = place
    if exact:
        target = max(1e-3, float(np.sort(sizes)[int(place * len(sizes))] / whole))
    asked = target * whole
    possible = bool((abs(sizes / asked - 1) <= 0.005).any())
    try:
        keep = choose(gates, target, budget=budget)
    except UserError as error:
        assert not possible
        shown = re.findall(r"\(([\d.e+-]+) %\)", error.what)
        near = min(abs(float(share) / 100 * whole - asked) for share in shown)
        assert near <= abs(sizes - asked).min() * 1.01 + 1e-3 * whole
    else:
        assert possible
        counted = cost.size(keep.cut(shape), budget)
        assert counted in sizes and abs(counted / asked - 1) <= 0.005


def deep() -> ClipShape:
    block = BlockShape(heads=4, ffn=64)
    image = ImageShape(
        width=16, head_width=4, blocks=(block,) * 6, image_size=8, patch_size=4
    )
    text = TextShape(
        width=16, head_width=4, blocks=(block,) * 4, context_length=6, vocab_size=30
    )
    return ClipShape(embed_dim=8, image=image, text=text)


def test_the_layers_that_stay_are_the_most_open_ones() -> None:
    gates = Gates(deep(), sites=LAYERS[:1], towers=("image",))
    with torch.no_grad():
        gates.alpha["image_attention_layers"].copy_(
            torch.tensor([3.0, -3.0, 2.0, -2.0, 3.0, -3.0])
        )
    keep = choose(gates, expected_share(gates))
    kept = [len(layer) for layer in by_block(keep, "attention_layers")]
    assert kept == [1, 0, 1, 0, 1, 0]
    hard = gates.hardened_values()["image_attention_layers"]
    scales = [
        layer.scales[0] for layer in by_block(keep, "attention_layers") if len(layer)
    ]
    assert scales == pytest.approx(hard[[0, 2, 4]].tolist())


def expected_share(gates: Gates) -> float:
    """The nearest share that whole layers reach: 3 attention layers are closed."""
    blocks = tuple(
        BlockShape(heads=4 * a, ffn=64, attention_layers=a) for a in (1, 0) * 3
    )
    left = deep().with_towers(image=replace(deep().image, blocks=blocks))
    return float(cost.size(left, "encoder") / cost.size(deep(), "encoder"))


def by_block(keep: ClipKeep, site: str) -> list[Any]:
    return list(keep.image[site])


def test_a_closed_attention_layer_adds_nothing_its_bias_included() -> None:
    model = Clip(deep()).init_weights(0).eval()
    with torch.no_grad():
        for block in model.image.blocks:
            block.attention.out.bias.fill_(0.3)
    gates = Gates(deep(), sites=LAYERS[:1], towers=("image",))
    keep = choose(gates, expected_share(gates))
    assert any(not len(layer) for layer in by_block(keep, "attention_layers"))
    pixels = torch.randn(2, 3, 8, 8)
    with torch.no_grad():
        gated = model.encode_image(pixels, gates=gates_of(keep, deep()))
        for block, layer in zip(
            model.image.blocks, by_block(keep, "attention_layers"), strict=True
        ):
            value = layer.scales[0] if len(layer) else 0.0
            block.attention.out.weight.mul_(value)
            block.attention.out.bias.mul_(value)
        plain = model.encode_image(pixels)
    torch.testing.assert_close(gated, plain)


def test_a_uniform_student_loses_whole_blocks() -> None:
    scores = {
        name: a.detach() for name, a in random_gates(deep(), 0, sites=ALL).alpha.items()
    }
    keep = choose_by_scores(deep(), scores, 0.3, sites=ALL, layout="uniform")
    cut = keep.cut(deep())
    assert cut.image.is_uniform and cut.text.is_uniform
    assert len(cut.image.blocks) < 6
    both = scores["image_attention_layers"].argsort().argsort()
    both = both + scores["image_ffn_layers"].argsort().argsort()
    kept = list(keep.image.layers.kept)
    gone = sorted(set(range(6)) - set(kept))
    assert both[kept].min() >= both[gone].max() - 1  # ranks, made logits, then means


def test_a_uniform_student_needs_both_kinds_of_layers_gated() -> None:
    gates = Gates(deep(), sites=("heads", "ffn", "embed", "ffn_layers"))
    with pytest.raises(UserError, match="not both attention_layers and ffn_layers"):
        choose(gates, 0.5, layout="uniform")


def test_full_size_gates_with_depth_are_cut_in_seconds() -> None:
    block = BlockShape(heads=12, ffn=3072)
    image = ImageShape(
        width=768, head_width=64, blocks=(block,) * 12, image_size=224, patch_size=32
    )
    text = TextShape(
        width=512,
        head_width=64,
        blocks=(BlockShape(heads=8, ffn=2048),) * 12,
        context_length=77,
        vocab_size=49408,
    )
    shape = ClipShape(embed_dim=512, image=image, text=text)
    for layout in ("ragged", "uniform"):
        check_target(shape, 0.25, sites=ALL, layout=layout)


def test_unlike_blocks_are_not_refused_before_it_is_known_which_stay() -> None:
    wide, slim = BlockShape(heads=4, ffn=64), BlockShape(heads=4, ffn=16)
    shape = deep().with_towers(image=replace(deep().image, blocks=(wide, slim)))
    goal = SizeGoal(1.0, towers=("image",)).against(shape)
    cut = shape.with_towers(image=replace(shape.image, blocks=(slim,)))
    asked = replace(goal, target=goal.share(cut))
    check_target(shape, asked, sites=LAYERS)
    scores = {f"image_{site}": torch.tensor([0.0, 1.0]) for site in LAYERS}
    assert choose_by_scores(shape, scores, asked, sites=LAYERS).cut(shape) == cut
    with pytest.raises(UserError, match="no choice of units"):
        scores = {name: score.flip(0) for name, score in scores.items()}
        choose_by_scores(shape, scores, asked, sites=LAYERS)
