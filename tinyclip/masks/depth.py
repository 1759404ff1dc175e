"""Which whole layers stay: they are chosen first, then the units of those that stay.

How many of each tower, as many as the gates expect at the wanted size; where the units
of the layers that stay cannot meet it, the nearest other numbers are tried.

Legend: C candidates, N sites of layers, U units.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..errors import UserError
from ..goal import TOLERANCE
from ..keep import ClipKeep, Keep, TowerKeep
from ..shapes import TOWERS, ClipShape
from ..sites import GROUPS, LAYERS, units_of
from .budget import bounds, check_largest, check_smallest, unreachable
from .goal import Array, Counts, Goal
from .inside import inside_widths
from .ranking import Ranking, split_keep, within
from .stock import not_uniform

TRIES = 400  # numbers of layers whose units are looked at before the goal is refused
Rankings = Mapping[str, Ranking]


@dataclass(frozen=True)
class Shallow:
    """What is left once the layers are chosen.

    Args:
        layers: the whole layers that stay; nothing else is cut.
        goal: the same size, of the model with these layers only.
        rankings: of the units in them.
    """

    layers: ClipKeep
    goal: Goal
    rankings: Rankings


def has_depth(goal: Goal) -> bool:
    """Whether whole layers may go."""
    return any(GROUPS[name].site.owns for name in goal.gated)


def shallows(goal: Goal, rankings: Rankings) -> Iterator[Shallow]:
    """Every choice of layers that may meet the goal, the most expected first.

    Raises:
        UserError: the goal is smaller or larger than any of them.
    """
    if not has_depth(goal):
        yield Shallow(ClipKeep.everything(goal.shape), goal, rankings)
        return
    names, numbers = _knobs(goal), _numbers(goal)
    for end, check, side in ((0, check_smallest, 0), (-1, check_largest, 1)):
        chosen = {name: int(n[end]) for name, n in zip(names, numbers, strict=True)}
        shallow = _shallow(goal, rankings, chosen).goal
        check(shallow, bounds(shallow)[side])
    expected = _expected(goal, rankings, names)
    grid_NC = _grid(numbers)
    far_C = sum(abs(n - expected[m]) for m, n in zip(names, grid_NC, strict=True))
    low_C, high_C = _limits(goal, rankings, dict(zip(names, grid_NC, strict=True)))
    size = goal.size
    may_C = (low_C <= size * (1 + TOLERANCE)) & (high_C >= size * (1 - TOLERANCE))
    if not may_C.any():
        raise unreachable(goal, np.concatenate([low_C, high_C]))
    for candidate in np.argsort(far_C, kind="stable"):
        if may_C[candidate]:
            chosen = dict(zip(names, grid_NC[:, candidate].tolist(), strict=True))
            yield _shallow(goal, rankings, chosen)


def ends(goal: Goal, rankings: Rankings) -> list[float]:
    """The smallest and the largest size with every number of layers."""
    grid_NC = _grid(_numbers(goal))
    both = _limits(goal, rankings, dict(zip(_knobs(goal), grid_NC, strict=True)))
    return [float(size) for end_C in both for size in end_C]


def _numbers(goal: Goal) -> list[Array]:
    """The numbers of layers that every knob may take."""
    fewest = 1 if goal.size_goal.uniform else 0
    return [np.arange(fewest, _depth(goal, name) + 1) for name in _knobs(goal)]


def _grid(numbers: Sequence[Array]) -> Array:
    """Every combination, (N, C)."""
    return np.array(list(itertools.product(*numbers)), dtype=np.int64).T


def _knobs(goal: Goal) -> list[str]:
    """The sites whose numbers of layers are chosen; a uniform student loses whole
    blocks, so that one site of a tower stands for all.

    Raises:
        UserError: not all of a tower's are gated, or there.
    """
    names = [name for name in goal.gated if GROUPS[name].site.owns]
    if not goal.size_goal.uniform:
        return names
    towers = dict.fromkeys(GROUPS[name].tower for name in names)
    for tower in towers:
        if not all(f"{tower}_{site}" in names for site in LAYERS):
            raise UserError(
                "sites",
                f"a uniform student loses whole blocks, and of the {tower} tower not "
                f"both {' and '.join(LAYERS)} are gated",
                "Gate both, or use --layout ragged",
            )
        if not all(block.is_whole for block in goal.shape.towers()[tower].blocks):
            raise not_uniform(tower, "a block has lost one of its layers")
    return [f"{tower}_{LAYERS[0]}" for tower in towers]


def _units(goal: Goal, name: str) -> tuple[int, ...]:
    group = GROUPS[name]
    return units_of(goal.shape.towers()[group.tower], group.key)


def _depth(goal: Goal, name: str) -> int:
    return sum(_units(goal, name))


def _of_blocks(goal: Goal, rankings: Rankings, name: str) -> Ranking:
    """How the layers of a site compare; in a uniform student, the blocks of a tower."""
    if not goal.size_goal.uniform:
        return rankings[name]
    tower = GROUPS[name].tower
    logit_U = np.mean([rankings[f"{tower}_{site}"].logit_U for site in LAYERS], axis=0)
    return Ranking(logit_U, logit_U)


def _expected(goal: Goal, rankings: Rankings, names: Sequence[str]) -> dict[str, float]:
    """How many layers the gates expect at the wanted size: all are opened by the same
    shift, and a closed layer takes its units along."""

    def chance(name: str, shift: float) -> Array:
        logit_U = rankings[name].logit_U
        if name in names:
            logit_U = _of_blocks(goal, rankings, name).logit_U
        with np.errstate(over="ignore"):
            return np.asarray(1 / (1 + np.exp(-(logit_U + shift))))

    def counts(shift: float) -> Counts:
        expected: Counts = dict(goal.full())
        for name in goal.gated:
            expected[name] = float(chance(name, shift).sum())
        for name in goal.full():
            layer, units = GROUPS[name].layer, _units(goal, name)
            if layer is not None and layer.name in goal.gated:
                open_U = np.ones(sum(units))
                if name in goal.gated:
                    open_U = chance(name, shift)
                stays = np.zeros(len(units))
                stays[np.array(_units(goal, layer.name)) > 0] = chance(
                    layer.name, shift
                )
                expected[name] = float((open_U * np.repeat(stays, units)).sum())
        return expected

    low, high = -80.0, 80.0
    for _ in range(48):
        middle = (low + high) / 2
        over = goal.count(counts(middle)) > goal.size
        low, high = (low, middle) if over else (middle, high)
    at_goal = counts(low)
    return {name: at_goal[name] for name in names}


def _limits(
    goal: Goal, rankings: Rankings, numbers_C: Mapping[str, Array]
) -> tuple[Array, Array]:
    """The smallest and the largest size with so many layers of every site."""
    if goal.size_goal.uniform:
        return _limits_of_each(goal, rankings, numbers_C)
    low: Counts = {name: goal.floor(name) for name in goal.full()}
    high: Counts = {name: goal.most(name) for name in goal.full()}
    for name, number_C in numbers_C.items():
        low[name] = high[name] = number_C
    for name in goal.full():
        layer = GROUPS[name].layer
        if layer is None or layer.name not in numbers_C:
            continue
        step, units = goal.step(name), _units(goal, name)
        opened = [
            sum(
                count - count % step
                for count, keep in zip(units, keeps, strict=True)
                if len(keep)
            )
            for keeps in (
                split_keep(
                    rankings[layer.name], _units(goal, layer.name), number, even=False
                )
                for number in range(_depth(goal, layer.name) + 1)
            )
        ]
        most_C = np.array(opened, dtype=np.int64)[numbers_C[layer.name]]
        high[name] = most_C
        low[name] = 0 * most_C if name in goal.gated else most_C
    shape = next(iter(numbers_C.values())).shape
    low_C, high_C = (
        np.broadcast_to(np.asarray(goal.count(end), np.float64), shape)
        for end in (low, high)
    )
    return low_C, high_C


def _limits_of_each(
    goal: Goal, rankings: Rankings, numbers_C: Mapping[str, Array]
) -> tuple[Array, Array]:
    """As `_limits`, one candidate after the other: uniform ones are few."""
    ends = []
    for numbers in zip(*numbers_C.values(), strict=True):
        chosen = dict(zip(numbers_C, map(int, numbers), strict=True))
        shallow = _shallow(goal, rankings, chosen).goal
        ends.append([float(shallow.count(end)) for end in bounds(shallow)])
    low_C, high_C = np.array(ends).T
    return low_C, high_C


def _shallow(goal: Goal, rankings: Rankings, numbers: Mapping[str, int]) -> Shallow:
    """What is left of the model with the best layers, so many of every site."""
    towers = {tower: _tower_layers(goal, rankings, tower, numbers) for tower in TOWERS}
    layers = ClipKeep(**towers)
    shape = layers.cut(goal.shape)
    units_left = {name: _units_left(layers, shape, name) for name in goal.gated}
    chosen = tuple(name for name in goal.gated if GROUPS[name].site.owns)
    # where no unit is left there is nothing to choose
    gated = tuple(n for n in goal.gated if n not in chosen and sum(units_left[n]) > 0)
    settled = tuple(name for name in goal.gated if name not in gated)
    inner = {
        name: within(rankings[name], _units(goal, name), units_left[name])
        for name in gated
    }
    inside = inside_widths(shape, goal.size_goal, inner)
    goal_left = replace(goal, shape=shape, gated=gated, settled=settled, inside=inside)
    return Shallow(layers, goal_left, inner)


def _units_left(layers: ClipKeep, shape: ClipShape, name: str) -> tuple[int, ...]:
    """Units that are left of every block of the model that was cut."""
    group = GROUPS[name]
    units = units_of(shape.towers()[group.tower], group.key)
    if group.part or not group.site.in_block:
        return units
    blocks = layers.towers()[group.tower].layers
    by_block = dict(zip(blocks.kept, units, strict=True))
    return tuple(by_block.get(block, 0) for block in range(blocks.total))


def _tower_layers(
    goal: Goal, rankings: Rankings, tower: str, numbers: Mapping[str, int]
) -> TowerKeep:
    """The layers of a tower that stay; a block that loses all of them goes, too."""
    blocks = len(goal.shape.towers()[tower].blocks)
    keeps: dict[str, tuple[Keep, ...]] = {}
    for site in LAYERS:
        name = f"{tower}_{site}"
        if name not in goal.gated:
            continue
        knob = f"{tower}_{LAYERS[0]}" if goal.size_goal.uniform else name
        ranking = _of_blocks(goal, rankings, knob)
        chosen = split_keep(ranking, _units(goal, name), numbers[knob], even=False)
        keeps[site] = _scaled(chosen, rankings[name])
    if not keeps:
        return TowerKeep({}, Keep.everything(blocks))
    whole = {site: _units(goal, f"{tower}_{site}") for site in LAYERS}
    has_layer = [
        any(
            len(keeps[site][block]) if site in keeps else whole[site][block]
            for site in LAYERS
        )
        for block in range(blocks)
    ]
    kept = tuple(block for block in range(blocks) if has_layer[block])
    units = {
        site: tuple(of_site[block] for block in kept) for site, of_site in keeps.items()
    }
    return TowerKeep(units, Keep(kept, blocks))


def _scaled(keeps: Sequence[Keep], ranking: Ranking) -> tuple[Keep, ...]:
    """The same layers, with the gate value of each."""
    if ranking.scale_U is None:
        return tuple(replace(keep, scale=None) for keep in keeps)
    values = iter(ranking.scale_U.tolist())
    scaled = []
    for keep in keeps:
        own = [next(values) for _ in range(keep.total)]
        scaled.append(replace(keep, scale=tuple(own[unit] for unit in keep.kept)))
    return tuple(scaled)
