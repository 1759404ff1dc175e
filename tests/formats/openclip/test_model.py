"""open_clip's weights in and out: same features, same bits, honest misfits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import open_clip
import pytest
import torch
from torch import Tensor

from tinyclip.errors import UserError
from tinyclip.formats.openclip.config import shape_of
from tinyclip.formats.openclip.model import from_openclip, to_openclip
from tinyclip.model.store import Loaded

Config = dict[str, Any]
TANH = {"act_kwargs": {"approximate": "tanh"}}
CLIPA_IMAGE = {"no_ln_pre": True, "pool_type": "avg", "final_ln_after_pool": True}
CLIPA_TEXT = {"pool_type": "last", "no_causal_mask": True}
SWITCHES: dict[str, Config] = {
    "gelu": {},
    "quick_gelu": {"quick_gelu": True},
    "one head": {"vision_cfg": {"head_width": 24}, "text_cfg": {"heads": 1}},
    "heads that do not fill their width": {"vision_cfg": {"head_width": 7}},
    "patch 4": {"vision_cfg": {"patch_size": 4}},
    "patch that does not divide": {"vision_cfg": {"patch_size": 5}},
    "odd ratio": {"vision_cfg": {"mlp_ratio": 4.3637}, "text_cfg": {"mlp_ratio": 1.3}},
    "defaults spelled out": {
        "custom_text": False,
        "vision_cfg": {"pool_type": "tok", "image_size": [16, 16]},
        "text_cfg": {"pool_type": "argmax", "proj_bias": False, "act_kwargs": {}},
    },
    "layer scale": {
        "vision_cfg": {"ls_init_value": 1e-4},
        "text_cfg": {"ls_init_value": 0.0},
    },
    "layer scale in the text": {"text_cfg": {"ls_init_value": 0.1}},
    "CLIPA": {"vision_cfg": CLIPA_IMAGE, "text_cfg": CLIPA_TEXT},
    "mean of normalised patches": {"vision_cfg": {"pool_type": "avg"}},
    "norm after the class token": {"vision_cfg": {"final_ln_after_pool": True}},
    "no norm before the blocks": {"vision_cfg": {"no_ln_pre": True}},
    "end of text by its id": {"text_cfg": {"pool_type": "eos", "eos_id": 1}},
    "first token": {"text_cfg": {"pool_type": "first"}},
    "text that sees all": {"text_cfg": {"no_causal_mask": True}},
    "a bias on the projection": {"text_cfg": {"proj_bias": True}},
    "tanh": {"vision_cfg": TANH, "text_cfg": TANH},
    "tanh in one tower": {"text_cfg": TANH},
    "exact, said so": {"text_cfg": {"act_kwargs": {"approximate": "none"}}},
    "eps": {
        "vision_cfg": {"norm_kwargs": {"eps": 1e-3}},
        "text_cfg": {"norm_kwargs": {"eps": 1e-2}},
    },
    "custom blocks": {
        "vision_cfg": {"block_type": "custom"},
        "text_cfg": {"block_type": "custom"},
    },
    "training only": {"vision_cfg": {"patch_dropout": 0.5}, "init_logit_scale": 1.0},
    "a tokenizer of a hub": {"text_cfg": {"hf_tokenizer_name": "bert-base-uncased"}},
    "a logit bias": {"init_logit_bias": -10},
    "a scale of one element": {"nonscalar_logit_scale": True, "init_logit_bias": -1},
    "text tower of its own": {"custom_text": True},
}


@pytest.mark.parametrize("name", SWITCHES)
def test_features_are_open_clips(
    name: str, plain: Callable[..., Config], stock: Any, gap: Callable[..., float]
) -> None:
    cfg = plain(**SWITCHES[name])
    theirs = stock(cfg)
    assert gap(theirs, from_openclip(cfg, theirs.state_dict())) <= 1e-5


def test_a_text_tower_without_projection_gets_one_that_changes_nothing(
    plain: Callable[..., Config], stock: Any, gap: Callable[..., float]
) -> None:
    cfg = plain(embed_dim=16, text_cfg={"proj_type": "none", "proj_bias": True})
    theirs = stock(cfg)
    ours = from_openclip(cfg, theirs.state_dict())
    assert gap(theirs, ours) <= 1e-5
    assert torch.equal(ours.text.projection, torch.eye(16))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ViT-B-32", "ViT-B-16-SigLIP"])
def test_features_at_full_size_are_open_clips(name: str, gap: Any) -> None:
    cfg = open_clip.get_model_config(name)
    theirs = open_clip.create_model(name).eval()
    ours = from_openclip(cfg, theirs.state_dict())
    assert gap(theirs, ours, count=2) <= 1e-5


# what cannot come back: the prefix and the axis are dropped at the door
ONE_WAY = {"text tower of its own", "a scale of one element"}


@pytest.mark.parametrize("name", [name for name in SWITCHES if name not in ONE_WAY])
def test_there_and_back_is_the_same_to_the_bit(
    name: str, plain: Callable[..., Config], stock: Any
) -> None:
    cfg = plain(**SWITCHES[name])
    theirs = stock(cfg).state_dict()
    _, again = to_openclip(from_openclip(cfg, theirs))
    assert again.keys() == theirs.keys()
    for key, value in theirs.items():
        assert torch.equal(again[key], value), key


@pytest.mark.parametrize("name", SWITCHES)
def test_the_configuration_written_back_describes_the_same_shape(
    name: str, plain: Callable[..., Config], stock: Any
) -> None:
    cfg = plain(**SWITCHES[name])
    ours = from_openclip(cfg, stock(cfg).state_dict())
    assert shape_of(to_openclip(ours)[0], "here") == ours.shape


def test_scale_and_bias_of_the_products_come_along(
    plain: Callable[..., Config], stock: Any
) -> None:
    cfg = plain(init_logit_bias=-10)
    theirs = {**stock(cfg).state_dict(), "logit_scale": torch.tensor([2.5])}
    theirs["logit_bias"] = torch.tensor(-7.0)
    ours = from_openclip(cfg, theirs)
    assert ours.logit_bias is not None
    assert (ours.logit_scale.item(), ours.logit_bias.item()) == (2.5, -7.0)


def prefixed(state: dict[str, Tensor], custom: bool) -> dict[str, Tensor]:
    """As CustomTextCLIP names them, or as a parallel wrapper does."""
    own = ("visual", "logit")
    if custom:
        return {k if k.startswith(own) else f"text.{k}": v for k, v in state.items()}
    return {f"module.{k}": v for k, v in state.items()}


@pytest.mark.parametrize("custom", [True, False])
def test_names_with_a_prefix_are_taken(
    custom: bool, plain: Callable[..., Config], stock: Any, gap: Callable[..., float]
) -> None:
    theirs = stock(plain())
    state = prefixed(theirs.state_dict(), custom)
    assert gap(theirs, from_openclip(plain(), state)) <= 1e-5


def test_buffers_of_old_checkpoints_are_no_weights(
    plain: Callable[..., Config], stock: Any
) -> None:
    state = {**stock(plain()).state_dict(), "attn_mask": torch.zeros(8, 8)}
    from_openclip(plain(), state)


def test_weights_that_do_not_fit_name_the_first_three_mismatches(
    plain: Callable[..., Config], stock: Any
) -> None:
    wide = plain(text_cfg={"width": 20})
    with pytest.raises(UserError, match=r"does not fit: .*; .*; .*, and \d+ more") as e:
        from_openclip(wide, stock(plain()).state_dict())
    assert "token_embedding.weight is (60, 16), expected (60, 20)" in str(e.value)


def test_a_missing_and_a_foreign_weight_are_named_as_open_clip_names_them(
    plain: Callable[..., Config], stock: Any
) -> None:
    theirs = stock(plain()).state_dict()
    theirs["visual.extra"] = theirs.pop("visual.proj")
    with pytest.raises(UserError, match=r"visual\.proj is missing; visual\.extra is"):
        from_openclip(plain(), theirs)


def test_a_packed_weight_that_is_not_three_parts_does_not_fit(
    plain: Callable[..., Config], stock: Any
) -> None:
    theirs = stock(plain()).state_dict()
    theirs["transformer.resblocks.0.attn.in_proj_bias"] = torch.zeros(7)
    with pytest.raises(UserError, match=r"in_proj_bias is \(7,\), expected \(48,\)"):
        from_openclip(plain(), theirs)


def test_a_ragged_model_is_refused_with_the_way_out(pico_loaded: Loaded) -> None:
    with pytest.raises(UserError, match="--layout uniform, or export --to huggingface"):
        to_openclip(pico_loaded.model)
