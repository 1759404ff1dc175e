"""Model directories of somebody else: their configuration, and their tokenizer."""

from __future__ import annotations

import gzip
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any

from tinyclip import load
from tinyclip.model.store import save_model
from tinyclip.tokenizers.huggingface import open_tokenizer

from .families import Attack, family
from .values import DEVICES, Keys, changed, of_json, special

NUMBERS: tuple[Keys, ...] = (
    ("shape", "embed_dim"),
    *(("shape", "image", key) for key in ("width", "head_width", "patch_size")),
    *(("shape", "image", key) for key in ("image_size", "pool", "eps", "activation")),
    *(("shape", "text", key) for key in ("width", "context_length", "vocab_size")),
    *(("shape", "text", key) for key in ("pool", "causal", "blocks")),
    ("preprocess", "size"),
    ("preprocess", "std"),
    ("preprocess", "interpolation"),
    ("tokenizer", "context_length"),
    ("tokenizer", "kind"),
)
WHOLE: tuple[Keys, ...] = (
    ("shape",),
    ("preprocess",),
    ("tokenizer",),
    ("format_version",),
)
LESS: tuple[Keys, ...] = (("provenance",), ("teacher_sizes",))
RIGHT = {  # of these, a value here and there is none that is wrong
    (("teacher_sizes",), "null"),
    (("provenance",), "an object"),
    (("teacher_sizes",), "0"),
    (("shape", "text", "causal"), "true"),
}
VERSIONS = {"a version of tomorrow": 99, "a version of yesterday": -3}


@cache
def pico() -> Path:
    """A model directory, whole."""
    folder = Path(tempfile.mkdtemp()) / "model"
    loaded = load("builtin:pico")
    save_model(
        folder,
        loaded.model,
        loaded.preprocess,
        loaded.tokenizer,
        provenance={"source": "builtin:pico"},
        teacher_sizes=None,
    )
    return folder


def copied(folder: Path) -> Path:
    return Path(shutil.copytree(pico(), folder / "m"))


def read(folder: Path) -> str:
    load(folder / "m")
    return ""


def replaced(name: str, content: Callable[[], bytes], folder: Path) -> None:
    (copied(folder) / name).write_bytes(content())


@family("configuration")
def configuration() -> Iterator[Attack]:
    """Values of other kinds and absurd ones, under every key."""
    pico()
    keys = (*NUMBERS, *WHOLE, *LESS)
    yield from of_json(copied, read, "config.json", keys, frozenset(RIGHT))
    for name, version in VERSIONS.items():
        yield Attack(name, partial(versioned, version), read)
    for device in DEVICES:
        told = f"model.safetensors is {device or 'a pipe'}"
        yield Attack(told, partial(weightless, device), read)


def versioned(version: int, folder: Path) -> None:
    changed(copied(folder) / "config.json", ("format_version",), version)


def weightless(device: str, folder: Path) -> None:
    special(copied(folder) / "model.safetensors", device)


MERGES: dict[str, Callable[[], bytes]] = {
    "nothing": bytes,
    "no gzip": lambda: b"#version: 0.2\na b\n",
    "a gigabyte": lambda: gzip.compress(bytes(2**30), 1),
    "gigabytes in streams": lambda: gzip.compress(bytes(2**28), 1) * 20,
    "half of it": lambda: gzip.compress(b"#version\na b\n" * 999)[:-20],
    "no UTF-8": lambda: gzip.compress(b"#version\n\xff\xfe \xff\n"),
    "no merges": lambda: gzip.compress(b""),
    "words of three": lambda: gzip.compress(b"#version\n" + b"a b c\n" * 48_894),
    "one merge often": lambda: gzip.compress(b"#version\n" + b"a b\n" * 48_894),
    "a line of megabytes": lambda: gzip.compress(b"#v\n" + b"a" * 2**25 + b" b\n", 1),
}
MODEL = {"type": "BPE", "vocab": {"a": 0, "b": 1, "[PAD]": 2}, "merges": []}


def spec(**changes: Any) -> bytes:
    value = {"version": "1.0", "added_tokens": [], "model": MODEL, **changes}
    return json.dumps(value).encode()


