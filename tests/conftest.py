"""Pico models that every room's tests lean on."""

from __future__ import annotations

import pytest
import torch

from tinyclip.model.clip import Clip
from tinyclip.shapes import BlockShape, ClipShape, ImageShape, TextShape


def make_pico_shape() -> ClipShape:
    """Two small ragged towers, 16-px pictures, 8 tokens."""
    return ClipShape(
        embed_dim=12,
        image=ImageShape(
            width=24,
            head_width=6,
            blocks=(BlockShape(heads=4, ffn=32), BlockShape(heads=3, ffn=28)),
            image_size=16,
            patch_size=8,
        ),
        text=TextShape(
            width=16,
            head_width=4,
            blocks=(BlockShape(heads=4, ffn=24), BlockShape(heads=2, ffn=20)),
            context_length=8,
            vocab_size=50,
        ),
    )


def make_pico_clip(shape: ClipShape | None = None, seed: int = 0) -> Clip:
    """Random weights, biases not 0 and norms not 1, so that every term counts."""
    model = Clip(shape or make_pico_shape())
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name == "logit_scale":
                continue
            noise = torch.randn(parameter.shape, generator=generator) * 0.2
            parameter.copy_(1 + noise if "norm" in name and "weight" in name else noise)
    return model


@pytest.fixture
def pico_shape() -> ClipShape:
    return make_pico_shape()


@pytest.fixture
def pico_clip() -> Clip:
    return make_pico_clip()
