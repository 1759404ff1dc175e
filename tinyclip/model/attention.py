"""Multi-head self-attention with any number of heads, none included.

Legend: B batch, N tokens, D embed, H heads, K head width, I = H·K.
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
    """Self-attention; a head dies where its output joins the residual stream.

    Args:
        causal: whether a token sees only those before it.
    """

    def __init__(
        self, tower: TowerShape, block: BlockShape, causal: bool = False
    ) -> None:
        super().__init__()
        self.heads, self.head_width = block.heads, tower.head_width
        self.causal = causal
        width, inner = tower.width, self.heads * self.head_width
        self.q = Linear(width, inner)
        self.k = Linear(width, inner)
        self.v = Linear(width, inner)
        self.out = Linear(inner, width)

    def _split(self, x_BNI: Tensor) -> Tensor:
        return x_BNI.unflatten(-1, (self.heads, self.head_width)).transpose(1, 2)

    def _gated_out(self, out_D: Tensor | None, gates: BlockGates) -> Tensor:
        """The way back into the stream under the gates, (D, H·K)."""
        weight_DI = gate_rows(self.out.weight, out_D)
        return gate_columns(weight_DI, gates.get("heads"), repeat=self.head_width)

    def forward(self, x_BND: Tensor, out_D: Tensor | None, gates: BlockGates) -> Tensor:
        """The update of the residual stream, (B, N, D).

        Args:
            x_BND: normalised tokens.
            out_D: gates of the update's channels, or None.
            gates: of the block.
        """
        bias_D = gate_rows(self.out.bias, out_D)
        if self.heads == 0:
            # a layer without heads still adds its bias, as in the gated model
            return bias_D.expand_as(x_BND)
        q, k, v = (self._split(layer(x_BND)) for layer in (self.q, self.k, self.v))
        context_BHNK = F.scaled_dot_product_attention(q, k, v, is_causal=self.causal)
        weight_DI = self._gated_out(out_D, gates)
        return F.linear(context_BHNK.transpose(1, 2).flatten(2), weight_DI, bias_D)
