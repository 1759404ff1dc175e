"""The parameters of a tower in the bases of its stream and of its heads.

Legend: D channels, K directions, E joint embedding, F ffn units.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ..model.block import Block
from ..model.norm import Norm, RmsNorm
from ..model.text import TextTower
from ..model.vision import ImageTower
from ..shapes import ClipShape, ImageShape, TowerShape
from .dims import Read
from .heads import reader, turned_heads, writer

Named = dict[str, Tensor]
Tower = ImageTower | TextTower


def last_norm(tower: Tower) -> Norm | RmsNorm:
    """The norm before the feature."""
    return tower.norm_final if isinstance(tower, TextTower) else tower.norm_post


def turned_shape(shape: TowerShape, width: int) -> TowerShape:
    """The shape of a rotated tower.

    Args:
        width: how many directions there are.
    """
    changed: dict[str, Any] = {
        "width": width,
        "norm": "rms",
        "full_width": shape.full_width or shape.width,
        "layer_scale": False,
    }
    if not isinstance(shape, ImageShape):
        changed["projection_bias"] = True
    elif shape.pool_block is None:
        changed |= {"projection_bias": True, "projection": True}
    return replace(shape, **changed)


def turned_clip(shape: ClipShape) -> ClipShape:
    """The shape of a rotated CLIP, all directions there."""
    return shape.with_towers(
        **{
            name: turned_shape(tower, tower.width - (not tower.rotated))
            for name, tower in shape.towers().items()
        }
    )


class Turned:
    """A tower's parameters in the basis, float64.

    Args:
        tower: left as it is.
        directions_DK: the basis, a direction a column.
        reads: what attention reads, of every block.
    """

    def __init__(
        self, tower: Tower, directions_DK: Tensor, reads: Sequence[Read | None]
    ) -> None:
        self.tower, self.reads = tower, reads
        self.directions_DK = directions_DK
        self.ones_K = torch.ones_like(directions_DK[0])

    def named(self) -> Named:
        """Every parameter by its name in the tower."""
        named = self._first() | self._last()
        for number, block in enumerate(self.tower.blocks):
            assert isinstance(block, Block)
            parts = self._attention(block, self.reads[number]) | self._ffn(block)
            named |= {f"blocks.{number}.{inner}": v for inner, v in parts.items()}
        return named

    def _attention(self, block: Block, read: Read | None) -> Named:
        if block.attention is None or block.norm_1 is None or read is None:
            return {}
        # heads turn while they read channels: it is of channels that `read` is
        dims = block.attention.dims
        turned = turned_heads(block.attention, read, dims, block.norm_1, block.scale_1)
        named = {f"attention.{name}": v for name, v in turned.named().items()}
        for name in ("q", "k", "v"):
            named[f"attention.{name}.weight"] @= self.directions_DK
        for part in ("weight", "bias"):
            name = f"attention.out.{part}"
            named[name] = self._writes(named[name])
        return {"norm_1.weight": self.ones_K, **named}

    def _ffn(self, block: Block) -> Named:
        if block.ffn is None or block.norm_2 is None:
            return {}
        up = reader(block.ffn.up, block.norm_2)
        down = writer(block.ffn.down, block.scale_2)
        return {
            "norm_2.weight": self.ones_K,
            "ffn.up.weight": up.weight @ self.directions_DK,
            "ffn.up.bias": up.bias,
            "ffn.down.weight": self._writes(down.weight),
            "ffn.down.bias": self._writes(down.bias),
        }

    def _writes(self, value: Tensor) -> Tensor:
        """What writes to the stream, (D, ...), in the basis."""
        return torch.tensordot(self.directions_DK.T, value.double(), 1)

    def _first(self) -> Named:
        """What stands before the blocks."""
        tower = self.tower
        if isinstance(tower, TextTower):
            rows = {n: getattr(tower, n) for n in ("token_embedding", "position")}
            return {n: value.double() @ self.directions_DK for n, value in rows.items()}
        state = tower.state_dict()
        names = ("patch", "patch_bias", "class_embedding", "position")
        named = {name: state[name] for name in names if name in state}
        if tower.norm_pre is not None:
            stem = tower.stem
            into = (
                self.directions_DK
                if stem is None
                else stem.double() @ self.directions_DK
            )
            norm = {n: v for n, v in state.items() if n.startswith("norm_pre.")}
            return {**named, **norm, "stem": into}
        position = named.pop("position").double() @ self.directions_DK
        written = {name: self._writes(value) for name, value in named.items()}
        return {**written, "position": position}

    def _last(self) -> Named:
        """What stands behind the blocks."""
        tower, norm = self.tower, last_norm(self.tower)
        if isinstance(tower, ImageTower) and tower.pool is not None:
            return {"norm_post.weight": self.ones_K, **self._pool(tower)}
        name = "norm_final" if isinstance(tower, TextTower) else "norm_post"
        # without a projection, the stream itself, in channels
        weight_DE = torch.eye(len(self.directions_DK)).to(self.directions_DK)
        if tower.projection is not None:
            weight_DE = tower.projection.double()
        bias_E = weight_DE.new_zeros(weight_DE.shape[1])
        if isinstance(norm, Norm):
            bias_E = norm.bias.double() @ weight_DE
        if tower.projection_bias is not None:
            bias_E = bias_E + tower.projection_bias.double()
        weighted_DE = norm.weight.double()[:, None] * weight_DE
        return {
            f"{name}.weight": self.ones_K,
            "projection": self.directions_DK.T @ weighted_DE,
            "projection_bias": bias_E,
        }

    def _pool(self, tower: ImageTower) -> Named:
        """A pool's keys and values read the basis; all else stays."""
        assert tower.pool is not None
        named = {f"pool.{name}": v for name, v in tower.pool.state_dict().items()}
        for name in ("k", "v"):
            read = reader(getattr(tower.pool.attention, name), tower.norm_post)
            start = f"pool.attention.{name}"
            named[f"{start}.weight"] = read.weight @ self.directions_DK
            named[f"{start}.bias"] = read.bias
        behind = ("projection", "projection_bias")
        return named | {n: v for n, v in tower.state_dict().items() if n in behind}
