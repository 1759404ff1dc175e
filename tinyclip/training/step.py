"""One optimisation step: features, the loss of the whole batch, and its gradient.

Legend: B pairs of a batch, E joint embedding.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..data.batch import Batch
from ..losses.objectives import Parts
from ..model.clip import Features
from .engine import Engine
from .phase import TrainingPhase


def backward(
    phase: TrainingPhase, batch: Batch, step: int, engine: Engine, pieces: int
) -> tuple[Tensor, Parts]:
    """Leave the gradient of one batch in the parameters; returns loss and parts.

    Args:
        batch: the pairs of this process; the loss sees those of all.
        pieces: how many pieces go through the towers one after the other. The loss
            still sees the whole batch: features are made without a gradient first,
            and a second pass takes each piece's share back into the towers (Gao et
            al. 2021, "Scaling Deep Contrastive Learning Batch Size", §3.2).
    """
    if pieces == 1:
        student = phase.features(batch, step)
        return _loss(phase, student, batch, step, engine)
    parts = batch.pieces(pieces)
    with torch.no_grad():
        rows = [phase.features(part, step).rows() for part in parts]
    whole = _leaves(rows)
    result = _loss(phase, phase.with_scale(whole), batch, step, engine)
    # objectives that look at one tower alone leave the other's features without any
    shares = {
        name: row.grad.split([len(piece[name]) for piece in rows])
        for name, row in whole.items()
        if row.grad is not None
    }
    for number, part in enumerate(parts):
        again = phase.features(part, step).rows()
        # a tower that is not trained has none
        taken = [
            (again[name], share[number])
            for name, share in shares.items()
            if again[name].requires_grad
        ]
        torch.autograd.backward([x for x, _ in taken], [g for _, g in taken])
    return result


def _leaves(pieces: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """The rows of all pieces, which gather the gradient of a loss."""
    whole = {name: torch.cat([piece[name] for piece in pieces]) for name in pieces[0]}
    for rows in whole.values():
        rows.requires_grad_(rows.is_floating_point())
    return whole


def _loss(
    phase: TrainingPhase, student: Features, batch: Batch, step: int, engine: Engine
) -> tuple[Tensor, Parts]:
    """The loss of all processes' pairs, and its gradient taken."""
    teachers = tuple(map(engine.gathered, phase.teacher_features(batch, step)))
    loss, parts = phase.objective(engine.gathered(student), teachers, step)
    engine.backward(loss)
    return loss.detach(), parts
