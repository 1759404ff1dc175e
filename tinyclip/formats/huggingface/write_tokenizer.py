"""The tokenizer of an export to Hugging Face: files that `AutoTokenizer` reads.

Legend: B batch, T tokens.
"""

from __future__ import annotations

import re
import string
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...files import read_json, write_json
from ...shapes import TextShape
from ...tokenizers.clip import ClipTokenizer
from ...tokenizers.files import save_hf
from ...tokenizers.protocol import TokenizerLike
from ...tokenizers.trimmed import TrimmedTokenizer
from .full_tokenizer import write_full
from .trim import trim_file

WHERE = "--to huggingface"
CONFIG = "tokenizer_config.json"
PAD = "<|pad|>"
# what transformers notes of where it read a tokenizer: of no use elsewhere
PLACES = ("is_local", "local_files_only", "name_or_path")
SPECIALS = ("bos", "eos", "unk", "sep", "pad", "cls", "mask")


def padding_counts(text: TextShape) -> bool:
    """Whether what follows the caption's last token changes its feature."""
    return not text.causal or text.pool == "last"


def write_tokenizer(tokenizer: TokenizerLike, folder: Path, text: TextShape) -> Any:
    """Write it and return it as `AutoTokenizer` reads it, cleaning built in.

    Where padding counts and transformers would pad with another id, a token of its
    own is added for that: `pad_source` says whose embedding it takes.

    Raises:
        UserError: it has no form that transformers reads.
    """
    full = write_full(tokenizer, folder, WHERE, "Export --to safetensors")
    # CLIPTokenizer makes small letters by itself
    native = "lower" if isinstance(full, ClipTokenizer) else "none"
    hf = read_tokenizer(folder)
    clean = getattr(full, "clean", native)
    if clean != native or getattr(full, "strip_sep", False):
        hf = _rebuilt(hf, full, clean)
    if isinstance(tokenizer, TrimmedTokenizer):
        save_hf(hf, folder)
        trim_file(folder, tokenizer.kept)
        hf = read_tokenizer(folder)
    if pad_source(tokenizer, hf, text) is not None:
        hf.add_special_tokens({"pad_token": PAD})
    save_hf(hf, folder)
    settings = read_json(folder / CONFIG)
    settings["model_max_length"] = tokenizer.context_length
    # no attention mask: the towers look at padding, as they did in training
    settings["model_input_names"] = ["input_ids"]
    write_json(folder / CONFIG, settings)
    return read_tokenizer(folder)


def forget_places(folder: Path) -> None:
    """Take out of the settings where transformers had read the tokenizer."""
    settings = read_json(folder / CONFIG)
    write_json(folder / CONFIG, {k: v for k, v in settings.items() if k not in PLACES})


def read_tokenizer(folder: Path) -> Any:
    """What `AutoTokenizer` makes of a folder; no network, no code of its own."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(
        str(folder), local_files_only=True, trust_remote_code=False
    )


def pad_source(tokenizer: TokenizerLike, hf: Any, text: TextShape) -> int | None:
    """The id that ours pads with, if padding counts and theirs is another; or None."""
    if not padding_counts(text):
        return None
    padded_with = int(tokenizer([""])[0, -1])
    return None if padded_with == hf.pad_token_id else padded_with


def _rebuilt(hf: Any, tokenizer: TokenizerLike, clean: str) -> Any:
    """The same vocabulary behind open_clip's cleaning.

    The classes of transformers build their own normaliser when they are read; only
    the general one takes that of the file.
    """
    from tokenizers import Tokenizer as Backend
    from tokenizers import normalizers, processors
    from transformers import PreTrainedTokenizerFast

    if getattr(hf, "backend_tokenizer", None) is None:
        return hf  # pure Python: cleaning stays with the caller, the ids say so
    backend = Backend.from_str(hf.backend_tokenizer.to_str())
    old = (
        normalizers.NFC()
        if isinstance(tokenizer, ClipTokenizer)
        else backend.normalizer
    )
    steps = [*_cleaning(clean), *([] if old is None else [old])]
    backend.normalizer = normalizers.Sequence(steps) if steps else None
    if getattr(tokenizer, "strip_sep", False):
        # open_clip puts id 0 where the separator was
        first, zero = (hf.cls_token, hf.cls_token_id), hf.convert_ids_to_tokens(0)
        backend.post_processor = processors.BertProcessing((zero, 0), first)
    names = [f"{name}_token" for name in SPECIALS]
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        padding_side=hf.padding_side,
        truncation_side=hf.truncation_side,
        **{name: getattr(hf, name) for name in names if getattr(hf, name) is not None},
    )


def _cleaning(clean: str) -> list[Any]:
    """open_clip's `clean`, without its mending of broken text (ftfy, HTML)."""
    from tokenizers import Regex, normalizers

    spaces = [normalizers.Replace(Regex(r"\s+"), " "), normalizers.Strip()]
    if clean == "whitespace":
        return spaces
    if clean == "lower":
        return [*spaces, normalizers.Lowercase()]
    if clean == "canonicalize":
        marks = Regex(f"[{re.escape(string.punctuation)}]")
        bare = [normalizers.Replace("_", " "), normalizers.Replace(marks, "")]
        return [*bare, normalizers.Lowercase(), *spaces]
    return []


def ids_of(hf: Any) -> dict[str, int | None]:
    """The ids that a model's configuration names, and the largest there is."""
    return {
        "bos": hf.bos_token_id,
        "eos": hf.eos_token_id,
        "pad": hf.pad_token_id,
        "largest": max(hf.get_vocab().values()),
    }


def encode(call: Any, captions: Sequence[str]) -> Tensor:
    """Ids (B, T) as users of transformers make them: no length is said.

    Args:
        call: a tokenizer, or a processor, which adds what the tokenizer's settings say.
    """
    ids_BT: Tensor = call(
        text=list(captions), padding="max_length", truncation=True, return_tensors="pt"
    )["input_ids"]
    return ids_BT


def same_ids(mine_BT: Tensor, theirs_BT: Tensor, text: TextShape) -> list[bool]:
    """Which rows are alike as far as they matter to the feature."""
    if padding_counts(text):
        return [torch.equal(a, b) for a, b in zip(mine_BT, theirs_BT, strict=True)]
    if text.pool == "first":
        ends_B = torch.zeros(len(mine_BT), dtype=torch.long)
    elif text.pool == "eos":
        ends_B = mine_BT.eq(text.eos_id or 0).int().argmax(dim=1)
    else:
        ends_B = mine_BT.argmax(dim=1)
    return [
        torch.equal(a[: int(end) + 1], b[: int(end) + 1])
        for a, b, end in zip(mine_BT, theirs_BT, ends_B, strict=True)
    ]
