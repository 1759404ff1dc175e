"""Who looks on at a forward pass, and what is kept of it."""

from __future__ import annotations

import torch
from towers import noisy, plain_shape, some_pairs, watched  # type: ignore[import-not-found]

from tinyclip.model.streams import Streams

WANTED = {"image": {0, 1}, "text": {1}}


def test_what_is_kept_is_what_the_blocks_gave() -> None:
    model, pairs = noisy(plain_shape()), some_pairs(3)
    streams = Streams(WANTED)
    with streams.watching(model):
        model(pairs.pixels, pairs.tokens_BT)
    kept = streams.taken()
    assert {tower: set(layers) for tower, layers in kept.items()} == WANTED
    gave = {
        **watched(model.image, pairs.pixels),
        **watched(model.text, pairs.tokens_BT),
    }
    for tower, layers in kept.items():
        for layer, x_BND in layers.items():
            block = getattr(model, tower).blocks[layer]
            assert torch.equal(x_BND, gave[block][1])
    assert not streams.holds


def test_nothing_outside_is_looked_at() -> None:
    model, pairs = noisy(plain_shape()), some_pairs(3)
    streams = Streams(WANTED)
    with streams.watching(model):
        pass
    model(pairs.pixels, pairs.tokens_BT)
    assert not streams.holds and streams.taken() == {"image": {}, "text": {}}
    assert model.image.blocks.watches == [] and model.text.blocks.watches == []


def test_activations_that_are_made_twice_are_seen_once() -> None:
    model, pairs = noisy(plain_shape()), some_pairs(3)
    plain, twice = [], []
    for seen, recompute in ((plain, False), (twice, True)):
        model.image.blocks.recompute = recompute
        model.image.blocks.watches.append(
            lambda layer, x_BND, seen=seen: seen.append(x_BND)
        )
        model.encode_image(pairs.pixels).sum().backward()
        model.image.blocks.watches.clear()
    assert len(twice) == len(model.image.blocks)
    assert all(torch.equal(x, y) for x, y in zip(plain, twice, strict=True))


def test_looking_on_changes_nothing() -> None:
    model, pairs = noisy(plain_shape()), some_pairs(3)
    alone = model(pairs.pixels, pairs.tokens_BT)
    with Streams(WANTED).watching(model):
        seen = model(pairs.pixels, pairs.tokens_BT)
    assert torch.equal(alone.image_BE, seen.image_BE)
    assert torch.equal(alone.text_BE, seen.text_BE)
