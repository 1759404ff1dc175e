"""The tokenizer as one `tokenizer.json`, which the `tokenizers` library alone reads.

Legend: B batch, T tokens.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from ...errors import TinyclipError
from ...files import write_bytes
from ...shapes import TextShape
from ...tokenizers.protocol import TokenizerLike
from ..huggingface.write_tokenizer import same_ids, write_tokenizer

log = logging.getLogger("tinyclip")
FILE = "tokenizer.json"


def write_tokenizer_json(
    tokenizer: TokenizerLike, text: TextShape, captions: Sequence[str], folder: Path
) -> int:
    """Write our own tokenizer files and, where it can be had, a `tokenizer.json` that
    cleans, cuts and pads as ours.

    Args:
        text: the tower that the ids are for.
        captions: that both must make the same ids of.

    Returns:
        Of how many captions they do, as far as ids matter to the feature. Where it is
        none, there is no `tokenizer.json`, and the log says so.
    """
    tokenizer.save(folder)
    backend = _backend(tokenizer, text)
    if backend is None:
        log.warning("this tokenizer has no %s: tinyclip's own makes the ids", FILE)
        return 0
    mine_BT = tokenizer(list(captions))
    theirs_BT = torch.tensor([row.ids for row in backend.encode_batch(list(captions))])
    same = same_ids(mine_BT, theirs_BT, text)
    for caption, equal in zip(captions, same, strict=True):
        if not equal:
            log.warning("%s makes other ids of %r", FILE, caption[:80])
    if any(same):
        write_bytes(folder / FILE, backend.to_str(pretty=True).encode())
    else:
        log.warning("%s is left out: tinyclip's own tokenizer makes the ids", FILE)
    return sum(same)


def _backend(tokenizer: TokenizerLike, text: TextShape) -> Any:
    """The tokenizer of the `tokenizers` library; None where there is none of it."""
    import tokenizers

    with tempfile.TemporaryDirectory() as scratch:
        try:
            hf = write_tokenizer(tokenizer, Path(scratch), text)
        except TinyclipError:
            return None
    if getattr(hf, "backend_tokenizer", None) is None:
        return None  # one in pure Python
    backend = tokenizers.Tokenizer.from_str(hf.backend_tokenizer.to_str())
    length = tokenizer.context_length
    pad = int(tokenizer([""])[0, -1])
    backend.enable_truncation(length, direction=hf.truncation_side)
    backend.enable_padding(
        length=length,
        pad_id=pad,
        pad_token=backend.id_to_token(pad),
        direction=hf.padding_side,
    )
    return backend
