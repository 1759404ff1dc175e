"""Target-aware distillation: every token of the teacher, rebuilt from the student's.

Legend: B batch, N tokens of the student and M of the teacher (of a part), D and F their
embeds, A parts of a tower's tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from ..config.setting import setting
from ..errors import UserError
from ..shapes import ClipShape, ImageShape, TowerShape
from .needs import LayerTokens
from .objectives import objectives
from .tokens import (
    OfTokens,
    Tokens,
    Towers,
    matched,
    mean_counted,
    projection,
    towers_of,
)

Part = list[int]  # the places of its tokens


@dataclass(frozen=True, kw_only=True)
class TatOptions:
    """What can be asked of target-aware distillation."""

    towers: Towers = setting("both", "whose tokens are rebuilt")
    layer: int = setting(
        1,
        "whose tokens: of the student's layers from its end, 1 the last; the first if "
        "there are no more",
        low=1,
    )
    groups: int = setting(
        1,
        "a picture's sides, and a caption, are cut into so many, and each part rebuilt "
        "from the student's same part alone",
        low=1,
    )
    anchors: int = setting(
        0,
        "beside it, means of parts are rebuilt from each other: a picture's sides, and "
        "a caption, in so many; 0 for none",
        low=0,
    )


@objectives.register("tat", need=lambda _: LayerTokens(), shapes=True)
class Tat(OfTokens):
    """Every token of the teacher as the student's tokens together rebuild it (Lin et
    al., CVPR 2022, "Knowledge Distillation via the Target-aware Transformer", eq. 3 to
    5; groups and anchors §3.2).

    L = Σ_towers mean_i mean_m |Σ_n w_imn φ h_in − H_im|² / F,
    w_imn = softmax_n(θ H_im · γ h_in / √D)

    h (B, N, D) are the student's tokens of one layer and H (B, M, F) the teacher's of
    the nearest one, normalised as for `layerwise`. γ (D, D), θ (D, F) and φ (F, D), of
    each tower, are learned, start as the identity where widths are the same (else φ as
    0, θ at right angles), and end with their phase; the paper's are convolutions with
    batch norm, which would make a pair depend on its batch. For φ = 0 the distance is
    1; for the teacher itself it nears 0 as the softmax sharpens. Which of the student's
    tokens is which does not matter, so the models may cut pictures into other patches.
    With groups n and m run over the same part of a picture or caption; a class token is
    a part of its own. Anchors are the means of parts; their distance is added. Weights
    take 8·N·M bytes a pair and tower, 8·N·M / groups² in groups: 2.7 MB of 577 tokens,
    0.7 of them in 2 groups a side.
    The teacher runs at every step, as for `layerwise`.

    Args:
        student, teacher: shapes of the models.

    Raises:
        UserError: there are more groups or anchors than tokens to a side.
    """

    def __init__(
        self, student: ClipShape, teacher: ClipShape, options: TatOptions = TatOptions()
    ) -> None:
        towers = towers_of(options.towers)
        sides = {t: (student.towers()[t], teacher.towers()[t]) for t in towers}
        layers = {tower: matched(*both) for tower, both in sides.items()}
        last = {tower: pairs[-options.layer :][:1] for tower, pairs in layers.items()}
        super().__init__("tat", last)
        self.groups = {
            tower: tuple(parts(tower, side, options.groups, "groups") for side in both)
            for tower, both in sides.items()
        }
        self.anchors = {
            tower: tuple(
                parts(tower, side, options.anchors, "anchors") for side in both
            )
            for tower, both in sides.items()
            if options.anchors
        }
        widths = {t: (mine.width, theirs.width) for t, (mine, theirs) in sides.items()}
        self.gamma = nn.ModuleDict(
            {t: projection(d, d) for t, (d, _) in widths.items()}
        )
        self.theta = nn.ModuleDict({t: _asking(f, d) for t, (d, f) in widths.items()})
        self.phi = nn.ModuleDict({t: projection(d, f) for t, (d, f) in widths.items()})

    def distance(self, tower: str, mine: Tokens, theirs: Tokens) -> Tensor:
        ((own, other),) = self.layers[tower]
        sides = _One.of(mine, own), _One.of(theirs, other)
        found_B = self._rebuilt(tower, sides, self.groups[tower])
        if tower not in self.anchors:
            return found_B
        both = zip(sides, self.anchors[tower], strict=True)
        mean, others = (side.pooled(places) for side, places in both)
        return found_B + self._rebuilt(tower, (mean, others), ([None], [None]))

    def _rebuilt(self, tower: str, sides: Sides, places: Places) -> Tensor:
        """How far the teacher's tokens are from what is rebuilt of them, part by part,
        (B,)."""
        found = [
            self._of_part(tower, sides[0].at(own), sides[1].at(other))
            for own, other in zip(*places, strict=True)
        ]
        apart_BM = torch.cat([apart for apart, _ in found], dim=1)
        counts = [counts for _, counts in found if counts is not None]
        return mean_counted(apart_BM, torch.cat(counts, dim=1) if counts else None)

    def _of_part(
        self, tower: str, mine: _One, theirs: _One
    ) -> tuple[Tensor, Tensor | None]:
        """The distance of each of the teacher's tokens of a part, (B, M), and which of
        them count."""
        asked_BMD = self.theta[tower](theirs.x_BND)
        keys_BND = self.gamma[tower](mine.x_BND)
        scores_BMN = asked_BMD @ keys_BND.mT / keys_BND.shape[-1] ** 0.5
        if mine.counts_BN is not None:
            # of a part without a token none counts: whatever it gives is left out
            open_BN = mine.counts_BN | ~mine.counts_BN.any(dim=1, keepdim=True)
            scores_BMN = scores_BMN.masked_fill(~open_BN[:, None], float("-inf"))
        rebuilt_BMF = scores_BMN.softmax(dim=-1) @ self.phi[tower](mine.x_BND)
        return (rebuilt_BMF - theirs.x_BND).square().mean(dim=-1), theirs.counts_BN


def _asking(teacher: int, student: int) -> nn.Linear:
    """As `projection`, but not from 0, where nothing would be asked for."""
    layer = projection(teacher, student)
    if teacher != student:
        nn.init.orthogonal_(layer.weight)
    return layer


@dataclass(frozen=True)
class _One:
    """The tokens of one layer of one model, or some of them."""

    x_BND: Tensor
    counts_BN: Tensor | None

    @classmethod
    def of(cls, tokens: Tokens, layer: int) -> _One:
        return cls(tokens.layers_BND[layer], tokens.counts_BN)

    def at(self, part: Part | None) -> _One:
        """Those of a part; None for all."""
        if part is None or len(part) == self.x_BND.shape[1]:
            return self
        counts_BN = None if self.counts_BN is None else self.counts_BN[:, part]
        return _One(self.x_BND[:, part], counts_BN)

    def pooled(self, places: list[Part]) -> _One:
        """The mean of each part over the tokens that count; one without any does not
        count."""
        each = [self.at(part) for part in places]
        x_BAD = torch.stack([one._mean() for one in each], dim=1)
        if self.counts_BN is None:
            return replace(self, x_BND=x_BAD)
        any_B = [one.counts_BN.any(dim=1) for one in each if one.counts_BN is not None]
        return _One(x_BAD, torch.stack(any_B, dim=1))

    def _mean(self) -> Tensor:
        if self.counts_BN is None:
            return self.x_BND.mean(dim=1)
        counts_BN1 = self.counts_BN[..., None]
        total_BD = torch.where(counts_BN1, self.x_BND, 0).sum(dim=1)
        return total_BD / counts_BN1.sum(dim=1).clamp(min=1)


Sides = tuple[_One, _One]
Places = tuple[Sequence[Part | None], ...]  # of the student, of the teacher


def parts(tower: str, shape: TowerShape, count: int, option: str) -> list[Part]:
    """The places of a tower's tokens in so many parts: of a picture's sides, the class
    token by itself; of a caption.

    Raises:
        UserError: a side has fewer.
    """
    if not isinstance(shape, ImageShape):
        return _cut(shape.tokens, count, tower, option)  # type: ignore[attr-defined]
    if count == 1:
        return [list(range(shape.tokens))]
    side, first = shape.image_size // shape.patch_size, int(shape.class_token)
    runs = _cut(side, count, tower, option)
    boxes = [
        [first + side * row + column for row in rows for column in columns]
        for rows in runs
        for columns in runs
    ]
    return [[0], *boxes] if first else boxes


def _cut(of: int, count: int, tower: str, option: str) -> list[Part]:
    """So many places in runs that are as long as each other, or nearly."""
    if count > of:
        raise UserError(
            "losses.tat",
            f"asks for {count} {option}, and the {tower} tower has {of} tokens a side",
            f"Ask for {of} at most",
        )
    return [list(run) for run in _runs(of, count)]


def _runs(of: int, count: int) -> list[range]:
    ends = [of * k // count for k in range(count + 1)]
    return [range(*pair) for pair in zip(ends, ends[1:], strict=False)]
