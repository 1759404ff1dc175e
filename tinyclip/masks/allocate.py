"""How a size is shared among width, dims, units and towers: by what each is worth.

A unit is worth its price if closing it costs more quality for its size than closing
others. Where all sites are cut at the same ratio of what a unit carries to its price,
no exchange between two of them is a gain (Lagrange): one threshold for all, moved until
the size is met. Prices depend on how many of the other units are left, and so may what
a site's loss weighs; both are taken where the last threshold led.

Legend: U units of one tower and site.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from torch import Tensor

from ..errors import UserError
from ..goal import SizeGoal
from ..keep import ClipKeep
from ..shapes import ClipShape
from ..sites import LAYERS, USUAL
from .choose import choose_ranked
from .goal import Array, Counts, Goal, make_goal
from .ragged import nearest_counts
from .ranking import Ranking
from .sites import layout

STEEP = 8.0  # a unit that carries e^(1/8) times the threshold is e times as likely open
ROUNDS = 12  # prices settle within three, weights within ten
LEAST = 1e-30
FAR = 60.0  # a logit that a shift of all (`ragged.nearest_counts`) still opens
# what a site's coin weighs where so much of it is lost: by name of the site, and sum
Weigh = Callable[[str, float], float]


def alike(_name: str, _lost: float) -> float:
    """Every site's coin counts for 1."""
    return 1.0


def allocate(
    shape: ClipShape,
    carried: Mapping[str, Tensor],
    target: float | SizeGoal = 0.5,
    *,
    sites: Sequence[str] = USUAL,
    weigh: Weigh = alike,
) -> ClipKeep:
    """The units that stay when every site is cut at the same worth.

    Args:
        carried: what each unit carries, (U,), by site name (`inherit.carried`).
        target: wanted size as a share, or a whole `SizeGoal`.
        sites: which may shrink; the others stay whole.
        weigh: what a site's coin weighs, where units that carry so much are gone.

    Raises:
        UserError: as `choose`, a site has no scores, or whole layers are to be shared.
    """
    size_goal = SizeGoal.of(target)
    whole = [site for site in sites if site in LAYERS]
    if whole:
        raise UserError(
            "sites",
            f"{' and '.join(whole)} are not shared by what units carry",
            "Leave them out",
        )
    scores: dict[str, Array] = {}
    for name, units in layout(shape, sites, size_goal.towers).items():
        if name not in carried or len(carried[name]) != sum(units):
            raise UserError("carried", f"need {sum(units)} values for {name!r}")
        scores[name] = carried[name].detach().double().cpu().numpy()
    goal = make_goal(shape, size_goal, {n: Ranking(s, s) for n, s in scores.items()})
    counts: Counts = dict(goal.full())
    logits: dict[str, Array] = {}
    weights: dict[str, float] = {}
    prices: dict[str, float] = {}
    for _ in range(ROUNDS):
        # half of the way in the logarithm: what is weighed at both ends settles
        for name, score_U in scores.items():
            weight = max(weigh(name, lost(score_U, counts.get(name))), LEAST)
            weights[name] = (weight * weights.get(name, weight)) ** 0.5
        for name, price in prices_at(goal, counts).items():
            prices[name] = (price * prices.get(name, price)) ** 0.5
        logits = _worth(scores, prices, weights)
        counts = nearest_counts(goal, logits)
    return choose_ranked(goal, {n: Ranking(scores[n], logits[n]) for n in scores})


def lost(score_U: Array, count: int | None) -> float:
    """What all but the best so many units carry; None stands for all of them."""
    if count is None:
        return 0.0
    return float(np.sort(score_U)[: max(0, len(score_U) - count)].sum())


def _worth(
    scores: Mapping[str, Array],
    prices: Mapping[str, float],
    weights: Mapping[str, float],
) -> dict[str, Array]:
    """Logits of what each unit is worth; only their differences count, and their middle
    is 0, from which one shift of all is looked for. None is out of its reach: units
    that carry nothing are the last to open, and open where the size needs them."""
    logits = {
        name: STEEP * np.log(np.maximum(score_U * weights[name], LEAST) / prices[name])
        for name, score_U in scores.items()
    }
    middle = np.median(np.concatenate([*logits.values()]))
    return {name: np.clip(one - middle, -FAR, FAR) for name, one in logits.items()}


def prices_at(goal: Goal, counts: Counts) -> dict[str, float]:
    """What a unit of each gated site costs where so many of all are left, and at least
    one: the last to go is not for nothing."""
    counts = {name: max(1, count) for name, count in counts.items()}
    size = float(goal.count(counts))
    return {
        name: max(1.0, size - float(goal.count({**counts, name: counts[name] - 1})))
        for name in goal.gated
    }
