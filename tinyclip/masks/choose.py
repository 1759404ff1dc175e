"""From gates to the exact units that stay, at the size that was asked for (law 2)."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import TinyclipError, UserError
from ..goal import SizeGoal
from ..keep import ClipKeep, Keep, TowerKeep
from ..model.gating import ClipGates, TowerGates
from ..shapes import TOWERS, ClipShape, TowerShape
from ..sites import GROUPS, KEYS, LAYERS, USUAL, units_of
from .budget import NoChoice, unreachable
from .depth import TRIES, Shallow, ends, has_depth, shallows
from .gate import SHIFT
from .gates import Gates
from .goal import Counts, Goal, make_goal
from .ragged import ragged_counts
from .ranking import Ranking, ranked, split_keep
from .sites import layout
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
    size_goal = SizeGoal.of(target, **settings)
    rankings = {}
    hard = gates.hardened_values()
    for name, alpha_U in gates.alpha.items():
        score_U = alpha_U.detach().double().cpu().numpy()
        if not np.isfinite(score_U).all():
            raise TinyclipError(f"gates: {name} holds a logit that is not a number")
        scale_U = hard[name].double().cpu().numpy()
        rankings[name] = Ranking(score_U, score_U - SHIFT, scale_U)
    return choose_ranked(make_goal(gates.shape, size_goal, rankings), rankings)


def choose_by_scores(
    shape: ClipShape,
    scores: Mapping[str, Tensor],
    target: float | SizeGoal = 0.5,
    *,
    sites: Sequence[str] = USUAL,
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
    size_goal = SizeGoal.of(target, **settings)
    rankings = {}
    for name, units in layout(
        shape, sites, size_goal.towers, size_goal.uniform
    ).items():
        if name not in scores and GROUPS[name].part:
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
    return choose_ranked(make_goal(shape, size_goal, rankings), rankings)


def check_target(
    shape: ClipShape,
    target: float | SizeGoal,
    *,
    sites: Sequence[str] = USUAL,
    **settings: Any,
) -> None:
    """Refuse a target that no choice of a model's units meets, whatever the gates say.

    What a model cannot reach, no smaller one cut from it can.

    Args:
        target, settings: as in `choose`.

    Raises:
        UserError: as `choose` would, before anything is trained.
    """
    size_goal = SizeGoal.of(target, **settings)
    units = layout(shape, sites, size_goal.towers, size_goal.uniform)
    alike = {name: np.zeros(sum(widths)) for name, widths in units.items()}
    rankings = {name: Ranking(zero_U, zero_U) for name, zero_U in alike.items()}
    goal = make_goal(shape, size_goal, rankings)
    try:
        solve(goal, rankings)
    except NoChoice:
        # which layers stay decides what can be reached where blocks are unlike
        unlike = any(len(set(tower.blocks)) > 1 for tower in shape.towers().values())
        if not (has_depth(goal) and unlike):
            raise


def solve_counts(goal: Goal, logits: Mapping[str, np.ndarray]) -> dict[str, int]:
    """Units in all that every site keeps, in the layout of the goal.

    Args:
        logits: of the open probability of every unit, (U,), by name of the gated site.

    Raises:
        UserError: the goal cannot be met.
    """
    solve = uniform_counts if goal.size_goal.uniform else ragged_counts
    return solve(goal, logits)


def solve(goal: Goal, rankings: Mapping[str, Ranking]) -> tuple[Shallow, Counts]:
    """Which layers stay, and how many units at every site of the model that is left.

    Raises:
        UserError: the goal cannot be met.
    """
    failed: list[UserError] = []
    for shallow in itertools.islice(shallows(goal, rankings), TRIES):
        logits = {name: r.logit_U for name, r in shallow.rankings.items()}
        try:
            return shallow, solve_counts(shallow.goal, logits)
        except UserError as error:
            failed.append(error)
    coarse = [error for error in failed if isinstance(error, NoChoice)]
    if not has_depth(goal) or not coarse:
        raise failed[0]
    near = [size for error in coarse for size in error.near]
    raise unreachable(goal, np.array([*near, *ends(goal, rankings)]))


def choose_ranked(goal: Goal, rankings: Mapping[str, Ranking]) -> ClipKeep:
    """The best units of every site, as many as are expected, at the size of the goal.

    Raises:
        UserError: the goal cannot be met.
    """
    shallow, counts = solve(goal, rankings)
    towers = goal.shape.towers()
    return ClipKeep(
        **{name: _tower_keep(shallow, name, towers[name], counts) for name in towers}
    )


def _tower_keep(
    shallow: Shallow, name: str, tower: TowerShape, counts: Mapping[str, int]
) -> TowerKeep:
    """The best units of the layers that stay.

    Args:
        tower: its shape before anything was cut.
    """
    goal, layers = shallow.goal, shallow.layers.towers()[name]
    units = {key: keeps for key, keeps in layers.units.items() if key in LAYERS}
    for full_name, totals in goal.units().items():
        group = GROUPS[full_name]
        if group.tower != name or (group.part and full_name not in goal.gated):
            continue
        keeps = tuple(Keep.everything(total) for total in totals)
        if full_name in goal.gated:
            ranking, step = shallow.rankings[full_name], goal.step(full_name)
            even = goal.size_goal.uniform
            keeps = split_keep(ranking, totals, counts[full_name], even, step)
        if group.layer is not None and group.layer.key in units:
            # a layer that is gone has none of the units that it had
            had = units_of(tower, group.key)
            before = [had[block] for block in layers.layers.kept]
            pairs = zip(keeps, before, strict=True)
            keeps = tuple(keep if keep.total else Keep((), n) for keep, n in pairs)
        units[group.key] = keeps
    return TowerKeep(units, layers.layers)


def gates_of(
    keep: ClipKeep,
    shape: ClipShape,
    device: torch.device | str | None = None,
    dtype: torch.dtype = torch.float32,
) -> ClipGates:
    """The hardened gates of a keep: closed units 0, kept ones their scale.

    Args:
        shape: of the model before the cut. The layers of a block that is dropped are
            closed.

    Raises:
        ValueError: the keep is of another shape.
    """

    def values(site: Keep) -> Tensor:
        full = torch.zeros(site.total, dtype=torch.float64)
        full[list(site.kept)] = torch.tensor(site.scales, dtype=torch.float64)
        return full.to(device=device, dtype=dtype)

    kept = keep.towers()
    towers = shape.towers()
    return ClipGates(
        *(
            TowerGates(
                {
                    key: tuple(map(values, keeps))
                    for key, keeps in _every_block(kept[name], towers[name]).items()
                }
            )
            for name in TOWERS
        )
    )


def _every_block(kept: TowerKeep, old: TowerShape) -> dict[str, tuple[Keep, ...]]:
    """The keeps of all blocks of the tower before the cut: those that are dropped lose
    their layers.

    Raises:
        ValueError: the keep is of another shape.
    """
    dropped = len(kept.layers) < kept.layers.total
    if kept.layers.total != len(old.blocks):
        raise ValueError("the keep does not fit the shape")
    units = dict(kept.units)
    if dropped:
        for site in LAYERS:
            whole = tuple(units_of(old, site)[block] for block in kept.layers.kept)
            units.setdefault(site, tuple(map(Keep.everything, whole)))
    all_blocks = {}
    for key, keeps in units.items():
        totals = units_of(old, key)
        if KEYS[key].site.in_block and not KEYS[key].part:
            by_block = dict(zip(kept.layers.kept, keeps, strict=True))
            keeps = tuple(by_block.get(i, Keep((), n)) for i, n in enumerate(totals))
        if [keep.total for keep in keeps] != list(totals):
            raise ValueError("the keep does not fit the shape")
        all_blocks[key] = keeps
    return all_blocks
