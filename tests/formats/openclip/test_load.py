"""What comes with a model of open_clip: weights, preprocess, tokenizer, warnings."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from tinyclip.errors import UserError
from tinyclip.formats.openclip import published as openclip_weights
from tinyclip.formats.openclip.load import load_openclip
from tinyclip.formats.tensors import read_tensors
from tinyclip.tokenizers.clip import ClipTokenizer
from tinyclip.tokenizers.huggingface import HubTokenizer

Config = dict[str, Any]
HALVES = {"mean": (0.5,) * 3, "std": (0.5,) * 3, "resize_mode": "squash"}
WIDE = {"vocab_size": 49_408}  # CLIP's own tokenizer needs them


@pytest.fixture
def stored(plain: Callable[..., Config], stock: Any, tmp_path: Path) -> Path:
    """A checkpoint of the plain configuration with CLIP's vocabulary."""
    file = tmp_path / "weights.safetensors"
    save_file(stock(plain(text_cfg=WIDE)).state_dict(), file)
    return file


def a_picture() -> Image.Image:
    return Image.radial_gradient("L").resize((40, 30)).convert("RGB")


@pytest.mark.parametrize(
    ("wrong", "near"),
    [
        ("vit-b-32", "'ViT-B-32'"),
        ("rn50", "'RN50'"),
        ("ViT-B/32", "'ViT-B-32'"),
        ("ViT-B-16-SIGLIP", "'ViT-B-16-SigLIP'"),
        ("ViT-SO400M-SigLIP", "'ViT-SO400M-14-SigLIP'"),
        ("zzzz", "Known: EVA01-g-14"),
    ],
)
def test_an_unknown_name_is_answered_with_near_ones(wrong: str, near: str) -> None:
    with pytest.raises(UserError, match=near):
        load_openclip(wrong, "--teacher")


def test_an_unsupported_model_is_refused_before_its_file_is_looked_for() -> None:
    with pytest.raises(UserError, match="openclip:RN50: is not supported: .*ResNet"):
        load_openclip("RN50@gone.safetensors", "--teacher")


def test_weights_of_big_vision_are_refused_with_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "w.npz").write_bytes(b"")
    with pytest.raises(UserError, match="checkpoint of big_vision, which is not read"):
        read_tensors(tmp_path / "w.npz")


def test_random_scale_and_bias_are_open_clips(
    siglip: Callable[..., Config], named: Callable[..., str]
) -> None:
    name = named("pico", siglip())
    ours = load_openclip(name, "--teacher").model
    theirs = open_clip.create_model(name)
    assert ours.logit_bias is not None
    assert ours.logit_bias.item() == theirs.logit_bias.item() == -10
    assert math.isclose(
        ours.logit_scale.item(), theirs.logit_scale.item(), rel_tol=1e-6
    )


def test_a_configured_scale_is_where_random_weights_start(
    plain: Callable[..., Config], named: Callable[..., str]
) -> None:
    name = named("pico", plain(init_logit_scale=1.25, text_cfg=WIDE))
    assert load_openclip(name, "--teacher").model.logit_scale.item() == 1.25


def test_a_name_alone_has_open_clips_own_preprocess(
    siglip: Callable[..., Config], named: Callable[..., str]
) -> None:
    name = named("pico", siglip(), tag={"url": "", **HALVES})
    _, _, theirs = open_clip.create_model_and_transforms(name)
    ours = load_openclip(name, "--teacher").preprocess
    assert torch.equal(ours(a_picture()), theirs(a_picture()))


def test_a_tag_has_the_preprocess_that_open_clip_gives_it(
    plain: Callable[..., Config], named: Callable[..., str], stored: Path
) -> None:
    tag = {"file": str(stored), "interpolation": "bilinear", **HALVES}
    name = named("pico", plain(text_cfg=WIDE), tag=tag)
    _, _, theirs = open_clip.create_model_and_transforms(name, "tag")
    ours = load_openclip(f"{name}/tag", "--teacher").preprocess
    assert torch.equal(ours(a_picture()), theirs(a_picture()))


