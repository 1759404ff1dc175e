"""A foreign tensor and what it is of ours; a format's table of them, read both ways.

Legend: D embed, N tokens, E joint embedding.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

PAIRED = ("weight", "bias")  # of a layer


@dataclass(frozen=True)
class Link:
    """One tensor of theirs and what it is of ours.

    Args:
        ours: several, where theirs packs them along its first axis.
        lead: axes of length 1 that theirs has in front.
        turned: theirs is the transpose.
    """

    theirs: str
    ours: tuple[str, ...]
    lead: int = 0
    turned: bool = False

    def read(self, theirs: Tensor) -> dict[str, Tensor]:
        """Our tensors of theirs: views of it."""
        value = theirs.reshape(theirs.shape[self.lead :])
        value = value.T if self.turned else value
        parts = value.chunk(len(self.ours)) if len(self.ours) > 1 else (value,)
        return dict(zip(self.ours, parts, strict=True))

    def write(self, ours: Mapping[str, Tensor]) -> Tensor:
        """Their tensor of ours."""
        parts = [ours[name] for name in self.ours]
        value = torch.cat(parts) if len(parts) > 1 else parts[0]
        value = value.T if self.turned else value
        return value.reshape((1,) * self.lead + tuple(value.shape)).contiguous()


def layer(ours: str, theirs: str) -> Iterator[Link]:
    """A layer with a weight and a bias."""
    for kind in PAIRED:
        yield Link(f"{theirs}.{kind}", (f"{ours}.{kind}",))


def packed(ours: str, parts: Iterable[str], theirs: str) -> Iterator[Link]:
    """Layers of ours, `OURS.PART`, that theirs packs one after the other.

    Args:
        theirs: up to the last word, which is `weight` or `bias`: `attn.qkv.`.
    """
    for kind in PAIRED:
        names = tuple(f"{ours}.{part}.{kind}" for part in parts)
        yield Link(f"{theirs}{kind}", names)


def to_theirs(links: Iterable[Link], ours: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Our tensors under their names and in their layout."""
    return {link.theirs: link.write(ours) for link in links}


def to_ours(links: Iterable[Link], theirs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Their tensors under our names; all must be there, of the right shapes."""
    ours: dict[str, Tensor] = {}
    for link in links:
        ours.update(link.read(theirs[link.theirs]))
    return ours
