"""Tokens of a unigram or WordPiece vocabulary, respelt with the tokens that stay."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence

from .pieces import METASPACE, byte_token, check_kept

# below the worst score, as sentencepiece scores a character of no piece
UNKNOWN_PENALTY = 10.0


class UnigramPieces:
    """A sentencepiece unigram vocabulary: a token is respelt as its best segmentation.

    Args:
        pieces: each token with its log probability; the place is the id (Kudo 2018,
            §3.1).
        byte_fallback: whether a character of no token is spelt in bytes, `<0xNN>`.
            Without, every single character is always kept: the model's unknown token
            then stands only for what it stood for before.
        specials: ids that stand for themselves and are always kept.
    """

    def __init__(
        self,
        pieces: Sequence[tuple[str, float]],
        *,
        byte_fallback: bool = False,
        specials: Iterable[int] = (),
    ) -> None:
        self._pieces = list(pieces)
        ids = {piece: number for number, (piece, _) in enumerate(pieces)}
        special = set(specials)
        self._bytes: tuple[int, ...] = ()
        if byte_fallback:
            self._bytes = tuple(ids[byte_token(value)] for value in range(256))
            special |= {*self._bytes}
        self._ids = {
            piece: number for piece, number in ids.items() if number not in special
        }
        scores = [score for _, score in pieces]
        self._unknown = min(scores, default=0.0) - UNKNOWN_PENALTY
        self.always = frozenset(special) | {
            number for piece, number in self._ids.items() if self._is_atom(piece)
        }

    def _is_atom(self, piece: str) -> bool:
        """Whether nothing smaller spells a token."""
        if piece == METASPACE:  # its bytes would be read as a character, not a space
            return True
        if self._bytes:
            return piece == ""
        return len(piece) < 2 or any(char not in self._ids for char in piece)

    def close(self, ids: Iterable[int]) -> tuple[int, ...]:
        """These ids and what is always kept: no token is made of others."""
        return tuple(sorted(self.always.union(ids)))

    def split(self, number: int, kept: Collection[int]) -> tuple[int, ...]:
        """The best-scoring segmentation of a token over kept ones (Viterbi)."""
        if number in kept:
            return (number,)
        check_kept(number, self.always)
        text = self._pieces[number][0]
        best = [0.0] + [-math.inf] * len(text)
        last: list[tuple[int, tuple[int, ...]]] = [(0, ())] * (len(text) + 1)
        for end in range(1, len(text) + 1):
            for start in range(end):
                ids, score = self._step(text[start:end], kept)
                if best[start] + score > best[end]:
                    best[end], last[end] = best[start] + score, (start, ids)
        spelt: tuple[int, ...] = ()
        end = len(text)
        while end:
            end, ids = last[end]
            spelt = ids + spelt
        return spelt

    def _step(self, text: str, kept: Collection[int]) -> tuple[tuple[int, ...], float]:
        """The ids of one stretch of text, and what they score."""
        number = self._ids.get(text)
        if number is not None and number in kept:
            return (number,), self._pieces[number][1]
        if len(text) == 1 and self._bytes:
            return tuple(self._bytes[value] for value in text.encode()), self._unknown
        return (), -math.inf


class WordPieces:
    """A WordPiece vocabulary (BERT's): a token is respelt longest piece first.

    Args:
        vocab: every token's id.
        prefix: what a token inside a word carries, `##`.
        specials: ids that stand for themselves and are always kept.
    """

    def __init__(
        self, vocab: Mapping[str, int], *, prefix: str, specials: Iterable[int] = ()
    ) -> None:
        special = frozenset(specials)
        self._prefix = prefix
        self._tokens = {number: token for token, number in vocab.items()}
        self._ids = {
            token: number for token, number in vocab.items() if number not in special
        }
        self.always = special | {
            number
            for token, number in self._ids.items()
            if any(symbol not in self._ids for symbol in self._symbols(token))
            or len(self._symbols(token)) < 2
        }

    def _symbols(self, token: str) -> list[str]:
        """The single characters of a token, as tokens."""
        inside = token.startswith(self._prefix) and token != self._prefix
        text = token.removeprefix(self._prefix) if inside else token
        return [
            self._prefix + char if inside or place else char
            for place, char in enumerate(text)
        ]

    def close(self, ids: Iterable[int]) -> tuple[int, ...]:
        """These ids and what is always kept: no token is made of others."""
        return tuple(sorted(self.always.union(ids)))

    def split(self, number: int, kept: Collection[int]) -> tuple[int, ...]:
        """Kept tokens that spell a token, the longest that fits taken first."""
        if number in kept:
            return (number,)
        check_kept(number, self.always)
        symbols = self._symbols(self._tokens[number])
        spelt: list[int] = []
        while symbols:
            for end in range(len(symbols), 0, -1):
                rest = (symbol.removeprefix(self._prefix) for symbol in symbols[1:end])
                piece = self._ids.get(symbols[0] + "".join(rest))
                if piece is not None and piece in kept:
                    break
            else:
                raise ValueError(f"id {self._ids[symbols[0]]} must be kept")
            spelt.append(piece)
            symbols = symbols[end:]
        return tuple(spelt)
