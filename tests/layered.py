"""Tokens of layers that several tests draw, and objectives made for them.

Legend: B batch, N tokens, D embed.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from hypothesis import strategies as st
from towers import plain_shape  # type: ignore[import-not-found]

from tinyclip.config.place import Place
from tinyclip.losses.objectives import settle
from tinyclip.losses.tokens import Tokens
from tinyclip.model.norm import evened
from tinyclip.shapes import BlockShape, ClipShape, TowerShape

SIZES = {
    "size": st.integers(2, 9),
    "width": st.integers(3, 17),
    "wide": st.integers(3, 17),
    "seed": st.integers(0, 2**32),
}
WHOLE, GONE = (
    BlockShape(heads=1, ffn=1),
    BlockShape(heads=0, ffn=0, attention_layers=0, ffn_layers=0),
)
HALF = replace(GONE, ffn=1, ffn_layers=1)


def as_wide(width: int, blocks: int = 2) -> ClipShape:
    """A small CLIP with towers of a width."""
    plain = plain_shape()
    stack = (WHOLE,) * blocks
    return replace(
        plain,
        image=replace(plain.image, width=width, blocks=stack),
        text=replace(plain.text, width=width, blocks=stack),
    )


def built(name: str, mine: ClipShape, theirs: ClipShape, **options: Any) -> Any:
    (asked,) = settle({name: {"weight": 1.0, **options}}, Place(path="losses"))
    module = asked.built(mine, theirs, seed=3).module
    assert module is not None
    draw = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for weight in module.parameters():
            if not weight.any():  # where it starts says little
                weight.normal_(generator=draw)
    return module.double()


def tokens(seed: int, size: int, count: int, width: int, layers: int = 1) -> Tokens:
    draw = np.random.default_rng(seed)
    drawn = (torch.from_numpy(draw.normal(size=(size, count, width))) for _ in range(9))
    return Tokens({layer: x for layer, x in zip(range(layers), drawn, strict=False)})


def evenly(side: Tokens, shape: TowerShape, kind: torch.dtype) -> Tokens:
    """Large tokens of a type, normalised."""
    layers = {n: evened((100 * x).to(kind), shape) for n, x in side.layers_BND.items()}
    return Tokens(layers)
