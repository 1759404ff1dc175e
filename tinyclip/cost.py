"""What a shape costs: parameters, multiply-accumulates, bytes.

Every formula is a polynomial in the widths, so the same line counts a real model
(ints) and the expectation that the sparsity loss pushes on (0-dim tensors): law 6. The
widths of different sites are independent, so the expectation of a product is the
product of the expectations. Only an attention pool multiplies a width by itself: there
the expectation leaves out the variance, a share under 1 / (4 · width) of those terms.
A rotated tower's stem, pool and first embedding keep its full width.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from .errors import UserError, nearest
from .shapes import (
    TOWERS,
    BlockShape,
    ClipShape,
    ImageShape,
    TextShape,
    TowerShape,
)

Number = Any  # int, or a 0-dim tensor
FLOAT_BYTES = 4  # a stored parameter
# A tensor's entry in the header of a safetensors file, its name included: 89 to 91
# bytes in pico models, 96 to 97 in the embedded teacher and its students, 101 in
# ViT-B/32; what that leaves open is under 0.1 % of any file over half a megabyte.
ENTRY_BYTES = 96


def inner_width(block: BlockShape) -> Number:
    """The width inside attention: all heads side by side."""
    return block.heads * block.dims


def attention_params(width: Number, block: BlockShape) -> Number:
    """q, k, v and out with their biases, where the block has attention."""
    inner = inner_width(block)
    matrices = 3 * (width * inner + inner) + inner * width
    return matrices + block.attention_layers * width


def ffn_params(width: Number, block: BlockShape) -> Number:
    """Both FFN matrices with their biases, where the block has an FFN."""
    matrices = width * block.ffn + block.ffn + block.ffn * width
    return matrices + block.ffn_layers * width


def block_params(width: Number, block: BlockShape) -> Number:
    """What one block counts in `encoder`: its matrices and biases, no norm."""
    return attention_params(width, block) + ffn_params(width, block)


def encoder_params(tower: TowerShape) -> Number:
    """The convention of the paper's "25 %": the blocks' matrices and biases."""
    return sum(block_params(tower.width, block) for block in tower.blocks)


def layer_count(tower: TowerShape) -> Number:
    """How many attention layers and FFNs the blocks have in all."""
    return sum(block.attention_layers + block.ffn_layers for block in tower.blocks)


def norm_vectors(tower: TowerShape) -> int:
    """How many vectors a norm of the stream has: LayerNorm a weight and a bias."""
    return 1 if tower.rotated else 2


def stem_params(tower: TowerShape, embed_dim: Number) -> Number:
    """Everything outside the blocks' matrices: embeddings, norms, projection."""
    width = tower.width
    # vectors as wide as the stream: a norm a layer, its scale, and the last norm
    norm = norm_vectors(tower)
    vectors = layer_count(tower) * (norm + tower.layer_scale) + norm
    if isinstance(tower, TextShape):
        vectors += tower.vocab_size + tower.context_length
        bias = embed_dim if tower.projection_bias else 0
        return vectors * width + width * embed_dim + bias
    assert isinstance(tower, ImageShape)
    first = tower.tokens + 3 * tower.patch_size**2
    first += 2 * tower.norm_pre + tower.class_token + tower.patch_bias
    total = vectors * width + first * tower.embed_width + pool_params(tower)
    if tower.stemmed:
        total = total + tower.full_width * width
    if tower.projection:
        total = total + tower.feature_width * embed_dim
    return total + (embed_dim if tower.projection_bias else 0)


def pool_params(tower: ImageShape) -> Number:
    """An attention pool's; in a rotated tower its keys and values alone read the
    stream, all else is as wide as it was."""
    block, full = tower.pool_block, tower.pool_width
    if block is None:
        return 0
    narrower = 2 * (full - tower.width) * inner_width(block)
    # three vectors: the latent and a norm
    return block_params(full, block) - narrower + 3 * full


def tower_params(tower: TowerShape, embed_dim: Number) -> Number:
    """Every stored parameter of one tower."""
    return encoder_params(tower) + stem_params(tower, embed_dim)


def tower_macs(tower: TowerShape, embed_dim: Number) -> Number:
    """Multiply-accumulates of one forward pass of one picture or caption.

    Matrix products only, attention's two included; norms, softmax and activations are
    left out, as torch's `FlopCounterMode` does.
    """
    tokens, width = tower.tokens, tower.width  # type: ignore[attr-defined]
    total: Number = 0
    for block in tower.blocks:
        inner = inner_width(block)
        total = total + tokens * 4 * width * inner + 2 * tokens * tokens * inner
        total = total + tokens * 2 * width * block.ffn
    if isinstance(tower, TextShape):
        return total + width * embed_dim
    assert isinstance(tower, ImageShape)
    patches = tower.tokens - int(tower.class_token)
    total = total + patches * 3 * tower.patch_size**2 * tower.embed_width
    if tower.stemmed:
        total = total + tokens * tower.full_width * width
    if tower.pool_block is not None:  # one query; keys and values of every token
        inner, full = inner_width(tower.pool_block), tower.pool_width
        total = total + 2 * tokens * width * inner + 2 * full * inner
        total = total + 2 * tokens * inner + 2 * full * tower.pool_block.ffn
    return total + (tower.feature_width * embed_dim if tower.projection else 0)


