"""Who provides what objectives need beside features: one file a kind.

`losses.needs` has the kinds; a line in `PROVIDERS` says who provides each.

Legend: B pairs of a batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import TypeAlias

from torch import Tensor

from ...data.batch import Batch
from ...losses.needs import Hard, Labels, LayerTokens, Masked, Need, Neighbours, Rotated
from ...losses.objectives import Weighted
from ...model.clip import Clip
from .hard import HardPairs
from .labels import FittingCaptions
from .masked import MaskedPictures
from .neighbours import Bags
from .provider import MakeProvider, Offered, Pass, Provider
from .rotated import RotatedPictures
from .tokens import TokensOfLayers

Providers: TypeAlias = Mapping[str, Provider]  # by the objective's name

PROVIDERS: Mapping[type[Need], MakeProvider] = {
    Hard: HardPairs,
    Labels: FittingCaptions,
    LayerTokens: TokensOfLayers,
    Masked: MaskedPictures,
    Neighbours: Bags,
    Rotated: RotatedPictures,
}


def providers_of(
    losses: tuple[Weighted, ...], offered: Offered | None
) -> dict[str, Provider]:
    """Who provides what each of a phase's objectives needs; those of weight 0 need
    nothing.

    Raises:
        UserError: the stage cannot provide it.
    """
    providers = {}
    for objective in losses:
        if objective.need is None or objective.weight == 0:
            continue
        assert offered is not None, f"nothing is offered to {objective.name}"
        make = PROVIDERS[type(objective.need)]
        providers[objective.name] = make(objective.need, offered, objective)
    return providers


@contextmanager
def watching(providers: Providers, model: Clip) -> Iterator[None]:
    """The student's own forward pass runs inside: some look on."""
    with ExitStack() as stack:
        for provider in providers.values():
            stack.enter_context(provider.watching(model))
        yield


def of_student(providers: Providers, seen: Pass) -> dict[str, Tensor]:
    """What is provided of the student, with a gradient: (B, ...) each, by name."""
    return {
        f"{name}.{part}": value
        for name, provider in providers.items()
        for part, value in provider.student(seen).items()
    }


def of_teacher(providers: Providers, batch: Batch, step: int) -> dict[str, Tensor]:
    """What is provided of the teacher, without a gradient: (B, ...) each, by name."""
    return {
        f"{name}.{part}": value
        for name, provider in providers.items()
        for part, value in provider.teacher(batch, step).items()
    }
