"""Which configurations are taken, which refused, and how a shape is written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyclip.errors import UserError
from tinyclip.formats.openclip.config import shape_of
from tinyclip.formats.openclip.write_config import config_of, ratio_of
from tinyclip.shapes import ClipShape

Config = dict[str, Any]


@given(st.integers(1, 4096), st.integers(0, 20_000))
def test_the_ratio_gives_exactly_the_ffn_width(width: int, ffn: int) -> None:
    assert int(width * ratio_of(width, ffn)) == ffn


def test_a_ratio_is_truncated_as_open_clip_truncates(
    plain: Callable[..., Config],
) -> None:
    cfg = plain(text_cfg={"width": 1152, "heads": 16, "mlp_ratio": 3.7362})
    block = shape_of(cfg, "here").text.blocks[0]
    assert (block.heads, block.ffn) == (16, 4304)  # 4304.1


REFUSED: list[tuple[str, Config]] = [
    ("pool_type='none'", {"vision_cfg": {"pool_type": "none"}}),
    ("many learned queries", {"vision_cfg": {"attentional_pool": True}}),
    ("not learned", {"vision_cfg": {"pos_embed_type": "sin_cos_2d"}}),
    ("output_tokens", {"vision_cfg": {"output_tokens": True}}),
    ("qk_norm", {"vision_cfg": {"qk_norm": True}}),
    ("by cosine", {"text_cfg": {"scaled_cosine_attn": True}}),
    ("scale_heads", {"text_cfg": {"scale_heads": True}}),
    ("scale_attn_inner", {"vision_cfg": {"scale_attn_inner": True}}),
    ("scale_attn", {"vision_cfg": {"scale_attn": True}}),
    ("scale_fc", {"vision_cfg": {"scale_fc": True}}),
    ("block_type", {"vision_cfg": {"block_type": "tomorrow"}}),
    ("act_kwargs", {"vision_cfg": {"act_kwargs": {"inplace": True}}}),
    (
        "beside quick_gelu",
        {"quick_gelu": True, "text_cfg": {"act_kwargs": {"approximate": "tanh"}}},
    ),
    ("norm_kwargs", {"text_cfg": {"norm_kwargs": {"elementwise_affine": False}}}),
    ("pool_type='none'", {"text_cfg": {"pool_type": "none"}}),
    ("class embedding", {"text_cfg": {"embed_cls": True}}),
    ("proj_type", {"text_cfg": {"proj_type": "mlp"}}),
    ("no projection to embed_dim=10", {"text_cfg": {"proj_type": "none"}}),
    ("Hugging Face's bert", {"text_cfg": {"hf_model_name": "bert"}}),
    ("CoCa", {"multimodal_cfg": {"width": 8}}),
    ("a_key_of_tomorrow", {"a_key_of_tomorrow": 1}),
    ("a_key_of_tomorrow", {"vision_cfg": {"a_key_of_tomorrow": 1}}),
    ("ResNet", {"vision_cfg": {"layers": [1, 1, 1, 1]}}),
    ("not square", {"vision_cfg": {"image_size": [16, 24]}}),
    ("no whole number of heads", {"vision_cfg": {"width": 28, "head_width": 9}}),
    ("layers is 0", {"text_cfg": {"layers": 0}}),
    ("layers is 10000000", {"text_cfg": {"layers": 10**7}}),
    (
        "timm has no model 'vit_of_tomorrow'",
        {"vision_cfg": {"timm_model_name": "vit_of_tomorrow"}},
    ),
]


@pytest.mark.parametrize(("named", "changes"), REFUSED)
def test_a_switch_that_our_towers_lack_is_refused_by_name(
    named: str, changes: Config, plain: Callable[..., Config]
) -> None:
    with pytest.raises(UserError, match=named):
        shape_of(plain(**changes), "here")


@pytest.mark.parametrize(
    ("name", "family"),
    [
        ("convnext_tiny", "ConvNeXt"),
        ("eva02_base_patch16_clip_224", "EVA"),
        ("vit_pe_core_base_patch16_224", "PE-Core"),
        ("fastvit_mci0", "FastViT"),
        ("vitamin_small_224", "ViTamin"),
        ("swin_tiny_patch4_window7_224", "Swin"),
        ("vit_base_patch16_clip_224", "timm_pool='avg'"),
    ],
)
def test_an_image_tower_of_another_family_is_refused_by_its_name(
    name: str, family: str, plain: Callable[..., Config]
) -> None:
    with pytest.raises(UserError, match=family):
        shape_of(plain(vision_cfg={"timm_model_name": name}), "here")


UNSAYABLE: list[tuple[str, Callable[[ClipShape], ClipShape]]] = [
    (
        "one tower has quick_gelu",
        lambda s: s.with_towers(text=replace(s.text, activation="quick_gelu")),
    ),
    (
        "no class token",
        lambda s: s.with_towers(image=replace(s.image, class_token=False)),
    ),
    (
        "a bias on its patches",
        lambda s: s.with_towers(image=replace(s.image, patch_bias=True)),
    ),
    (
        "no projection",
        lambda s: s.with_towers(image=replace(s.image, projection=False)),
    ),
    (
        "a bias on its projection",
        lambda s: s.with_towers(image=replace(s.image, projection_bias=True)),
    ),
    (
        "the text tower lies in a basis",
        lambda s: s.with_towers(
            text=replace(s.text, width=s.text.width - 1, norm="rms", full_width=20)
        ),
    ),
    (
        "dims that are gone",
        lambda s: s.with_towers(text=replace(s.text, head_width=2 * s.text.head_width)),
    ),
]


@pytest.mark.parametrize(("what", "change"), UNSAYABLE)
def test_what_open_clip_cannot_say_is_refused_with_the_way_out(
    what: str,
    change: Callable[[ClipShape], ClipShape],
    plain: Callable[..., Config],
) -> None:
    shape = change(shape_of(plain(), "here"))
    with pytest.raises(UserError, match=f"{what}.*--to huggingface"):
        config_of(shape)
