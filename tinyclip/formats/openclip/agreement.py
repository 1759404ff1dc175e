"""Whether two configurations of open_clip describe one model, and where they differ."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ...errors import UserError
from ...shapes import ClipShape
from ..names import outline
from .config import TEXT, TRUNK, VISION, shape_of
from .folder import FolderConfig
from .tokenizer import call_of

# keys of `text_cfg` that say which tokenizer, and how it is called
WORDS = ("hf_tokenizer_name", "tokenizer_mode", "tokenizer_kwargs")


def described(cfg: Mapping[str, Any], where: str) -> ClipShape:
    """The shape of a configuration that a user may have written.

    Raises:
        UserError: it has a switch that is not supported, or makes no sense.
    """
    try:
        shape = shape_of(cfg, where)
        call_of(cfg["text_cfg"], True, where)
    except (KeyError, TypeError, ValueError, ArithmeticError, AttributeError) as error:
        raise UserError(where, f"does not describe a model ({error!r})") from None
    outline(shape, where)
    return shape


def refuse_other(
    name: str, cfg: Mapping[str, Any], config: FolderConfig, file: Path, words: bool
) -> None:
    """Refuse a file whose folder says that it is of another model than its name.

    A wrong activation, scale or tokenizer fits without an error, and every feature is
    a little off.

    Args:
        name, cfg: that the user gave, and what open_clip knows by it.
        config: what lies beside the file.
        words: whether the user gave a tokenizer, too.

    Raises:
        UserError: the two differ in anything that changes a feature.
    """
    if config.model is None:
        return
    theirs = described(config.model, str(config.path))
    wrong = list(_tokenizers(config.model, cfg, config.path, words))
    if theirs != shape_of(cfg, name):
        wrong = [*_towers(config.model, cfg), *wrong] or ["its towers are others"]
    if not wrong:
        return
    todo = f"Write openclip:{file}, which follows it"
    other = name_of(config.model)
    todo += f", or openclip:{other}@{file}" if other else ""
    raise UserError(
        str(config.path),
        f"describes another model than {name}: {'; '.join(wrong)}",
        f"{todo}; move it away if it is not of these weights",
    )


def name_of(cfg: Mapping[str, Any]) -> str:
    """The name by which open_clip knows this very configuration; empty without one."""
    import open_clip

    flat = dict(_flat(cfg))
    for name in open_clip.list_models():
        named = open_clip.get_model_config(name)
        if dict(_flat(named)) == flat and _is_supported(named):
            return str(name)
    return ""


def _is_supported(cfg: Mapping[str, Any]) -> bool:
    """Whether what only other kinds of model have, CoCa for one, is not there."""
    try:
        shape_of(cfg, "")
    except UserError:
        return False
    return True


def _towers(theirs: Mapping[str, Any], named: Mapping[str, Any]) -> Iterator[str]:
    """What of the towers differs, by open_clip's keys."""
    of_file, of_name = dict(_flat(theirs)), dict(_flat(named))
    for key in sorted(of_file.keys() | of_name.keys()):
        if key.rpartition(".")[2] not in WORDS and of_file.get(key) != of_name.get(key):
            yield _differs(key, of_file.get(key), of_name.get(key))


def _tokenizers(
    theirs: Mapping[str, Any], named: Mapping[str, Any], path: Path, words: bool
) -> Iterator[str]:
    """What of the tokenizers differs.

    Args:
        words: whether another one is taken anyway: how it is called still counts.
    """
    file_text, named_text = theirs["text_cfg"], named["text_cfg"]
    named_by = [text.get(WORDS[0]) or None for text in (file_text, named_text)]
    if not words and named_by[0] != named_by[1]:
        yield _differs(WORDS[0], *named_by)
        return
    modes = [text.get("tokenizer_mode") or None for text in (file_text, named_text)]
    if modes[0] != modes[1]:
        yield _differs("tokenizer_mode", *modes)
    hugging = words or bool(named_by[0])
    calls = [call_of(text, hugging, str(path)) for text in (file_text, named_text)]
    if calls[0] != calls[1]:
        yield _differs("tokenizer_kwargs", *calls)


def _differs(key: str, in_file: Any, by_name: Any) -> str:
    return f"{key} is {in_file!r} there, and {by_name!r} by that name"


def _flat(cfg: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Every key that changes a feature, with open_clip's default where none is given,
    and in one spelling."""
    from open_clip.model import CLIPTextCfg, CLIPVisionCfg

    yield "embed_dim", cfg["embed_dim"]
    yield "quick_gelu", bool(cfg.get("quick_gelu"))
    yield "init_logit_bias", cfg.get("init_logit_bias") is not None
    vision, text = cfg["vision_cfg"], cfg["text_cfg"]
    trunk = bool(vision.get("timm_model_name"))
    for tower, settings, defaults, keys in (
        ("vision_cfg", vision, CLIPVisionCfg(), TRUNK if trunk else VISION),
        ("text_cfg", text, CLIPTextCfg(), TEXT | set(WORDS)),
    ):
        merged = {**asdict(defaults), **settings}
        for key in keys:
            yield f"{tower}.{key}", _one_spelling(merged.get(key))


def _one_spelling(value: Any) -> Any:
    """A value in one spelling: pairs of one side, and what is not there."""
    if isinstance(value, list | tuple) and value == type(value)(value[:1]) * 2:
        return value[0]
    return None if value is False or value in ("", {}) else value
