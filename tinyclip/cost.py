"""What a shape costs: parameters, multiply-accumulates, bytes.

Every formula is a polynomial in the widths, so the same line counts a real model
(ints) and the expectation that the sparsity loss pushes on (0-dim tensors): law 6. The
widths of different sites are independent, and no term holds the same gate twice, so
the expectation of a product is the product of the expectations.
"""

from __future__ import annotations

from typing import Any

from .errors import UserError, nearest
from .shapes import BlockShape, ClipShape, ImageShape, TextShape, TowerShape

Number = Any  # int, or a 0-dim tensor
BUDGETS = ("encoder", "total")


def attention_params(width: Number, heads: Number, head_width: int) -> Number:
    """q, k, v and out with their biases."""
    inner = heads * head_width
    return 3 * (width * inner + inner) + inner * width + width


def ffn_params(width: Number, ffn: Number) -> Number:
    """Both FFN matrices with their biases."""
    return width * ffn + ffn + ffn * width + width


def block_params(width: Number, block: BlockShape, head_width: int) -> Number:
    """What one block counts in `encoder`: its matrices and biases, no LayerNorm."""
    return attention_params(width, block.heads, head_width) + ffn_params(
        width, block.ffn
    )


def encoder_params(tower: TowerShape) -> Number:
    """The convention of the paper's "25 %": the blocks' matrices and biases."""
    return sum(
        block_params(tower.width, block, tower.head_width) for block in tower.blocks
    )


def stem_params(tower: TowerShape, embed_dim: int) -> Number:
    """Everything outside the blocks' matrices: embeddings, LayerNorms, projection."""
    width = tower.width
    norms = 2 * len(tower.blocks) * 2 * width
    projection = width * embed_dim
    if isinstance(tower, ImageShape):
        patch = 3 * tower.patch_size**2 * width
        return patch + width + tower.tokens * width + norms + 4 * width + projection
    assert isinstance(tower, TextShape)
    tokens = tower.vocab_size * width
    return tokens + tower.context_length * width + norms + 2 * width + projection


def tower_params(tower: TowerShape, embed_dim: int) -> Number:
    """Every stored parameter of one tower."""
    return encoder_params(tower) + stem_params(tower, embed_dim)


def tower_macs(tower: TowerShape, embed_dim: int) -> Number:
    """Multiply-accumulates of one forward pass of one picture or caption.

    Matrix products only, attention's two included; LayerNorm, softmax and activations
    are left out, as torch's `FlopCounterMode` does.
    """
    tokens, width = tower.tokens, tower.width  # type: ignore[attr-defined]
    total: Number = width * embed_dim
    for block in tower.blocks:
        inner = block.heads * tower.head_width
        total = total + tokens * 4 * width * inner + 2 * tokens * tokens * inner
        total = total + tokens * 2 * width * block.ffn
    if isinstance(tower, ImageShape):
        total = total + (tokens - 1) * 3 * tower.patch_size**2 * width
    return total


def size(shape: ClipShape, budget: str) -> Number:
    """The size of a shape in a budget.

    Args:
        shape: ints, or 0-dim tensors while an expectation is counted.
        budget: `encoder` (the blocks' matrices) or `total` (every stored parameter).

    Raises:
        UserError: there is no such budget.
    """
    towers = (shape.image, shape.text)
    if budget == "encoder":
        return sum(encoder_params(tower) for tower in towers)
    if budget == "total":
        return 1 + sum(tower_params(tower, shape.embed_dim) for tower in towers)
    raise UserError("budget", f"unknown budget {budget!r}", nearest(budget, BUDGETS))


def sizes(shape: ClipShape) -> dict[str, int]:
    """Every count that `inspect` reports, for a real shape."""
    embed = shape.embed_dim
    return {
        "total": size(shape, "total"),
        "encoder": size(shape, "encoder"),
        "image": tower_params(shape.image, embed),
        "text": tower_params(shape.text, embed),
        "token_embedding": shape.text.vocab_size * shape.text.width,
    }
