"""Inheritance by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from tinyclip import cost
from tinyclip.config.schema import Manual
from tinyclip.errors import UserError
from tinyclip.goal import SizeGoal
from tinyclip.inherit.certify import certify
from tinyclip.inherit.manual import apportion, manual_keep, pick_units
from tinyclip.inherit.slicing import inherit
from tinyclip.keep import TowerKeep
from tinyclip.model.clip import Clip
from tinyclip.shapes import BlockShape, ClipShape


def uniform_shape(pico_shape: ClipShape) -> ClipShape:
    block = BlockShape(heads=6, ffn=400)
    return pico_shape.with_towers(
        image=replace(pico_shape.image, width=48, head_width=8, blocks=(block,) * 4),
        text=replace(pico_shape.text, width=48, head_width=8, blocks=(block,) * 3),
    )


@pytest.mark.parametrize("target", [0.25, 0.5, 0.75])
@pytest.mark.parametrize("layers", [None, 3])
def test_a_uniform_teacher_gives_a_uniform_student_of_the_size(
    pico_shape: ClipShape, target: float, layers: int | None
) -> None:
    shape = uniform_shape(pico_shape)
    full = cost.size(shape, "encoder")
    manual = Manual(image_layers=layers, units="even")
    if layers and target == 0.75:
        target = 0.7
    cut = manual_keep(shape, SizeGoal(target, reference=full), manual).cut(shape)
    assert cut.image.is_uniform and cut.text.is_uniform
    assert len(cut.image.blocks) == (layers or 4)
    assert cost.size(cut, "encoder") == pytest.approx(target * full, rel=0.005)


def test_a_ragged_model_shrinks_in_proportion(pico_shape: ClipShape) -> None:
    full = cost.size(pico_shape, "encoder")
    cut = manual_keep(pico_shape, SizeGoal(0.5, reference=full), Manual()).cut(
        pico_shape
    )
    assert cost.size(cut, "encoder") == pytest.approx(0.5 * full, rel=0.005)
    ffn = [block.ffn for block in cut.image.blocks]
    assert ffn[0] / 32 == pytest.approx(ffn[1] / 28, abs=0.05)


def test_a_student_by_hand_is_exact(pico_clip: Clip) -> None:
    full = cost.size(pico_clip.shape, "encoder")
    manual = Manual(image_layers=1, units="even")
    keep = manual_keep(pico_clip.shape, SizeGoal(0.4, reference=full), manual)
    pixels, tokens = torch.randn(8, 3, 16, 16), torch.randint(0, 50, (8, 8))
    stated = certify(pico_clip, keep, inherit(pico_clip, keep), pixels, tokens)
    assert stated["max_abs_diff"] <= 1e-5


def test_layers_are_evenly_spaced_from_the_first_to_the_last(
    pico_shape: ClipShape,
) -> None:
    shape = uniform_shape(pico_shape)
    full = cost.size(shape, "encoder")
    keep = manual_keep(
        shape, SizeGoal(0.3, reference=full), Manual(image_layers=2, text_layers=2)
    )
    assert keep.image.layers.kept == (0, 3)
    assert keep.text.layers.kept == (0, 2)


@pytest.mark.parametrize("round_to", [1, 4])
@pytest.mark.parametrize("layout", ["ragged", "uniform"])
@pytest.mark.parametrize("budget", cost.BUDGETS)
def test_every_budget_is_met_by_hand(
    siglip_shape: ClipShape, budget: str, layout: Any, round_to: int
) -> None:
    shape = uniform_shape(siglip_shape)
    block = shape.image.blocks[0]
    shape = shape.with_towers(image=replace(shape.image, pool_block=block))
    if layout == "ragged":
        blocks = (*shape.text.blocks, BlockShape(heads=5, ffn=170))
        shape = shape.with_towers(text=replace(shape.text, blocks=blocks))
    goal = SizeGoal(0.4, budget=budget, layout=layout, round_to=round_to)
    keep = manual_keep(shape, goal, Manual(image_layers=3))
    cut = keep.cut(shape)
    assert cut.image.is_uniform == (layout == "uniform")
    assert len(cut.image.blocks) == 3
    share = cost.size(cut, budget) / cost.size(shape, budget)
    assert share == pytest.approx(0.4, rel=0.005)
    for tower in cut.towers().values():
        widths = [tower.width, *(block.ffn for block in tower.blocks)]
        assert not any(width % round_to for width in widths)


def test_a_uniform_student_by_hand_is_exact(siglip_shape: ClipShape) -> None:
    shape = uniform_shape(siglip_shape)
    block = shape.image.blocks[0]
    shape = shape.with_towers(image=replace(shape.image, pool_block=block))
    model = Clip(shape).eval()
    keep = manual_keep(shape, SizeGoal(0.3, "total"), Manual(units="even"))
    assert keep.cut(shape).image.is_uniform
    assert keep.image.sole("pool_heads") == keep.image["heads"][0]
    pixels, tokens = torch.randn(8, 3, 16, 16), torch.randint(0, 50, (8, 8))
    stated = certify(model, keep, inherit(model, keep), pixels, tokens)
    assert stated["max_abs_diff"] <= 1e-5


def test_one_tower_shrinks_by_hand(pico_shape: ClipShape) -> None:
    goal = SizeGoal(0.5, "macs", towers=("image",))
    keep = manual_keep(pico_shape, goal, Manual(image_layers=1))
    cut = keep.cut(pico_shape)
    assert keep.text == TowerKeep.everything(pico_shape.text)
    share = cost.size(cut, "macs", ("image",)) / cost.size(
        pico_shape, "macs", ("image",)
    )
    assert share == pytest.approx(0.5, rel=0.005)


def test_layers_of_a_tower_that_stays_whole_cannot_go(pico_shape: ClipShape) -> None:
    with pytest.raises(UserError, match="not among the towers"):
        goal = SizeGoal(0.5, "total", towers=("image",))
        manual_keep(pico_shape, goal, Manual(text_layers=1))


def test_units_are_the_leading_ones_or_evenly_spaced() -> None:
    assert pick_units(3, 9, "leading") == (0, 1, 2)
    assert pick_units(3, 9, "even") == (1, 4, 7)
    assert pick_units(4, 4, "even") == (0, 1, 2, 3)
    assert pick_units(0, 4, "even") == ()


@pytest.mark.parametrize("count", range(0, 61, 7))
def test_shares_of_layers_add_up_and_fit(count: int) -> None:
    numbers = apportion(count, (32, 28))
    assert sum(numbers) == count
    assert numbers[0] <= 32 and numbers[1] <= 28


def test_shares_of_layers_are_multiples() -> None:
    assert apportion(24, (33, 30, 3), 4) == [12, 12, 0]
    assert apportion(28, (33, 30, 3), 4) == [16, 12, 0]


def test_more_layers_than_there_are_is_refused(pico_shape: ClipShape) -> None:
    with pytest.raises(UserError, match=r"image_layers: 9 layers of the 2"):
        manual_keep(pico_shape, SizeGoal(reference=9286), Manual(image_layers=9))


def test_a_target_above_what_the_layers_hold_is_refused(pico_shape: ClipShape) -> None:
    full = cost.size(pico_shape, "encoder")
    with pytest.raises(UserError, match="more than the model has"):
        manual_keep(pico_shape, SizeGoal(0.9, reference=full), Manual(image_layers=1))
