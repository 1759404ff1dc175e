"""Which token ids a model keeps, and the cut of its token embedding."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from .. import cost
from ..bounded import open_regular
from ..errors import UserError
from ..model.clip import Clip
from ..model.store import Loaded, describe
from ..tokenizers.protocol import TokenizerLike
from ..tokenizers.rules import pieces_of
from ..tokenizers.trimmed import TrimmedTokenizer

CHUNK = 4096  # captions tokenised at a time
LONGEST = 2**20  # bytes of a line


def kept_ids(tokenizer: TokenizerLike, captions: Iterable[str]) -> tuple[int, ...]:
    """The ids that these captions use, and all that come with them.

    With them come the ids that can never go (every byte, every special, whatever
    nothing smaller spells), and for a BPE the pieces on the way to a token, so that a
    stock tokenizer over the kept merges makes the same ids of these captions
    (`tokenizers.stock`). Padding counts as used; what a caption has beyond the context
    length does not.

    One pass, one chunk of captions in memory at a time, at the pace of the tokenizer:
    with CLIP's about 6,000 captions a second on one core.

    Returns:
        Ids, ascending.

    Raises:
        UserError: the tokenizer is of a kind that cannot be trimmed.
    """
    close = tokenizer.close if isinstance(tokenizer, TrimmedTokenizer) else None
    close = close or pieces_of(tokenizer).close
    used_V = torch.zeros(tokenizer.vocab_size, dtype=torch.bool)
    source = iter(captions)
    while chunk := list(itertools.islice(source, CHUNK)):
        used_V[tokenizer(chunk).flatten()] = True
    return close(used_V.nonzero().flatten().tolist())


def kept_from_file(path: Path | str, tokenizer: TokenizerLike) -> tuple[int, ...]:
    """As `kept_ids`, of a text file in UTF-8 with one caption or word a line.

    Raises:
        UserError: the file cannot be read, is not UTF-8 (the line is named), or holds
            no word.
    """
    path = Path(path)
    lines = _lines(path)
    first = next(lines, None)
    if first is None:
        raise UserError(
            str(path), "holds no caption and no word", "Put one on each line"
        )
    return kept_ids(tokenizer, itertools.chain([first], lines))


def _lines(path: Path) -> Iterator[str]:
    """The lines of a text file that are not blank."""
    try:
        with open_regular(path) as file:
            lines = iter(lambda: file.readline(LONGEST + 1), b"")
            for number, line in enumerate(lines, start=1):
                if len(line) > LONGEST:
                    what = f"is a line of more than {LONGEST} bytes"
                    raise UserError(f"{path}:{number}", what, "Write shorter lines")
                text = _decoded(line, f"{path}:{number}").strip()
                if text:
                    yield text
    except OSError as error:
        raise UserError(str(path), f"cannot be read ({error.strerror})") from None


def _decoded(line: bytes, where: str) -> str:
    try:
        return line.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise UserError(
            where, f"is not UTF-8 ({error.reason})", "Save the file as UTF-8"
        ) from None


def trim(loaded: Loaded, kept: Sequence[int]) -> Loaded:
    """The model and its tokenizer without the ids that are not kept.

    Text features of captions made of kept ids stay as they are, bit for bit. Shares go
    on counting from the teacher's sizes, so that they show what trimming saved.

    Args:
        kept: as `kept_ids` gives them; ids of the model's tokenizer.

    Raises:
        ValueError: an id does not exist.
        UserError: the tokenizer is of a kind that cannot be trimmed.
    """
    end = loaded.model.shape.text.eos_id
    kept_with_end = [*kept, *([] if end is None else [end])]
    old = loaded.tokenizer
    if isinstance(old, TrimmedTokenizer):
        tokenizer = old.narrow(kept_with_end)
        places = {number: place for place, number in enumerate(old.kept)}
        rows = tuple(places[number] for number in tokenizer.kept)
    else:
        tokenizer = TrimmedTokenizer(old, kept_with_end)
        rows = tokenizer.kept
    model = trim_text(loaded.model, rows)
    teacher = loaded.config.get("teacher_sizes") or cost.sizes(loaded.model.shape)
    config = {**loaded.config, "teacher_sizes": dict(teacher)}
    trimmed = Loaded(model, loaded.preprocess, tokenizer, config)
    return replace(trimmed, config={**config, **describe(trimmed)})


@torch.no_grad()
def trim_text(model: Clip, kept: Sequence[int]) -> Clip:
    """The model with these rows of its token embedding; the model is left as it is.

    Args:
        kept: ids, ascending.

    Raises:
        ValueError: they are not ascending ids of the model, or the id that its text
            pool looks for is not among them.
    """
    text = model.shape.text
    if list(kept) != sorted(set(kept)) or not kept:
        raise ValueError("kept ids must be ascending, and at least one")
    if kept[0] < 0 or kept[-1] >= text.vocab_size:
        raise ValueError(f"an id is not one of the model's {text.vocab_size}")
    if text.eos_id is not None and text.eos_id not in set(kept):
        raise ValueError(f"the id of end-of-text, {text.eos_id}, must be kept")
    end = None if text.eos_id is None else list(kept).index(text.eos_id)
    small = replace(text, vocab_size=len(kept), eos_id=end)
    trimmed = Clip(model.shape.with_towers(text=small)).to(model.logit_scale)
    state = dict(model.state_dict())
    name = "text.token_embedding"
    state[name] = state[name][torch.tensor(kept, device=state[name].device)]
    trimmed.load_state_dict(state)
    return trimmed.train(model.training)
