"""Every switch and every tokenizer that open_clip's folder can hold survives it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import open_clip
import pytest
import tokenizers
import torch
from timm.models import _registry as registry
from timm.models.vision_transformer import VisionTransformer
from tokenizers import models, pre_tokenizers, processors
from transformers import BertTokenizer, PreTrainedTokenizerFast

import tinyclip
from tinyclip.errors import TinyclipError, UserError
from tinyclip.formats.openclip.export import export_openclip
from tinyclip.formats.parity import Probe, random_probe
from tinyclip.model.clip import Clip
from tinyclip.model.preprocess import Preprocess
from tinyclip.model.store import Loaded
from tinyclip.shapes import BlockShape, ClipShape
from tinyclip.tokenizers.huggingface import HfTokenizer
from tinyclip.tokenizers.trimmed import TrimmedTokenizer

CAPTIONS = ["a cat", "", "A Cat, a photo_of it!", "the\tcat\n and  the dog", "cat!! 12"]
NAME = "vit_pico_export_siglip"


@pytest.fixture(scope="module")
def probe() -> Probe:
    pairs = random_probe(16)
    return Probe("random", pairs.images, tuple((CAPTIONS * 4)[:16]))


def refilled(loaded: Loaded, shape: ClipShape, **changes: Any) -> Loaded:
    """The same with another model, of random weights, biases and norms."""
    model = Clip(shape)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name != "logit_scale":
                noise = torch.randn(parameter.shape, generator=generator) * 0.2
                scale = "norm" in name and "weight" in name
                parameter.copy_(1 + noise if scale else noise)
    return replace(loaded, model=model.eval(), **changes)


def changed(loaded: Loaded, image: Any = None, text: Any = None) -> Loaded:
    shape = loaded.model.shape
    return refilled(
        loaded,
        shape.with_towers(
            image=replace(shape.image, **(image or {})),
            text=replace(shape.text, **(text or {})),
        ),
    )


SWITCHES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "quick_gelu": ({"activation": "quick_gelu"}, {"activation": "quick_gelu"}),
    "tanh": ({"activation": "gelu_tanh"}, {"activation": "gelu_tanh"}),
    "one tower tanh": ({"activation": "gelu_tanh"}, {}),
    "eps": ({"eps": 1e-3}, {"eps": 1e-2}),
    "layer scale": ({"layer_scale": True}, {}),
    "layer scale in the text": ({}, {"layer_scale": True}),
    "CLIPA's image tower": ({"norm_pre": False, "pool": "mean"}, {}),
    "mean of normalised patches": ({"pool": "mean", "norm_after_pool": False}, {}),
    "end of text by its id": ({}, {"pool": "eos", "eos_id": 515}),
    "first token": ({}, {"pool": "first"}),
    "a bias on the projection": ({}, {"projection_bias": True}),
    "no unit in any ffn": ({"blocks": (BlockShape(heads=4, ffn=0),) * 2}, {}),
}


@pytest.mark.parametrize("name", SWITCHES)
def test_every_switch_survives_the_folder(
    name: str, uniform_loaded: Loaded, probe: Probe, tmp_path: Path
) -> None:
    loaded = changed(uniform_loaded, *SWITCHES[name])
    parity = export_openclip(loaded, tmp_path / "out", probe)
    assert parity["max_abs_diff"] <= 1e-5
    assert parity["captions_with_equal_ids"] == parity["captions"]
    assert parity["images_with_equal_pixels"] == 16
    again = tinyclip.load(tmp_path / "out").model
    assert again.shape == loaded.model.shape
    before, after = loaded.model.state_dict(), again.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())


def test_scale_and_bias_of_the_products_survive_the_folder(
    uniform_loaded: Loaded, probe: Probe, tmp_path: Path
) -> None:
    shape = replace(uniform_loaded.model.shape, logit_bias=True)
    loaded = refilled(uniform_loaded, shape)
    with torch.no_grad():
        loaded.model.logit_scale.fill_(1.5)
    export_openclip(loaded, tmp_path / "out", probe)
    model = open_clip.create_model(f"local-dir:{tmp_path / 'out'}")
    assert loaded.model.logit_bias is not None
    assert model.logit_bias.item() == loaded.model.logit_bias.item()
    assert model.logit_scale.item() == 1.5


def bert(length: int = 8) -> HfTokenizer:
    """CLIPA's kind: words, and separators that open_clip turns into 0."""
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "cat", "the", "dog"]
    hf = BertTokenizer(vocab={word: i for i, word in enumerate(words)})
    return HfTokenizer(hf, length, clean="whitespace", strip_sep=True, vocab_size=516)


