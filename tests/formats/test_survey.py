"""All of open_clip's models: supported with parity, or refused with the reason."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import open_clip
import pytest
import timm
import torch

from tinyclip.formats.openclip.model import from_openclip
from tinyclip.formats.survey import Verdict, survey, tables, verdict

Config = dict[str, Any]
NAMES = open_clip.list_models()
DOCUMENT = Path(__file__).parents[2] / "docs" / "models.md"


@pytest.fixture(scope="module")
def verdicts() -> dict[str, Verdict]:
    return {one.name: one for one in survey()}


def smaller(cfg: Config, name: str, trunk: Callable[..., str]) -> Config:
    """The same switches on two layers of two heads, an eighth as wide."""
    cfg = copy.deepcopy(cfg)
    vision, text = cfg["vision_cfg"], cfg["text_cfg"]
    head = text["width"] // text["heads"] // 8
    text.update(layers=2, heads=2, width=2 * head, vocab_size=60, context_length=8)
    if "timm_model_name" in vision:
        cfg["embed_dim"] = _small_trunk(vision, name, trunk)
        return cfg
    head = vision.get("head_width", 64) // 8
    rest = vision["image_size"] % vision["patch_size"]
    vision.update(layers=2, width=2 * head, head_width=head)
    vision.update(patch_size=8, image_size=16 + rest // 2)
    cfg["embed_dim"] = 10
    return cfg


def _small_trunk(vision: Config, name: str, trunk: Callable[..., str]) -> int:
    with torch.device("meta"):
        big: Any = timm.create_model(vision["timm_model_name"], weight_init="skip")
    block, patch = big.blocks[0], big.patch_embed
    rest = patch.img_size[0] % patch.patch_size[0]
    width = block.attn.head_dim // 8 * 2
    vision["image_size"] = 16 + rest // 2
    vision["timm_model_name"] = trunk(
        f"small_{name}",
        img_size=16 + rest // 2,
        patch_size=8,
        embed_dim=width,
        num_heads=2,
        mlp_ratio=block.mlp.fc1.out_features / big.embed_dim,
        act_layer=type(block.mlp.act),
    )
    return width


@pytest.mark.parametrize("name", NAMES)
def test_each_model_is_open_clips_or_refused_with_the_reason(
    name: str,
    verdicts: dict[str, Verdict],
    trunk: Callable[..., str],
    named: Callable[..., str],
    randomised: Any,
    gap: Callable[..., float],
) -> None:
    if not verdicts[name].supported:
        assert verdicts[name].notes
        return
    cfg = smaller(open_clip.get_model_config(name), name, trunk)
    theirs = randomised(open_clip.create_model(named(f"small {name}", cfg)))
    assert gap(theirs, from_openclip(cfg, theirs.state_dict())) <= 1e-5


def test_every_model_is_in_one_table_and_at_least_70_are_supported(
    verdicts: dict[str, Verdict],
) -> None:
    assert list(verdicts) == NAMES
    assert sum(one.supported for one in verdicts.values()) >= 70
    assert all(one.supported == (one.shape is not None) for one in verdicts.values())


@pytest.mark.parametrize(
    ("start", "family"),
    [
        ("RN", "ResNet"),
        ("coca", "CoCa"),
        ("convnext", "ConvNeXt"),
        ("EVA0", "EVA"),
        ("PE-Core", "PE-Core"),
        ("ViTamin", "ViTamin"),
        ("MobileCLIP", "MobileCLIP|vit_large_patch14_clip_224"),
        ("nllb", "facebook/nllb"),
        ("xlm", "xlm-roberta"),
        ("mt5", "google/mt5"),
        ("roberta", "roberta-base"),
    ],
)
def test_a_refusal_names_what_the_model_is(
    start: str, family: str, verdicts: dict[str, Verdict]
) -> None:
    reasons = [one.notes for name, one in verdicts.items() if name.startswith(start)]
    assert reasons
    for reason in reasons:
        assert any(word in reason for word in family.split("|")), reason


@pytest.mark.parametrize(
    ("name", "family"),
    [
        ("ViT-B-32", "CLIP"),
        ("ViT-L-14-CLIPA", "CLIPA"),
        ("ViT-H-14-worldwide", "CLIP, many languages"),
        ("ViT-B-16-SigLIP-512", "SigLIP"),
        ("ViT-SO400M-16-SigLIP-i18n-256", "SigLIP"),
        ("ViT-gopt-16-SigLIP2-384", "SigLIP 2"),
    ],
)
def test_a_supported_model_has_the_name_of_its_family(
    name: str, family: str, verdicts: dict[str, Verdict]
) -> None:
    assert verdicts[name].family == family


def test_the_towers_of_gopt_differ_in_width_and_depth(
    verdicts: dict[str, Verdict],
) -> None:
    shape = verdicts["ViT-gopt-16-SigLIP2-256"].shape
    assert shape is not None
    towers = [
        (t.width, len(t.blocks), t.blocks[0].ffn) for t in shape.towers().values()
    ]
    assert towers == [(1536, 40, 6144), (1152, 27, 4304)]


def test_the_document_has_the_tables_of_the_survey(
    verdicts: dict[str, Verdict],
) -> None:
    assert tables(verdicts.values()) in DOCUMENT.read_text()


def test_a_configuration_of_the_users_own_is_judged_as_well(
    plain: Callable[..., Config],
) -> None:
    assert verdict("mine", plain()).supported
    assert "CoCa" in verdict("mine", plain(multimodal_cfg={})).notes
