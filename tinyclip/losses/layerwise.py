"""Layerwise distillation: the tokens of layers, as the teacher has them.

Legend: B batch, L layers, N tokens, D the student's embed, F the teacher's.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..config.setting import setting
from ..errors import UserError
from ..shapes import ClipShape, TowerShape
from .needs import LayerTokens
from .objectives import objectives
from .tokens import (
    OfTokens,
    Tokens,
    Towers,
    fewer,
    matched,
    mean_counted,
    projection,
    towers_of,
)


@dataclass(frozen=True, kw_only=True)
class LayerwiseOptions:
    """What can be asked of layerwise distillation."""

    towers: Towers = setting("both", "whose tokens are compared")
    layers: int | None = setting(
        None,
        "how many of the student's layers are compared, evenly, the last among them; "
        "null for all",
        low=1,
    )


@objectives.register("layerwise", need=lambda _: LayerTokens(), shapes=True)
class Layerwise(OfTokens):
    """The student's tokens after each layer, projected, as the teacher's nearest layer
    has them (Xia et al., ACL 2022, "Structured Pruning Learns Compact and Accurate
    Models", CoFi, §3.2).

    L = Σ_towers mean_i mean_l mean_n |W h_iln − H_imn|² / F, m = m(l)

    h (B, L, N, D) are the student's tokens, H the teacher's, each normalised as the
    blocks' own norms do it, without their weights: the distance grows neither with
    depth nor with width, is 0 for the teacher itself and 1 for W = 0. W (F, D), one a
    tower, is learned, starts as the identity where the widths are the same and else as
    0, and ends with its phase. The k-th of n blocks that the student has left goes to
    the teacher's k·N/n-th of N, rounded. What a caption has after its end does not
    count. The teacher runs at every step (with `accumulate` three times), and no cache
    is of use.

    Args:
        student, teacher: shapes of the models.

    Raises:
        UserError: the models have another number of tokens.
    """

    def __init__(
        self,
        student: ClipShape,
        teacher: ClipShape,
        options: LayerwiseOptions = LayerwiseOptions(),
    ) -> None:
        towers = towers_of(options.towers)
        sides = {t: (student.towers()[t], teacher.towers()[t]) for t in towers}
        layers = {tower: matched(*both) for tower, both in sides.items()}
        if options.layers is not None:
            layers = {t: fewer(pairs, options.layers) for t, pairs in layers.items()}
        super().__init__("layerwise", layers)
        for tower, both in sides.items():
            _refuse_other_tokens(tower, *both)
        self.project = nn.ModuleDict(
            {tower: projection(m.width, t.width) for tower, (m, t) in sides.items()}
        )

    def distance(self, tower: str, mine: Tokens, theirs: Tokens) -> Tensor:
        counts_BN = _counted(mine.counts_BN, theirs.counts_BN)
        project, given = self.project[tower], []
        for own, other in self.layers[tower]:
            apart_BNF = project(mine.layers_BND[own]) - theirs.layers_BND[other]
            given.append(mean_counted(apart_BNF.square().mean(dim=-1), counts_BN))
        return torch.stack(given).mean(dim=0)


def _counted(mine_BN: Tensor | None, theirs_BN: Tensor | None) -> Tensor | None:
    """Tokens that count for both; none of captions that end elsewhere for the teacher,
    whose tokens are not the same ones (a trimmed vocabulary spells in smaller pieces
    what it was not made for)."""
    if mine_BN is None or theirs_BN is None:
        return mine_BN
    return mine_BN & (mine_BN == theirs_BN).all(dim=1, keepdim=True)


def _refuse_other_tokens(tower: str, mine: TowerShape, theirs: TowerShape) -> None:
    counts = [side.tokens for side in (mine, theirs)]  # type: ignore[attr-defined]
    if counts[0] != counts[1]:
        raise UserError(
            "losses.layerwise",
            f"the {tower} tower has {counts[0]} tokens and the teacher's {counts[1]}: "
            "they are compared one by one",
            "Use tat, which rebuilds the teacher's from all of the student's",
        )
