"""How the tokens of a vocabulary come apart into smaller tokens."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Protocol

METASPACE = "▁"  # sentencepiece's space


class Pieces(Protocol):
    """What trimming asks of a vocabulary.

    `always` are the ids that are never dropped: specials, bytes, and every token that
    nothing smaller spells. So any text can still be written, and none is lost.
    """

    always: frozenset[int]

    def close(self, ids: Iterable[int]) -> tuple[int, ...]:
        """The ids to keep so that these are kept: ascending, `always` among them."""
        ...

    def split(self, number: int, kept: Collection[int]) -> tuple[int, ...]:
        """Kept ids that spell the same text as one id.

        Raises:
            ValueError: one of `always` is needed and not kept.
        """
        ...


def byte_token(value: int) -> str:
    """The token of a byte in a vocabulary that falls back to bytes."""
    return f"<0x{value:02X}>"


def check_kept(number: int, always: Collection[int]) -> None:
    """Refuse to split what nothing smaller spells.

    Raises:
        ValueError: the id is one of `always`.
    """
    if number in always:
        raise ValueError(f"id {number} cannot be split and must be kept")
