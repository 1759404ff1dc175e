"""Law 2 for every budget, layout, tower and multiple, on every kind of shape."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from drawn import random_gates  # type: ignore[import-not-found]
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tinyclip import cost
from tinyclip.errors import UserError
from tinyclip.keep import ClipKeep, TowerKeep
from tinyclip.masks.choose import check_target, choose, choose_by_scores
from tinyclip.masks.gates import Gates
from tinyclip.model.clip import Clip
from tinyclip.shapes import (
    BlockShape,
    ClipShape,
    ImageShape,
    TextShape,
    TowerShape,
)

Draw = Any
SITES = ("heads", "ffn", "embed")
NAMED = st.sampled_from([("image", "text"), ("image",), ("text",)])
BUDGETS = st.sampled_from(list(cost.BUDGETS))
GATED = st.sampled_from([SITES, SITES, SITES, ("heads", "ffn"), ("ffn",), ("embed",)])
RANGES = st.sampled_from([(-4.6, 4.6), (-4.6, -4.6), (-1.0, 3.0), (-4.6, -4)])


@st.composite
def shapes(
    draw: Draw, widest: int = 5, ffn: int = 90, depth: int = 3, alike: bool = False
) -> ClipShape:
    """Every switch of both towers; ragged and alike layers, dead ones among them."""

    def tower(kind: type, **switches: Any) -> Any:
        head_width = draw(st.integers(1, widest))
        block = st.builds(
            BlockShape, heads=st.integers(0, 4), ffn=st.sampled_from([0, 1, 9, 16, ffn])
        )
        blocks = tuple(draw(st.lists(block, min_size=1, max_size=depth)))
        width = draw(st.integers(4, 4 * widest))
        if alike or draw(st.booleans()):
            heads = draw(st.integers(1, 4))
            layers = draw(st.integers(1, depth))
            blocks = (BlockShape(heads=heads, ffn=ffn),) * layers
            width = heads * head_width
        return kind(
            width=width,
            head_width=head_width,
            blocks=blocks,
            layer_scale=draw(st.booleans()),
            **switches,
        )

    pool = draw(st.sampled_from(["class", "mean", "map"]))
    projection, switch = draw(st.booleans()), st.booleans()
    image = tower(
        ImageShape,
        image_size=8,
        patch_size=4,
        class_token=pool == "class" or draw(switch),
        patch_bias=draw(switch),
        norm_pre=draw(switch),
        pool=pool,
        projection=projection,
    )
    if pool == "map":
        other = image.blocks[0] if alike else BlockShape(heads=2, ffn=5)
        like = draw(st.sampled_from([image.blocks[0], other]))
        image = replace(image, pool_block=like)
    text = tower(
        TextShape, context_length=6, vocab_size=30, projection_bias=draw(switch)
    )
    return ClipShape(
        embed_dim=draw(st.integers(2, 9)) if projection else image.width,
        logit_bias=draw(switch),
        image=image,
        text=text,
    )


def stored(shape: ClipShape, budget: str, towers: tuple[str, ...]) -> int:
    """Parameters that torch stores for the named towers."""
    with torch.device("meta"):
        named = dict(Clip(shape).named_parameters())
    both = len(towers) == 2
    if budget == "encoder":
        named = {
            name: value
            for name, value in named.items()
            if ".blocks." in name and ".norm_" not in name and ".scale_" not in name
        }
    return sum(
        value.numel()
        for name, value in named.items()
        if name.split(".")[0] in towers or (both and name.startswith("logit_"))
    )


def kept_whole(keep: ClipKeep, shape: ClipShape, tower: str) -> bool:
    return keep.towers()[tower] == TowerKeep.everything(shape.towers()[tower])


@settings(max_examples=150, deadline=None)
@given(
    shape=shapes() | shapes(alike=True),
    seed=st.integers(0, 2**31),
    around=RANGES,
    target=st.floats(0.03, 1.0),
    budget=BUDGETS,
    towers=NAMED,
    layout=st.sampled_from(["ragged", "uniform"]),
    sites=GATED,
    round_to=st.sampled_from([1, 1, 2, 3, 8]),
)
def test_the_size_is_within_half_a_percent_or_refused_and_never_wrong(
    shape: ClipShape,
    seed: int,
    around: tuple[float, float],
    target: float,
    budget: str,
    towers: tuple[str, ...],
    layout: Any,
    sites: tuple[str, ...],
    round_to: int,
) -> None:
    gates = random_gates(shape, seed, *around, sites=sites, pool=True)
    try:
        keep = choose(
            gates,
            target,
            budget=budget,
            layout=layout,
            towers=towers,
            round_to=round_to,
        )
    except UserError as error:
        assert error.where in ("target", "layout", "round_to")
        assert error.todo
        return
    cut = keep.cut(shape)
    asked = target * cost.size(shape, budget, towers)
    assert abs(cost.size(cut, budget, towers) / asked - 1) <= 0.005
    if budget in ("encoder", "total"):
        asked = target * stored(shape, budget, towers)
        assert abs(stored(cut, budget, towers) / asked - 1) <= 0.005
    for name in {"image", "text"} - set(towers):
        assert kept_whole(keep, shape, name)
    if layout == "uniform":
        assert cut.image.is_uniform and cut.text.is_uniform
    else:
        assert cut.image.pool_block == shape.image.pool_block
    assert all(width % round_to == 0 for width in shrunk(keep, shape, towers, sites))


def shrunk(
    keep: ClipKeep, shape: ClipShape, towers: tuple[str, ...], sites: tuple[str, ...]
) -> Iterator[int]:
    """The ffn and embed widths of what may shrink."""
    for name, tower in keep.cut(shape).towers().items():
        if name in towers and "embed" in sites:
            yield tower.width
        if name in towers and "ffn" in sites:
            yield from (block.ffn for block in tower.blocks)


def ragged_cuts(tower: TowerShape, step: int) -> TowerShape:
    """Every ragged cut at once, as arrays, all units in the first layer."""
    most = tower.width - tower.width % step
    least = min(most, -(-8 // step) * step)
    choices = product(
        range(sum(block.heads for block in tower.blocks) + 1),
        range(0, sum(b.ffn - b.ffn % step for b in tower.blocks) + 1, step),
        range(max(least, 1), most + 1, step),
    )
    heads, ffn, width = np.array(list(choices), dtype=np.int64).reshape(-1, 3).T
    rest = (BlockShape(heads=0, ffn=0),) * (len(tower.blocks) - 1)
    blocks = (BlockShape(heads=heads, ffn=ffn), *rest)
    return replace(tower, width=width, blocks=blocks)


def uniform_cuts(tower: TowerShape, step: int) -> Any:
    """Every uniform cut at once, as arrays."""
    pool = getattr(tower, "pool_block", None)
    like = [*tower.blocks, *([pool] if pool else [])]
    most = min(tower.width // tower.head_width, *(block.heads for block in like))
    choices = product(
        range(1, most + 1), range(step, min(block.ffn for block in like) + 1, step)
    )
    numbers = np.array(
        [(h, f) for h, f in choices if h * tower.head_width % step == 0], dtype=np.int64
    )
    heads, ffn = numbers.reshape(-1, 2).T
    block = BlockShape(heads=heads, ffn=ffn)
    cut: Any = replace(
        tower,
        width=heads * tower.head_width,
        blocks=(block,) * len(tower.blocks),
    )
    return replace(cut, pool_block=block) if pool else cut


def reachable(
    shape: ClipShape, budget: str, towers: tuple[str, ...], layout: str, step: int
) -> Any:
    """The sizes of all cuts of the named towers."""
    cut = {}
    for name, tower in shape.towers().items():
        if name in towers:
            cuts = ragged_cuts if layout == "ragged" else uniform_cuts
            cut[name] = cuts(tower, step)
        else:
            cut[name] = tower
    if len(towers) == 2:  # each with each
        cut["image"] = columns(cut["image"])
    sizes = cost.size(shape.with_towers(**cut), budget, towers)
    return np.asarray(sizes, dtype=float).ravel()


def columns(tower: Any) -> Any:
    """The same cuts, standing: arrays of one column."""

    def stand(block: BlockShape) -> BlockShape:
        if isinstance(block.heads, int):
            return block
        return BlockShape(heads=block.heads[:, None], ffn=block.ffn[:, None])

    pool = tower.pool_block
    return replace(
        tower,
        width=tower.width[:, None],
        blocks=tuple(map(stand, tower.blocks)),
        pool_block=None if pool is None else stand(pool),
    )


@settings(max_examples=80, deadline=None)
@given(
    shape=shapes(widest=3, ffn=11, depth=2),
    seed=st.integers(0, 2**31),
    around=RANGES,
    place=st.floats(0.001, 1, exclude_max=True),
    exact=st.booleans(),
    budget=BUDGETS,
    towers=NAMED,
    layout=st.sampled_from(["ragged", "uniform"]),
    round_to=st.sampled_from([1, 2, 3]),
)
def test_what_is_refused_cannot_be_reached_and_the_nearest_sizes_are_named(
    shape: ClipShape,
    seed: int,
    around: tuple[float, float],
    place: float,
    exact: bool,
    budget: str,
    towers: tuple[str, ...],
    layout: Any,
    round_to: int,
) -> None:
    if layout == "uniform":
        whole_ones = {"image", "text"} - set(towers)
        assume(all(shape.towers()[name].is_uniform for name in whole_ones))
    sizes = reachable(shape, budget, towers, layout, round_to)
    whole = cost.size(shape, budget, towers)
    target = place
    if exact and len(sizes):
        target = float(np.sort(sizes)[int(place * len(sizes))] / whole)
    asked = target * whole
    possible = len(sizes) and abs(sizes / asked - 1).min() <= 0.005
    gates = random_gates(shape, seed, *around, pool=True)
    try:
        keep = choose(
            gates,
            target,
            budget=budget,
            layout=layout,
            towers=towers,
            round_to=round_to,
        )
    except UserError as error:
        assert not possible
        below, above = sizes[sizes < asked], sizes[sizes > asked]
        near = [side(part) for side, part in ((max, below), (min, above)) if len(part)]
        shown = re.findall(r"\(([\d.e+-]+) %\)", error.what)[-len(near) :]
        named = [100 * size / whole for size in near]
        assert [float(size) for size in shown] == pytest.approx(named, rel=1e-3)
    else:
        assert possible
        counted = cost.size(keep.cut(shape), budget, towers)
        assert counted in sizes and abs(counted / asked - 1) <= 0.005


@settings(max_examples=60, deadline=None)
@given(
    shape=shapes(),
    budget=BUDGETS,
    towers=NAMED,
    sites=GATED,
    round_to=st.sampled_from([1, 4]),
)
def test_the_smallest_size_that_a_refusal_names_can_be_asked_for(
    shape: ClipShape,
    budget: str,
    towers: tuple[str, ...],
    sites: tuple[str, ...],
    round_to: int,
) -> None:
    settings = {"sites": sites, "towers": towers, "round_to": round_to}
    with pytest.raises(UserError) as refused:
        check_target(shape, 1e-6, budget=budget, **settings)  # type: ignore[arg-type]
    if refused.value.where == "target":
        smallest = re.search(r"a target of ([\d.e-]+) or more", refused.value.todo)
        assert smallest is not None
        check_target(shape, min(1.0, float(smallest[1])), budget=budget, **settings)  # type: ignore[arg-type]


def test_a_tower_that_is_not_named_stays_whole_and_does_not_count(
    pico_shape: ClipShape,
) -> None:
    keep = choose(Gates(pico_shape), 0.5, budget="total", towers=("image",))
    assert kept_whole(keep, pico_shape, "text")
    image = cost.sizes(keep.cut(pico_shape))["image"]
    assert image == pytest.approx(0.5 * cost.sizes(pico_shape)["image"], rel=0.005)


def test_scores_shrink_the_named_tower_alone(pico_shape: ClipShape) -> None:
    scores = {name: alpha.detach() for name, alpha in Gates(pico_shape).alpha.items()}
    keep = choose_by_scores(
        pico_shape, scores, 0.6, budget="macs", towers=("text",), round_to=2
    )
    assert kept_whole(keep, pico_shape, "image")
    cut = keep.cut(pico_shape)
    macs = [cost.tower_macs(shape.text, shape.embed_dim) for shape in (cut, pico_shape)]
    assert macs[0] == pytest.approx(0.6 * macs[1], rel=0.005)
    assert not any(block.ffn % 2 for block in cut.text.blocks)


def test_the_target_is_checked_before_gates_exist(pico_shape: ClipShape) -> None:
    check_target(pico_shape, 0.5, budget="macs")
    with pytest.raises(UserError, match="out of reach"):
        check_target(pico_shape, 0.2, budget="total", sites=("heads",))


def test_coarse_sites_are_searched_far_from_what_the_gates_expect() -> None:
    block = BlockShape(heads=10, ffn=10)
    image = ImageShape(
        width=40, head_width=4, blocks=(block,) * 2, image_size=32, patch_size=16
    )
    small = BlockShape(heads=6, ffn=10)
    text = TextShape(
        width=24, head_width=4, blocks=(small,) * 3, context_length=8, vocab_size=99
    )
    shape = ClipShape(embed_dim=32, image=image, text=text)
    # 14 channels from an even split: the only ones on the goal
    keep = choose(Gates(shape, sites=("embed",)), 0.58)
    share = cost.size(keep.cut(shape), "encoder") / cost.size(shape, "encoder")
    assert share == pytest.approx(0.58, rel=0.005)
