"""Multi-head self-attention with any number of heads, and of dims in each of them.

Legend: B batch, N tokens, D embed, H heads, K dims of a head, I = H·K.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from ..shapes import BlockShape, TowerShape
from .gating import BlockGates, gate_columns, gate_rows


class Linear(nn.Linear):
    """A linear layer that starts at zero and may be empty."""

    def reset_parameters(self) -> None:
        nn.init.zeros_(self.weight)
        nn.init.zeros_(self.bias)


class Attention(nn.Module):
    """Self-attention; a head dies where its output joins the residual stream, a dim of
    all heads there and in the scores.

    Args:
        causal: whether a token sees only those before it.
        asking: width of the stream that asks and is written to; the tower's, unless
            given.
    """

    def __init__(
        self,
        tower: TowerShape,
        block: BlockShape,
        causal: bool = False,
        asking: int | None = None,
    ) -> None:
        super().__init__()
        self.heads, self.dims = block.heads, block.dims
        self.causal = causal
        # the width that heads had, whatever is left of it; None where nothing is gone
        cut = self.dims != tower.head_width
        self.scale = tower.head_width**-0.5 if cut else None
        inner, asking = self.heads * self.dims, asking or tower.width
        self.q = Linear(asking, inner)
        self.k = Linear(tower.width, inner)
        self.v = Linear(tower.width, inner)
        self.out = Linear(inner, asking)

    def _split(self, x_BNI: Tensor) -> Tensor:
        return x_BNI.unflatten(-1, (self.heads, self.dims)).transpose(1, 2)

    def _query(self, x_BND: Tensor, gates: BlockGates) -> Tensor:
        """The queries of all heads, (B, N, I), under the gates of their dims."""
        if "dims" not in gates:
            queries: Tensor = self.q(x_BND)
            return queries
        gate_I = gates["dims"].repeat(self.heads)
        weight_ID, bias_I = gate_rows(self.q.weight, gate_I), self.q.bias * gate_I
        return F.linear(x_BND, weight_ID, bias_I)

    def _gated_out(self, out_D: Tensor | None, gates: BlockGates) -> Tensor:
        """The way back into the stream under the gates, (D, I)."""
        weight_DI = gate_rows(self.out.weight, out_D)
        weight_DI = gate_columns(weight_DI, gates.get("heads"), repeat=self.dims)
        if "dims" not in gates:
            return weight_DI
        return gate_columns(weight_DI, gates["dims"].repeat(self.heads))

    def forward(self, x_BND: Tensor, out_D: Tensor | None, gates: BlockGates) -> Tensor:
        """The update of the residual stream, (B, N, D).

        Args:
            x_BND: normalised tokens.
            out_D: gates of the update's channels, or None.
            gates: of the block.
        """
        bias_D = gate_rows(self.out.bias, out_D)
        if self.out.in_features == 0:
            # a layer without heads still adds its bias, as in the gated model
            return bias_D.expand_as(x_BND)
        queries_BNI = self._query(x_BND, gates)
        q, k, v = map(self._split, (queries_BNI, self.k(x_BND), self.v(x_BND)))
        context_BHNK = F.scaled_dot_product_attention(
            q, k, v, is_causal=self.causal, scale=self.scale
        )
        weight_DI = self._gated_out(out_D, gates)
        return F.linear(context_BHNK.transpose(1, 2).flatten(2), weight_DI, bias_D)
