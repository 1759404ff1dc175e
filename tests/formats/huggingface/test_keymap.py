"""The table of Hugging Face's names: the stock classes' own names and shapes."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor
from transformers import CLIPConfig, CLIPModel, SiglipConfig, SiglipModel

from tinyclip.formats.huggingface.keymap import from_huggingface, to_huggingface
from tinyclip.model.clip import Clip
from tinyclip.shapes import BlockShape, ClipShape

# the pico shapes of tests/conftest.py, in their words
TEXT = {
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 8,
    "vocab_size": 50,
    "bos_token_id": 48,
    "eos_token_id": 49,
}
VISION = {
    "hidden_size": 24,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "image_size": 16,
    "patch_size": 8,
}


def clip_shape(shape: ClipShape) -> ClipShape:
    image = replace(shape.image, blocks=(BlockShape(heads=4, ffn=32),) * 2)
    text = replace(shape.text, blocks=(BlockShape(heads=4, ffn=24),) * 2)
    return shape.with_towers(image=image, text=text)


def sizes(state: dict[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in state.items()}


def test_clip_has_these_names_and_shapes(pico_shape: ClipShape) -> None:
    shape = clip_shape(pico_shape)
    stock = CLIPModel(
        CLIPConfig(text_config=TEXT, vision_config=VISION, projection_dim=12)
    )
    weights = to_huggingface(Clip(shape).state_dict(), shape)
    assert sizes(weights) == sizes(stock.state_dict())


def test_siglip_has_these_names_and_shapes(siglip_shape: ClipShape) -> None:
    text = {**TEXT, "projection_size": 24}
    stock = SiglipModel(SiglipConfig(text_config=text, vision_config=VISION))
    weights = to_huggingface(Clip(siglip_shape).state_dict(), siglip_shape)
    assert sizes(weights) == sizes(stock.state_dict())


@pytest.mark.parametrize("fixture", ["pico_clip", "siglip_clip"])
def test_there_and_back_changes_no_bit(
    fixture: str, request: pytest.FixtureRequest
) -> None:
    model: Clip = request.getfixturevalue(fixture)
    ours = model.state_dict()
    back = from_huggingface(to_huggingface(ours, model.shape), model.shape)
    assert sizes(back) == sizes(ours)
    assert all(torch.equal(back[name], value) for name, value in ours.items())
