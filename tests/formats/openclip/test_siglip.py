"""SigLIP: timm's image tower with an attention pool beside open_clip's text tower."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import timm
import torch

from tinyclip.errors import UserError
from tinyclip.formats.openclip.config import shape_of
from tinyclip.formats.openclip.model import from_openclip, to_openclip
from tinyclip.formats.openclip.trunk import stock_trunk, trunk_shape
from tinyclip.formats.openclip.write_config import config_of
from tinyclip.model.clip import Clip
from tinyclip.shapes import BlockShape

Config = dict[str, Any]
TANH = {"act_kwargs": {"approximate": "tanh"}}
SWITCHES: dict[str, Config] = {
    "SigLIP": {},
    "SigLIP 2": {"text_cfg": TANH},
    "quick_gelu is the text tower's": {"quick_gelu": True},
    "no text projection": {
        "text_cfg": {"width": 24, "proj_type": "none", "proj_bias": False}
    },
    "no logit bias": {"init_logit_bias": None},
    "names of CLIP": {"custom_text": False},
}
TRUNKS: dict[str, Config] = {
    "wide heads": {"num_heads": 1},
    "a ratio that truncates": {"mlp_ratio": 3.7362},
    "tanh": {"act_layer": "gelu_tanh"},
    "quick": {"act_layer": "quick_gelu"},
    "gelu by name": {"act_layer": "gelu"},
    "layer scale": {"init_values": 1e-4},
    "a norm before the blocks": {"pre_norm": True},
    "patches that do not divide": {"patch_size": 5},
    "dropping in training": {"drop_path_rate": 0.1, "patch_drop_rate": 0.5},
}


@pytest.mark.parametrize("name", SWITCHES)
def test_features_are_open_clips(
    name: str, siglip: Callable[..., Config], stock: Any, gap: Callable[..., float]
) -> None:
    cfg = siglip(**SWITCHES[name])
    theirs = stock(cfg)
    assert gap(theirs, from_openclip(cfg, theirs.state_dict())) <= 1e-5


@pytest.mark.parametrize("name", TRUNKS)
def test_features_of_any_plain_trunk_are_timms(
    name: str,
    siglip: Callable[..., Config],
    trunk: Callable[..., str],
    stock: Any,
    gap: Callable[..., float],
) -> None:
    timm_trunk = trunk("vit_pico_other", **TRUNKS[name])
    cfg = siglip(vision_cfg={"timm_model_name": timm_trunk})
    theirs = stock(cfg)
    assert gap(theirs, from_openclip(cfg, theirs.state_dict())) <= 1e-5


FOREIGN: list[tuple[str, Config]] = [
    ("class or register tokens", {"class_token": True}),
    ("class or register tokens", {"reg_tokens": 2}),
    ("weights are not those", {"qkv_bias": False}),
    ("weights are not those", {"qk_norm": True}),
    ("weights are not those", {"pos_embed": "none"}),
    ("weights are not those", {"final_norm": False}),
    ("RmsNorm", {"norm_layer": "rmsnorm"}),
    ("SiLU", {"act_layer": "silu"}),
    ("not square", {"img_size": (16, 24)}),
    ("cannot build", {"num_heads": 7}),
    ("SwiGLU", {"mlp_layer": timm.layers.SwiGLU}),
]


@pytest.mark.parametrize(("why", "changes"), FOREIGN)
def test_a_trunk_that_is_no_plain_transformer_is_refused_with_the_reason(
    why: str, changes: Config, trunk: Callable[..., str]
) -> None:
    with pytest.raises(UserError, match=why):
        trunk_shape(trunk("vit_pico_foreign", **changes), "here")


def test_a_trunk_that_would_be_downloaded_is_not_known() -> None:
    with pytest.raises(UserError, match="timm has no model"):
        trunk_shape("hf-hub:timm/vit_base_patch16_siglip_224.webli", "here")


def test_towers_of_different_widths_without_a_projection_are_refused(
    siglip: Callable[..., Config],
) -> None:
    with pytest.raises(UserError, match="24 wide and has no projection"):
        shape_of(siglip(embed_dim=20), "here")


def test_looking_at_a_trunk_draws_no_random_number(trunk: Callable[..., str]) -> None:
    name = trunk("vit_pico_drawn")
    before = torch.random.get_rng_state()
    trunk_shape(name, "here")
    assert torch.equal(before, torch.random.get_rng_state())


def test_there_and_back_is_the_same_to_the_bit(
    siglip: Callable[..., Config], stock: Any
) -> None:
    theirs = stock(siglip()).state_dict()
    cfg, again = to_openclip(from_openclip(siglip(), theirs))
    assert cfg["vision_cfg"] == siglip()["vision_cfg"]
    assert again.keys() == theirs.keys()
    for key, value in theirs.items():
        assert torch.equal(again[key], value), key


def test_a_compressed_text_tower_keeps_the_stock_image_tower(
    siglip: Callable[..., Config], stock: Any, gap: Callable[..., float]
) -> None:
    shape = shape_of(siglip(), "here")
    small = replace(shape.text, width=10, blocks=(BlockShape(heads=1, ffn=9),))
    ours = Clip(shape.with_towers(text=small)).init_weights(0)
    cfg, weights = to_openclip(ours)
    theirs = stock(cfg)
    theirs.load_state_dict(weights)
    assert gap(theirs, ours) <= 1e-5


def test_an_image_tower_of_widths_that_timm_lacks_is_refused_with_the_way_out(
    siglip: Callable[..., Config],
) -> None:
    shape = shape_of(siglip(), "here")
    shape = shape.with_towers(image=replace(shape.image, blocks=shape.image.blocks[:1]))
    with pytest.raises(UserError, match="timm has none of these widths.*huggingface"):
        config_of(shape)


@pytest.mark.parametrize("change", [{"eps": 1e-5}, {"image_size": 32}])
def test_an_image_tower_is_stock_in_its_switches_too(
    change: Config, siglip: Callable[..., Config]
) -> None:
    image = shape_of(siglip(), "here").image
    assert stock_trunk(image) == "vit_pico_siglip_16"
    assert stock_trunk(replace(image, **change)) is None
