"""A tokenizer whose rare tokens are spelt with the tokens that were kept.

Legend: B batch, T tokens, V vocabulary of the full tokenizer.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..bounded import read_json
from ..errors import UserError
from ..files import write_bytes
from .pieces import Pieces
from .protocol import TokenizerLike
from .rules import pieces_of

FILE = "vocabulary.json"
# fills any caption: what the full tokenizer ends a cut caption with is then seen
LONG = "a quick brown fox jumps over 13 lazy dogs "


class TrimmedTokenizer:
    """The full tokenizer, with an id for each kept token only.

    A caption is tokenised in full, and each id that was not kept is replaced by kept
    ones that spell the same text, down to bytes. Kept ids keep their order, so the
    largest (CLIP's end-of-text) stays the largest. Where that makes a caption too long
    it is cut, ended and padded as the full tokenizer does it.

    Args:
        full: the tokenizer that the untrimmed model was trained with.
        kept: its ids that stay. Those that can never go (specials, bytes, tokens that
            nothing smaller spells) and the pieces on the way to a kept token come with
            them; `.kept` says which ids that are, ascending.

    Raises:
        ValueError: an id does not exist.
        UserError: the tokenizer is of a kind that cannot be trimmed.
    """

    def __init__(self, full: TokenizerLike, kept: Sequence[int]) -> None:
        wrong = [number for number in kept if not 0 <= number < full.vocab_size]
        if wrong:
            raise ValueError(f"id {wrong[0]} does not exist: {full.vocab_size} ids")
        self.full = full
        self.pieces: Pieces = pieces_of(full)
        self.kept = self.pieces.close(kept)
        self._places = {number: place for place, number in enumerate(self.kept)}
        self._new_V = torch.full((full.vocab_size,), -1)
        self._new_V[list(self.kept)] = torch.arange(len(self.kept))
        self._spelt: dict[int, tuple[int, ...]] = {}
        self._fixed = int(getattr(full, "mode", None) == "clips")
        self._pad, self._end = self._frame()

    @property
    def context_length(self) -> int:
        return self.full.context_length

    @property
    def vocab_size(self) -> int:
        return len(self.kept)

    def __call__(self, texts: str | Sequence[str]) -> Tensor:
        """Ids (B, T), int64, padded as the full tokenizer pads."""
        full_BT = self.full(texts)
        ids_BT = self._new_V[full_BT]
        for row in (ids_BT < 0).any(dim=1).nonzero().flatten().tolist():
            ids_BT[row] = torch.tensor(self._respell(full_BT[row].tolist()))
        return ids_BT

    def full_ids(self, ids: Tensor) -> Tensor:
        """The full tokenizer's ids of ours, for its `decode`; any shape."""
        return torch.tensor(self.kept)[ids]

    def close(self, ids: Sequence[int]) -> tuple[int, ...]:
        """As `Pieces.close`, in this tokenizer's ids."""
        full = self.pieces.close([self.kept[number] for number in ids])
        return tuple(self._places[number] for number in full)

    def narrow(self, kept: Sequence[int]) -> TrimmedTokenizer:
        """A tokenizer that keeps even fewer: `kept` are ids of this one."""
        return TrimmedTokenizer(self.full, [self.kept[number] for number in kept])

    def _frame(self) -> tuple[int, int | None]:
        """The padding id, and the special that ends a caption, if one does.

        Raises:
            UserError: the full tokenizer pads or cuts on the left.
        """
        hf = getattr(self.full, "hf", None)
        for side in ("padding_side", "truncation_side"):
            if getattr(hf, side, "right") != "right":
                raise UserError(
                    "--vocab",
                    f"the tokenizer's {side} is left, and those cannot be trimmed",
                    "Leave --vocab away",
                )
        last = self.context_length - 1 - self._fixed
        empty, long = self.full(["", LONG * self.context_length])
        pad, end = int(empty[last]), int(long[last])
        return pad, end if end in self.pieces.always else None

    def _respell(self, full_ids: list[int]) -> list[int]:
        """The ids of a caption that has ids which were not kept.

        What is cut off in full is beyond the end here too, since a token becomes at
        least one: the first T ids are those of the whole caption.
        """
        room = len(full_ids) - self._fixed
        body, fixed = full_ids[:room], full_ids[room:]
        while body and body[-1] == self._pad:
            body.pop()
        end = []
        if self._end is not None and (self._end == self._pad or self._end in body[-1:]):
            end = [self._end]
            body = body[:-1] if self._end != self._pad else body
        spelt = [piece for number in body for piece in self._pieces(number)]
        ids = spelt[: room - len(end)] + end
        ids += [self._pad] * (room - len(ids))
        return [self._places[number] for number in ids + fixed]

    def _pieces(self, number: int) -> tuple[int, ...]:
        """The kept ids, in the full numbering, that spell one id."""
        if number not in self._spelt:
            self._spelt[number] = self.pieces.split(number, self._places)
        return self._spelt[number]

    def save(self, folder: Path) -> None:
        """Write the full tokenizer's files and the kept ids into a model directory."""
        self.full.save(folder)
        text = json.dumps({"kept": self.kept}, separators=(",", ":"))
        write_bytes(folder / FILE, text.encode() + b"\n")

    def to_dict(self) -> dict[str, Any]:
        """What `load_trimmed` needs to know beside the files."""
        return {
            "kind": "trimmed",
            "file": FILE,
            "context_length": self.context_length,
            "vocab_size": self.vocab_size,
            "full": self.full.to_dict(),
        }


def load_trimmed(
    folder: Path,
    spec: Mapping[str, Any],
    load: Callable[[Path, Mapping[str, Any]], TokenizerLike],
) -> TrimmedTokenizer:
    """The trimmed tokenizer that lies in a model directory; no network.

    Args:
        load: makes the tokenizer that was trimmed, which lies beside it.

    Raises:
        UserError: a file is missing or damaged, or does not fit the others.
    """
    try:
        path, count = folder / str(spec["file"]), int(spec["vocab_size"])
        full = load(folder, dict(spec["full"]))
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            str(folder / "config.json"), f"the tokenizer lacks {error}"
        ) from None
    value = read_json(path)
    kept = value.get("kept") if isinstance(value, dict) else None
    if not isinstance(kept, list) or not all(type(number) is int for number in kept):
        raise UserError(str(path), "has no list of kept ids", "Restore the directory")
    try:
        tokenizer = TrimmedTokenizer(full, kept)
    except ValueError as error:
        raise UserError(
            str(path), f"does not fit the tokenizer ({error})", "Restore the directory"
        ) from None
    if list(tokenizer.kept) != kept or len(kept) != count:
        raise UserError(
            str(path),
            f"its {len(kept)} ids are not the {count} that the tokenizer kept",
            "Restore the directory",
        )
    return tokenizer
