"""Dims of heads among the sites: the width inside attention, counted and chosen."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from drawn import random_gates  # type: ignore[import-not-found]
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyclip import cost
from tinyclip.errors import UserError
from tinyclip.goal import SizeGoal
from tinyclip.masks.choose import check_target, choose, choose_by_scores
from tinyclip.masks.inside import by_layer, inside_widths
from tinyclip.masks.ranking import Ranking, split_keep
from tinyclip.shapes import BlockShape, ClipShape, ImageShape, TextShape, TowerShape

ALL = ("heads", "dims", "ffn", "embed")


def make_shape(rotated: bool = False) -> ClipShape:
    block = BlockShape(heads=6, ffn=230)
    image = ImageShape(
        width=48, head_width=8, blocks=(block,) * 3, image_size=16, patch_size=8
    )
    text = TextShape(
        width=48, head_width=8, blocks=(block,) * 2, context_length=8, vocab_size=99
    )

    def turned(tower: TowerShape) -> TowerShape:
        return replace(tower, width=47, norm="rms", full_width=48)

    if rotated:
        return ClipShape(embed_dim=32, image=turned(image), text=turned(text))  # type: ignore[arg-type]
    return ClipShape(embed_dim=32, image=image, text=text)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    target=st.floats(0.06, 1.0),
    budget=st.sampled_from(list(cost.BUDGETS)),
    sites=st.sampled_from([ALL, ALL, ("dims", "ffn", "embed"), ("dims", "ffn")]),
    rotated=st.booleans(),
)
def test_the_size_asked_for_is_the_size_given_with_dims_gated(
    seed: int, target: float, budget: str, sites: tuple[str, ...], rotated: bool
) -> None:
    shape = make_shape(rotated)
    try:
        check_target(shape, target, sites=sites, budget=budget)
    except UserError:
        return  # some sites alone do not reach so far down
    cut = choose(random_gates(shape, seed, sites=sites), target, budget=budget).cut(
        shape
    )
    full = cost.size(shape, budget)
    assert cost.size(cut, budget) == pytest.approx(target * full, rel=0.005)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**31), first=st.floats(0.4, 0.9), share=st.floats(0.3, 0.9))
def test_a_model_that_lost_dims_before_is_cut_to_the_size_asked_for(
    seed: int, first: float, share: float
) -> None:
    shape = make_shape()
    once = choose(random_gates(shape, seed, sites=ALL), first).cut(shape)
    twice = choose(
        random_gates(once, seed, sites=("heads", "ffn", "embed")), share
    ).cut(once)
    size = share * cost.size(once, "encoder")
    assert cost.size(twice, "encoder") == pytest.approx(size, rel=0.005)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**31), target=st.floats(0.1, 0.95), rotated=st.booleans())
def test_a_uniform_cut_of_dims_fills_a_stock_width_with_whole_heads(
    seed: int, target: float, rotated: bool
) -> None:
    shape = make_shape(rotated)
    gates = random_gates(shape, seed, sites=("dims", "ffn", "embed"))
    cut = choose(gates, target, layout="uniform").cut(shape)
    for tower in (cut.image, cut.text):
        assert tower.is_uniform
        assert {block.heads for block in tower.blocks} == {6}
        assert 6 * tower.blocks[0].dims == tower.width + rotated
    size = target * cost.size(shape, "encoder")
    assert cost.size(cut, "encoder") == pytest.approx(size, rel=0.005)


def test_dims_alone_reach_a_size() -> None:
    shape = make_shape()
    scores = {
        f"{name}_dims": torch.arange(8 * len(tower.blocks)).float()
        for name, tower in shape.towers().items()
    }
    cut = choose_by_scores(shape, scores, 0.87, sites=("dims",)).cut(shape)
    assert cost.size(cut, "encoder") / cost.size(shape, "encoder") == pytest.approx(
        0.87, rel=0.005
    )


def test_each_layer_has_the_units_that_a_split_gives_it() -> None:
    draw = np.random.default_rng(0)
    units = (3, 0, 5, 4)
    ranking = Ranking(draw.normal(size=12), np.zeros(12))
    table = by_layer(units, ranking)
    for count in range(13):
        keeps = split_keep(ranking, units, count, even=False)
        assert table[count].tolist() == [len(keep) for keep in keeps]


def test_the_width_inside_is_the_sum_of_heads_times_dims() -> None:
    draw, shape = np.random.default_rng(1), make_shape()
    rankings = {
        "image_heads": Ranking(draw.normal(size=18), np.zeros(18)),
        "image_dims": Ranking(draw.normal(size=24), np.zeros(24)),
    }
    inside = inside_widths(shape, SizeGoal(), rankings)["image"]
    heads = split_keep(rankings["image_heads"], (6,) * 3, 11, even=False)
    dims = split_keep(rankings["image_dims"], (8,) * 3, 9, even=False)
    pairs = zip(heads, dims, strict=True)
    assert inside(11, 9) == sum(len(one) * len(other) for one, other in pairs)