def siglips(length: int = 8) -> HfTokenizer:
    """SigLIP's kind: sentencepiece, padded with a token of its own."""
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -3.0)]
    pieces += [(letter, -5.0) for letter in "abcdefghijklmnopqrstuvwxyz12"]
    pieces += [("▁cat", -2.0), ("▁the", -2.0)]
    backend = tokenizers.Tokenizer(models.Unigram(pieces, unk_id=2))
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    backend.post_processor = processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", 1)]
    )
    names = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
    hf = PreTrainedTokenizerFast(tokenizer_object=backend, **names)
    return HfTokenizer(hf, length, clean="canonicalize", vocab_size=516)


LAST = {"pool": "last", "causal": False}


@pytest.mark.parametrize("make", [bert, siglips])
def test_a_tokenizer_of_transformers_makes_the_same_ids_in_open_clip(
    make: Callable[[], HfTokenizer],
    uniform_loaded: Loaded,
    probe: Probe,
    tmp_path: Path,
) -> None:
    loaded = replace(changed(uniform_loaded, text=LAST), tokenizer=make())
    parity = export_openclip(loaded, tmp_path / "out", probe)
    moved = (tmp_path / "out").rename(tmp_path / "moved")
    tokenizer = open_clip.get_tokenizer(f"local-dir:{moved}")
    assert torch.equal(tokenizer(CAPTIONS), loaded.tokenizer(CAPTIONS))
    assert parity["captions_with_equal_ids"] == parity["captions"]


def test_a_tokenizer_that_transformers_cleans_itself_is_kept(
    uniform_loaded: Loaded, probe: Probe, tmp_path: Path
) -> None:
    hf = siglips()
    hf.clean = "none"
    hf = HfTokenizer(hf.hf, 8, vocab_size=516)
    loaded = replace(changed(uniform_loaded, text=LAST), tokenizer=hf)
    plain = Probe("random", probe.images, ("a cat", "the cat") * 8)
    parity = export_openclip(loaded, tmp_path / "out", plain)
    assert parity["captions_with_equal_ids"] == parity["captions"]


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_a_trimmed_vocabulary_makes_the_same_ids_in_open_clip(
    kind: str, uniform_loaded: Loaded, probe: Probe, tmp_path: Path
) -> None:
    full = uniform_loaded.tokenizer if kind == "bpe" else siglips()
    kept = sorted(set(full(["a the"]).flatten().tolist()))
    trimmed = TrimmedTokenizer(full, kept)
    assert trimmed.vocab_size < full.vocab_size
    text = {"vocab_size": trimmed.vocab_size, **({} if kind == "bpe" else LAST)}
    loaded = replace(changed(uniform_loaded, text=text), tokenizer=trimmed)
    words = Probe("random", probe.images, ("a cat", "the cat", "cat", "a the") * 4)
    export_openclip(loaded, tmp_path / "out", words)
    tokenizer = open_clip.get_tokenizer(f"local-dir:{tmp_path / 'out'}")
    mine, theirs = trimmed(["the a"])[0], tokenizer(["the a"])[0]
    length = 8 if kind == "unigram" else int(mine.argmax()) + 1
    assert torch.equal(mine[:length], theirs[:length])


