"""One objective under several teachers: the mean of its values.

The cross-entropy from p to q is linear in p. So for objectives that compare softmaxes
or sigmoids with the teacher's as the target (affinity, sigmoid, mimic, crd, kd, intra)
this is the mean of the teachers' after the softmax, each with its own scale, as
MobileCLIP has it (Vasu et al., CVPR 2024; Faghri et al. 2025, "MobileCLIP2"): the same
gradient, and for the first two the same value. Every other objective is the mean of its
values, too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

from torch import Tensor

from ..model.clip import Features

Loss: TypeAlias = Callable[[Features, Features], tuple[Tensor, Mapping[str, Tensor]]]
Teachers: TypeAlias = Features | tuple[Features, ...]  # one, or those of a step


def under_each(
    loss: Loss, student: Features, teachers: tuple[Features, ...]
) -> tuple[Tensor, dict[str, Tensor]]:
    """The mean over teachers of an objective and of what it logs.

    A divergence that is logged is the mean, too: its floor is how far the teachers are
    from each other, and not 0.
    """
    values, logs = zip(*(loss(student, one) for one in teachers), strict=True)
    return _mean(values), {name: _mean([log[name] for log in logs]) for name in logs[0]}


def _mean(values: tuple[Tensor, ...] | list[Tensor]) -> Tensor:
    total = values[0]
    for value in values[1:]:
        total = total + value
    return total if len(values) == 1 else total / len(values)
