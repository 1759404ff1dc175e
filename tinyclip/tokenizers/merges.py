"""Tokens of a byte-pair vocabulary, taken apart along their merges."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence

from .pieces import METASPACE, byte_token, check_kept

NEVER = math.inf  # rank of a pair that does not merge
Pair = tuple[str, str]


class MergePieces:
    """A byte-pair vocabulary: a token comes apart where its last merge joined it.

    The merges inside a token are those that the token alone would go through, whatever
    stands beside it, because a merge across its border would have made another token.
    So each token has one tree of merges, and is split in every caption alike.

    Args:
        vocab: every token's id.
        merges: pairs of tokens, the first merged first (Sennrich et al. 2016, §3.2).
        suffix: what the last symbol of a word carries (CLIP's `</w>`).
        byte_fallback: whether a character of no token is spelt in bytes, `<0xNN>`.
        specials: ids that stand for themselves and are always kept.
    """

    def __init__(
        self,
        vocab: Mapping[str, int],
        merges: Sequence[Pair],
        *,
        suffix: str = "",
        byte_fallback: bool = False,
        specials: Iterable[int] = (),
    ) -> None:
        self.vocab, self.suffix, self.byte_fallback = dict(vocab), suffix, byte_fallback
        self.ranks = {pair: rank for rank, pair in enumerate(merges)}
        self._tokens = {number: token for token, number in self.vocab.items()}
        self._halves: dict[str, Pair | None] = {}  # None: by several merges
        for left, right in self.ranks:
            joined = left + right
            self._halves[joined] = None if joined in self._halves else (left, right)
        special = set(specials)
        if byte_fallback:
            special |= {self.vocab[byte_token(value)] for value in range(256)}
            special |= {self.vocab[METASPACE]} if METASPACE in self.vocab else set()
        self._special = frozenset(special)
        self.always = self._special | {
            number for token, number in self.vocab.items() if self._is_atom(token)
        }

    def _symbols(self, token: str) -> list[str]:
        """What a token is before any merge: its characters."""
        if not self.suffix or not token.endswith(self.suffix):
            return list(token)
        stem = token.removesuffix(self.suffix)
        return [*stem[:-1], stem[-1:] + self.suffix]

    def _is_atom(self, token: str) -> bool:
        """Whether nothing smaller spells a token."""
        if self.byte_fallback:
            return token == ""
        if token in self._halves:
            return False
        symbols = self._symbols(token)
        return len(symbols) < 2 or any(symbol not in self.vocab for symbol in symbols)

    def parts(self, number: int) -> tuple[int, ...]:
        """What the last merge of a token joined; the bytes of a lone character.

        Returns:
            Ids; none for a token that is always kept.
        """
        if number in self.always:
            return ()
        token = self._tokens[number]
        symbols = self._halves.get(token) or self._before_last_merge(token)
        if len(symbols) == 1:
            return self._byte_ids(token)
        return tuple(part for symbol in symbols for part in self._symbol_ids(symbol))

    def _symbol_ids(self, symbol: str) -> tuple[int, ...]:
        """The id of a symbol, or its bytes'."""
        number = self.vocab.get(symbol)
        return self._byte_ids(symbol) if number is None else (number,)

    def _byte_ids(self, text: str) -> tuple[int, ...]:
        return tuple(self.vocab[byte_token(value)] for value in text.encode())

    def _before_last_merge(self, token: str) -> list[str]:
        """The symbols of a token before its last merge.

        For a token that its merges never reach, what they end with.
        """
        symbols = self._symbols(token)
        while len(symbols) > 2:
            ranks = [
                self.ranks.get(pair, NEVER)
                for pair in zip(symbols, symbols[1:], strict=False)
            ]
            place = min(range(len(ranks)), key=ranks.__getitem__)
            if ranks[place] == NEVER:
                break
            symbols[place : place + 2] = [symbols[place] + symbols[place + 1]]
        return symbols

    def close(self, ids: Iterable[int]) -> tuple[int, ...]:
        """These ids, what is always kept, and every piece on the way to them.

        A stock tokenizer whose merges are those among the closed ids reaches each of
        them: it takes the steps of the full one, since no other step comes before.
        """
        closed, todo = set(self.always), list(ids)
        while todo:
            number = todo.pop()
            if number not in closed:
                closed.add(number)
                todo += self.parts(number)
        return tuple(sorted(closed))

    def split(self, number: int, kept: Collection[int]) -> tuple[int, ...]:
        """The kept pieces of a token, by undoing merges until all are kept."""
        if number in kept:
            return (number,)
        check_kept(number, self.always)
        return tuple(
            piece for part in self.parts(number) for piece in self.split(part, kept)
        )

    def merges_among(self, kept: Iterable[int]) -> list[Pair]:
        """The merges that make these tokens, in their order.

        Args:
            kept: closed ids, so that the parts are among them.
        """
        tokens = {self._tokens[number] for number in kept if number in self._tokens}
        return [pair for pair in self.ranks if "".join(pair) in tokens]
