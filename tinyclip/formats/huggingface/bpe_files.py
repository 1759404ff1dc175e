"""CLIP's tokenizer over a vocabulary of its own, as transformers keeps it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ...tokenizers.clip import Tokenizer

START, END = "<|startoftext|>", "<|endoftext|>"


def write_tokenizer(tokenizer: Tokenizer, folder: Path) -> None:
    """The vocabulary as Hugging Face keeps it: that form open_clip finds in a folder.

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
