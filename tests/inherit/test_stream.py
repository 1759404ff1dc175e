"""A stream is walked once, and its moments are told by some of its rows."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from tinyclip.inherit import search
from tinyclip.inherit import stream as module
from tinyclip.inherit.stream import Stream
from tinyclip.model.block import Block
from tinyclip.model.clip import Clip
from tinyclip.model.gating import TowerGates


@dataclass(frozen=True)
class Some:
    pixels: Tensor
    tokens_BT: Tensor


def pairs(count: int, seed: int = 0) -> Some:
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randn(count, 3, 16, 16, generator=generator)
    tokens_BT = torch.randint(1, 48, (count, 8), generator=generator)
    tokens_BT[:, 4] = 49  # the end, by its largest id
    tokens_BT[:, 5:] = 0
    return Some(pixels, tokens_BT)


@pytest.fixture
def one_row_each(monkeypatch: pytest.MonkeyPatch) -> None:
    """As few rows as channels tell a moment."""
    monkeypatch.setattr(module, "ROWS", 1)
    monkeypatch.setattr(module, "LEAST", 1)


def test_what_stands_behind_the_last_token_that_is_read_is_not_walked(
    pico_clip: Clip,
) -> None:
    tower, some = pico_clip.text.eval(), pairs(6)
    stream = Stream(tower, [some])
    assert stream.parts[0].shape[1] == 5 < some.tokens_BT.shape[1]
    with torch.no_grad():
        whole_BTD = tower.start(some.tokens_BT)
        for block in tower.blocks:
            assert isinstance(block, Block)
            stream.attend(block)
            stream.feed(block)
        whole_BTD = tower.blocks(whole_BTD, TowerGates())
    torch.testing.assert_close(stream.parts[0], whole_BTD[:, :5])


def test_rows_beyond_what_a_moment_needs_are_left_out(
    pico_clip: Clip, one_row_each: None
) -> None:
    batches = [pairs(200, seed) for seed in range(2)]
    stream, tower = Stream(pico_clip.image, batches), pico_clip.image
    width, rows = tower.shape.width, 400 * tower.shape.tokens
    assert rows > 10 * width
    moment = stream.read(tower.blocks[0].norm_1)
    assert moment.count == pytest.approx(width, abs=2)


def test_the_rows_that_are_taken_are_the_same_each_time(
    pico_clip: Clip, one_row_each: None
) -> None:
    norm = pico_clip.image.blocks[0].norm_1
    one, two = (Stream(pico_clip.image, [pairs(99)]).read(norm) for _ in range(2))
    assert torch.equal(one.second, two.second)


@pytest.mark.parametrize("tokens", [5, 16, 17, 50, 257])
@pytest.mark.parametrize("share", [0.5, 0.25, 0.2, 0.11])
def test_every_token_of_a_picture_is_taken_as_often(
    pico_clip: Clip, monkeypatch: pytest.MonkeyPatch, tokens: int, share: float
) -> None:
    stream = Stream(pico_clip.image, [pairs(1)])
    masks = [torch.ones(1000, tokens, dtype=torch.bool)]
    stream.pooled = [torch.zeros_like(masks[0])]
    monkeypatch.setattr(module, "ROWS", share * 1000 * tokens)
    monkeypatch.setattr(module, "LEAST", 1)
    (chosen,) = stream._chosen(masks, 1)
    often = chosen.double().mean(0)
    assert (often - share).abs().max() < 0.02


def test_all_tokens_that_become_the_feature_tell_what_readers_are_solved_by(
    pico_clip: Clip, one_row_each: None
) -> None:
    tower = pico_clip.image
    stream = Stream(tower, [pairs(9)])
    masks = stream._masks()
    assert stream.pooled[0].sum() == 9
    (chosen,) = stream._chosen(masks, 24, feature=True)
    assert chosen[stream.pooled[0]].all()
    assert chosen.sum() < masks[0].sum()
    weights = stream._weights(0, chosen)
    assert float(weights.sum()) == pytest.approx(9)  # one a pair
    assert not weights[~chosen].any()


def test_students_are_compared_on_fewer_pictures_and_all_captions(
    pico_clip: Clip, monkeypatch: pytest.MonkeyPatch
) -> None:
    shape = pico_clip.shape.image
    widest = max(shape.width, *(block.ffn for block in shape.blocks))
    monkeypatch.setattr(search, "PICTURES", 1)
    monkeypatch.setattr(search, "ROWS", 10 * shape.tokens)
    batches = [pairs(300, seed) for seed in range(2)]
    for world in (1, 2):
        few = search.fewer_pictures(batches, shape, world)
        taken = [len(part.pixels) for part in few]
        assert taken == [-(-10 * widest // (2 * world))] * 2
        assert [len(part.tokens_BT) for part in few] == [300, 300]
        assert torch.equal(few[1].pixels, batches[1].pixels[: taken[1]])