def test_a_file_is_prepared_as_all_published_weights_want_it(
    plain: Callable[..., Config],
    named: Callable[..., str],
    stored: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    name = named("pico", plain(text_cfg=WIDE), one=HALVES, two=HALVES)
    ours = load_openclip(f"{name}@{stored}", "--teacher").preprocess
    assert (ours.mean, ours.resize_mode) == ((0.5, 0.5, 0.5), "squash")
    assert "open_clip itself would take its default" in caplog.text


def test_a_file_has_open_clips_default_where_published_weights_disagree(
    plain: Callable[..., Config], named: Callable[..., str], stored: Path
) -> None:
    other = {**HALVES, "mean": (0.1,) * 3}
    name = named("pico", plain(text_cfg=WIDE), one=HALVES, two=other)
    ours = load_openclip(f"{name}@{stored}", "--teacher").preprocess
    assert ours.mean == open_clip.OPENAI_DATASET_MEAN


def test_what_lies_beside_a_file_says_how_pictures_are_prepared(
    plain: Callable[..., Config], named: Callable[..., str], stored: Path
) -> None:
    settings = {"preprocess_cfg": {"mean": [0.2] * 3, "interpolation": "bilinear"}}
    (stored.parent / "open_clip_config.json").write_text(json.dumps(settings))
    name = named("pico", plain(text_cfg=WIDE), one=HALVES)
    ours = load_openclip(f"{name}@{stored}", "--teacher").preprocess
    assert (ours.mean, ours.interpolation) == ((0.2, 0.2, 0.2), "bilinear")


@pytest.mark.parametrize("content", ["[]", '{"preprocess_cfg": {"mean": 3}}', "{"])
def test_a_damaged_configuration_beside_a_file_is_named(
    content: str,
    plain: Callable[..., Config],
    named: Callable[..., str],
    stored: Path,
) -> None:
    (stored.parent / "open_clip_config.json").write_text(content)
    name = named("pico", plain(text_cfg=WIDE))
    with pytest.raises(UserError, match=r"open_clip_config\.json"):
        load_openclip(f"{name}@{stored}", "--teacher")


def test_every_published_siglip_is_squashed_to_a_square() -> None:
    settings = openclip_weights.agreed_settings("ViT-B-16-SigLIP", Path("w.pt"))
    assert (settings["mean"], settings["resize_mode"]) == ((0.5, 0.5, 0.5), "squash")


def test_a_tokenizer_of_a_hub_is_not_fetched_before_it_is_needed(
    siglip: Callable[..., Config], named: Callable[..., str]
) -> None:
    tokenizer = load_openclip(named("pico", siglip()), "--teacher").tokenizer
    assert isinstance(tokenizer, HubTokenizer)
    settings = (tokenizer.name, tokenizer.clean, tokenizer.strip_sep, tokenizer.mode)
    assert settings == ("timm/pico", "canonicalize", False, None)
    assert (tokenizer.context_length, tokenizer.vocab_size) == (8, 60)


def test_clipa_strips_separators_and_keeps_case() -> None:
    from tinyclip.formats.openclip.config import shape_of
    from tinyclip.formats.openclip.tokenizer import tokenizer_of

    cfg = open_clip.get_model_config("ViT-L-14-CLIPA")
    shape = shape_of(cfg, "here")
    tokenizer = tokenizer_of("ViT-L-14-CLIPA", cfg["text_cfg"], shape, None, "here")
    assert isinstance(tokenizer, HubTokenizer)
    assert (tokenizer.name, tokenizer.strip_sep) == ("bert-base-uncased", True)
    assert tokenizer.clean == "whitespace"


@pytest.mark.parametrize("clean", ["lower", "canonicalize"])
def test_clips_own_tokenizer_makes_open_clips_ids(
    clean: str, plain: Callable[..., Config], named: Callable[..., str]
) -> None:
    text = {**WIDE, "tokenizer_kwargs": {"clean": clean}}
    name = named("pico", plain(text_cfg=text))
    ours = load_openclip(name, "--teacher").tokenizer
    captions = ["Hello, World!", "a   CAT &amp; a dog_s tail", "long " * 20]
    assert isinstance(ours, ClipTokenizer)
    assert torch.equal(ours(captions), open_clip.get_tokenizer(name)(captions))


def bert(folder: Path) -> Path:
    """A tokenizer of a few words with a separator, as transformers writes it."""
    from transformers import BertTokenizer

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "cat", "##s"]
    vocab = {word: number for number, word in enumerate(words)}
    BertTokenizer(vocab=vocab, model_max_length=8).save_pretrained(folder)
    return folder


