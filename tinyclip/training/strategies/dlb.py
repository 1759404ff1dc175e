"""Self-distillation from the last batch.

Legend: B batch, H half of it, E joint embedding.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ...config.setting import setting
from ...data.batch import Batch, Batches
from ...errors import UserError
from ...losses.affinity import divergence
from ...losses.products import both_ways
from ...model.clip import Features
from .strategy import Course, Options, Strategy, strategies

NEVER = -2  # a step that comes before no other


@dataclass(frozen=True, kw_only=True)
class DlbOptions(Options):
    """What can be asked of it."""

    weight: float = setting(1.0, "of the consistency, beside the objectives", low=0)
    temperature: float = setting(3.0, "T, that both outputs are divided by", above=0)


@strategies.register("dlb")
class Dlb(Strategy):
    """Half of each batch is the last one's, and the student is to say of it what it
    said then (DLB, Shen et al., CVPR 2022).

    L = α T² ½ (mean_i KL(P_i ‖ p_i) + mean_j KL(Q_j ‖ q_j))

    p and q (H, H) are the softmax of the student's logits over T, of the half that it
    sees for the second time, over the captions of a picture and the pictures of a
    caption; P and Q are what they were one step before, when the same pairs stood
    together, without a gradient. It is added to the objectives, which see the whole
    batch. So a phase goes through half as many pairs. The first step has none, nor has
    one after a step that was skipped. Logged: `dlb`.
    """

    halves = True

    image_HE: Tensor
    text_HE: Tensor
    scale: Tensor
    last: Tensor

    def __init__(self, options: DlbOptions = DlbOptions(), *course: Course) -> None:
        super().__init__(options, *course)
        loader, world = self.course.loader, self.course.world
        half = 0 if loader is None else loader.size // 2
        if half % world:
            raise UserError(
                "batch",
                f"half of {2 * half} pairs does not divide among {world} processes",
                f"Use a multiple of {2 * world}",
            )
        shape = half, self.course.width
        self.register_buffer("image_HE", torch.zeros(shape))
        self.register_buffer("text_HE", torch.zeros(shape))
        self.register_buffer("scale", torch.ones(()))
        self.register_buffer("last", torch.tensor(NEVER))
        self._next: tuple[Tensor, Tensor, Tensor, Tensor] | None = None

    def draw(self, loader: Batches, first: int, step: int) -> Batch:
        half = loader.size // 2
        start = 2 * first * half + step * half
        again, new = (loader.span(start + n * half, half) for n in range(2))
        return again.joined(new)

    def beside(self, student: Features, step: int) -> Tensor | None:
        again_H, new_H = self._halves(student)
        self._next = (
            student.image_BE[new_H].detach(),
            student.text_BE[new_H].detach(),
            student.scale.detach(),
            torch.tensor(step, device=self.last.device),
        )
        if int(self.last) != step - 1:
            return None
        before = Features(self.image_HE, self.text_HE, self.scale)
        sides = student.image_BE[again_H], student.text_BE[again_H]
        now = Features(*sides, student.scale)
        heat = self.options.temperature
        with torch.autocast(self.last.device.type, enabled=False):
            pairs = zip(both_ways(before), both_ways(now), strict=True)
            image, text = (divergence(*pair, heat) for pair in pairs)
        weight: float = self.options.weight
        return weight * heat**2 * (image + text) / 2

    def _halves(self, student: Features) -> tuple[Tensor, Tensor]:
        """Rows of the half that is seen again, and of the new one: each process has its
        part of both, one after the other."""
        size = len(student.image_BE)
        rows = torch.arange(size, device=student.image_BE.device)
        parts = rows.view(self.course.world, 2, -1)
        return parts[:, 0].flatten(), parts[:, 1].flatten()

    def after(self) -> None:
        if self._next is None:
            return
        image_HE, text_HE, scale, self.last = self._next
        self.image_HE = image_HE.to(self.image_HE)
        self.text_HE, self.scale = text_HE.to(self.text_HE), scale.to(self.scale)
        self._next = None
