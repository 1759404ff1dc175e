"""The strings that name a model, and the model behind each."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..errors import UserError, nearest
from ..model.clip import Clip
from ..model.files import read_json
from ..model.preprocess import Preprocess
from ..model.store import WEIGHTS, Loaded, load_model, read_weights
from ..model.tokenizer import Tokenizer
from ..shapes import BlockShape, ClipShape, ImageShape, TextShape
from .checkpoint import load_openclip
from .huggingface import load_huggingface
from .openclip import from_openclip, preprocess_of

BUILTIN = Path(__file__).parent / "builtin" / "pictoclip"
MERGES = "bpe_8192.txt.gz"
SCHEMES = ("builtin", "hf", "openclip", "run")
OPTIONS = ("tokenizer",)
OPTION = re.compile(r",\s*(\w+)=([^,]*)$")
PICO_SEED = 0


def load(source: str | Path) -> Loaded:
    """A model, its preprocess and its tokenizer, from a directory or a source.

    `model, preprocess, tokenizer = tinyclip.load("runs/demo/model")`

    Raises:
        UserError: the source is unknown, missing, damaged or not supported.
    """
    return load_source(str(source), "load")


def load_source(spec: str, where: str = "--teacher") -> Loaded:
    """The model behind a source.

    Args:
        spec: `builtin:NAME`, `openclip:NAME[/TAG]`, `openclip:NAME@FILE`,
            `hf:ID_OR_DIR`, `run:DIR`, or a model directory; after `openclip:` and
            `hf:` may follow `,tokenizer=PATH`.
        where: the option or key that named it, for the message.

    Raises:
        UserError: the source is unknown, missing, damaged or not supported.
    """
    source, options = split_options(spec, where)
    scheme, colon, rest = source.partition(":")
    if colon and scheme == "openclip":
        loaded = load_openclip(rest, where, **options)
    elif colon and scheme == "hf":
        loaded = load_huggingface(rest, where, **options)
    elif options:
        raise UserError(
            where,
            f"{source} has its own tokenizer",
            "tokenizer=PATH is for openclip: and hf: sources",
        )
    elif colon and scheme == "builtin":
        return _builtin(rest, where)
    else:
        return load_model(folder_of(source, where))
    made = {**loaded.config["provenance"], **options}
    return replace(loaded, config={**loaded.config, "provenance": made})


def split_options(spec: str, where: str) -> tuple[str, dict[str, str]]:
    """A source and what follows it: `openclip:NAME,tokenizer=PATH`.

    Raises:
        UserError: an option is unknown, empty or given twice.
    """
    options: dict[str, str] = {}
    while not Path(spec).exists() and (found := OPTION.search(spec)):
        name, value = found.groups()
        if name not in OPTIONS:
            raise UserError(
                where, f"unknown option {name!r} of a source", nearest(name, OPTIONS)
            )
        if not value or name in options:
            what = "is given twice" if name in options else "has no value"
            raise UserError(where, f"{name}= {what} in {spec!r}")
        options[name], spec = value, spec[: found.start()]
    return spec, options


def beside(spec: str, name: str) -> dict[str, Any] | None:
    """What a JSON file of a model directory says; None if it has none.

    A source that is no directory has none.
    """
    path = Path(spec.removeprefix("run:"))
    folder = path if (path / "config.json").exists() else path / "model"
    return read_json(folder / name) if (folder / name).exists() else None


def folder_of(spec: str, where: str) -> Path:
    """The model directory that a source names: it, or that of a run.

    Raises:
        UserError: there is none.
    """
    scheme, colon, rest = spec.partition(":")
    if colon and scheme == "run":
        return _model_of_run(Path(rest), where)
    path = Path(spec)
    if spec and path.is_dir():
        return path if (path / "config.json").exists() else _model_of_run(path, where)
    if colon and "/" not in scheme:
        raise UserError(
            where, f"unknown source {scheme!r} in {spec!r}", nearest(scheme, SCHEMES)
        )
    raise UserError(
        where,
        f"{spec!r} is not a model directory",
        "Name a directory, or a source such as openclip:ViT-B-32@FILE",
    )


def _model_of_run(path: Path, where: str) -> Path:
    if not path.is_dir():
        raise UserError(where, f"{path} does not exist")
    if (path / "model" / "config.json").exists():
        return path / "model"
    what = "is an unfinished run" if (path / "recipe.yaml").exists() else "has no model"
    raise UserError(where, f"{path} {what}", "Name a stage's model directory instead")


def _builtin(name: str, where: str) -> Loaded:
    if name == "pictoclip":
        return _pictoclip(where)
    if name == "pico":
        return _pico(where)
    raise UserError(
        where, f"unknown builtin {name!r}", nearest(name, ("pictoclip", "pico"))
    )


def _part(name: str, where: str) -> bytes:
    """A file of the embedded teacher.

    Raises:
        UserError: it is not installed.
    """
    try:
        return (BUILTIN / name).read_bytes()
    except OSError:
        raise UserError(
            where,
            f"the embedded teacher is not installed ({BUILTIN / name} is missing)",
            "Install tinyclip again",
        ) from None


def _pictoclip(where: str) -> Loaded:
    """The embedded teacher: a small CLIP of drawings."""
    cfg = json.loads(_part("open_clip_config.json", where))
    merges = _part(MERGES, where)
    _part(WEIGHTS, where)
    weights = read_weights(BUILTIN / WEIGHTS)
    model = from_openclip(cfg["model_cfg"], weights, "builtin:pictoclip")
    shape = model.shape
    return Loaded(
        model,
        preprocess_of(cfg["preprocess_cfg"], shape.image.image_size),
        Tokenizer(merges, shape.text.context_length),
        {"provenance": {"source": "builtin:pictoclip"}},
    )


def _pico(where: str) -> Loaded:
    """A tiny CLIP that never learned anything: for tests and for trying things."""
    image = ImageShape(
        width=32,
        head_width=8,
        blocks=(BlockShape(heads=4, ffn=128),) * 2,
        image_size=16,
        patch_size=8,
    )
    text = TextShape(
        width=32,
        head_width=8,
        blocks=(BlockShape(heads=4, ffn=128),) * 2,
        context_length=16,
        vocab_size=8192,
    )
    model = Clip(ClipShape(embed_dim=16, image=image, text=text))
    tokenizer = Tokenizer(_part(MERGES, where), text.context_length)
    return Loaded(
        model.init_weights(PICO_SEED).eval(),
        Preprocess(image.image_size, resize_mode="squash"),
        tokenizer,
        {"provenance": {"source": "builtin:pico"}},
    )
