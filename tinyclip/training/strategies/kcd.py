"""Knowledge condensation: what is worth teaching is taught, and the rest is not.

Legend: B batch, R rows of the training pairs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from ...config.setting import setting
from ...data.batch import Batch
from ...losses.affinity import divergences
from ...losses.objectives import Parts
from ...losses.products import both_ways, over_rows
from ...model.clip import Features
from .strategy import Course, Options, Strategy, strategies


@dataclass(frozen=True, kw_only=True)
class KcdOptions(Options):
    """What can be asked of it."""

    keep: float = setting(
        0.7, "share of the pairs that is valuable at the phase's end", above=0, high=1
    )
    weak: Literal["drop", "strengthen"] = setting(
        "drop",
        "what becomes of the others: drop them, or strengthen what they teach",
    )
    strength: float = setting(2.0, "weight of weak pairs that are strengthened", low=1)
    momentum: float = setting(
        0.9, "share of a pair's value that stays when it is seen again", low=0, below=1
    )


@strategies.register("kcd")
class Kcd(Strategy):
    """The value of what each pair teaches is estimated as it is taught; the pairs are
    ranked, and the weak are dropped or strengthened (KCD, Li et al., ECCV 2022).

    L = mean_i w_i D_i, v_i ← m v_i + (1 − m) D_i, D = ½ (KL(P ‖ p) + KL(Q ‖ q))

    w_i multiplies the share of pair i, its picture's row and its caption's, in each
    objective that compares distributions (affinity, crd, intra, kd, mimic, sigmoid). A
    pair's value v is the running mean of its divergence from the teacher: what the
    student has still to learn from it; the paper has the entropy of the student's
    class probabilities there, and a batch has no classes. Of all pairs seen so far the
    lowest 1 − r are weak, r falling from 1 to `keep` by half a cosine over the phase.
    Weak pairs have weight 0, or `strength`, the others 1, all divided by their mean
    over the batch. Pairs of no weight stay in the columns of others, and in other
    objectives. A number for each pair of the data is saved with each state. Logged:
    `kcd.weak`, the share of the batch that was.
    """

    of_distributions = True

    value_R: Tensor
    seen_R: Tensor

    def __init__(self, options: KcdOptions = KcdOptions(), *course: Course) -> None:
        super().__init__(options, *course)
        loader = self.course.loader
        rows = 0 if loader is None else len(loader.pairs)
        self.register_buffer("value_R", torch.zeros(rows))
        self.register_buffer("seen_R", torch.zeros(rows, dtype=torch.bool))
        self._found: tuple[Tensor, Tensor] | None = None
        self._weak = torch.zeros(())

    def rows(self, batch: Batch) -> dict[str, Tensor]:
        return {"row": batch.index_B.to(self.value_R.device)}

    def share(self, step: int) -> float:
        """r of a step: of the pairs that are not weak."""
        done = min(1.0, step / max(1, self.course.steps))
        gone = (1 - math.cos(math.pi * done)) / 2
        return float(1 - (1 - self.options.keep) * gone)

    @torch.no_grad()
    def sides(
        self, student: Features, teachers: tuple[Features, ...], step: int
    ) -> tuple[Features, tuple[Features, ...]]:
        row_B = student.more["kcd.row"]
        each = [_divergence(student, one) for one in teachers]
        found_B = torch.stack(each).mean(0)
        value_R, seen_R = self._with(row_B, found_B)
        self._found = value_R, seen_R
        is_weak_B = value_R[row_B] < self._lowest(value_R[seen_R], step)
        self._weak = is_weak_B.float().mean()
        other = 0.0 if self.options.weak == "drop" else self.options.strength
        weight_B = torch.where(is_weak_B, other, 1.0).to(found_B)
        mean = weight_B.mean()
        if mean > 0:
            weight_B = weight_B / mean
        return replace(student, weight_B=weight_B), teachers

    def _with(self, row_B: Tensor, found_B: Tensor) -> tuple[Tensor, Tensor]:
        """All values with those of a batch, which may hold a row twice, and which of
        them there are."""
        found_B, kept = found_B.to(self.value_R), self.options.momentum
        count_R = torch.zeros_like(self.value_R)
        count_R.index_add_(0, row_B, torch.ones_like(found_B))
        found_R = torch.zeros_like(self.value_R).index_add_(0, row_B, found_B)
        found_R = found_R / count_R.clamp(min=1)
        moved_R = kept * self.value_R + (1 - kept) * found_R
        new_R = torch.where(self.seen_R, moved_R, found_R)
        value_R = torch.where(count_R > 0, new_R, self.value_R)
        return value_R, self.seen_R | (count_R > 0)

    def _lowest(self, value_S: Tensor, step: int) -> Tensor:
        """The value below which a pair is weak."""
        weak = math.floor((1 - self.share(step)) * len(value_S))
        return value_S.kthvalue(weak + 1).values

    def told(self) -> Parts:
        return {"weak": self._weak}

    def after(self) -> None:
        if self._found is not None:
            self.value_R, self.seen_R = self._found
            self._found = None


def _divergence(student: Features, teacher: Features) -> Tensor:
    """Of each pair from the teacher's, (B,)."""

    def of(_: slice, theirs_bC: Tensor, mine_bC: Tensor) -> tuple[Tensor]:
        return (divergences(theirs_bC, mine_bC),)

    both = zip(both_ways(teacher), both_ways(student), strict=True)
    image_B, text_B = (over_rows(of, *pair)[0] for pair in both)
    return (image_B + text_B) / 2
