"""An untrimmed tokenizer of any kind as transformers keeps it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ...errors import UserError
from ...tokenizers.clip import ClipTokenizer
from ...tokenizers.protocol import TokenizerLike
from ...tokenizers.trimmed import TrimmedTokenizer

START, END = "<|startoftext|>", "<|endoftext|>"


def write_full(tokenizer: TokenizerLike, folder: Path, where: str, todo: str) -> Any:
    """Write the files of a tokenizer, or of the full one behind a trimmed one; returns
    which it was.

    Raises:
        UserError: it has no such form; `where` asked for it, and `todo` is the way out.
    """
    full: Any = tokenizer
    if isinstance(tokenizer, TrimmedTokenizer):
        full = tokenizer.full
    if isinstance(full, ClipTokenizer):
        write_bpe(full, folder)
    elif hasattr(full, "save_pretrained"):
        full.save_pretrained(folder)
    else:
        what = f"a {type(full).__name__} has no form that transformers reads"
        raise UserError(where, what, todo)
    return full


def write_bpe(tokenizer: ClipTokenizer, folder: Path) -> None:
    """CLIP's vocabulary as Hugging Face keeps it: that form open_clip finds, too.

    The pad token stays end-of-text. Padding with '!' to get id 0, as open_clip's own
    tokenizer pads, would make '!' a special token and split captions that hold it;
    and what follows the first end-of-text changes no feature.
    """
    from transformers import CLIPTokenizer

    vocab = dict(tokenizer.encoder)
    start, end = vocab.pop("<start_of_text>"), vocab.pop("<end_of_text>")
    ranks = tokenizer.bpe_ranks
    merges: Any = [pair for pair in sorted(ranks, key=ranks.__getitem__) if pair]
    CLIPTokenizer(
        vocab={**vocab, START: start, END: end},
        merges=merges,
        model_max_length=tokenizer.context_length,
    ).save_pretrained(folder)
