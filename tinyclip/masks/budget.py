"""What sizes can be reached, and what to say when the one that is wanted cannot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from .. import cost
from ..errors import UserError
from ..goal import TOLERANCE
from ..shapes import TOWERS, TextShape
from ..sites import GROUPS, KEYS, SITES, USUAL, WIDTH, keys_of, resized
from ..words import amount
from .goal import Array, Counts, Goal
from .stock import counts_of, filling_site, is_gated, stocks

LITTLE = 0.01  # of the smallest size: a site that holds less limits nothing


def bounds(goal: Goal) -> tuple[Counts, Counts]:
    """The fewest and the most units in all that every site may be left with.

    Raises:
        UserError: no tower of the layout, or no multiple of `round_to`, fits.
    """
    if goal.size_goal.uniform:
        by_tower = stocks(goal).items()
        least = {name: (stock.filling[0], stock.finest[0]) for name, stock in by_tower}
        most = {name: (stock.filling[-1], stock.finest[1]) for name, stock in by_tower}
        return counts_of(goal, least), counts_of(goal, most)
    names = goal.full()
    for name in names:
        if goal.most(name) == 0 and GROUPS[name].site.least:
            raise UserError(
                "round_to",
                f"{GROUPS[name].title} has {goal.full()[name]} channels, fewer "
                f"than {goal.size_goal.round_to}",
                "Use a smaller --round-to",
            )
    return {n: goal.floor(n) for n in names}, {n: goal.most(n) for n in names}


class NoChoice(UserError):
    """The units are too coarse for a goal; `near` are the nearest sizes."""

    def __init__(self, what: str, todo: str, near: Sequence[float]) -> None:
        super().__init__("target", what, todo)
        self.near = tuple(near)


def check_reachable(goal: Goal) -> None:
    """Refuse a goal that is smaller than the smallest model or larger than this one.

    Raises:
        UserError: it is, with the size that can be reached and what limits it.
    """
    lowest, highest = bounds(goal)
    check_smallest(goal, lowest)
    check_largest(goal, highest)


def check_smallest(goal: Goal, lowest: Counts) -> None:
    """Refuse a goal that is smaller than the smallest model, as `check_reachable`."""
    smallest, asked = goal.count(lowest), _asked_for(goal)
    if smallest > goal.size * (1 + TOLERANCE):
        why, todo = _limit(goal, lowest)
        raise UserError(
            "target",
            f"{asked} is out of reach: {_gated_sites(goal)}, the smallest size is "
            f"{_sized(smallest, goal)}; {why}",
            f"Ask for a target of {smallest / goal.whole:.4g} or more{todo}",
        )


def check_largest(goal: Goal, highest: Counts) -> None:
    """Refuse a goal that is larger than the model, as `check_reachable`."""
    largest, asked = goal.count(highest), _asked_for(goal)
    if largest < goal.size * (1 - TOLERANCE):
        whole = largest == goal.count(goal.full())
        has = "the model has" if whole else "its widths allow"
        raise UserError(
            "target",
            f"{asked} is more than {has}, {_sized(largest, goal)}",
            "Ask for a smaller target" + _finer(goal),
        )


def unreachable(goal: Goal, sizes: Array) -> NoChoice:
    """What to say when the units are too coarse for the goal.

    Args:
        sizes: of all candidates.
    """
    below, above = sizes[sizes < goal.size], sizes[sizes > goal.size]
    near = [float(below.max())] if below.size else []
    near += [float(above.min())] if above.size else []
    named = [_sized(size, goal) for size in near]
    plural = "sizes are" if len(named) == 2 else "size is"
    return NoChoice(
        f"no choice of units comes within {TOLERANCE:.1%} of {_sized(goal.size, goal)}"
        f"; the nearest {plural} {' and '.join(named)}",
        f"Ask for {'one of them' if len(named) == 2 else 'it'}{_finer(goal)}",
        near,
    )


def _asked_for(goal: Goal) -> str:
    return f"{_percent(goal.size, goal)} of {_amount(goal.whole, goal)}"


def _amount(size: float, goal: Goal) -> str:
    return amount(size, cost.BUDGETS[goal.size_goal.budget].unit)


def _percent(size: float, goal: Goal) -> str:
    """A share that, asked for, comes within law 2 of the size."""
    return f"{100 * size / goal.whole:.4g} %"


def _sized(size: float, goal: Goal) -> str:
    return f"{_amount(size, goal)} ({_percent(size, goal)})"


def _gated_sites(goal: Goal) -> str:
    """With which sites, counted how."""
    gated = {
        tower: [s for s in SITES if f"{tower}_{s}" in (*goal.gated, *goal.settled)]
        for tower in TOWERS
    }
    towers = (
        ""
        if len(goal.size_goal.towers) > 1
        else f" of the {goal.size_goal.towers[0]} tower"
    )
    alike = gated["image"] == gated["text"] or len(goal.size_goal.towers) == 1
    sites = ", ".join(gated[goal.size_goal.towers[0]]) or "nothing"
    if not alike:
        sites = ", ".join(GROUPS[n].title for n in (*goal.gated, *goal.settled))
    return f"by the {goal.size_goal.budget} budget{towers}, with {sites} gated"


def _finer(goal: Goal) -> str:
    """What else reaches more sizes."""
    ways = []
    if goal.size_goal.round_to > 1:
        ways.append("use a smaller --round-to")
    if goal.size_goal.uniform:
        ways.append("use --layout ragged, which reaches most")
    open_sites = [site for site in USUAL if _stays_whole(goal, site)]
    if open_sites:
        ways.append(f"gate {' and '.join(open_sites)}, too")
    return "".join(f", or {way}" for way in ways)


def _stays_whole(goal: Goal, site: str) -> bool:
    """Whether a tower that counts has units of the site that cannot shrink."""
    asked = (*goal.gated, *goal.settled)
    return not all(f"{tower}_{site}" in asked for tower in goal.size_goal.towers)


def _holds(goal: Goal, counts: Counts, name: str) -> float:
    """What the units of a site hold, the other sites being as given."""
    return float(goal.count(counts) - goal.count({**counts, name: 0}))


def _limit(goal: Goal, lowest: Counts) -> tuple[str, str]:
    """Which site keeps the smallest model from being smaller, and what to do."""
    smallest = float(goal.count(lowest))
    own = [n for n in goal.full() if GROUPS[n].tower in goal.size_goal.towers]
    ungated = {n: _holds(goal, lowest, n) for n in own if n not in goal.gated}
    pool = _pool_holds(goal, lowest)
    if pool > max([LITTLE * smallest, *ungated.values()]):
        why = f"the attention pool holds {_amount(pool, goal)}, and stays whole"
        return why, ", or use --layout uniform, which cuts it"
    if ungated and max(ungated.values()) > LITTLE * smallest:
        return _open_limit(goal, ungated)
    # all that counts is gated: the floors limit
    limiting = [name for name in own if GROUPS[name].site.least]
    name = max(limiting, key=lambda name: _holds(goal, lowest, name))
    return _floor_limit(goal, lowest, name), _vocabulary(goal, name) + _lower_floors(
        goal
    )


def _open_limit(goal: Goal, ungated: Mapping[str, float]) -> tuple[str, str]:
    """A site that is not gated limits.

    Args:
        held: what each site that is not gated holds.
    """
    ordered = sorted(ungated, key=lambda name: -ungated[name])
    tower, site = GROUPS[ordered[0]].tower, GROUPS[ordered[0]].key
    token = ""
    if _vocabulary(goal, ordered[0]):
        token = f" (the token embedding alone {_amount(_tokens(goal), goal)})"
    why = f"{tower} {site} is not gated and holds {_amount(ungated[ordered[0]], goal)}"
    ways = ""
    if is_gated(goal, tower, *USUAL):
        sites = _enough(goal, [GROUPS[name].key for name in ordered])
        ways = f", or gate {' and '.join(sites)}, too" if sites else ""
    else:
        ways = f", or gate the {tower} tower, too"
        for other in goal.size_goal.towers:
            if other != tower:
                ways += f", or count the {other} tower alone (towers: [{other}])"
    return why + token, ways + _vocabulary(goal, ordered[0])


def _enough(goal: Goal, sites: Sequence[str]) -> list[str]:
    """The first of the sites that, gated too, bring the goal within reach, if any."""
    unique = list(dict.fromkeys(sites))
    for count in range(1, len(unique) + 1):
        more = [f"{t}_{s}" for t in goal.size_goal.towers for s in unique[:count]]
        trial = replace(goal, gated=(*goal.gated, *more))
        smallest = trial.count({name: trial.floor(name) for name in trial.full()})
        if smallest <= goal.size * (1 + TOLERANCE):
            return unique[:count]
    return []


def _floor_limit(goal: Goal, lowest: Counts, name: str) -> str:
    tower, site = GROUPS[name].tower, GROUPS[name].site
    if goal.size_goal.uniform:
        depth = len(goal.shape.towers()[tower].blocks)
        filling, _ = filling_site(goal, tower)
        count, width = lowest[f"{tower}_{filling.name}"] // max(1, depth), lowest[name]
        return (
            f"the {tower} tower is as narrow as a stock one gets, {count} "
            f"{filling.unit}{'s' if count > 1 else ''} a layer and {width} {site.name} "
            f"{site.unit}s"
        )
    return f"{tower} {site.name} keeps {lowest[name]} {site.unit}s at least"


def _lower_floors(goal: Goal) -> str:
    """What lowers the floors."""
    ways = ", or use --layout ragged" if goal.size_goal.uniform else ""
    return ways + (
        ", or use a smaller --round-to" if goal.size_goal.round_to > 1 else ""
    )


def _tokens(goal: Goal) -> float:
    """The token embedding as it is, in the budget's unit."""
    text: TextShape = goal.shape.text
    return cost.BUDGETS[goal.size_goal.budget].token * text.vocab_size * text.width


def _vocabulary(goal: Goal, name: str) -> str:
    """What else shrinks the token embedding, if it limits."""
    counts = cost.BUDGETS[goal.size_goal.budget].token and name == f"text_{WIDTH.name}"
    return ", or trim the vocabulary (--vocab captions)" if counts else ""


def _pool_holds(goal: Goal, lowest: Counts) -> float:
    """What an attention pool that stays whole holds in the smallest model."""
    image = goal.shape.image
    pooled = {key: [0] for key in keys_of(image) if KEYS[key].part}
    if "image" not in goal.size_goal.towers or not pooled or goal.cuts_pool:
        return 0.0
    bare = goal.shape.with_towers(image=resized(image, pooled))
    return float(goal.count(lowest) - replace(goal, shape=bare).count(lowest))
