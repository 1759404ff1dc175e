"""Tokens of layers, of the student and of the teacher itself.

Legend: B pairs of a batch, N tokens, D embed.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager

import torch
from torch import Tensor

from ...data.batch import Batch
from ...losses.needs import LayerTokens
from ...losses.objectives import Weighted
from ...losses.tokens import OfTokens, Tokens
from ...model.clip import Clip
from ...model.gating import TowerGates, resolve
from ...model.norm import evened
from ...model.streams import Streams
from .provider import Offered, Pass, Provider


class TokensOfLayers(Provider):
    """How far the tokens of layers are from the teacher's, by the objective's measure.

    The tokens of one batch, or piece of one, are held until then, and only of layers
    that the objective asks for.
    """

    def __init__(
        self, _need: LayerTokens, offered: Offered, objective: Weighted
    ) -> None:
        module = objective.module
        assert isinstance(module, OfTokens), f"{objective.name} compares no tokens"
        self.objective, self.live = module, offered.running
        pairs = module.layers.items()
        self.mine = Streams({tower: {own for own, _ in both} for tower, both in pairs})
        self.theirs = Streams({tower: {to for _, to in both} for tower, both in pairs})
        self.live.watched_by.add(self.theirs)

    def watching(self, model: Clip) -> AbstractContextManager[None]:
        return self.mine.watching(model)

    def student(self, seen: Pass) -> dict[str, Tensor]:
        gates = resolve(seen.gates)
        read = self.live.watched(seen.batch, self.theirs)
        mine, theirs = self.mine.taken(), self.theirs.taken()
        found = {}
        for tower in self.objective.layers:
            own = _tokens(seen.model, seen.batch, tower, mine, getattr(gates, tower))
            other = _tokens(self.live.model, read, tower, theirs)
            found[tower] = self.objective.distance(tower, own, other)
        return found


def _tokens(
    model: Clip,
    batch: Batch,
    tower: str,
    streams: Mapping[str, Mapping[int, Tensor]],
    gates: TowerGates | None = None,
) -> Tokens:
    """What a model's streams of one tower come to."""
    gate_D = None if gates is None else gates.embed_D
    shape = model.shape.towers()[tower]
    layers = {n: evened(x_BND, shape, gate_D) for n, x_BND in streams[tower].items()}
    counts_BN = counted(model, batch.tokens_BT) if tower == "text" else None
    return Tokens(layers, counts_BN)


def counted(model: Clip, tokens_BT: Tensor) -> Tensor | None:
    """Which tokens of captions count, (B, T): those up to the one that stands for the
    caption. None for all: of towers that take the first or the last one, which reads
    the padding, too."""
    if model.shape.text.pool not in ("argmax", "eos"):
        return None
    tokens_BT = tokens_BT.to(model.logit_scale.device)
    end_B = model.text.end(tokens_BT)
    return torch.arange(tokens_BT.shape[1], device=end_B.device) <= end_B[:, None]
