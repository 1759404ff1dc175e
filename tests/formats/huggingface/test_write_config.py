"""Which class an export becomes, and that the stock class reads its configuration."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from transformers import CLIPConfig, SiglipConfig

from tinyclip.formats.huggingface.configuration_tinyclip import TinyclipConfig
from tinyclip.formats.huggingface.modeling_tinyclip import TinyclipModel
from tinyclip.formats.huggingface.write_config import (
    custom_config,
    family_of,
    stock_config,
)
from tinyclip.model.clip import Clip
from tinyclip.shapes import BlockShape, ClipShape, shape_to_dict

IDS = {"bos": 48, "eos": 49, "pad": 49, "largest": 49}


@pytest.fixture
def clip_shape(pico_shape: ClipShape) -> ClipShape:
    """The pico shape made uniform."""
    image = replace(pico_shape.image, blocks=(BlockShape(heads=4, ffn=32),) * 2)
    text = replace(pico_shape.text, blocks=(BlockShape(heads=4, ffn=24),) * 2)
    return pico_shape.with_towers(image=image, text=text)


def test_plain_shapes_are_stock(clip_shape: ClipShape, siglip_shape: ClipShape) -> None:
    assert family_of(clip_shape, IDS) == "clip"
    assert family_of(siglip_shape, IDS) == "siglip"


def test_a_ragged_shape_is_not(pico_shape: ClipShape) -> None:
    assert family_of(pico_shape, IDS) is None


@pytest.mark.parametrize(
    ("tower", "switch"),
    [
        ("image", {"layer_scale": True}),
        ("image", {"class_token": False}),
        ("image", {"patch_bias": True}),
        ("image", {"norm_pre": False}),
        ("image", {"pool": "mean"}),
        ("image", {"projection": False}),
        ("image", {"projection_bias": True}),
        ("image", {"width": 23, "norm": "rms", "full_width": 32}),
        ("text", {"blocks": (BlockShape(heads=8, dims=2, ffn=24),) * 2}),
        ("text", {"width": 15, "norm": "rms", "full_width": 32}),
        ("text", {"layer_scale": True}),
        ("text", {"causal": False}),
        ("text", {"pool": "last"}),
        ("text", {"pool": "eos", "eos_id": 2}),
        ("text", {"projection_bias": True}),
    ],
)
def test_a_switch_that_clip_model_lacks_makes_it_our_class(
    clip_shape: ClipShape, tower: str, switch: dict[str, Any]
) -> None:
    shape = clip_shape.with_towers(
        **{tower: replace(clip_shape.towers()[tower], **switch)}
    )
    assert family_of(shape, IDS) is None


@pytest.mark.parametrize(
    ("tower", "switch"),
    [
        ("image", {"layer_scale": True}),
        ("image", {"class_token": True}),
        ("image", {"patch_bias": False}),
        ("image", {"norm_pre": True}),
        ("image", {"pool_block": BlockShape(heads=2, ffn=32)}),
        ("text", {"layer_scale": True}),
        ("text", {"causal": True}),
        ("text", {"pool": "first"}),
        ("text", {"projection_bias": False}),
    ],
)
def test_a_switch_that_siglip_model_lacks_makes_it_our_class(
    siglip_shape: ClipShape, tower: str, switch: dict[str, Any]
) -> None:
    shape = siglip_shape.with_towers(
        **{tower: replace(siglip_shape.towers()[tower], **switch)}
    )
    assert family_of(shape, IDS) is None
    assert family_of(replace(siglip_shape, logit_bias=False), IDS) is None


def test_argmax_is_end_of_text_only_where_no_id_is_larger(
    clip_shape: ClipShape,
) -> None:
    assert family_of(clip_shape, {**IDS, "largest": 60}) is None
    assert family_of(clip_shape, {**IDS, "eos": None}) is None


def test_the_end_of_text_is_named(clip_shape: ClipShape) -> None:
    config = CLIPConfig(**stock_config(clip_shape, "clip", IDS))
    assert config.text_config.eos_token_id == 49
    assert config.text_config.bos_token_id == 48
    text = replace(clip_shape.text, pool="eos", eos_id=7)
    shape = clip_shape.with_towers(text=text)
    config = CLIPConfig(**stock_config(shape, "clip", IDS))
    assert config.text_config.eos_token_id == 7


def test_each_tower_has_its_own_activation_and_eps(clip_shape: ClipShape) -> None:
    image = replace(clip_shape.image, activation="gelu_tanh", eps=1e-3)
    text = replace(clip_shape.text, activation="quick_gelu", eps=1e-4)
    shape = clip_shape.with_towers(image=image, text=text)
    config = CLIPConfig(**stock_config(shape, "clip", IDS))
    assert config.vision_config.hidden_act == "gelu_pytorch_tanh"
    assert config.text_config.hidden_act == "quick_gelu"
    assert config.vision_config.layer_norm_eps == 1e-3
    assert config.text_config.layer_norm_eps == 1e-4


def test_siglip_leads_to_the_image_towers_width(siglip_shape: ClipShape) -> None:
    config = SiglipConfig(**stock_config(siglip_shape, "siglip", IDS))
    assert config.text_config.projection_size == siglip_shape.image.width


@pytest.mark.parametrize("fixture", ["pico_shape", "siglip_shape"])
def test_our_class_has_our_parameters(
    fixture: str, request: pytest.FixtureRequest
) -> None:
    shape: ClipShape = request.getfixturevalue(fixture)
    model = TinyclipModel(TinyclipConfig(**shape_to_dict(shape)))
    ours = {n: v.shape for n, v in Clip(shape).state_dict().items()}
    assert {n: v.shape for n, v in model.state_dict().items()} == ours


def test_our_configuration_survives_json(pico_shape: ClipShape) -> None:
    config = TinyclipConfig(**custom_config(pico_shape, 49))
    again = TinyclipConfig.from_dict(config.to_dict())
    assert again.image == shape_to_dict(pico_shape)["image"]
    assert again.text == shape_to_dict(pico_shape)["text"]
    assert again.embed_dim == pico_shape.embed_dim
    assert again.pad_token_id == 49
