"""How wide each part of a model is.

The numbers are ints for a real model; `masks.expected` puts 0-dim tensors in their
place, and `cost` counts both with the same formula (law 6).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

Activation = Literal["gelu", "quick_gelu", "gelu_tanh"]
ACTIVATIONS = ("gelu", "quick_gelu", "gelu_tanh")
TOWERS = ("image", "text")
ImagePool = Literal["class", "mean", "map"]
TextPool = Literal["argmax", "eos", "last", "first"]


@dataclass(frozen=True, kw_only=True)
class BlockShape:
    """One transformer block: so many heads, so many FFN units.

    Args:
        heads, ffn: ints, or 0-dim tensors while an expectation is counted.
        attention_layers, ffn_layers: 1, or 0 where the block has no attention, no FFN:
            then it adds nothing to the stream, where a layer without heads or units
            still adds its bias.
    """

    heads: Any
    ffn: Any
    attention_layers: Any = 1
    ffn_layers: Any = 1

    @property
    def is_whole(self) -> bool:
        """Whether it has both layers."""
        return bool(self.attention_layers and self.ffn_layers)


@dataclass(frozen=True, kw_only=True)
class TowerShape:
    """What both towers have: a residual width, a stack of blocks, and their switches.

    Args:
        eps: of every LayerNorm.
        layer_scale: each block's two updates are scaled by a learned vector.
    """

    width: Any
    head_width: int
    blocks: tuple[BlockShape, ...]
    activation: Activation = "gelu"
    eps: float = 1e-5
    layer_scale: bool = False

    @property
    def is_uniform(self) -> bool:
        """Whether a stock configuration holds it: like blocks, heads fill the width."""
        first = self.blocks[0] if self.blocks else None
        return first is not None and all(
            block == first
            and block.is_whole
            and block.heads * self.head_width == self.width
            for block in self.blocks
        )


@dataclass(frozen=True, kw_only=True)
class ImageShape(TowerShape):
    """A vision transformer.

    Args:
        class_token: whether a learned token stands before the patches.
        patch_bias: whether the patch embedding has a bias.
        norm_pre: whether a LayerNorm stands before the blocks.
        pool: `class` takes the class token, `mean` the mean of the patches, `map` asks
            them by attention (SigLIP).
        norm_after_pool: for `mean`: the last LayerNorm follows the mean.
        pool_block: heads and ffn units of the `map` pool; None for the others.
        projection: whether a matrix leads to the joint embedding. Without one the
            embedding is the residual stream itself, and shrinks with it.
    """

    image_size: int
    patch_size: int
    class_token: bool = True
    patch_bias: bool = False
    norm_pre: bool = True
    pool: ImagePool = "class"
    norm_after_pool: bool = True
    pool_block: BlockShape | None = None
    projection: bool = True

    @property
    def tokens(self) -> int:
        return (self.image_size // self.patch_size) ** 2 + int(self.class_token)

    @property
    def is_uniform(self) -> bool:
        """As of any tower; an attention pool is alike, too."""
        return super().is_uniform and self.pool_block in (None, self.blocks[0])


@dataclass(frozen=True, kw_only=True)
class TextShape(TowerShape):
    """A text transformer.

    Args:
        causal: whether a token sees only those before it.
        pool: which token is the feature: `argmax` that of the largest id (CLIP's
            end-of-text), `eos` the first of id `eos_id`, `last`, `first`.
        projection_bias: whether the projection has a bias.
    """

    context_length: int
    vocab_size: int
    causal: bool = True
    pool: TextPool = "argmax"
    eos_id: int | None = None
    projection_bias: bool = False

    @property
    def tokens(self) -> int:
        return self.context_length


@dataclass(frozen=True, kw_only=True)
class ClipShape:
    """Both towers and the width of the embedding they share.

    Args:
        logit_bias: whether a bias is added to the scaled products (SigLIP).
    """

    embed_dim: Any
    image: ImageShape
    text: TextShape
    logit_bias: bool = False

    def towers(self) -> dict[str, TowerShape]:
        """The towers by name, image first."""
        return {"image": self.image, "text": self.text}

    def with_towers(self, **towers: TowerShape) -> ClipShape:
        """The same CLIP with other towers; without an image projection the joint
        embedding is as wide as the image tower."""
        changed = replace(self, **towers)  # type: ignore[arg-type]
        if changed.image.projection:
            return changed
        return replace(changed, embed_dim=changed.image.width)


def block_to_dict(block: BlockShape) -> dict[str, Any]:
    """The block as plain JSON values; a layer is named only where it is missing."""
    whole = {"attention_layers": 1, "ffn_layers": 1}
    return {n: v for n, v in asdict(block).items() if n not in whole or v != whole[n]}


def shape_to_dict(shape: ClipShape) -> dict[str, Any]:
    """The shape as plain JSON values."""
    value = asdict(shape)
    for name, tower in shape.towers().items():
        value[name]["blocks"] = tuple(map(block_to_dict, tower.blocks))
    if shape.image.pool_block is not None:
        value["image"]["pool_block"] = block_to_dict(shape.image.pool_block)
    return value


def shape_from_dict(value: Mapping[str, Any]) -> ClipShape:
    """The shape that `shape_to_dict` wrote.

    Raises:
        KeyError, TypeError: a key is missing or unknown.
    """

    def tower(kind: type[Any], entry: Mapping[str, Any]) -> Any:
        fields = {**entry, "blocks": tuple(BlockShape(**b) for b in entry["blocks"])}
        if entry.get("pool_block") is not None:
            fields["pool_block"] = BlockShape(**entry["pool_block"])
        return kind(**fields)

    return ClipShape(
        embed_dim=value["embed_dim"],
        image=tower(ImageShape, value["image"]),
        text=tower(TextShape, value["text"]),
        logit_bias=value.get("logit_bias", False),
    )
