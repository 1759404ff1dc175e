"""How much of each site a size is best met by, measured.

What a unit carries is an error inside a tower; what that does to the features differs
from site to site, and grows faster than itself. So each site is cut alone, at a few
shares, solved, and the students are judged: a curve a site and tower. Its slope weighs
the site's coin (`masks.allocate`). What sites do to each other is found by trying: the
weights are moved one after the other, and what is judged better stays.

Legend: U units of one tower and site.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from torch import Tensor

from ..config.phases.allocate import SHARES
from ..goal import SizeGoal
from ..keep import ClipKeep, Keep, TowerKeep
from ..masks.allocate import allocate, lost
from ..masks.ranking import Ranking, split_keep
from ..model.clip import Clip
from ..shapes import ImageShape
from ..sites import KEYS, units_of
from .nested import Room
from .stream import Pairs, Some

PICTURES = 64  # that students are compared by at least
ROWS = 16  # of a moment, a channel or unit: fewer lose quality (docs/scale.md)
STEP = 2.0  # by which a weight is moved first


@dataclass(frozen=True)
class Verdict:
    """How far a student is from its teacher: each tower beside the teacher's other one,
    and both."""

    image: float
    text: float
    both: float

    def of(self, tower: str) -> float:
        return self.image if tower == "image" else self.text


def fewer_pictures(
    batches: Iterable[Pairs], shape: ImageShape, world: int = 1
) -> list[Some]:
    """As many pictures as tell one student from another, and all captions.

    A picture has many tokens and is most of the work; a caption has few of both.

    Args:
        batches: of this process.
        shape: of the image tower.
        world: how many processes there are.
    """
    parts = list(batches)
    widest = max([shape.width, *(block.ffn for block in shape.blocks)])
    wanted = max(PICTURES, math.ceil(ROWS * widest / shape.tokens))
    each = math.ceil(wanted / (world * max(1, len(parts))))
    # a copy, for a view would hold them all
    return [Some(part.pixels[:each].clone(), part.tokens_BT) for part in parts]


Judge = Callable[[Clip], Verdict]
Make = Callable[[ClipKeep], Clip]  # a student of a keep, cut and solved


@dataclass(frozen=True)
class Curve:
    """The error of the features over what a site has lost: a line in logarithms.

    Args:
        points: (lost, error), ascending.
    """

    points: tuple[tuple[float, float], ...]

    def slope(self, at: float) -> float:
        """How much error one more of the coin adds there."""
        if len(self.points) < 2:
            return 1.0
        xs, ys = np.log(np.array(self.points)).T
        x = math.log(max(at, 1e-30))
        # beyond the ends the line goes on, but no further than a factor of ten
        x = min(max(x, xs[0] - math.log(10)), xs[-1] + math.log(10))
        right = int(np.clip(np.searchsorted(xs, x), 1, len(xs) - 1))
        power = (ys[right] - ys[right - 1]) / max(1e-9, xs[right] - xs[right - 1])
        power = float(np.clip(power, 0.25, 6))
        y = ys[right] + power * (x - xs[right])
        return power * math.exp(y - x)


@dataclass
class Search:
    """A search for the best keep of a size.

    Args:
        model: rotated, for dims and embed to be directions.
        scores: what units carry, by site name.
        make, judge: a keep's student, and how far it is from the teacher.
        watch: told of every student that was judged, with the keep's description.
    """

    model: Clip
    scores: Mapping[str, Tensor]
    make: Make
    judge: Judge
    sites: Sequence[str]
    watch: Callable[[int], None] = lambda _done: None
    judged: int = 0
    curves: dict[str, Curve] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._room = Room.of(self.model.shape, self.scores)

    def best(
        self, goal: SizeGoal, tries: int, larger: ClipKeep | None = None
    ) -> tuple[ClipKeep, Verdict]:
        """The keep of the size whose student is judged nearest to the teacher.

        Args:
            tries: how many students of the size are judged beyond the first.
            larger: what a larger student kept, of which units are chosen.

        Raises:
            ValueError: `larger` is of another shape.
        """
        names = [f"{t}_{site}" for t in goal.towers for site in self.sites]
        self._room = Room.of(self.model.shape, self.scores, larger)
        self.measure(goal.towers)
        factors = dict.fromkeys(names, 1.0)
        keep = self._keep(goal, factors)
        verdict, seen = self._judged(keep), [keep]
        step, place, moved = STEP, 0, False
        while tries > 0:
            name, up = names[place // 2 % len(names)], place % 2 == 0
            trial = {**factors, name: factors[name] * (step if up else 1 / step)}
            candidate = self._keep(goal, trial)
            place += 1
            if candidate not in seen:
                seen.append(candidate)
                tries -= 1
                its = self._judged(candidate)
                if its.both < verdict.both:
                    keep, verdict, factors, moved = candidate, its, trial, True
            if place % (2 * len(names)) == 0:
                if not moved and step < 1.1:
                    break
                step, moved = step if moved else step**0.5, False
        return keep, verdict

    def told(self, verdict: Verdict) -> dict[str, Any]:
        """What was measured, as plain JSON values."""
        return {
            "verdict": vars(verdict),
            "judged": self.judged,
            "curves": {name: curve.points for name, curve in self.curves.items()},
        }

    def _keep(self, goal: SizeGoal, factors: Mapping[str, float]) -> ClipKeep:
        room = self._room

        def weigh(name: str, gone: float) -> float:
            return self.curves[name].slope(room.gone[name] + gone) * factors[name]

        keep = allocate(room.shape, room.scores, goal, sites=self.sites, weigh=weigh)
        return room.whole(keep)

    def _judged(self, keep: ClipKeep) -> Verdict:
        verdict = self.judge(self.make(keep))
        self.judged += 1
        self.watch(self.judged)
        return verdict

    def measure(self, towers: Sequence[str]) -> None:
        """A curve a site and tower, unless there are any; both towers are cut at once
        and judged apart. They are of no size, and serve for all."""
        if self.curves:
            return
        points: dict[str, list[tuple[float, float]]] = {}
        for site in self.sites:
            for share in SHARES:
                keep, gone = self._alone(site, share, towers)
                verdict = self._judged(keep)
                for tower in towers:
                    pair = gone[tower], verdict.of(tower)
                    if min(pair) > 1e-12:
                        points.setdefault(f"{tower}_{site}", []).append(pair)
        for tower in towers:
            for site in self.sites:
                name = f"{tower}_{site}"
                self.curves[name] = Curve(tuple(sorted(points.get(name, []))))

    def _alone(
        self, site: str, share: float, towers: Sequence[str]
    ) -> tuple[ClipKeep, dict[str, float]]:
        """The best share of one site's units, and what the others carry."""
        kept, gone = {}, {}
        for name, shape in self.model.shape.towers().items():
            whole = Keep.everything(len(shape.blocks))
            kept[name] = TowerKeep({}, whole)
            if name not in towers:
                continue
            score_U = self.scores[f"{name}_{site}"].double().cpu().numpy()
            units = units_of(shape, site)
            count = max(KEYS[site].site.least, round(share * sum(units)))
            keeps = split_keep(Ranking(score_U, score_U), units, count, even=False)
            kept[name] = TowerKeep({site: keeps}, whole)
            gone[name] = lost(score_U, count)
        return ClipKeep(**kept), gone
