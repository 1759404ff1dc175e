"""From gates to the exact units that stay, at the size that was asked for (law 2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import TinyclipError, UserError
from ..goal import SizeGoal
from ..keep import ClipKeep, Keep, TowerKeep
from ..model.gating import ClipGates, TowerGates
from ..shapes import ClipShape, TowerShape
from .gate import SHIFT
from .gates import Gates
from .goal import Goal, make_goal
from .ragged import ragged_counts
from .ranking import Ranking, ranked, split_keep
from .sites import POOL, SITES, TOWERS, site_name
from .sites import layout as units_of
from .uniform import uniform_counts


def choose(gates: Gates, target: float | SizeGoal = 0.5, **settings: Any) -> ClipKeep:
    """The units that stay: the most open ones of every site, as many as are expected,
    corrected as little as meets the budget. Ties go to the lower index, layers in turn.

    Args:
        gates: as learned; kept units keep their hardened value as scale. A uniform
            student of a model with an attention pool needs `Gates(model, pool=True)`;
            a ragged one keeps the pool whole.
        target: wanted size as a share, or a whole `SizeGoal`.
        settings: the other fields of `SizeGoal`: `budget`, `layout`, `reference`,
            `towers`, `round_to`.

    Raises:
        UserError: 0.5 % cannot be met; the message says what can.
    """
    wanted = SizeGoal.of(target, **settings)
    rankings = {}
    hard = gates.hardened_values()
    for name, alpha_U in gates.alpha.items():
        score_U = alpha_U.detach().double().cpu().numpy()
        if not np.isfinite(score_U).all():
            raise TinyclipError(f"gates: {name} holds a logit that is not a number")
        scale_U = hard[name].double().cpu().numpy()
        rankings[name] = Ranking(score_U, score_U - SHIFT, scale_U)
    return _choose(make_goal(gates.shape, wanted, tuple(rankings)), rankings)


def choose_by_scores(
    shape: ClipShape,
    scores: Mapping[str, Tensor],
    target: float | SizeGoal = 0.5,
    *,
    sites: Sequence[str] = SITES,
    **settings: Any,
) -> ClipKeep:
    """The units with the highest importance, the same share of every tower and site.

    Args:
        scores: one a unit, (U,), by site name.
        sites: which of them may shrink; the others are left whole.
        target, settings: as in `choose`.

    Raises:
        UserError: as `choose`, or scores that do not fit the shape.
    """
    wanted = SizeGoal.of(target, **settings)
    rankings = {}
    for name, units in units_of(shape, sites, wanted.towers, wanted.uniform).items():
        if name not in scores and name.endswith(POOL):
            continue  # refused with what to do about it
        if name not in scores or len(scores[name]) != sum(units):
            raise UserError("scores", f"need {sum(units)} values for {name!r}")
        values_U = scores[name].detach().double().cpu().numpy()
        order = ranked(values_U, units)
        # openness by rank, not by value: heavy tails do not decide how many stay
        rank_U = np.empty(len(order))
        rank_U[order] = np.arange(len(order))
        share_U = (len(order) - rank_U - 0.5) / max(1, len(order))
        rankings[name] = Ranking(values_U, np.log(share_U / (1 - share_U)))
    return _choose(make_goal(shape, wanted, tuple(rankings)), rankings)


def check_target(
    shape: ClipShape,
    target: float | SizeGoal,
    *,
    sites: Sequence[str] = SITES,
    **settings: Any,
) -> None:
    """Refuse a target that no choice of a model's units meets, whatever the gates say.

    What a model cannot reach, no smaller one cut from it can.

    Args:
        target, settings: as in `choose`.

    Raises:
        UserError: as `choose` would, before anything is trained.
    """
    wanted = SizeGoal.of(target, **settings)
    units = units_of(shape, sites, wanted.towers, wanted.uniform)
    goal = make_goal(shape, wanted, tuple(units))
    solve_counts(goal, {name: np.zeros(sum(widths)) for name, widths in units.items()})


def solve_counts(goal: Goal, logits: Mapping[str, np.ndarray]) -> dict[str, int]:
    """Units in all that every site keeps, in the layout of the goal.

    Args:
        logits: of the open probability of every unit, (U,), by name of the gated site.

    Raises:
        UserError: the goal cannot be met.
    """
    solve = uniform_counts if goal.wanted.uniform else ragged_counts
    return solve(goal, logits)


def _choose(goal: Goal, rankings: Mapping[str, Ranking]) -> ClipKeep:
    counts = solve_counts(goal, {n: r.logit_U for n, r in rankings.items()})
    towers = {
        name: _tower_keep(goal, name, tower, rankings, counts)
        for name, tower in goal.shape.towers().items()
    }
    return ClipKeep(**towers)


def _tower_keep(
    goal: Goal,
    name: str,
    tower: TowerShape,
    rankings: Mapping[str, Ranking],
    counts: Mapping[str, int],
) -> TowerKeep:
    all_units = goal.units()

    def keeps(site: str) -> tuple[Keep, ...]:
        key = site_name(name, site)
        units, even = all_units[key], goal.wanted.uniform
        if key not in goal.gated:
            return tuple(Keep.everything(total) for total in units)
        return split_keep(rankings[key], units, counts[key], even, goal.step(key))

    def pool(site: str) -> Keep | None:
        return keeps(site)[0] if site_name(name, site) in goal.gated else None

    return TowerKeep(
        embed=keeps("embed")[0],
        heads=keeps("heads"),
        ffn=keeps("ffn"),
        layers=Keep.everything(len(tower.blocks)),
        pool_heads=pool("pool_heads"),
        pool_ffn=pool("pool_ffn"),
    )


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