def test_a_vocabulary_of_ours_is_refused_where_padding_counts(
    uniform_loaded: Loaded, probe: Probe, tmp_path: Path
) -> None:
    loaded = changed(uniform_loaded, text=LAST)
    with pytest.raises(UserError, match="sees the padding.*--to huggingface"):
        export_openclip(loaded, tmp_path / "out", probe)
    assert list(tmp_path.iterdir()) == []


def test_a_crop_that_open_clip_places_elsewhere_is_told(
    uniform_loaded: Loaded,
    probe: Probe,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    crop = Preprocess(size=16, resize_mode="shortest", crop_rounding="floor")
    even = [image.resize((20, 16)) for image in probe.images[:8]]
    odd = [image.resize((19, 16)) for image in probe.images[:8]]
    mixed = Probe("random", (*even, *odd), probe.captions)
    loaded = replace(uniform_loaded, preprocess=crop)
    parity = export_openclip(loaded, tmp_path / "out", mixed)
    assert "other pixels of 8 of 16 pictures" in caplog.text
    assert parity["images_with_equal_pixels"] == 8


def test_pixels_that_are_all_others_stop_the_export(
    uniform_loaded: Loaded, probe: Probe, tmp_path: Path
) -> None:
    crop = Preprocess(size=16, resize_mode="shortest", crop_rounding="floor")
    odd = tuple(image.resize((19, 16)) for image in probe.images)
    loaded = replace(uniform_loaded, preprocess=crop)
    with pytest.raises(TinyclipError, match="other pixels of every picture"):
        export_openclip(loaded, tmp_path / "out", Probe("random", odd, probe.captions))
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def known_trunk(siglip_clip: Clip, monkeypatch: pytest.MonkeyPatch) -> ClipShape:
    """The pico SigLIP, whose image tower timm knows by a name."""
    image = siglip_clip.shape.image
    facts = {
        "img_size": image.image_size,
        "patch_size": image.patch_size,
        "embed_dim": image.width,
        "depth": len(image.blocks),
        "num_heads": image.blocks[0].heads,
        "mlp_ratio": image.blocks[0].ffn / image.width,
        "class_token": False,
        "global_pool": "map",
    }

    def entry(pretrained: bool = False, **given: Any) -> VisionTransformer:
        own = {"num_classes", "global_pool", "weight_init"}
        given = {key: value for key, value in given.items() if key in own}
        return VisionTransformer(**{**facts, **given})

    monkeypatch.setitem(registry._model_entrypoints, NAME, entry)
    return siglip_clip.shape


def test_a_siglip_whose_text_alone_was_cut_survives_the_folder(
    known_trunk: ClipShape, uniform_loaded: Loaded, probe: Probe, tmp_path: Path
) -> None:
    small = replace(
        known_trunk.text, vocab_size=516, blocks=(BlockShape(heads=4, ffn=7),)
    )
    shape = known_trunk.with_towers(text=small)
    loaded = refilled(uniform_loaded, shape, tokenizer=siglips())
    export_openclip(loaded, tmp_path / "out", probe)
    config = json.loads((tmp_path / "out" / "open_clip_config.json").read_text())
    assert config["model_cfg"]["vision_cfg"]["timm_model_name"] == NAME
    model = open_clip.create_model(f"local-dir:{tmp_path / 'out'}")
    assert isinstance(model, open_clip.CustomTextCLIP)


def test_a_siglip_whose_image_tower_was_cut_is_refused_with_the_way_out(
    siglip_clip: Clip, uniform_loaded: Loaded, probe: Probe, tmp_path: Path
) -> None:
    loaded = replace(uniform_loaded, model=siglip_clip, tokenizer=siglips())
    with pytest.raises(UserError, match="timm has none of these.*--to huggingface"):
        export_openclip(loaded, tmp_path / "out", probe)
    assert list(tmp_path.iterdir()) == []
