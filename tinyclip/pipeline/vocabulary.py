"""The teacher that a run starts from, its vocabulary as the recipe has it."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from pathlib import Path

from ..data.protocol import Pairs
from ..model.store import Loaded


def trimmed(
    teacher: Loaded, train: Pairs, vocab: str | None, texts: Iterable[str] = ()
) -> Loaded:
    """The teacher without the token ids that nothing uses.

    Args:
        vocab: `captions` keeps what the training captions use, a file what its lines
            use; None keeps all.
        texts: that are trained on beside the captions.

    Raises:
        UserError: the file cannot be read.
    """
    if vocab is None:
        return teacher
    from ..inherit.vocabulary import kept_from_file, kept_ids, trim

    captions = (text for i in range(len(train)) for text in train.captions(i))
    if vocab != "captions":
        return trim(teacher, kept_from_file(Path(vocab), teacher.tokenizer))
    return trim(teacher, kept_ids(teacher.tokenizer, chain(captions, texts)))
