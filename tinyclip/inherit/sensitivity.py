"""What the features of a tower feel of what its norms give.

A direction may hold much of a stream and tell a feature nothing, or little and much. J
is the derivative of a normalised feature by what a norm gives before its weight and
bias, at a token; JᵀJ, summed over norms and tokens, is how much an error in each
direction moves the feature. It is told without J: for v of random signs, E[vvᵀ] = I, so
the mean of gradients g = Jᵀv, ggᵀ, is JᵀJ (Hutchinson 1990).

Legend: B pairs of a part, N tokens, D channels, E joint embedding.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from ..model.clip import Clip
from ..model.text import TextTower
from .stream import LEAST, ROWS, Pairs, shortened
from .turn import Tower, last_norm

PROBES = 2  # vectors of signs a pair
PART = 1024  # tokens whose activations are held at a time


def sensitivity(
    model: Clip,
    name: str,
    batches: Sequence[Pairs],
    reduce: Callable[[Tensor], Tensor],
) -> Tensor:
    """The sum of JᵀJ over pairs, tokens and the norms that read a tower's stream.

    Args:
        model: left as it is; its parameters get no gradients.
        name: of the tower.
        batches: real pairs, of this process. So many are looked at as tell a moment
            (`Stream`), the first of every part.
        reduce: the sum of a tensor over all processes.

    Returns:
        (D, D), float64.
    """
    tower: Tower = getattr(model, name)
    norms = _norms(tower)
    width = tower.shape.width
    total_DD = next(tower.parameters()).new_zeros(width, width, dtype=torch.float64)
    encode = model.encode_image if name == "image" else model.encode_text
    for inputs in _some(tower, name, batches, reduce):
        with torch.enable_grad(), _caught(norms) as given:
            features_BE = encode(_read(tower, inputs), normalize=True)
            signs_BPE = torch.stack([_signs(x, features_BE.shape[1]) for x in inputs])
            for signs_BE in signs_BPE.to(features_BE).unbind(1):
                along = features_BE * signs_BE
                felt = torch.autograd.grad(
                    along.sum(), given, retain_graph=True, materialize_grads=True
                )
                for norm, gradient in zip(norms, felt, strict=True):
                    gradient_RD = (gradient * norm.weight).flatten(0, -2)
                    total_DD += (gradient_RD.T @ gradient_RD).double()
    return reduce(total_DD)


def _read(tower: Tower, inputs: Tensor) -> Tensor:
    inputs = inputs.to(next(tower.parameters()).device)
    return shortened(tower, inputs) if isinstance(tower, TextTower) else inputs


def _signs(one: Tensor, width: int) -> Tensor:
    """±1, (PROBES, E), drawn by what the pair is: the same in whatever part and process
    it is looked at."""
    seed = zlib.crc32(one.cpu().contiguous().numpy().tobytes())
    draw = torch.Generator().manual_seed(seed)
    return 2 * torch.randint(0, 2, (PROBES, width), generator=draw) - 1


def _norms(tower: Tower) -> list[Any]:
    blocks: list[Any] = list(tower.blocks)
    inside = [norm for block in blocks for norm in (block.norm_1, block.norm_2)]
    return [norm for norm in (*inside, last_norm(tower)) if norm is not None]


def _some(
    tower: Tower,
    name: str,
    batches: Sequence[Pairs],
    reduce: Callable[[Tensor], Tensor],
) -> Iterator[Tensor]:
    """What the tower is given of as many pairs as are needed, a few at a time."""
    shape: Any = tower.shape
    image = name == "image"
    tokens = shape.tokens if image else shape.context_length
    inputs = [part.pixels if image else part.tokens_BT for part in batches]
    pairs = float(reduce(torch.tensor([sum(map(len, inputs))], dtype=torch.float64)))
    share = max(LEAST, ROWS * shape.width) / max(1.0, pairs * tokens)
    for part in inputs:
        count = min(len(part), -int(-len(part) * share // 1))
        yield from part[:count].split(max(1, PART // tokens))


@contextmanager
def _caught(norms: Sequence[nn.Module]) -> Iterator[list[Any]]:
    """What each norm gives in a forward pass, in their order, with a graph behind it
    even where no parameter asks for one."""
    given: list[Any] = [None] * len(norms)

    def catch(place: int) -> Callable[[nn.Module, Any, Tensor], Tensor]:
        def hook(_norm: nn.Module, _inputs: Any, output: Tensor) -> Tensor:
            given[place] = output if output.requires_grad else output.requires_grad_()
            return output

        return hook

    handles = [n.register_forward_hook(catch(i)) for i, n in enumerate(norms)]
    try:
        yield given
    finally:
        for handle in handles:
            handle.remove()