PAD = b'{"pad_token": "[PAD]", "tokenizer_class": "PreTrainedTokenizerFast"}'
JSONS: dict[str, Callable[[], bytes]] = {
    "nothing": bytes,
    "null": lambda: b"null",
    "brackets": lambda: b"[" * 100_000,
    "objects": lambda: b'{"a":' * 100_000,
    "no model": lambda: b"{}",
    "an unknown model": lambda: spec(model={"type": "X"}),
    "ids beyond 32 bits": lambda: spec(model={**MODEL, "vocab": {"a": 2**40}}),
    "negative ids": lambda: spec(model={**MODEL, "vocab": {"a": -1}}),
    "merges of what is not there": lambda: spec(model={**MODEL, "merges": ["x y"]}),
    "merges of one": lambda: spec(model={**MODEL, "merges": ["x"]}),
    "no vocabulary": lambda: spec(model={**MODEL, "vocab": {}}),
    "a unigram without pieces": lambda: spec(
        model={"type": "Unigram", "vocab": [], "unk_id": 5}
    ),
    "a unigram of NaN": lambda: spec(
        model={"type": "Unigram", "vocab": [["a", float("nan")]], "unk_id": 0}
    ),
    "an unclosed expression": lambda: spec(
        normalizer={"type": "Replace", "pattern": {"Regex": "((("}, "content": ""}
    ),
    "an added token without id": lambda: spec(added_tokens=[{"content": "x"}]),
    "a thousand normalizers in each other": lambda: spec(normalizer=5).replace(
        b'"normalizer": 5',
        b'"normalizer": '
        + b'{"type": "Sequence", "normalizers": [' * 1000
        + b"]}" * 1000,
    ),
}
SETTINGS: dict[str, Callable[[], bytes]] = {
    "null": lambda: b"null",
    "brackets": lambda: b"[" * 100_000,
    "a class that is none": lambda: b'{"tokenizer_class": "os.system"}',
    "a class of a list": lambda: b'{"tokenizer_class": [1]}',
    "no padding": lambda: b'{"tokenizer_class": "PreTrainedTokenizerFast"}',
    "a length of text": lambda: b'{"model_max_length": "x", "pad_token": "[PAD]"}',
    "code": lambda: (
        b'{"auto_map": {"AutoTokenizer": ["x--y.Z", null]}, "tokenizer_class": "Z"}'
    ),
    "padding of a number": lambda: b'{"pad_token": 5}',
}


def hugging(files: dict[str, Callable[[], bytes]], folder: Path) -> None:
    for name, content in files.items():
        (folder / name).write_bytes(content())


def hugging_special(name: str, device: str, folder: Path) -> None:
    hugging({"tokenizer.json": spec, "tokenizer_config.json": lambda: PAD}, folder)
    special(folder / name, device)


def read_hugging(folder: Path) -> str:
    open_tokenizer(folder, 8, vocab_size=100)(["a b", ""])
    return ""


@family("tokenizer")
def tokenizers() -> Iterator[Attack]:
    """Merges that unpack to gigabytes, files of transformers that are none."""
    pico()
    for name, content in MERGES.items():
        told = f"merges: {name}"
        # as many merges as there were, and others: nothing can tell
        harmless = name in ("words of three", "one merge often")
        yield Attack(told, partial(replaced, "bpe.txt.gz", content), read, harmless)
    for name, content in JSONS.items():
        files = {"tokenizer.json": content, "tokenizer_config.json": lambda: PAD}
        told = f"tokenizer.json: {name}"
        harmless = name in ("a unigram of NaN",)
        yield Attack(told, partial(hugging, files), read_hugging, harmless)
    for name, content in SETTINGS.items():
        files = {"tokenizer.json": spec, "tokenizer_config.json": content}
        yield Attack(f"settings: {name}", partial(hugging, files), read_hugging, True)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        for device in ("", "/dev/zero"):
            told = f"{name} is {device or 'a pipe'}"
            yield Attack(told, partial(hugging_special, name, device), read_hugging)
    for device in DEVICES:
        told = f"bpe.txt.gz is {device or 'a pipe'}"
        yield Attack(told, partial(unmerged, device), read)


def unmerged(device: str, folder: Path) -> None:
    special(copied(folder) / "bpe.txt.gz", device)
