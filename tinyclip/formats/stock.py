"""A student in the form that stock classes compute: LayerNorm, and scores divided by
the root of the dims that heads have.

The norm of a rotated tower is z·√D/|z|, D its full width (eps aside); LayerNorm of k
channels is Cx·√k/|Cx|, C the centring. With Q (k × k-1) of orthonormal columns that
sum to zero, C Qz = Qz and |Qz| = |z|. So a tower of k - 1 directions is one of k
channels: Q goes into what writes, Qᵀ into what reads, √(D/k) into the norms' weights,
and eps becomes D·eps/k. Exact (the way back of Ashkboos et al. 2024, "SliceGPT", §3.1).

What LayerNorm makes sums to zero, so its product with 1rᵀ is nothing, and what a bias
of ones adds to it becomes k·r: a projection's bias b is a LayerNorm bias of ones, and
1bᵀ/k on top of the projection. Exact, too.

One thing is not: a LayerNorm before the blocks. A stemmed tower makes
z = Sᵀ(γ∘Ce/σ + β) of its embeddings e, σ their deviation over all D channels. With
A = Q Sᵀ diag(γ) C on the embeddings, LayerNorm of k channels makes Ae·√k/|Ae|: the
direction is right, the length |Ae|/σ is the same for every token. Its weight is that
length as least squares have it, its bias Q Sᵀ β.

Legend: D channels before the rotation, K directions, k = K + 1 channels, B batch,
N tokens, E joint embedding.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ..model.clip import Clip
from ..shapes import BlockShape, ClipShape, ImageShape, TextShape, TowerShape

# the norm that each matrix reads, and the scale that each matrix writes under
READERS = {
    "attention.q": "norm_1",
    "attention.k": "norm_1",
    "attention.v": "norm_1",
    "ffn.up": "norm_2",
}
WRITERS = {"attention.out": "scale_1", "ffn.down": "scale_2"}
QUERIES = "attention.q."
POOL_APART = (
    "the image tower lies in a basis of its own, and its attention pool stays as wide "
    "as before: no stock class has both"
)


def is_stock(shape: ClipShape) -> bool:
    """Whether stock classes compute both towers as they are, if they are uniform."""
    return all(
        not tower.rotated and block.dims == tower.head_width
        for tower in shape.towers().values()
        for block in tower.blocks
    )


def stock_shape(shape: ClipShape) -> ClipShape:
    """The shape of `as_layer_norm`; one with a tower that is not uniform stays."""
    if not all(tower.is_uniform for tower in shape.towers().values()):
        return shape
    # SigLIP's stock text tower has a bias on its projection, CLIP's has none
    biased = shape.text.projection_bias and shape.image.pool_block is not None
    image, text = _stock_tower(shape.image), _stock_tower(shape.text)
    if shape.text.rotated:
        text = replace(text, projection_bias=biased)
    return shape.with_towers(image=image, text=text)


def _stock_tower(tower: TowerShape) -> Any:
    first = tower.blocks[0]
    block = BlockShape(heads=first.heads, ffn=first.ffn, dims=first.dims)
    changed: dict[str, Any] = {
        "head_width": first.dims,
        "blocks": (block,) * len(tower.blocks),
    }
    if tower.full_width is not None:
        width = tower.stock_width
        changed |= {"width": width, "norm": "layer", "full_width": None}
        changed |= {"eps": tower.eps * tower.full_width / width}
        changed |= {"layer_scale": False, "projection_bias": False}
    return replace(tower, **changed)


@torch.no_grad()
def as_layer_norm(model: Clip, pixels: Tensor | None = None) -> Clip:
    """The same function with LayerNorms and scores as stock classes have them.

    Args:
        model: both towers uniform; left as it is.
        pixels: (B, 3, S, S) of real pictures, which tell the length of tokens behind a
            stem; without any, it is 1.

    Returns:
        Of `stock_shape`. The same features to rounding, but for the pictures of a
        stemmed tower.
    """
    towers = {"image": model.image, "text": model.text}
    named: dict[str, Tensor] = {}
    made = stock_shape(model.shape)
    for name, shape in model.shape.towers().items():
        state = {n: v.double() for n, v in towers[name].state_dict().items()}
        state = _with_queries(state, shape)
        if shape.rotated:
            biased = getattr(made.towers()[name], "projection_bias", False)
            state = _Turned(state, shape, fold_bias=not biased).named()
        named |= {f"{name}.{inner}": value for inner, value in state.items()}
    stock = Clip(made).to(model.logit_scale)
    scalars = {n: v for n, v in model.state_dict().items() if "." not in n}
    stock.load_state_dict(named | scalars)
    if model.shape.image.stemmed and pixels is not None:
        _set_length(model, stock, pixels.to(model.logit_scale))
    return stock.train(model.training)


def zero_sum_basis(width: int) -> Tensor:
    """Q: (k, k - 1) of orthonormal columns that sum to zero, float64.

    The cosines of the DCT-II but for its constant: every direction is spread over all
    channels, none of which then stands out.
    """
    row_k = torch.arange(width, dtype=torch.float64) + 0.5
    column_K = torch.arange(1, width, dtype=torch.float64)
    return torch.cos(torch.outer(row_k, column_K) * (math.pi / width)) * math.sqrt(
        2 / width
    )


def _with_queries(state: Mapping[str, Tensor], shape: TowerShape) -> dict[str, Tensor]:
    """Queries that make up for a division by the root of the dims that are left."""
    factor = math.sqrt(shape.blocks[0].dims / shape.head_width)
    return {n: v * factor if QUERIES in n else v for n, v in state.items()}


class _Turned:
    """The parameters of a rotated tower as one of LayerNorm.

    Args:
        state: of the tower, float64.
        fold_bias: whether the projection's bias goes into the last norm's.
    """

    def __init__(
        self, state: Mapping[str, Tensor], shape: TowerShape, fold_bias: bool
    ) -> None:
        self.state, self.shape, self.fold_bias = state, shape, fold_bias
        assert shape.full_width is not None
        self.width = shape.stock_width
        self.basis_kK = zero_sum_basis(self.width)
        self.scale = math.sqrt(shape.full_width / self.width)

    def named(self) -> dict[str, Tensor]:
        """By the names inside the tower."""
        made = self._outside()
        for number in range(len(self.shape.blocks)):
            made |= self._block(f"blocks.{number}")
        return made

    def _norm(self, name: str, bias: float = 0.0) -> dict[str, Tensor]:
        ones_k = torch.ones(self.width, dtype=torch.float64)
        return {f"{name}.weight": self.scale * ones_k, f"{name}.bias": bias * ones_k}

    def _block(self, place: str) -> dict[str, Tensor]:
        made = {**self._norm(f"{place}.norm_1"), **self._norm(f"{place}.norm_2")}
        for inner, norm in READERS.items():
            name = f"{place}.{inner}"
            weight_K = self.state[f"{place}.{norm}.weight"]
            made[f"{name}.weight"] = self._read(self.state[f"{name}.weight"], weight_K)
            made[f"{name}.bias"] = self.state[f"{name}.bias"]
        for inner, scale in WRITERS.items():
            name = f"{place}.{inner}"
            scale_K = self.state.get(f"{place}.{scale}", torch.ones(1)).double()
            weight, bias = self.state[f"{name}.weight"], self.state[f"{name}.bias"]
            made[f"{name}.weight"] = self.basis_kK @ (scale_K[:, None] * weight)
            made[f"{name}.bias"] = self.basis_kK @ (scale_K * bias)
        return made

    def _read(self, weight: Tensor, norm_K: Tensor) -> Tensor:
        """A matrix that reads the stream behind a norm, (out, K), of k channels."""
        return (weight * norm_K) @ self.basis_kK.T

    def _outside(self) -> dict[str, Tensor]:
        """All that stands outside the blocks."""
        if isinstance(self.shape, TextShape):
            names = ("token_embedding", "position")
            into = {name: self.state[name] @ self.basis_kK.T for name in names}
            return into | self._last("norm_final")
        assert isinstance(self.shape, ImageShape)
        return self._first(self.shape) | self._last("norm_post")

    def _first(self, shape: ImageShape) -> dict[str, Tensor]:
        """Patches, class token and positions, and the norm behind them."""
        into_kD, made = self.basis_kK, {}
        if shape.stemmed:
            stem_kD = self.basis_kK @ self.state["stem"].T
            weighted_kD = stem_kD * self.state["norm_pre.weight"]
            into_kD = weighted_kD - weighted_kD.mean(dim=1, keepdim=True)
            made["norm_pre.weight"] = torch.ones(self.width, dtype=torch.float64)
            made["norm_pre.bias"] = stem_kD @ self.state["norm_pre.bias"]
        made["patch"] = torch.einsum("kd,dcij->kcij", into_kD, self.state["patch"])
        for name in ("patch_bias", "class_embedding", "position"):
            if name in self.state:
                made[name] = self.state[name] @ into_kD.T
        return made

    def _last(self, norm: str) -> dict[str, Tensor]:
        """The last norm and the projection behind it."""
        weight_EK = self.state["projection"].T
        projection_kE = self._read(weight_EK, self.state[f"{norm}.weight"]).T
        bias_E = self.state.get("projection_bias")
        if bias_E is None:
            return {"projection": projection_kE, **self._norm(norm)}
        if not self.fold_bias:
            made = {"projection": projection_kE, "projection_bias": bias_E}
            return {**made, **self._norm(norm)}
        projection_kE = projection_kE + bias_E / self.width
        return {"projection": projection_kE, **self._norm(norm, bias=1.0)}


def _set_length(model: Clip, stock: Clip, pixels: Tensor) -> None:
    """Give the LayerNorm before the blocks the length that tokens have behind the stem,
    by least squares over those of some pictures."""
    norm = stock.image.norm_pre
    assert norm is not None
    basis_kK = zero_sum_basis(stock.shape.image.width).to(pixels)
    aim_BNk = model.image.start(pixels) @ basis_kK.T - norm.bias
    made_BNk = stock.image.start(pixels) - norm.bias
    length = (made_BNk * aim_BNk).sum() / made_BNk.square().sum()
    norm.weight.mul_(length)
