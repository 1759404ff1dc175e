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
NormKind = Literal["layer", "rms"]
ImagePool = Literal["class", "mean", "map"]
TextPool = Literal["argmax", "eos", "last", "first"]


@dataclass(frozen=True, kw_only=True)
class BlockShape:
    """One transformer block: so many heads, so many FFN units.

    Args:
        heads, ffn: ints, or 0-dim tensors while an expectation is counted.
        dims: of each head; None becomes the tower's `head_width`.
        attention_layers, ffn_layers: 1, or 0 where the block has no attention, no FFN:
            then it adds nothing to the stream, where a layer without heads or units
            still adds its bias.
    """

    heads: Any
    ffn: Any
    dims: Any = None
    attention_layers: Any = 1
    ffn_layers: Any = 1

    @property
    def is_whole(self) -> bool:
        """Whether it has both layers."""
        return bool(self.attention_layers and self.ffn_layers)

    def in_tower(self, head_width: int) -> BlockShape:
        """The block as a tower holds it: its heads have so many dims, unless told."""
        return replace(self, dims=head_width) if self.dims is None else self


@dataclass(frozen=True, kw_only=True)
class TowerShape:
    """What both towers have: a residual width, a stack of blocks, and their switches.

    Args:
        head_width: dims of a head before any was cut. Scores are divided by its root
            whatever is left, so that a cut is a slice and nothing else.
        eps: of every norm.
        layer_scale: each block's two updates are scaled by a learned vector.
        norm: `rms` in a tower that was rotated into a basis of its residual stream
            (`inherit.rotate`).
        full_width: of a rotated tower, its width before: what stands outside the basis
            keeps it, and the norm divides by it, however many directions are left.
    """

    width: Any
    head_width: int
    blocks: tuple[BlockShape, ...]
    activation: Activation = "gelu"
    eps: float = 1e-5
    layer_scale: bool = False
    norm: NormKind = "layer"
    full_width: int | None = None

    def __post_init__(self) -> None:
        blocks = tuple(block.in_tower(self.head_width) for block in self.blocks)
        object.__setattr__(self, "blocks", blocks)
        if (self.norm == "rms") != (self.full_width is not None):
            raise ValueError("a tower has a full width if its norm is rms, else none")

    @property
    def rotated(self) -> bool:
        """Whether its stream lies in a basis of its own."""
        return self.norm == "rms"

    @property
    def stock_width(self) -> Any:
        """The width of a stock tower that is the same function.

        LayerNorm takes the mean away: k channels of it are k - 1 directions here.
        """
        return self.width + 1 if self.rotated else self.width

    @property
    def is_uniform(self) -> bool:
        """Whether a stock configuration holds it: like blocks, heads fill the width."""
        first = self.blocks[0] if self.blocks else None
        return first is not None and all(
            block == first
            and block.is_whole
            and block.heads * block.dims == self.stock_width
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
        projection_bias: whether the projection has a bias.
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
    projection_bias: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.pool_block is not None:
            pool = self.pool_block.in_tower(self.head_width)
            object.__setattr__(self, "pool_block", pool)
        elif self.rotated and not self.projection:
            raise ValueError("a rotated stream is no embedding: it needs a projection")

    @property
    def tokens(self) -> int:
        return (self.image_size // self.patch_size) ** 2 + int(self.class_token)

    @property
    def stemmed(self) -> bool:
        """Whether patches, positions and the first norm stand outside the basis, and a
        matrix leads into it: that norm's weight does not commute with a rotation."""
        return self.rotated and self.norm_pre

    @property
    def embed_width(self) -> Any:
        """The width of patches, class token and positions."""
        return self.full_width if self.stemmed else self.width

    @property
    def pool_width(self) -> Any:
        """The width of an attention pool's own stream, which no rotation reaches."""
        return self.full_width if self.rotated else self.width

    @property
    def feature_width(self) -> Any:
        """The width of what is projected: the stream's, or an attention pool's."""
        return self.width if self.pool_block is None else self.pool_width

    @property
    def joint_is_stream(self) -> bool:
        """Whether the joint embedding's channels are those of the residual stream."""
        return not self.projection and not self.rotated

    @property
    def is_uniform(self) -> bool:
        """As of any tower; an attention pool is alike, too, and as wide."""
        if self.pool_block is None:
            return super().is_uniform
        alike = self.pool_block == self.blocks[0] and not self.rotated
        return super().is_uniform and alike


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
        """The same CLIP with other towers; where the joint embedding is the image
        tower's stream, it is as wide."""
        changed = replace(self, **towers)  # type: ignore[arg-type]
        if not changed.image.joint_is_stream:
            return changed
        return replace(changed, embed_dim=changed.image.width)


# fields that a stored shape names only where they are not as usual
USUAL_BLOCK = {"attention_layers": 1, "ffn_layers": 1}
USUAL_TOWER = {"norm": "layer", "full_width": None, "projection_bias": False}


def block_to_dict(block: BlockShape, head_width: int) -> dict[str, Any]:
    """The block as plain JSON values; a layer is named only where it is missing, dims
    only where heads have lost some."""
    usual = {**USUAL_BLOCK, "dims": head_width}
    return _unusual(asdict(block), usual)


def shape_to_dict(shape: ClipShape) -> dict[str, Any]:
    """The shape as plain JSON values."""
    value = asdict(shape)
    for name, tower in shape.towers().items():
        usual = dict(USUAL_TOWER)
        if isinstance(tower, TextShape):
            usual.pop("projection_bias")  # always named, since the first version
        entry = _unusual(value[name], usual)
        entry["blocks"] = tuple(
            block_to_dict(block, tower.head_width) for block in tower.blocks
        )
        value[name] = entry
    image = shape.image
    if image.pool_block is not None:
        pool = block_to_dict(image.pool_block, image.head_width)
        value["image"]["pool_block"] = pool
    return value


def _unusual(entry: Mapping[str, Any], usual: Mapping[str, Any]) -> dict[str, Any]:
    """The entry without what is as usual."""
    return {n: v for n, v in entry.items() if n not in usual or v != usual[n]}


def shape_from_dict(value: Mapping[str, Any]) -> ClipShape:
    """The shape that `shape_to_dict` wrote.

    Raises:
        KeyError, TypeError: a key is missing or unknown.
        ValueError: keys contradict each other.
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
