"""Stock open_clip models of random weights, and how far ours are from them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from timm.models import _registry as registry
from timm.models.vision_transformer import VisionTransformer
from tokenizers import Tokenizer as Backend
from tokenizers import models, pre_tokenizers, processors
from torch import nn
from towers import in_basis  # type: ignore[import-not-found]
from transformers import PreTrainedTokenizerFast

from tinyclip.shapes import ClipShape, TowerShape
from tinyclip.tokenizers.huggingface import HfTokenizer, open_tokenizer

PARTS = ("vision_cfg", "text_cfg")
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
SIGLIP: dict[str, Any] = {
    "embed_dim": 24,
    "init_logit_bias": -10,
    "custom_text": True,
    "vision_cfg": {
        "image_size": 16,
        "timm_model_name": "vit_pico_siglip_16",
        "timm_model_pretrained": False,
        "timm_pool": "map",
        "timm_proj": "none",
    },
    "text_cfg": {
        "context_length": 8,
        "vocab_size": 60,
        "hf_tokenizer_name": "timm/pico",
        "tokenizer_kwargs": {"clean": "canonicalize"},
        "width": 20,
        "heads": 2,
        "layers": 2,
        "mlp_ratio": 3.7362,
        "no_causal_mask": True,
        "proj_bias": True,
        "pool_type": "last",
        "norm_kwargs": {"eps": 1e-6},
    },
}
TRUNK: dict[str, Any] = {
    "img_size": 16,
    "patch_size": 8,
    "embed_dim": 24,
    "depth": 2,
    "num_heads": 3,
    "class_token": False,
    "global_pool": "map",
}


def merged(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    cfg = {**base, **changes}
    for part in PARTS:
        cfg[part] = {**base[part], **changes.get(part, {})}
    return cfg


def make_rotated(shape: ClipShape, dims: int = 3, cut: int = 1) -> ClipShape:
    """The shape rotated, so many directions fewer and so many dims a head left."""

    def tower(old: TowerShape) -> TowerShape:
        return replace(
            old,
            blocks=tuple(replace(block, dims=dims) for block in old.blocks),
            width=old.width - cut,
            norm="rms",
            full_width=old.width,
            projection_bias=getattr(old, "projection", True),
        )

    return shape.with_towers(image=tower(shape.image), text=tower(shape.text))


@pytest.fixture
def rotated() -> Callable[..., ClipShape]:
    """What a shape is once its towers were rotated and cut."""
    return make_rotated


@pytest.fixture
def plain() -> Callable[..., dict[str, Any]]:
    """A small configuration of a plain CLIP, changed as the arguments say."""
    return lambda **changes: merged(PLAIN, changes)


@pytest.fixture
def siglip(
    trunk: Callable[..., str],
) -> Callable[..., dict[str, Any]]:
    """The same of a SigLIP, whose image tower timm knows during the test."""
    trunk("vit_pico_siglip_16")
    return lambda **changes: merged(SIGLIP, changes)


@pytest.fixture
def trunk(monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Make timm know a small vision transformer, until the test ends."""

    def known(name: str, **changes: Any) -> str:
        def entry(pretrained: bool = False, **settings: Any) -> nn.Module:
            settings = {
                k: v for k, v in settings.items() if not k.startswith("pretrained")
            }
            settings.pop("cache_dir", None)
            return VisionTransformer(**{**TRUNK, **changes, **settings})

        monkeypatch.setitem(registry._model_entrypoints, name, entry)
        return name

    return known


def random_weights(model: nn.Module, seed: int = 0) -> nn.Module:
    """Random weights, biases not 0 and norms not 1."""
    generator = torch.Generator().manual_seed(seed)
    norms = {
        f"{name}.weight"
        for name, module in model.named_modules()
        if isinstance(module, nn.LayerNorm)
    }
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name == "logit_scale":
                continue
            noise = torch.randn(parameter.shape, generator=generator) * 0.2
            parameter.copy_(1 + noise if name in norms else noise)
    return model.eval()


def make_stock(cfg: dict[str, Any]) -> nn.Module:
    kinds = {False: open_clip.CLIP, True: open_clip.CustomTextCLIP}
    kind = kinds[bool(cfg.get("custom_text"))]
    settings = {name: value for name, value in cfg.items() if name != "custom_text"}
    return random_weights(kind(**settings))


@pytest.fixture
def randomised() -> Callable[[nn.Module], nn.Module]:
    """Give a stock model random weights."""
    return random_weights


@pytest.fixture
def stock() -> Callable[[dict[str, Any]], nn.Module]:
    """open_clip's own model of a configuration, with random weights."""
    return make_stock


@torch.no_grad()
def make_gap(theirs: Any, ours: Any, count: int = 4) -> float:
    shape = ours.shape
    generator = torch.Generator().manual_seed(1)
    side, text = shape.image.image_size, shape.text
    x = torch.randn(count, 3, side, side, generator=generator)
    size = (count, text.context_length)
    ids = torch.randint(0, text.vocab_size, size, generator=generator)
    image = ours.encode_image(x, normalize=True) - theirs.encode_image(x, True)
    words = ours.encode_text(ids, normalize=True) - theirs.encode_text(ids, True)
    return float(torch.cat([image, words]).abs().max())


@pytest.fixture
def gap() -> Callable[..., float]:
    """Largest difference of normalised features, on random pixels and ids."""
    return make_gap


@pytest.fixture
def named(monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Make open_clip know a configuration by a name, until the test ends."""

    def known(name: str, cfg: dict[str, Any], **tags: dict[str, Any]) -> str:
        monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, name, cfg)
        monkeypatch.setitem(open_clip.pretrained._PRETRAINED, name, tags)
        return name

    return known


@pytest.fixture(params=[3, 512])
def used_tokenizer(request: pytest.FixtureRequest, tmp_path: Path) -> HfTokenizer:
    """A teacher's tokenizer whose tokenizer.json was last used with another length."""
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "cat", "two", "cats", "dog"]
    backend = Backend(
        models.WordLevel({piece: i for i, piece in enumerate(pieces)}, "[UNK]")
    )
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    hf = PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token="[PAD]", unk_token="[UNK]"
    )
    cut = {"padding": "max_length", "truncation": True, "max_length": request.param}
    hf(["a cat"], **cut)  # as in a training script
    hf.save_pretrained(tmp_path / "teacher")
    return open_tokenizer(tmp_path / "teacher", 8, clean="whitespace")


@pytest.fixture
def stemless(pico_shape: ClipShape) -> ClipShape:
    """Both towers rotated and uniform, no norm before the blocks."""
    image = in_basis(pico_shape.image, 4, 24, norm_pre=False, projection_bias=True)
    text = in_basis(pico_shape.text, 3, 16, projection_bias=True)
    return pico_shape.with_towers(image=image, text=text)


@pytest.fixture
def stemmed(pico_shape: ClipShape) -> ClipShape:
    """The same with the norm, and so a stem."""
    image = in_basis(pico_shape.image, 4, 24, projection_bias=True)
    text = in_basis(pico_shape.text, 3, 16, projection_bias=True)
    return pico_shape.with_towers(image=image, text=text)
