"""The residual streams of a forward pass, after the blocks that somebody asks for.

Legend: B batch, N tokens, D embed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from torch import Tensor

from .block import Stack
from .clip import Clip

Kept = dict[str, dict[int, Tensor]]


@dataclass(eq=False)
class _Watch:
    """Looks on at one tower. A compiled one traces it: so it holds no other's."""

    tower: str
    layers: frozenset[int]
    kept: dict[int, Tensor] = field(default_factory=dict)

    def __call__(self, layer: int, x_BND: Tensor) -> None:
        if layer in self.layers:
            self.kept[layer] = x_BND


class Streams:
    """Looks on at forward passes, and keeps of the last one what was asked for.

    Args:
        layers: of each tower, by its name, the numbers of blocks.
    """

    def __init__(self, layers: Mapping[str, Collection[int]]) -> None:
        self._watches = [
            _Watch(tower, frozenset(numbers)) for tower, numbers in layers.items()
        ]

    @property
    def holds(self) -> bool:
        """Whether it has seen a forward pass whose streams nobody has taken."""
        return any(watch.kept for watch in self._watches)

    @contextmanager
    def watching(self, model: Clip) -> Iterator[None]:
        """The forward passes of a model inside are looked at."""
        placed = [(_stack(model, watch.tower), watch) for watch in self._watches]
        for stack, watch in placed:
            stack.watches.append(watch)
        try:
            yield
        finally:
            for stack, watch in placed:
                stack.watches.remove(watch)

    def taken(self) -> Kept:
        """What was kept, (B, N, D) by tower and block; nothing is kept any more."""
        taken = {w.tower: dict(w.kept) for w in self._watches}
        for watch in self._watches:
            watch.kept.clear()
        return taken


def _stack(model: Clip, tower: str) -> Stack:
    stack = getattr(model, tower).blocks
    assert isinstance(stack, Stack)
    return stack
