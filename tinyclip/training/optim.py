"""The optimiser of a phase: weights with and without decay, and the gates apart.

Its moments have names, not positions, so that they can be sliced with the weights.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ..config.schema import Optim
from ..inherit.slicing import slice_named
from ..keep import ClipKeep
from ..model.clip import Clip
from ..shapes import ClipShape

NO_DECAY = ("token_embedding", "position")
GATE_BETAS = (0.9, 0.999)
MOMENTS = ("exp_avg", "exp_avg_sq")


def decays(name: str, parameter: Tensor) -> bool:
    """Whether weight decay applies: matrices yes; biases, norms, embeddings no."""
    return parameter.ndim >= 2 and not name.endswith(NO_DECAY)


class NamedAdamW:
    """AdamW over named parameters.

    Args:
        model: its trainable parameters are the weights.
        optim: settings of the weights.
        gates: their logits are a group of their own: no decay, no clipping.
        gate_lr: their learning rate, constant over the phase.
    """

    def __init__(
        self, model: Clip, optim: Optim, gates: nn.Module | None, gate_lr: float
    ) -> None:
        self.weights = {
            f"model.{name}": parameter
            for name, parameter in model.named_parameters()
            if parameter.requires_grad
        }
        self.gates = (
            {f"gates.{name}": value for name, value in gates.named_parameters()}
            if gates
            else {}
        )
        rest: list[nn.Parameter] = []
        matrices: list[nn.Parameter] = []
        for name, parameter in self.weights.items():
            (matrices if decays(name, parameter) else rest).append(parameter)
        shared = {"lr": optim.lr, "betas": optim.betas, "eps": optim.eps}
        groups = [
            {"params": matrices, "weight_decay": optim.weight_decay, **shared},
            {"params": rest, "weight_decay": 0.0, **shared},
            {
                "params": list(self.gates.values()),
                "weight_decay": 0.0,
                "lr": gate_lr,
                "betas": GATE_BETAS,
                "eps": 1e-8,
            },
        ]
        groups = [group for group in groups if group["params"]]
        self.lr = optim.lr
        self.clip = optim.clip
        self.torch = torch.optim.AdamW(groups)
        self.prepared: Any = None  # the engine's wrapper, made at the first step

    def set_lr_share(self, share: float) -> float:
        """Scale the weights' learning rate; returns what it is now."""
        gates = {id(value) for value in self.gates.values()}
        for group in self.torch.param_groups:
            if id(group["params"][0]) not in gates:
                group["lr"] = self.lr * share
        return self.lr * share

    def _named(self) -> Iterable[tuple[str, nn.Parameter]]:
        yield from self.weights.items()
        yield from self.gates.items()

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
    known = sliced[MOMENTS[0]]
    sliced["step"] = {
        name: value for name, value in moments["step"].items() if name in known
    }
    return sliced
