"""Pico models that every room's tests lean on."""

from __future__ import annotations

import gzip
from dataclasses import replace

import pytest
import torch

from tinyclip.model.clip import Clip
from tinyclip.model.preprocess import Preprocess
from tinyclip.model.store import Loaded
from tinyclip.shapes import BlockShape, ClipShape, ImageShape, TextShape
from tinyclip.tokenizers.clip import ClipTokenizer


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


def make_siglip_shape() -> ClipShape:
    """SigLIP's switches: attention pool, no class token, no image projection, text
    that sees all and is pooled at the end, biases everywhere."""
    block = BlockShape(heads=4, ffn=32)
    return ClipShape(
        embed_dim=24,
        logit_bias=True,
        image=ImageShape(
            width=24,
            head_width=6,
            blocks=(block, block),
            eps=1e-6,
            image_size=16,
            patch_size=8,
            class_token=False,
            patch_bias=True,
            norm_pre=False,
            pool="map",
            pool_block=block,
            projection=False,
        ),
        text=TextShape(
            width=16,
            head_width=4,
            blocks=(BlockShape(heads=4, ffn=24),) * 2,
            eps=1e-6,
            context_length=8,
            vocab_size=50,
            causal=False,
            pool="last",
            projection_bias=True,
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


@pytest.fixture
def siglip_shape() -> ClipShape:
    return make_siglip_shape()


@pytest.fixture
def siglip_clip() -> Clip:
    return make_pico_clip(make_siglip_shape())


def make_loaded(uniform: bool = False) -> Loaded:
    """A pico model with a preprocess and a tokenizer of two merges (516 ids)."""
    shape = make_pico_shape()
    text = replace(shape.text, vocab_size=516)
    image = shape.image
    if uniform:
        # 16 is no multiple of 7, so that the FFN ratio is no round number
        text = replace(text, blocks=(BlockShape(heads=4, ffn=7),) * 2)
        image = replace(image, blocks=(BlockShape(heads=4, ffn=31),) * 2)
    shape = shape.with_towers(image=image, text=text)
    # a header, the merges, and no newline at the end: it would add an empty merge
    merges = gzip.compress(b"#version: 0.2\nc a\nca t</w>", mtime=0)
    return Loaded(
        make_pico_clip(shape).eval(),
        Preprocess(size=16, resize_mode="squash"),
        ClipTokenizer(merges, context_length=8),
        {"provenance": {"teacher": "builtin:pico", "stage": 1}},
    )


@pytest.fixture
def pico_loaded() -> Loaded:
    return make_loaded()


@pytest.fixture
def uniform_loaded() -> Loaded:
    return make_loaded(uniform=True)
