"""Models of other libraries: folders of transformers and of open_clip."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from functools import cache, partial
from pathlib import Path

import torch
from open_clip.tokenizer import bytes_to_unicode
from safetensors.torch import save_file
from transformers import CLIPConfig, CLIPImageProcessorPil, CLIPModel, CLIPTokenizer

from tinyclip import load
from tinyclip.formats.openclip.model import preprocess_cfg, to_openclip

from .families import Attack, family
from .values import TEXTS, Keys, of_json

TOWER = {"hidden_size": 16, "intermediate_size": 20, "num_hidden_layers": 2}
TOWER |= {"num_attention_heads": 2}
MARKS = {"vocab_size": 514, "bos_token_id": 512, "eos_token_id": 513}
INDEX = "model.safetensors.index.json"
PROCESSOR = "preprocessor_config.json"
NUMBERS = (
    *("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads"),
    *("hidden_act", "layer_norm_eps"),
)
HF_KEYS: tuple[Keys, ...] = (
    *(("model_type",), ("architectures",), ("projection_dim",)),
    *(("vision_config",), ("text_config",)),
    *((tower, key) for tower in ("vision_config", "text_config") for key in NUMBERS),
    *(("vision_config", key) for key in ("image_size", "patch_size", "num_channels")),
    *(("text_config", key) for key in ("vocab_size", "max_position_embeddings")),
    ("text_config", "eos_token_id"),
)
PICTURE_KEYS: tuple[Keys, ...] = tuple(
    (key,)
    for key in (
        *("size", "crop_size", "image_mean", "image_std", "resample"),
        *("rescale_factor", "do_resize", "image_processor_type"),
    )
)
OPENCLIP = "open_clip_config.json"
OPENCLIP_KEYS: tuple[Keys, ...] = (
    *(("model_cfg",), ("model_cfg", "vision_cfg"), ("model_cfg", "text_cfg")),
    ("model_cfg", "embed_dim"),
    *(
        ("model_cfg", tower, key)
        for tower in ("vision_cfg", "text_cfg")
        for key in ("width", "layers", "mlp_ratio", "ls_init_value", "norm_kwargs")
    ),
    *(("model_cfg", "vision_cfg", key) for key in ("head_width", "pool_type")),
    *(("model_cfg", "vision_cfg", key) for key in ("image_size", "patch_size")),
    *(("model_cfg", "text_cfg", key) for key in ("heads", "context_length")),
    *(("model_cfg", "text_cfg", key) for key in ("vocab_size", "hf_tokenizer_name")),
    *(("model_cfg", "text_cfg", key) for key in ("tokenizer_kwargs", "pool_type")),
    *(("preprocess_cfg", key) for key in ("mean", "std", "interpolation")),
    ("preprocess_cfg", "resize_mode"),
)


@cache
def transformers_folder() -> Path:
    """A CLIPModel with its tokenizer and processor, as `save_pretrained` writes it."""
    folder = Path(tempfile.mkdtemp()) / "model"
    torch.manual_seed(0)
    vision = {**TOWER, "image_size": 16, "patch_size": 8}
    text = {**TOWER, **MARKS, "max_position_embeddings": 12}
    config = CLIPConfig(text_config=text, vision_config=vision, projection_dim=8)
    CLIPModel(config).save_pretrained(folder)
    symbols = list(bytes_to_unicode().values())
    pieces = [*symbols, *(f"{symbol}</w>" for symbol in symbols)]
    pieces += ["<|startoftext|>", "<|endoftext|>"]
    words = CLIPTokenizer(vocab={p: i for i, p in enumerate(pieces)}, merges=[])
    words.save_pretrained(folder)
    square = {"height": 16, "width": 16}
    CLIPImageProcessorPil(size={"shortest_edge": 16}, crop_size=square).save_pretrained(
        folder
    )
    return folder


def copied_hf(folder: Path) -> Path:
    return Path(shutil.copytree(transformers_folder(), folder / "m"))


def read_hf(folder: Path) -> str:
    load(f"hf:{folder / 'm'}")
    return ""


def right(keys: tuple[Keys, ...], names: tuple[str, ...]) -> set[tuple[Keys, str]]:
    return {(key, name) for key in keys for name in names}


# null is transformers' own value, and an id may be any
HF_RIGHT = right((("architectures",),), ("null",))
HF_RIGHT |= right((("text_config", "eos_token_id"),), ("0",))
# one number stands for three colours
PICTURE_RIGHT = right((("image_mean",),), ("-1", "0", "1.5"))
PICTURE_RIGHT |= right((("image_std",),), ("1.5",))
PICTURE_RIGHT |= right((("do_resize",),), ("true",))
PICTURE_RIGHT |= right((("image_processor_type",),), ("null",))
# a tokenizer that lives on a hub is asked for when it is first needed
OPENCLIP_RIGHT = right((("model_cfg", "text_cfg", "hf_tokenizer_name"),), ("text",))


@family("hugging face")
def hugging_face() -> Iterator[Attack]:
    """Configurations, indices and processors of transformers' folders."""
    transformers_folder()
    copied = copied_hf
    yield from of_json(copied, read_hf, "config.json", HF_KEYS, frozenset(HF_RIGHT))
    yield from of_json(
        copied, read_hf, PROCESSOR, PICTURE_KEYS, frozenset(PICTURE_RIGHT)
    )
    shards = {"none": {}, "a list": [1], "a number": 5, "null": None}
    shards |= {"the folder above": {"a": "../x"}, "a device": {"a": "/dev/zero"}}
    shards |= {"what is not there": {"a": "x.safetensors"}, "a dot": {"a": "."}}
    shards |= {"names by the million": {str(i): f"{i}" for i in range(10**5)}}
    for name, value in shards.items():
        yield Attack(f"an index of {name}", partial(indexed, value), read_hf)
    for name, text in TEXTS.items():
        yield Attack(f"an index that holds {name}", partial(indexed, text), read_hf)


def indexed(value: object, folder: Path) -> None:
    """An index in place of the weights."""
    copied = copied_hf(folder)
    (copied / "model.safetensors").unlink()
    text = value if isinstance(value, bytes) else json.dumps({"weight_map": value})
    content = text if isinstance(text, bytes) else text.encode()
    (copied / INDEX).write_bytes(content)


@cache
def openclip_folder() -> Path:
    """The pico model as open_clip has it: a configuration beside the weights."""
    folder = Path(tempfile.mkdtemp()) / "model"
    folder.mkdir()
    loaded = load("builtin:pico")
    cfg, weights = to_openclip(loaded.model)
    settings = preprocess_cfg(loaded.preprocess)
    text = json.dumps({"model_cfg": cfg, "preprocess_cfg": settings})
    (folder / OPENCLIP).write_text(text)
    floats = {name: value.float().contiguous() for name, value in weights.items()}
    save_file(floats, folder / "open_clip_model.safetensors")
    return folder


def copied_openclip(folder: Path) -> Path:
    return Path(shutil.copytree(openclip_folder(), folder / "m"))


def read_openclip(folder: Path) -> str:
    load(f"openclip:{folder / 'm'}")
    return ""


@family("open_clip")
def open_clips() -> Iterator[Attack]:
    """Configurations of open_clip's folders."""
    openclip_folder()
    right = frozenset(OPENCLIP_RIGHT)
    yield from of_json(copied_openclip, read_openclip, OPENCLIP, OPENCLIP_KEYS, right)
