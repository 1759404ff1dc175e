"""What survives, and what a keep refuses to say."""

from __future__ import annotations

import json

import pytest

from tinyclip.keep import ClipKeep, Keep, TowerKeep, keep_from_dict, keep_to_dict
from tinyclip.shapes import ClipShape


@pytest.mark.parametrize("kept", [(2, 1), (1, 1), (0, 4), (-1, 0)])
def test_survivors_are_unique_ascending_and_exist(kept: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="kept"):
        Keep(kept, 4)


def test_a_scale_needs_one_value_a_survivor() -> None:
    with pytest.raises(ValueError, match="scale"):
        Keep((0, 1), 4, (0.5,))


def test_no_scale_stands_for_one() -> None:
    assert Keep((0, 3), 4).scales == (1.0, 1.0)
    assert Keep((0, 3), 4, (0.5, 0.25)).scales == (0.5, 0.25)


def test_a_dead_layer_is_a_keep_but_a_dead_tower_is_not() -> None:
    dead, one = Keep((), 4), Keep.everything(1)
    assert len(dead) == 0
    with pytest.raises(ValueError, match="at least one"):
        TowerKeep({"embed": (dead,), "heads": (one,), "ffn": (one,)}, one)


def test_heads_and_ffn_come_one_for_each_kept_layer() -> None:
    one = Keep.everything(1)
    with pytest.raises(ValueError, match="each kept layer"):
        TowerKeep({"embed": (one,), "heads": (one, one), "ffn": (one,)}, one)


def test_keeping_everything_cuts_nothing(pico_shape: ClipShape) -> None:
    assert ClipKeep.everything(pico_shape).cut(pico_shape) == pico_shape


def test_a_cut_counts_the_survivors(pico_shape: ClipShape) -> None:
    image = TowerKeep(
        {
            "embed": (Keep((0, 5, 6), 24),),
            "heads": (Keep((), 3),),
            "ffn": (Keep((1, 2), 28),),
        },
        Keep((1,), 2),
    )
    keep = ClipKeep(image=image, text=TowerKeep.everything(pico_shape.text))
    cut = keep.cut(pico_shape)
    assert cut.image.width == 3
    assert [(block.heads, block.ffn) for block in cut.image.blocks] == [(0, 2)]
    assert cut.text == pico_shape.text


def test_a_keep_comes_back_from_json_with_every_bit(pico_shape: ClipShape) -> None:
    whole = TowerKeep.everything(pico_shape.text)
    third = Keep((0, 1), 24, (1 / 3, 0.1))
    image = TowerKeep(
        {"embed": (third,), "heads": (Keep((), 4),), "ffn": (Keep((3,), 9),)},
        Keep((0,), 1),
    )
    keep = ClipKeep(image=image, text=whole)
    assert keep_from_dict(json.loads(json.dumps(keep_to_dict(keep)))) == keep


def test_layers_come_back_from_json_and_take_their_units_along(
    pico_shape: ClipShape,
) -> None:
    gone, there = Keep((), 1), Keep((0,), 1, (0.5,))
    image = TowerKeep(
        {"attention_layers": (gone, there), "ffn_layers": (there, there)},
        Keep.everything(2),
    )
    keep = ClipKeep(image=image, text=TowerKeep.everything(pico_shape.text))
    assert keep_from_dict(json.loads(json.dumps(keep_to_dict(keep)))) == keep
    blocks = keep.cut(pico_shape).image.blocks
    assert [block.heads for block in blocks] == [0, pico_shape.image.blocks[1].heads]
    assert [block.attention_layers for block in blocks] == [0, 1]


def test_a_keep_that_was_written_before_there_were_layers_still_loads() -> None:
    one = {"kept": [0], "total": 2, "scale": [0.5]}
    tower = {
        "embed": one,
        "heads": [one],
        "ffn": [one],
        "layers": {"kept": [1], "total": 3, "scale": None},
        "pool_heads": one,
        "pool_ffn": None,
    }
    keep = keep_from_dict({"image": tower, "text": tower})
    assert keep.image["heads"] == (Keep((0,), 2, (0.5,)),)
    assert keep.image.sole("pool_heads") == Keep((0,), 2, (0.5,))
    assert keep.image.sole("pool_ffn") is None
    assert keep.image.layers == Keep((1,), 3)
