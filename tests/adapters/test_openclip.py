"""open_clip's plain CLIP in and out: same features, same bits, honest refusals."""

from __future__ import annotations

from typing import Any

import open_clip
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from tinyclip.adapters.openclip import (
    config_of,
    from_openclip,
    ratio_of,
    shape_of,
    to_openclip,
)
from tinyclip.errors import UserError
from tinyclip.model.store import Loaded

PLAIN: dict[str, Any] = {
    "embed_dim": 10,
    "vision_cfg": {
        "image_size": 16,
        "layers": 2,
        "width": 24,
        "head_width": 6,
        "patch_size": 8,
    },
    "text_cfg": {
        "context_length": 8,
        "vocab_size": 60,
        "width": 16,
        "heads": 2,
        "layers": 2,
    },
}


def config(**changes: Any) -> dict[str, Any]:
    """PLAIN with `vision_cfg`/`text_cfg` merged and the rest replaced."""
    made = {**PLAIN, **changes}
    for part in ("vision_cfg", "text_cfg"):
        made[part] = {**PLAIN[part], **changes.get(part, {})}
    return made


CONFIGS = {
    "gelu": config(),
    "quick_gelu": config(quick_gelu=True),
    "one head": config(vision_cfg={"head_width": 24}, text_cfg={"heads": 1}),
    "patch 4": config(vision_cfg={"patch_size": 4}),
    "patch that does not divide": config(vision_cfg={"patch_size": 5}),
    "odd ratio": config(vision_cfg={"mlp_ratio": 4.3637}, text_cfg={"mlp_ratio": 1.3}),
    "defaults spelled out": config(
        vision_cfg={"pool_type": "tok", "ls_init_value": None, "image_size": [16, 16]},
        text_cfg={"pool_type": "argmax", "proj_bias": False},
    ),
}


def stock(cfg: dict[str, Any]) -> nn.Module:
    """open_clip's model of random weights, biases not 0 and norms not 1."""
    model: nn.Module = open_clip.CLIP(**cfg).eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name == "logit_scale":
                continue
            noise = torch.randn(parameter.shape, generator=generator) * 0.2
            norm = "ln_" in name and "weight" in name
            parameter.copy_(1 + noise if norm else noise)
    return model


def gaps(theirs: Any, ours: Any, count: int = 4) -> tuple[float, float]:
    shape = ours.shape
    generator = torch.Generator().manual_seed(1)
    side, text = shape.image.image_size, shape.text
    x = torch.randn(count, 3, side, side, generator=generator)
    size = (count, text.context_length)
    ids = torch.randint(0, text.vocab_size, size, generator=generator)
    with torch.no_grad():
        image = ours.encode_image(x, normalize=True) - theirs.encode_image(x, True)
        words = ours.encode_text(ids, normalize=True) - theirs.encode_text(ids, True)
    return float(image.abs().max()), float(words.abs().max())


@pytest.mark.parametrize("name", CONFIGS)
def test_features_are_open_clips(name: str) -> None:
    theirs = stock(CONFIGS[name])
    ours = from_openclip(CONFIGS[name], theirs.state_dict())
    assert max(gaps(theirs, ours)) <= 1e-5


@pytest.mark.slow
def test_features_of_a_full_size_vit_b_32_are_open_clips() -> None:
    cfg = open_clip.get_model_config("ViT-B-32")
    theirs = open_clip.create_model("ViT-B-32").eval()
    ours = from_openclip(cfg, theirs.state_dict())
    assert max(gaps(theirs, ours)) <= 1e-5


@pytest.mark.parametrize("name", CONFIGS)
def test_there_and_back_is_the_same_to_the_bit(name: str) -> None:
    theirs = stock(CONFIGS[name]).state_dict()
    _, again = to_openclip(from_openclip(CONFIGS[name], theirs))
    assert again.keys() == theirs.keys()
    for key, value in theirs.items():
        assert torch.equal(again[key], value), key


@pytest.mark.parametrize("name", CONFIGS)
def test_the_configuration_written_back_describes_the_same_shape(name: str) -> None:
    shape = shape_of(CONFIGS[name], "here")
    assert shape_of(config_of(shape), "here") == shape