def kept_numbers(tower: TowerShape) -> Number:
    """About how many numbers one picture or caption keeps for the backward pass."""
    tokens: int = tower.tokens  # type: ignore[attr-defined]
    inside = sum(5 * inner_width(block) + 3 * block.ffn for block in tower.blocks)
    return tokens * (inside + 4 * tower.width * layer_count(tower))


def tensor_count(tower: TowerShape) -> Number:
    """How many tensors a tower stores."""
    # matrices and biases: 8 of attention, 4 of an FFN; then a norm, a scale
    count = sum(8 * b.attention_layers + 4 * b.ffn_layers for b in tower.blocks)
    norm = norm_vectors(tower)
    count += layer_count(tower) * (norm + tower.layer_scale) + norm  # the last norm
    if isinstance(tower, TextShape):
        return count + 3 + int(tower.projection_bias)
    assert isinstance(tower, ImageShape)
    count += 2 + 2 * tower.norm_pre + tower.class_token + tower.patch_bias
    count += int(tower.stemmed) + int(tower.projection_bias)
    return count + (15 if tower.pool_block is not None else 0) + int(tower.projection)


def tower_bytes(tower: TowerShape, embed_dim: Number) -> Number:
    """What one tower takes of the float32 file."""
    header = ENTRY_BYTES * tensor_count(tower)
    return FLOAT_BYTES * tower_params(tower, embed_dim) + header


@dataclass(frozen=True, kw_only=True)
class Budget:
    """One way to count a size.

    Args:
        tower: the size of one tower, from its shape and the joint embedding's width.
        unit: what is counted, in messages.
        about: what is counted, in the help.
        joint: the size of a parameter that belongs to no tower.
        token: the size of a number of the token embedding; 0 where it does not count.
    """

    tower: Callable[[TowerShape, Number], Number]
    unit: str
    about: str
    joint: int = 0
    token: int = 0


BUDGETS: dict[str, Budget] = {
    "encoder": Budget(
        tower=lambda tower, _embed_dim: encoder_params(tower),
        unit="parameters",
        about="the blocks' matrices",
    ),
    "total": Budget(
        tower=tower_params,
        unit="parameters",
        about="all parameters",
        joint=1,
        token=1,
    ),
    "macs": Budget(
        tower=tower_macs,
        unit="MACs",
        about="multiply-accumulates of one picture and one caption",
    ),
    "bytes": Budget(
        tower=tower_bytes,
        unit="B",
        about="the float32 file",
        joint=FLOAT_BYTES + ENTRY_BYTES,
        token=FLOAT_BYTES,
    ),
}


def budget_named(name: str) -> Budget:
    """The entry of the table.

    Raises:
        UserError: there is no such budget.
    """
    if name not in BUDGETS:
        raise UserError("budget", f"unknown budget {name!r}", nearest(name, BUDGETS))
    return BUDGETS[name]


def size(shape: ClipShape, budget: str, towers: Sequence[str] = TOWERS) -> Number:
    """The size of a shape in a budget.

    Args:
        shape: ints, or 0-dim tensors while an expectation is counted.
        budget: an entry of `BUDGETS`.
        towers: which of them count. What belongs to none, the logit scale and bias, is
            counted with both.

    Raises:
        UserError: there is no such budget.
    """
    counted = budget_named(budget)
    parts = [
        counted.tower(tower, shape.embed_dim)
        for name, tower in shape.towers().items()
        if name in towers
    ]
    alone = len(parts) < len(TOWERS)
    return sum(parts) + (0 if alone else counted.joint * (1 + int(shape.logit_bias)))


def sizes(shape: ClipShape) -> dict[str, int]:
    """Every count that `inspect` reports, for a real shape."""
    joint = shape.embed_dim
    return {
        "total": size(shape, "total"),
        "encoder": size(shape, "encoder"),
        "image": tower_params(shape.image, joint),
        "text": tower_params(shape.text, joint),
        **{f"encoder_{n}": encoder_params(t) for n, t in shape.towers().items()},
        "token_embedding": shape.text.vocab_size * shape.text.width,
    }
