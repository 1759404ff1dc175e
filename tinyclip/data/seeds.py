"""Randomness as a pure function: what is drawn depends on names, never on history."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)


def number(*parts: object) -> int:
    """A number in [0, 2^63) that is a pure function of `parts` (as text)."""
    text = "\x1f".join(str(part) for part in parts)
    digest = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def order(seed: int, epoch: int, count: int) -> NDArray[np.int64]:
    """The permutation of 0..count-1 in which an epoch visits its rows.

    Ranks of splitmix64's output (Steele, Lea and Flood 2014), so that the order is
    ours and does not change with a library's version.
    """
    return np.argsort(_ranks(seed, epoch, count), kind="stable")


@dataclass(frozen=True, eq=False)
class Blocks:
    """Rows that are read together: one of them costs as much as all of its block.

    Args:
        block_N: the block of each row.
        together: how many blocks are held at once.
    """

    block_N: NDArray[np.int64]
    together: int


def block_order(seed: int, epoch: int, blocks: Blocks) -> NDArray[np.int64]:
    """A permutation in which every block is read once.

    Blocks are shuffled, and so are all rows of `together` blocks that follow each
    other; webdataset's shuffle buffer does as much, but is no function of the place.
    """
    numbers, block_N = np.unique(blocks.block_N, return_inverse=True)
    rank_B = np.argsort(order(seed, epoch, len(numbers)))
    window_N = rank_B[block_N] // blocks.together
    return np.lexsort((_ranks(seed, epoch, len(block_N)), window_N))


def _ranks(seed: int, epoch: int, count: int) -> NDArray[np.uint64]:
    x = np.arange(count, dtype=np.uint64) * _GOLDEN
    x += np.uint64(number(seed, "epoch", epoch))
    x = (x ^ (x >> np.uint64(30))) * _MIX_1
    x = (x ^ (x >> np.uint64(27))) * _MIX_2
    return x ^ (x >> np.uint64(31))
