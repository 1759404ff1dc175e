"""What lies beside the weights is compared with the name, whole."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import save_file

from tinyclip.errors import UserError
from tinyclip.formats.openclip.agreement import name_of
from tinyclip.formats.openclip.load import load_openclip
from tinyclip.formats.openclip.model import from_openclip

Config = dict[str, Any]
WIDE = {"vocab_size": 49_408}
PAD = {"clean": "canonicalize"}
OTHER: dict[str, tuple[Config, str]] = {
    "gelu": ({"quick_gelu": True}, "quick_gelu is True there, and False by that"),
    "one more layer": ({"vision_cfg": {"layers": 3}}, r"vision_cfg\.layers is 3 there"),
    "heads": ({"text_cfg": {"heads": 4}}, r"text_cfg\.heads is 4 there, and 2 by"),
    "head width": ({"vision_cfg": {"head_width": 4}}, r"vision_cfg\.head_width is 4"),
    "pool": ({"text_cfg": {"pool_type": "last"}}, r"pool_type is 'last' there, and 'a"),
    "mask": ({"text_cfg": {"no_causal_mask": True}}, r"no_causal_mask is True there"),
    "eps": ({"vision_cfg": {"norm_kwargs": {"eps": 1e-6}}}, r"vision_cfg\.norm_kwargs"),
    "tanh": ({"text_cfg": {"act_kwargs": {"approximate": "tanh"}}}, "act_kwargs"),
    "patch": ({"vision_cfg": {"patch_size": 4}}, r"vision_cfg\.patch_size is 4"),
    "bias": (
        {"init_logit_bias": -10},
        "init_logit_bias is given there, and not given by",
    ),
    "tokenizer": (
        {"text_cfg": {"hf_tokenizer_name": "a/b"}},
        "is 'a/b' there, and not given",
    ),
    "cleaning": ({"text_cfg": {"tokenizer_kwargs": PAD}}, "'clean': 'canonicalize'"),
    "mode": ({"text_cfg": {"tokenizer_mode": "clips"}}, "tokenizer_mode is 'clips'"),
    "another kind": ({"multimodal_cfg": {}}, "CoCa"),
}


@pytest.fixture
def file(plain: Callable[..., Config], stock: Any, tmp_path: Path) -> Path:
    path = tmp_path / "w.safetensors"
    save_file(stock(plain(text_cfg=WIDE)).state_dict(), path)
    return path


def put_beside(file: Path, cfg: Config) -> None:
    whole = {"model_cfg": cfg, "preprocess_cfg": {"mean": [0.5] * 3}}
    (file.parent / "open_clip_config.json").write_text(json.dumps(whole))


def wide(plain: Callable[..., Config], change: Config) -> Config:
    return plain(**{**change, "text_cfg": {**WIDE, **change.get("text_cfg", {})}})


@pytest.mark.parametrize("kind", OTHER)
def test_another_model_beside_the_weights_is_refused_with_what_differs(
    kind: str, file: Path, plain: Any, named: Any
) -> None:
    change, message = OTHER[kind]
    name = named("pico", plain(text_cfg=WIDE))
    put_beside(file, wide(plain, change))
    with pytest.raises(UserError, match=message):
        load_openclip(f"{name}@{file}", "--teacher")


SAME: dict[str, Config] = {
    "itself": {},
    "defaults spelled out": {
        "quick_gelu": False,
        "vision_cfg": {"image_size": [16, 16], "act_kwargs": {}, "mlp_ratio": 4},
        "text_cfg": {"pool_type": "argmax", "hf_tokenizer_name": ""},
    },
    "what only training sees": {
        "init_logit_scale": 3.0,
        "custom_text": False,
        "vision_cfg": {"patch_dropout": 0.5},
    },
    "a ratio that is rounded away": {"vision_cfg": {"mlp_ratio": 4.00001}},
}


@pytest.mark.parametrize("kind", SAME)
def test_the_same_model_in_other_words_is_taken(
    kind: str, file: Path, plain: Any, named: Any
) -> None:
    name = named("pico", plain(text_cfg=WIDE))
    put_beside(file, wide(plain, SAME[kind]))
    loaded = load_openclip(f"{name}@{file}", "--teacher")
    assert loaded.preprocess.mean == (0.5, 0.5, 0.5)


def test_what_to_write_instead_is_said_and_right(
    file: Path, plain: Any, named: Any
) -> None:
    quick = wide(plain, {"quick_gelu": True})
    name, other = named("pico", plain(text_cfg=WIDE)), named("pico-quickgelu", quick)
    put_beside(file, quick)
    ways = f"Write openclip:{file}, which follows it, or openclip:{other}@{file}"
    with pytest.raises(UserError, match=ways):
        load_openclip(f"{name}@{file}", "--teacher")
    for way in (str(file), f"{other}@{file}"):
        shape = load_openclip(way, "--teacher").model.shape
        assert shape.text.activation == "quick_gelu"


def test_a_tokenizer_of_the_users_own_settles_which_but_not_how(
    file: Path, plain: Any, named: Any, tmp_path: Path
) -> None:
    from tinyclip.tokenizers.clip import ClipTokenizer

    name = named("pico", plain(text_cfg=WIDE))
    same = {"hf_tokenizer_name": "a/b", "tokenizer_kwargs": {"clean": "lower"}}
    put_beside(file, wide(plain, {"text_cfg": same}))
    load_openclip(f"{name}@{file}", "--teacher", ClipTokenizer(None, 8))
    put_beside(file, wide(plain, {"text_cfg": {"hf_tokenizer_name": "a/b"}}))
    with pytest.raises(UserError, match="'clean': 'whitespace'.*there"):
        load_openclip(f"{name}@{file}", "--teacher", ClipTokenizer(None, 8))


def test_every_name_of_open_clips_is_found_by_its_configuration() -> None:
    import open_clip

    for name in ("ViT-B-32", "ViT-L-14-336-quickgelu", "ViT-B-16-SigLIP2"):
        assert name_of(open_clip.get_model_config(name)) == name


def test_a_name_of_another_kind_of_model_is_not_offered() -> None:
    import open_clip

    cfg = open_clip.get_model_config("ViT-B-32")
    cfg["text_cfg"]["context_length"] = 76  # as coca_ViT-B-32, and else the same
    assert name_of(cfg) == ""


def test_openai_s_own_tensors_ask_for_their_gelu(plain: Any, stock: Any) -> None:
    import torch

    sizes = ("input_resolution", "context_length", "vocab_size")
    extra = {name: torch.tensor(8) for name in sizes}
    state = {**stock(plain()).state_dict(), **extra}
    from_openclip(plain(quick_gelu=True), state)
    with pytest.raises(UserError, match="OpenAI's.*Write the name with -quickgelu"):
        from_openclip(plain(), state)


def test_a_name_whose_published_weights_all_have_another_gelu_is_told(
    file: Path, plain: Any, named: Any, caplog: pytest.LogCaptureFixture
) -> None:
    name = named("pico", plain(text_cfg=WIDE), one={"quick_gelu": True})
    load_openclip(f"{name}@{file}", "--teacher")
    assert f"write openclip:{name}-quickgelu@{file}" in caplog.text
    caplog.clear()
    put_beside(file, plain(text_cfg=WIDE))
    load_openclip(f"{name}@{file}", "--teacher")
    assert "quick-GELU" not in caplog.text
