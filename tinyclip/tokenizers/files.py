"""Tokenizer files as transformers reads them, from a path or from the hub."""

from __future__ import annotations

import inspect
import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..bounded import json_value, open_regular, read_bytes
from ..errors import UserError

REMEDY = (
    "Name a directory with tokenizer.json and tokenizer_config.json, or a "
    "tokenizer.json that has a padding token"
)
PANIC = "PanicException"  # of Rust, which is no Exception of Python's
LARGEST = 2**28  # bytes of a vocabulary; the largest of a SigLIP has 34 million
SMALL = (  # files of settings, which Python's own reader of JSON reads
    *("tokenizer_config.json", "special_tokens_map.json"),
    *("added_tokens.json", "config.json"),
)
MARKS = "special_tokens_map.json"
TOKEN = {  # what it says of one
    *("content", "single_word", "lstrip", "rstrip", "normalized", "special"),
    *("__type", "id"),
}
SETTINGS = "tokenizer_config.json"
MADE_BY = (  # settings that transformers' classes take without naming them
    *("tokenizer_class", "backend", "model_max_length", "model_input_names"),
    *("padding_side", "truncation_side", "extra_special_tokens"),
    *("additional_special_tokens", "added_tokens_decoder", "split_special_tokens"),
    *("clean_up_tokenization_spaces", "add_prefix_space", "legacy", "unk_id"),
    *("sp_model_kwargs", "special_tokens_pattern", "token_type_ids_pattern"),
    *("token_type_ids_include_special_tokens", "add_bos_token", "add_eos_token"),
)
INSTALL = "Install it: pip install sentencepiece protobuf"


@contextmanager
def quiet_configs() -> Iterator[None]:
    """Without transformers' warning that CLIP's marks, which its configurations take
    where none are named, are no ids of a SigLIP: it is given for every one of them."""
    logger = logging.getLogger("transformers.configuration_utils")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def save_hf(hf: Any, folder: Path | str) -> None:
    """Write transformers' own files of a tokenizer, without how it was last called.

    A `tokenizer.json` remembers the padding and cut of its last call, transformers
    takes these for settings when it reads one, and a processor calls the tokenizer with
    every setting that has the name of an argument. Our call passes them all itself, so
    the ids would be others there. The sides of padding and cut it leaves to the
    tokenizer, and these stay.

    Of the settings only those go along that a tokenizer is made by: whatever else
    somebody wrote beside them, the name of code to run or a template, stays behind.
    """
    backend = getattr(hf, "backend_tokenizer", None)
    if backend is not None:
        backend.no_padding()
        backend.no_truncation()
    hf.chat_template = None  # it would be a file of its own
    hf.save_pretrained(str(folder))
    path, known = Path(folder) / SETTINGS, _settings_of(hf)
    settings = json.loads(path.read_text(encoding="utf-8"))
    plain = {name: value for name, value in settings.items() if name in known}
    text = json.dumps(plain, indent=2, sort_keys=True, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")


def _settings_of(hf: Any) -> set[str]:
    """The settings that make a tokenizer of its class, those of a call aside."""
    from transformers.processing_utils import TextKwargs

    known = {*MADE_BY, *hf.SPECIAL_TOKENS_ATTRIBUTES, *hf.special_tokens_map}
    for base in type(hf).__mro__:
        made = vars(base).get("__init__")
        known |= {*inspect.signature(made).parameters} if callable(made) else set()
    calls = {*TextKwargs.__annotations__, "truncation_strategy", "pad_token_type_id"}
    return (known - calls - {"auto_map", "chat_template"}) | {"padding_side"}


def plain_ids(hf: Any) -> int:
    """Ids that captions make; T5's hundred added marks are none of them."""
    added = hf.added_tokens_encoder
    plain = (i for piece, i in hf.get_vocab().items() if piece not in added)
    return 1 + max(plain, default=-1)


def read_path(path: Path, where: str, siglip: bool) -> Any:
    """The transformers tokenizer at a path.

    Raises:
        UserError: there is none, or it is damaged.
    """
    if not path.exists():
        raise UserError(where, f"{path} does not exist", REMEDY)
    pieces = _bare_pieces(path)
    if pieces is not None and not siglip:
        raise UserError(
            where,
            f"{pieces} is a bare sentencepiece file, which does not say what the model "
            "puts around a caption",
            REMEDY,
        )
    try:
        _check_files(path)
        return read_hf(path) if pieces is None else _read_pieces(pieces)
    except ImportError as error:
        raise UserError(
            where, f"{path} needs a library ({_first_line(error)})", INSTALL
        ) from None
    except BaseException as error:  # transformers and tokenizers raise what they like
        if not isinstance(error, Exception) and type(error).__name__ != PANIC:
            raise
        raise UserError(
            where, f"{path} is no tokenizer ({_first_line(error)})", REMEDY
        ) from None


def _check_files(path: Path) -> None:
    """Refuse files that no tokenizer is made of, before they are read.

    Raises:
        OSError: one is no regular file, or too large.
        ValueError: one that Python reads is nested too deeply, or its padding or cut
            is absurd.
    """
    files = [path] if path.is_file() else sorted(path.iterdir())
    for file in files:
        if file.name in SMALL:
            _check_settings(file.name, json_value(read_bytes(file)))
        elif file.suffix in (".json", ".txt", ".model") and not file.is_dir():
            with open_regular(file) as opened:
                size = os.fstat(opened.fileno()).st_size
            if size > LARGEST:
                raise ValueError(f"{file.name} has {size} bytes; {LARGEST} at most")


def _check_settings(name: str, settings: Any) -> None:
    """Refuse settings of another kind, which transformers finds out late, or tells on
    stdout.

    Raises:
        ValueError: they are.
    """
    if not isinstance(settings, dict):
        return
    length = settings.get("model_max_length")
    if isinstance(length, str | list | dict | bool):
        raise ValueError(f"model_max_length is {str(length)[:40]!r}")
    if name == MARKS:
        for key, value in settings.items():
            if isinstance(value, dict) and not value.keys() <= TOKEN:
                raise ValueError(f"{key[:40]!r} of {name} is no token")


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]


