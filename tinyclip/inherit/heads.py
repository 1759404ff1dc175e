"""All heads of an attention layer in their singular bases.

Legend: H heads, d dims of each, r dims kept, K channels read, W channels written,
I = H·d, J = H·r.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ..model.attention import Attention
from ..model.norm import Norm, RmsNorm
from .dims import Factors, Head, Read, head_factors


class Layer(NamedTuple):
    """Weight (O, K) and bias (O,) of a linear layer, float64."""

    weight: Tensor
    bias: Tensor


@dataclass(frozen=True)
class Heads:
    """An attention layer, all of float64; `bias_W` of `out` is added, not its own.

    Args:
        scores_Hd, values_Hd: what each dim carries of the scores and of what is
            written, as `dims.Factors` has it.
    """

    q: Layer
    k: Layer
    v: Layer
    out: Layer
    scores_Hd: Tensor
    values_Hd: Tensor

    def named(self) -> dict[str, Tensor]:
        """The parameters by their names in the layer."""
        return {
            f"{name}.{part}": value
            for name in ("q", "k", "v", "out")
            for part, value in getattr(self, name)._asdict().items()
        }


def reader(layer: nn.Linear, norm: Norm | RmsNorm | None) -> Layer:
    """The layer as it reads what a norm, if given, had before its weight and bias."""
    weight, bias = layer.weight.double(), layer.bias.double()
    if norm is None:
        return Layer(weight, bias)
    if isinstance(norm, Norm):
        bias = bias + weight @ norm.bias.double()
    return Layer(weight * norm.weight.double(), bias)


def writer(layer: nn.Linear, scale_W: Tensor | None) -> Layer:
    """The layer as it writes to the stream, LayerScale in it."""
    weight, bias = layer.weight.double(), layer.bias.double()
    if scale_W is None:
        return Layer(weight, bias)
    return Layer(weight * scale_W.double()[:, None], bias * scale_W.double())


def turned_heads(
    attention: Attention,
    read: Read,
    keep: int,
    norm: Norm | RmsNorm | None = None,
    scale_W: Tensor | None = None,
) -> Heads:
    """Every head in the basis in which its first dims carry most, `keep` of them.

    Args:
        read: what the layer reads.
        norm: if given, the new layers read what it normalised before it applied its
            weight and bias, and `read` is of that.
        scale_W: LayerScale of what it writes.
    """
    layers = [reader(layer, norm) for layer in (attention.q, attention.k, attention.v)]
    out = writer(attention.out, scale_W)
    heads = [
        head_factors(_head(layers, out, number, attention.dims), read, read, keep)
        for number in range(attention.heads)
    ]
    bias_W = out.bias + sum(head.constant_W for head in heads)
    none_Hd = bias_W.new_zeros(0, attention.dims)
    return _joined(heads, layers[0].weight, out.weight, bias_W, none_Hd)


def _head(layers: list[Layer], out: Layer, number: int, dims: int) -> Head:
    at = slice(number * dims, (number + 1) * dims)
    q, k, v = layers
    return Head(
        q.weight[at],
        q.bias[at],
        k.weight[at],
        v.weight[at],
        v.bias[at],
        out.weight[:, at],
    )


def _joined(
    heads: list[Factors],
    like_IK: Tensor,
    like_WI: Tensor,
    bias_W: Tensor,
    none_Hd: Tensor,
) -> Heads:
    """The heads one after the other; none leave layers of width 0."""

    def rows(name: str) -> Tensor:
        parts = [getattr(factors.head, name) for factors in heads]
        return torch.cat(parts) if parts else like_IK[:0]

    def numbers(name: str) -> Tensor:
        parts = [getattr(factors.head, name) for factors in heads]
        return torch.cat(parts) if parts else bias_W[:0]

    out_WJ = [factors.head.out_Wd for factors in heads]
    query_J = numbers("q_bias_d")
    return Heads(
        q=Layer(rows("q_dK"), query_J),
        k=Layer(rows("k_dK"), torch.zeros_like(query_J)),
        v=Layer(rows("v_dK"), numbers("v_bias_d")),
        out=Layer(torch.cat(out_WJ, 1) if out_WJ else like_WI[:, :0], bias_W),
        scores_Hd=_stacked([factors.scores_d for factors in heads], none_Hd),
        values_Hd=_stacked([factors.values_d for factors in heads], none_Hd),
    )


def _stacked(rows: list[Tensor], none_Hd: Tensor) -> Tensor:
    return torch.stack(rows) if rows else none_Hd
