"""How wide each part of a model is.

The numbers are ints for a real model; `masks.expected` puts 0-dim tensors in their
place, and `cost` counts both with the same formula (law 6).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

Activation = Literal["gelu", "quick_gelu"]
ACTIVATIONS = ("gelu", "quick_gelu")


@dataclass(frozen=True, kw_only=True)
class BlockShape:
    """One transformer block: so many heads, so many FFN units."""

    heads: Any  # int, or a 0-dim tensor while an expectation is counted
    ffn: Any


@dataclass(frozen=True, kw_only=True)
class TowerShape:
    """What both towers have: a residual width and a stack of blocks."""

    width: Any
    head_width: int
    blocks: tuple[BlockShape, ...]
    activation: Activation = "gelu"
    eps: float = 1e-5

    @property
    def is_uniform(self) -> bool:
        """Whether a stock configuration holds it: like blocks, heads fill the width."""
        first = self.blocks[0] if self.blocks else None
        return first is not None and all(
            block == first and block.heads * self.head_width == self.width
            for block in self.blocks
        )


@dataclass(frozen=True, kw_only=True)
class ImageShape(TowerShape):
    """A vision transformer with a class token."""

    image_size: int
    patch_size: int

    @property
    def tokens(self) -> int:
        return (self.image_size // self.patch_size) ** 2 + 1


@dataclass(frozen=True, kw_only=True)
class TextShape(TowerShape):
    """A causal text transformer that pools at the largest token id."""

    context_length: int
    vocab_size: int

    @property
    def tokens(self) -> int:
        return self.context_length


@dataclass(frozen=True, kw_only=True)
class ClipShape:
    """Both towers and the width of the embedding they share."""

    embed_dim: int
    image: ImageShape
    text: TextShape

    def towers(self) -> dict[str, TowerShape]:
        """The towers by name, image first."""
        return {"image": self.image, "text": self.text}

    def with_towers(self, **towers: TowerShape) -> ClipShape:
        """The same CLIP with other towers."""
        return replace(self, **towers)  # type: ignore[arg-type]


def shape_to_dict(shape: ClipShape) -> dict[str, Any]:
    """The shape as plain JSON values."""
    return asdict(shape)


def shape_from_dict(value: Mapping[str, Any]) -> ClipShape:
    """The shape that `shape_to_dict` wrote.

    Raises:
        KeyError, TypeError: a key is missing or unknown.
    """

    def tower(kind: type[Any], entry: Mapping[str, Any]) -> Any:
        blocks = tuple(BlockShape(**block) for block in entry["blocks"])
        return kind(**{**entry, "blocks": blocks})

    return ClipShape(
        embed_dim=value["embed_dim"],
        image=tower(ImageShape, value["image"]),
        text=tower(TextShape, value["text"]),
    )
