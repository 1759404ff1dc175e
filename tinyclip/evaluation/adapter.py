"""CLIP-Adapter: a bottleneck beside the features of pictures, of classes, or of both
(Gao et al. 2023, "CLIP-Adapter: Better Vision-Language Models with Feature Adapters",
§3.2 and §3.3).

Legend: N features, M shots, C classes, E joint embedding, H hidden units.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..data.task import FewShotTask
from .features import Encoder
from .few_shots import Adapted, Shots, cross_entropy, descend, few_shots
from .measures import Outcome, measures

REDUCTION = 4  # E / H
RATIO = 0.5  # the adapter's share before it learns
STEPS = 300
RATE = 3e-3


class Adapter(nn.Module):
    """f' = α A(f) + (1 − α) f, normalised, where A(f) = relu(f·W₁)·W₂.

    α (the paper's β beside texts) is learnt: the sigmoid of `ratio`.

    Args:
        width: E.
        random: draws W₁ and W₂, as `nn.Linear` draws its weights.
    """

    def __init__(self, width: int, random: torch.Generator) -> None:
        super().__init__()
        hidden = max(1, width // REDUCTION)
        self.down_EH = nn.Parameter(_drawn(width, hidden, random))
        self.up_HE = nn.Parameter(_drawn(hidden, width, random))
        self.ratio = nn.Parameter(torch.tensor(math.log(RATIO / (1 - RATIO))))

    def forward(self, features_NE: Tensor) -> Tensor:
        share = torch.sigmoid(self.ratio)
        new_NE = F.relu(features_NE @ self.down_EH) @ self.up_HE
        return F.normalize(share * new_NE + (1 - share) * features_NE, dim=-1)


def _drawn(rows: int, columns: int, random: torch.Generator) -> Tensor:
    """Uniform within ±1/√rows."""
    return (2 * torch.rand(rows, columns, generator=random) - 1) * rows**-0.5


def learn_adapters(shots: Shots, pictures: bool, texts: bool) -> Adapted:
    """Learn an adapter beside pictures, class texts or both."""
    random, width = shots.random(), shots.images_ME.shape[1]
    image = Adapter(width, random) if pictures else nn.Identity()
    text = Adapter(width, random) if texts else nn.Identity()

    def loss(rows: Tensor) -> Tensor:
        images, classes_CE = image(shots.images_ME[rows]), text(shots.classes_CE)
        return cross_entropy(images, classes_CE, shots.labels_M[rows], shots.scale)

    parameters = [*image.parameters(), *text.parameters()]
    descend(parameters, loss, shots, STEPS, RATE)
    with torch.no_grad():
        return Adapted(image, text(shots.classes_CE))


@measures.register("adapter_image")
def adapter_image(encoder: Encoder, task: FewShotTask) -> Outcome:
    """An adapter beside the pictures' features."""
    return few_shots(encoder, task, lambda shots: learn_adapters(shots, True, False))


@measures.register("adapter_text")
def adapter_text(encoder: Encoder, task: FewShotTask) -> Outcome:
    """An adapter beside the classes' features."""
    return few_shots(encoder, task, lambda shots: learn_adapters(shots, False, True))


@measures.register("adapter")
def adapter(encoder: Encoder, task: FewShotTask) -> Outcome:
    """Adapters beside both."""
    return few_shots(encoder, task, lambda shots: learn_adapters(shots, True, True))