def test_a_path_stands_in_for_the_hub_and_is_called_as_open_clip_calls_its_own(
    plain: Callable[..., Config], named: Callable[..., str], tmp_path: Path
) -> None:
    path = str(bert(tmp_path / "words"))
    kwargs = {"strip_sep_token": True}
    name = named(
        "pico", plain(text_cfg={"hf_tokenizer_name": path, "tokenizer_kwargs": kwargs})
    )
    ours = load_openclip(name, "--teacher", path).tokenizer
    theirs = open_clip.get_tokenizer(name)
    captions = ["a cat", "CATS  cats", ""]
    assert torch.equal(ours(captions), theirs(captions))
    assert 3 not in ours(captions)  # the separator's id


def test_a_path_without_a_tokenizer_is_a_user_error(
    siglip: Callable[..., Config], named: Callable[..., str], tmp_path: Path
) -> None:
    name = named("pico", siglip())
    with pytest.raises(UserError, match="--teacher: tokenizer"):
        load_openclip(name, "--teacher", str(tmp_path / "gone"))


def test_a_loaded_tokenizer_may_be_passed_in(
    siglip: Callable[..., Config], named: Callable[..., str]
) -> None:
    name = named("pico", siglip(text_cfg=WIDE))
    mine = ClipTokenizer(None, 8)
    assert load_openclip(name, "--teacher", mine).tokenizer is mine


def test_a_tokenizer_with_more_ids_than_the_text_tower_is_refused(
    plain: Callable[..., Config], named: Callable[..., str]
) -> None:
    with pytest.raises(UserError, match="49408 ids, the text tower 60"):
        load_openclip(named("pico", plain()), "--teacher")


def test_a_siglip_that_names_no_tokenizer_asks_for_one(
    siglip: Callable[..., Config], named: Callable[..., str]
) -> None:
    cfg = siglip(text_cfg={**WIDE, "hf_tokenizer_name": None})
    with pytest.raises(UserError, match="tokenizer=PATH"):
        load_openclip(named("my-siglip", cfg), "--teacher")


def test_an_unknown_tokenizer_setting_is_refused(
    plain: Callable[..., Config], named: Callable[..., str]
) -> None:
    cfg = plain(text_cfg={**WIDE, "tokenizer_kwargs": {"reduction_mask": "random"}})
    with pytest.raises(UserError, match="reduction_mask"):
        load_openclip(named("pico", cfg), "--teacher")


def test_weights_of_a_hub_that_does_not_answer_say_how_to_pass_a_file(
    plain: Callable[..., Config],
    named: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tinyclip.hub.hub_problem", lambda: "it is dark")
    name = named("pico", plain(text_cfg=WIDE), tag={"hf_hub": "nobody/pico/"})
    with pytest.raises(UserError, match=f"it is dark.*openclip:{name}@FILE"):
        load_openclip(f"{name}/tag", "--teacher")


def test_weights_that_an_earlier_download_left_are_found_without_a_network(
    plain: Callable[..., Config],
    named: Callable[..., str],
    stored: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def left(repository: str, file: str) -> str | None:
        wanted = ("nobody/pico", "open_clip_model.safetensors")
        return str(stored) if (repository, file) == wanted else None

    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", left)
    name = named("pico", plain(text_cfg=WIDE), tag={"hf_hub": "nobody/pico/"})
    assert load_openclip(f"{name}/tag", "--teacher").model.shape.embed_dim == 10
