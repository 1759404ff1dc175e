"""Sizes against the parameters that torch stores, and MACs against its own counter."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from tinyclip import cost
from tinyclip.errors import UserError
from tinyclip.goal import SizeGoal
from tinyclip.masks.goal import lumped
from tinyclip.masks.inside import inside_widths
from tinyclip.model.clip import Clip
from tinyclip.shapes import BlockShape, ClipShape, TowerShape


def rotated(shape: ClipShape) -> ClipShape:
    """The shape of a rotated CLIP that lost dims of its heads."""

    def tower(old: TowerShape) -> TowerShape:
        blocks = tuple(replace(block, dims=3) for block in old.blocks)
        return replace(
            old,
            blocks=blocks,
            width=old.width - 1,
            norm="rms",
            full_width=old.width,
            projection_bias=getattr(old, "projection", True),
        )

    return shape.with_towers(image=tower(shape.image), text=tower(shape.text))


@pytest.fixture(
    params=[
        *("ragged", "dead head layer", "dead ffn", "siglip", "mean"),
        *("rotated", "rotated siglip"),
    ]
)
def shape(request: pytest.FixtureRequest, pico_shape: ClipShape) -> ClipShape:
    if request.param == "rotated":
        return rotated(pico_shape)
    if request.param == "rotated siglip":
        return rotated(request.getfixturevalue("siglip_shape"))
    if request.param == "siglip":
        siglip: ClipShape = request.getfixturevalue("siglip_shape")
        return siglip
    if request.param == "mean":
        image = replace(pico_shape.image, pool="mean", norm_pre=False, layer_scale=True)
        return pico_shape.with_towers(image=image)
    dead = {
        "ragged": pico_shape.image.blocks[0],
        "dead head layer": BlockShape(heads=0, ffn=5),
        "dead ffn": BlockShape(heads=2, ffn=0),
    }[request.param]
    blocks = (dead, *pico_shape.image.blocks)
    return pico_shape.with_towers(image=replace(pico_shape.image, blocks=blocks))


def test_total_is_every_parameter_that_is_stored(shape: ClipShape) -> None:
    stored = sum(parameter.numel() for parameter in Clip(shape).parameters())
    assert cost.size(shape, "total") == stored


def test_encoder_is_the_blocks_matrices_and_biases(shape: ClipShape) -> None:
    stored = sum(
        parameter.numel()
        for name, parameter in Clip(shape).named_parameters()
        if ".blocks." in name and ".norm_" not in name and ".scale_" not in name
    )
    assert cost.size(shape, "encoder") == stored


def test_the_named_sizes_add_up(shape: ClipShape) -> None:
    sizes = cost.sizes(shape)
    joint = 1 + shape.logit_bias
    assert sizes["image"] + sizes["text"] + joint == sizes["total"]
    assert sizes["token_embedding"] == 50 * shape.text.width


@pytest.mark.parametrize("tower", ["image", "text"])
def test_macs_are_what_torch_counts(shape: ClipShape, tower: str) -> None:
    model = Clip(shape).eval().requires_grad_(False)
    counter = FlopCounterMode(display=False)
    with counter:
        if tower == "image":
            model.encode_image(torch.zeros(1, 3, 16, 16))
        else:
            model.encode_text(torch.zeros(1, 8, dtype=torch.long))
    counted = cost.tower_macs(shape.towers()[tower], shape.embed_dim)
    assert counted == counter.get_total_flops() / 2


@pytest.mark.parametrize("budget", cost.BUDGETS)
def test_heads_and_ffn_count_through_their_totals(
    shape: ClipShape, budget: str
) -> None:
    counts = {}
    for name, tower in shape.towers().items():
        counts[f"{name}_heads"] = np.array([sum(b.heads for b in tower.blocks)])
        counts[f"{name}_dims"] = np.array([sum(b.dims for b in tower.blocks)])
        counts[f"{name}_ffn"] = np.array([sum(b.ffn for b in tower.blocks)])
        counts[f"{name}_embed"] = np.array([tower.width])
    inside = inside_widths(shape, SizeGoal(), {})
    lump = lumped(shape, counts, inside)
    assert cost.size(lump, budget)[0] == cost.size(shape, budget)


def test_an_unknown_budget_is_named_with_its_neighbour(pico_shape: ClipShape) -> None:
    with pytest.raises(UserError, match="Did you mean 'encoder'"):
        cost.size(pico_shape, "encodr")
