"""From gates to the exact units that stay, at the size that was asked for (law 2)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .. import cost
from ..errors import TinyclipError, UserError, nearest
from ..keep import ClipKeep, Keep, TowerKeep
from ..model.gating import ClipGates, TowerGates
from ..shapes import ClipShape, TowerShape
from .budget import Goal, ragged_counts
from .gate import SHIFT
from .gates import Gates
from .sites import SITES, TOWERS, site_name, widths
from .sites import layout as units_of
from .uniform import uniform_counts

Layout = Literal["ragged", "uniform"]
LAYOUTS = ("ragged", "uniform")
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Ranking:
    """How the units of one tower and site compare.

    Args:
        score_U: what they are ranked by; more stays longer.
        logit_U: of the probability that each is open; their sum is how many stay.
        scale_U: gate value of each if it stays, or None for 1.
    """

    score_U: Array
    logit_U: Array
    scale_U: Array | None = None


def choose(
    gates: Gates,
    target: float = 0.5,
    budget: str = "encoder",
    layout: Layout = "ragged",
    reference: int | None = None,
) -> ClipKeep:
    """The units that stay: the most open ones of every site, as many as are expected,
    corrected as little as meets the budget. Ties go to the lower index, layers in turn.

    Args:
        gates: as learned; kept units keep their hardened value as scale.
        target: wanted size as a share of `reference`.
        reference: a size in `budget`; the gated model's own, unless given.

    Raises:
        UserError: 0.5 % cannot be met; the message says what can.
    """
    rankings = {}
    hard = gates.hardened_values()
    for name, alpha_U in gates.alpha.items():
        score_U = alpha_U.detach().double().cpu().numpy()
        if not np.isfinite(score_U).all():
            raise TinyclipError(f"gates: {name} holds a logit that is not a number")
        scale_U = hard[name].double().cpu().numpy()
        rankings[name] = Ranking(score_U, score_U - SHIFT, scale_U)
    return _choose(gates.shape, rankings, target, budget, layout, reference)


def choose_by_scores(
    shape: ClipShape,
    scores: Mapping[str, Tensor],
    target: float = 0.5,
    budget: str = "encoder",
    layout: Layout = "ragged",
    reference: int | None = None,
    sites: Sequence[str] = SITES,
) -> ClipKeep:
    """The units with the highest importance, the same share of every tower and site.

    Args:
        scores: one a unit, (U,), by site name.
        sites: which of them may shrink; the others are left whole.

    Raises:
        UserError: as `choose`, or scores that do not fit the shape.
    """
    rankings = {}
    for name, units in units_of(shape, sites).items():
        if name not in scores or len(scores[name]) != sum(units):
            raise UserError("scores", f"need {sum(units)} values for {name!r}")
        values_U = scores[name].detach().double().cpu().numpy()
        order = ranked(values_U, units)
        # openness by rank, not by value: heavy tails do not decide how many stay
        rank_U = np.empty(len(order))
        rank_U[order] = np.arange(len(order))
        share_U = (len(order) - rank_U - 0.5) / max(1, len(order))
        rankings[name] = Ranking(values_U, np.log(share_U / (1 - share_U)))
    return _choose(shape, rankings, target, budget, layout, reference)


def _choose(
    shape: ClipShape,
    rankings: Mapping[str, Ranking],
    target: float,
    budget: str,
    layout: str,
    reference: int | None,
) -> ClipKeep:
    if not (math.isfinite(target) and 0 < target <= 1):
        raise UserError("target", f"{target} is no share", "Give one in (0, 1]")
    if layout not in LAYOUTS:
        raise UserError(
            "layout", f"unknown layout {layout!r}", nearest(layout, LAYOUTS)
        )
    whole = cost.size(shape, budget) if reference is None else reference
    goal = Goal(shape, target * whole, budget, tuple(rankings))
    logits = {name: ranking.logit_U for name, ranking in rankings.items()}
    solve = uniform_counts if layout == "uniform" else ragged_counts
    counts = solve(goal, logits)
    towers = {
        name: _tower_keep(name, tower, rankings, counts, layout)
        for name, tower in shape.towers().items()
    }
    return ClipKeep(**towers)


def _tower_keep(
    name: str,
    tower: TowerShape,
    rankings: Mapping[str, Ranking],
    counts: Mapping[str, int],
    layout: str,
) -> TowerKeep:
    def keeps(site: str) -> tuple[Keep, ...]:
        key, units = site_name(name, site), widths(tower, site)
        if key not in rankings:
            return tuple(Keep.everything(total) for total in units)
        return split_keep(rankings[key], units, counts[key], even=layout == "uniform")

    return TowerKeep(
        embed=keeps("embed")[0],
        heads=keeps("heads"),
        ffn=keeps("ffn"),
        layers=Keep.everything(len(tower.blocks)),
    )


def ranked(score_U: Array, units: Sequence[int]) -> NDArray[np.int64]:
    """Indices from best to worst over all layers of a site.

    Ties go to the lower place inside a layer, then to the lower layer, so that equal
    scores empty all layers alike rather than the last ones first.
    """
    layer_U = np.repeat(np.arange(len(units)), units)
    place_U = np.concatenate([np.arange(n) / max(1, n) for n in units] or [np.empty(0)])
    return np.lexsort((layer_U, place_U, -score_U))


def split_keep(
    ranking: Ranking, units: Sequence[int], count: int, even: bool
) -> tuple[Keep, ...]:
    """The best `count` units of a site, one Keep a layer.

    Args:
        even: the same number in every layer, the best of each.
    """
    open_U = np.zeros(sum(units), dtype=bool)
    starts = np.cumsum([0, *units])
    if even:
        for start, stop in zip(starts[:-1], starts[1:], strict=True):
            order = np.argsort(-ranking.score_U[start:stop], kind="stable")
            open_U[start + order[: count // len(units)]] = True
    else:
        open_U[ranked(ranking.score_U, units)[:count]] = True
    keeps = []
    for start, stop in zip(starts[:-1], starts[1:], strict=True):
        kept = np.flatnonzero(open_U[start:stop])
        scale = None
        if ranking.scale_U is not None:
            scale = tuple(ranking.scale_U[start:stop][kept].tolist())
        keeps.append(Keep(tuple(kept.tolist()), int(stop - start), scale))
    return tuple(keeps)


def gates_of(
    keep: ClipKeep,
    shape: ClipShape,
    device: torch.device | str | None = None,
    dtype: torch.dtype = torch.float32,
) -> ClipGates:
    """The hardened gates of a keep: closed units 0, kept ones their scale.

    Args:
        shape: of the model before the cut. Where the keep drops layers, the gates fit
            the model that has only the kept ones.

    Raises:
        ValueError: the keep is of another shape.
    """

    def values(site: Keep) -> Tensor:
        full = torch.zeros(site.total, dtype=torch.float64)
        full[list(site.kept)] = torch.tensor(site.scales, dtype=torch.float64)
        return full.to(device=device, dtype=dtype)

    def perhaps(site: Keep | None) -> Tensor | None:
        return None if site is None else values(site)

    def tower(kept: TowerKeep, old: TowerShape) -> TowerGates:
        blocks = [old.blocks[i] for i in kept.layers.kept]
        if (kept.embed.total, kept.layers.total) != (old.width, len(old.blocks)) or any(
            (heads.total, ffn.total) != (block.heads, block.ffn)
            for heads, ffn, block in zip(kept.heads, kept.ffn, blocks, strict=True)
        ):
            raise ValueError("the keep does not fit the shape")
        return TowerGates(
            embed_D=values(kept.embed),
            heads_H=tuple(map(values, kept.heads)),
            ffn_F=tuple(map(values, kept.ffn)),
            pool_heads_H=perhaps(kept.pool_heads),
            pool_ffn_F=perhaps(kept.pool_ffn),
        )

    kept = keep.towers()
    return ClipGates(*(tower(kept[n], shape.towers()[n]) for n in TOWERS))