@given(st.integers(1, 4096), st.integers(0, 20_000))
def test_the_ratio_gives_exactly_the_ffn_width(width: int, ffn: int) -> None:
    assert int(width * ratio_of(width, ffn)) == ffn


def test_a_logit_scale_of_one_element_is_taken() -> None:
    theirs = stock(PLAIN).state_dict()
    theirs["logit_scale"] = torch.tensor([2.5])
    assert from_openclip(PLAIN, theirs).logit_scale.item() == 2.5


def test_names_that_a_parallel_wrapper_prefixed_are_taken() -> None:
    theirs = stock(PLAIN)
    wrapped = {f"module.{name}": v for name, v in theirs.state_dict().items()}
    assert max(gaps(theirs, from_openclip(PLAIN, wrapped))) <= 1e-5


REFUSED = [
    ("pool_type", config(vision_cfg={"pool_type": "avg"})),
    ("no_ln_pre", config(vision_cfg={"no_ln_pre": True})),
    ("ls_init_value", config(vision_cfg={"ls_init_value": 0.0})),
    ("patch_dropout", config(vision_cfg={"patch_dropout": 0.5})),
    ("attentional_pool", config(vision_cfg={"attentional_pool": True})),
    ("timm_model_name", config(vision_cfg={"timm_model_name": "vit"})),
    ("act_kwargs", config(vision_cfg={"act_kwargs": {"approximate": "tanh"}})),
    ("norm_kwargs", config(text_cfg={"norm_kwargs": {"eps": 1e-6}})),
    ("qk_norm", config(text_cfg={"qk_norm": True})),
    ("no_causal_mask", config(text_cfg={"no_causal_mask": True})),
    ("pool_type", config(text_cfg={"pool_type": "eos"})),
    ("proj_bias", config(text_cfg={"proj_bias": True})),
    ("hf_model_name", config(text_cfg={"hf_model_name": "bert"})),
    ("hf_tokenizer_name", config(text_cfg={"hf_tokenizer_name": "bert"})),
    ("init_logit_bias", config(init_logit_bias=-10)),
    ("custom_text", config(custom_text=True)),
    ("multimodal_cfg", config(multimodal_cfg={"width": 8})),
    ("a_key_of_tomorrow", config(vision_cfg={"a_key_of_tomorrow": 1})),
    ("ResNet", config(vision_cfg={"layers": [1, 1, 1, 1]})),
    ("not square", config(vision_cfg={"image_size": [16, 24]})),
    ("no whole number of heads", config(vision_cfg={"head_width": 7})),
]


@pytest.mark.parametrize(("named", "cfg"), REFUSED)
def test_a_switch_that_our_towers_lack_is_refused_by_name(
    named: str, cfg: dict[str, Any]
) -> None:
    with pytest.raises(UserError, match=named):
        shape_of(cfg, "here")


def test_weights_that_do_not_fit_name_the_first_three_mismatches() -> None:
    theirs = stock(PLAIN).state_dict()
    wide = config(text_cfg={"width": 20})
    with pytest.raises(UserError, match=r"does not fit: .*; .*; .*, and \d+ more"):
        from_openclip(wide, theirs)


def test_a_missing_and_a_foreign_weight_are_named() -> None:
    theirs = stock(PLAIN).state_dict()
    theirs["visual.extra"] = theirs.pop("visual.proj")
    with pytest.raises(UserError, match=r"image\.projection is missing; visual\.extra"):
        from_openclip(PLAIN, theirs)


def test_a_packed_weight_that_is_not_three_parts_does_not_fit() -> None:
    theirs = stock(PLAIN).state_dict()
    theirs["transformer.resblocks.0.attn.in_proj_bias"] = torch.zeros(7)
    with pytest.raises(UserError, match=r"blocks\.0\.attention\.q\.bias is missing"):
        from_openclip(PLAIN, theirs)


def test_a_ragged_model_is_refused_with_the_way_out(pico_loaded: Loaded) -> None:
    with pytest.raises(UserError, match="--layout uniform, or export --to safetensors"):
        to_openclip(pico_loaded.model)