def _bare_pieces(path: Path) -> Path | None:
    """The sentencepiece file that a path names or holds, if it holds no more."""
    if path.is_file():
        return path if path.suffix == ".model" else None
    settings = (path / name for name in ("tokenizer_config.json", "tokenizer.json"))
    models = sorted(path.glob("*.model"))
    return models[0] if models and not any(file.exists() for file in settings) else None


def _read_pieces(path: Path) -> Any:
    """SigLIP's tokenizer over a sentencepiece unigram file.

    Raises:
        ValueError: it is of another kind; SigLIP 2's, for one, is not this class's.
        Exception: whatever transformers and sentencepiece raise.
    """
    from transformers import SiglipTokenizer

    hf = SiglipTokenizer(str(path))
    if hf.sp_model.piece_to_id("</s>") != 1:
        raise ValueError("its </s> is not id 1, as in every SigLIP of the first kind")
    return hf


def read_hf(source: Path | str, local_files_only: bool = True) -> Any:
    """The transformers tokenizer of a directory, a tokenizer.json or a hub name.

    Code that a directory brings along is never run.

    Raises:
        ValueError: it has no vocabulary.
        Exception: whatever transformers raises.
    """
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    path = Path(source)
    if path.is_file() and not (path.parent / "tokenizer_config.json").exists():
        hf: Any = PreTrainedTokenizerFast(tokenizer_file=str(path))
    else:
        with quiet_configs():
            hf = AutoTokenizer.from_pretrained(
                str(path.parent if path.is_file() else path),
                local_files_only=local_files_only,
                trust_remote_code=False,
            )
    if not plain_ids(hf):
        # where only a config.json is found, transformers makes one of bare marks
        raise ValueError("it has no vocabulary")
    return hf
