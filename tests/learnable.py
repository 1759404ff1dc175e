"""An objective with parameters of its own, as somebody would add one.

Legend: B batch, E the student's embedding, F the teacher's.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tinyclip.config.setting import setting
from tinyclip.losses.objectives import Parts, objectives
from tinyclip.model.clip import Features


@dataclass(frozen=True, kw_only=True)
class ProjectedOptions:
    """What can be asked of it."""

    temperature: float = setting(0.1, "of the softmax", above=0)


class Projected(nn.Module):
    """Pictures, projected into the teacher's space, find the teacher's captions."""

    def __init__(
        self,
        student_width: int,
        teacher_width: int,
        options: ProjectedOptions = ProjectedOptions(),
    ) -> None:
        super().__init__()
        self.options = options
        self.projection = nn.Linear(student_width, teacher_width)

    def forward(self, student: Features, teacher: Features) -> tuple[Tensor, Parts]:
        projected_BF = F.normalize(self.projection(student.image_BE), dim=-1)
        logits_BB = projected_BF @ teacher.text_BE.T / self.options.temperature
        right_B = torch.arange(len(logits_BB), device=logits_BB.device)
        loss = F.cross_entropy(logits_BB, right_B)
        return loss, {"norm": self.projection.weight.norm().detach()}


@contextmanager
def registered(name: str = "projected") -> Iterator[None]:
    """The objective is known as long as the block runs."""
    objectives.register(name)(Projected)
    try:
        yield
    finally:
        del objectives._entries[name]
