"""The optimiser of a phase: groups of named parameters, each trained in its own way.

Its moments have names, not positions, so that they can be sliced with the weights.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..config.schema import Optim
from ..inherit.slicing import slice_named
from ..keep import ClipKeep
from ..shapes import ClipShape

NO_DECAY = ("token_embedding", "position")
MOMENTS = ("exp_avg", "exp_avg_sq")


def decays(name: str, parameter: Tensor) -> bool:
    """Whether weight decay applies: matrices yes; biases, norms, embeddings no."""
    return parameter.ndim >= 2 and not name.endswith(NO_DECAY)


@dataclass(frozen=True)
class Trainable:
    """Parameters that are trained alike.

    Args:
        parameters: by the names that a state has their moments under.
        lr, betas, eps: AdamW's.
        weight_decay: of those that `decays` names.
        clip: global norm that their gradient is clipped to; None leaves it.
        scheduled: whether `lr` is the top of the phase's schedule, or constant.
    """

    parameters: Mapping[str, nn.Parameter]
    lr: float
    betas: tuple[float, float]
    eps: float
    weight_decay: float = 0.0
    clip: float | None = None
    scheduled: bool = True

    @classmethod
    def of_weights(
        cls, module: nn.Module, optim: Optim, owner: str = "model"
    ) -> Trainable:
        """What a module leaves to train, as a recipe says.

        Args:
            owner: the name that a state has the module under.
        """
        weights = {
            f"{owner}.{name}": parameter
            for name, parameter in module.named_parameters()
            if parameter.requires_grad
        }
        return cls(
            weights, optim.lr, optim.betas, optim.eps, optim.weight_decay, optim.clip
        )

    def groups(self) -> list[dict[str, Any]]:
        """AdamW's parameter groups: those that decay, and the rest."""
        halves: dict[bool, list[nn.Parameter]] = {True: [], False: []}
        for name, parameter in self.parameters.items():
            halves[self.weight_decay > 0 and decays(name, parameter)].append(parameter)
        shared = {"lr": self.lr, "betas": self.betas, "eps": self.eps}
        shared["top"] = self.lr if self.scheduled else None
        return [
            {"params": half, "weight_decay": self.weight_decay if is_on else 0.0}
            | shared
            for is_on, half in halves.items()
            if half
        ]


class NamedAdamW:
    """AdamW over groups of named parameters.

    Args:
        trainables: the groups; a name belongs to one of them.
    """

    def __init__(self, trainables: Sequence[Trainable]) -> None:
        self.trainables = tuple(trainables)
        self.torch = torch.optim.AdamW(
            [group for trainable in self.trainables for group in trainable.groups()]
        )
        self.prepared: Any = None  # the engine's wrapper, made at the first step

    def set_lr_share(self, share: float) -> None:
        """Scale the learning rate of the groups that follow the schedule."""
        for group in self.torch.param_groups:
            if group["top"] is not None:
                group["lr"] = group["top"] * share

    def _named(self) -> Iterable[tuple[str, nn.Parameter]]:
        for trainable in self.trainables:
            yield from trainable.parameters.items()

    def state(self) -> dict[str, dict[str, Tensor]]:
        """Moments and step counts by kind and parameter name."""
        kinds: dict[str, dict[str, Tensor]] = {kind: {} for kind in (*MOMENTS, "step")}
        for name, parameter in self._named():
            entry = self.torch.state.get(parameter, {})
            for kind, table in kinds.items():
                if kind in entry:
                    table[name] = entry[kind]
        return kinds

    def load(self, state: Mapping[str, Mapping[str, Tensor]]) -> None:
        """Take over moments by name; a parameter without any starts cold."""
        for name, parameter in self._named():
            if name not in state.get("step", {}):
                continue
            entry = {"step": state["step"][name].detach().clone().float().cpu()}
            for kind in MOMENTS:
                value = state[kind][name]
                if value.shape != parameter.shape:
                    raise ValueError(f"{kind} of {name} does not fit")
                entry[kind] = value.detach().clone().to(parameter)
            self.torch.state[parameter] = entry


def slice_moments(
    moments: Mapping[str, Mapping[str, Tensor]], keep: ClipKeep, shape: ClipShape
) -> dict[str, dict[str, Tensor]]:
    """Adam's moments of the weights that survive a cut; nothing gives nothing.

    Those of all else, gates and parameters of objectives, end with their phase.
    A weight that takes a gate's value s in has 1/s of the gradient, so the first moment
    is divided by s and the second by s².
    """
    if not moments:
        return {}
    start = "model."
    sliced: dict[str, dict[str, Tensor]] = {}
    for kind, power in zip(MOMENTS, (-1, -2), strict=True):
        table = {
            name.removeprefix(start): value.cpu()
            for name, value in moments[kind].items()
            if name.startswith(start)
        }
        cut = slice_named(table, keep, shape, power=power)
        sliced[kind] = {start + name: value for name, value in cut.items()}
    survivors = sliced[MOMENTS[0]]
    sliced["step"] = {
        name: value for name, value in moments["step"].items() if name in survivors
    }
    return sliced
