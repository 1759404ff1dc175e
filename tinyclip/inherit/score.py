"""How much every unit matters, by Torch-Pruning's importance classes.

The library cannot trace our gated towers (its graph would also cut dims inside heads
and skip bare parameters), so its groups are built by hand: what dies with a unit is
known. Its defaults divide each group by its own mean, which makes layers incomparable;
here the raw sums are taken, Σ|w|² or Σ|w·∂L/∂w| over all matrices that a unit owns, and
are comparable between the layers of a site. Biases and LayerNorms do not count.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from ..errors import UserError, nearest
from ..masks.sites import site_name
from ..model.attention import Attention
from ..model.block import Block, Ffn
from ..model.clip import Clip

Scores = dict[str, Tensor]  # one a unit, flat, by site name, as `masks` lays them out
Batch = TypeVar("Batch")
KINDS = ("magnitude", "taylor")


def importance(
    model: Clip,
    kind: str,
    batches: Iterable[Batch] = (),
    loss: Callable[[Clip, Batch], Tensor] | None = None,
) -> Scores:
    """Scores of every unit of all sites.

    Args:
        kind: `magnitude` needs no data; `taylor` needs batches and a loss.

    Raises:
        UserError: the kind is unknown.
    """
    if kind == "magnitude":
        return magnitude_scores(model)
    if kind == "taylor":
        assert loss is not None
        return taylor_scores(model, batches, loss)
    raise UserError("importance", f"unknown importance {kind!r}", nearest(kind, KINDS))


def magnitude_scores(model: Clip) -> Scores:
    """Σ|w|² of what each unit owns (Li et al. 2017, grouped as in Fang et al. 2023)."""
    from torch_pruning.pruner import importance as tp

    return _scores(
        model,
        tp.GroupMagnitudeImportance(
            p=2, group_reduction="sum", normalizer=None, target_types=[nn.Linear]
        ),
    )


def taylor_scores(
    model: Clip, batches: Iterable[Batch], loss: Callable[[Clip, Batch], Tensor]
) -> Scores:
    """Σ|w·∂L/∂w| of what each unit owns (Molchanov et al. 2019), L summed over batches.

    The model is left as it is: its gradients are put back. Activations are made twice
    instead of kept, so that a large model needs little more than weights and gradients.

    Raises:
        UserError: there are no batches.
    """
    from torch_pruning.pruner import importance as tp

    before = {name: p.grad for name, p in model.named_parameters()}
    stacks = (model.image.blocks, model.text.blocks)
    recompute = [stack.recompute for stack in stacks]
    model.zero_grad(set_to_none=True)
    try:
        for stack in stacks:
            stack.recompute = True
        seen = 0
        for batch in batches:
            loss(model, batch).backward()  # type: ignore[no-untyped-call]
            seen += 1
        if not seen:
            raise UserError("importance", "taylor needs at least one batch of pairs")
        criterion = tp.GroupTaylorImportance(
            group_reduction="sum", normalizer=None, target_types=[nn.Linear]
        )
        return _scores(model, criterion)
    finally:
        for stack, was in zip(stacks, recompute, strict=True):
            stack.recompute = was
        for name, parameter in model.named_parameters():
            parameter.grad = before[name]


@torch.no_grad()
def _scores(model: Clip, criterion: Callable[[Any], Tensor]) -> Scores:
    scores: Scores = {}
    for name, tower in model.shape.towers().items():
        blocks: list[Block] = list(getattr(model, name).blocks)
        like = model.logit_scale.detach()
        heads, ffn = [like.new_zeros(0)], [like.new_zeros(0)]
        for block in blocks:
            heads.append(_head_scores(block.attention, criterion))
            ffn.append(_ffn_scores(block.ffn, criterion))
        scores[site_name(name, "heads")] = torch.cat(heads)
        scores[site_name(name, "ffn")] = torch.cat(ffn)
        owned = [pair for block in blocks for pair in _channel_group(block)]
        embed = _ask(criterion, owned) if owned else like.new_zeros(tower.width)
        scores[site_name(name, "embed")] = embed
    pool = model.image.pool
    if pool is not None:
        scores["image_pool_heads"] = _head_scores(pool.attention, criterion)
        scores["image_pool_ffn"] = _ffn_scores(pool.ffn, criterion)
    return scores


def _ffn_scores(ffn: Ffn, criterion: Callable[[Any], Tensor]) -> Tensor:
    return _ask(criterion, [(ffn.up, True), (ffn.down, False)])


def _head_scores(attention: Attention, criterion: Callable[[Any], Tensor]) -> Tensor:
    """One a head: the library scores single dims, a head is the sum of its own."""
    group = [(layer, True) for layer in (attention.q, attention.k, attention.v)]
    dims_I = _ask(criterion, [*group, (attention.out, False)])
    return dims_I.view(attention.heads, attention.head_width).sum(1)


def _channel_group(block: Block) -> list[tuple[nn.Linear, bool]]:
    """The matrices of a block that read or write the residual stream."""
    attention, ffn = block.attention, block.ffn
    readers = (attention.q, attention.k, attention.v, ffn.up)
    writers = (attention.out, ffn.down)
    return [*((m, False) for m in readers), *((m, True) for m in writers)]


def _ask(
    criterion: Callable[[Any], Tensor], owned: list[tuple[nn.Linear, bool]]
) -> Tensor:
    """The library's score of the group (matrix, whether its rows are the units)."""
    import torch_pruning as tp
    from torch_pruning.dependency import Dependency, Group, Node

    first, rows = owned[0]
    units = first.weight.shape[0 if rows else 1]
    if units == 0:
        return first.weight.new_zeros(0)
    group = Group()
    for layer, is_row in owned:
        if layer.weight.numel() == 0:
            continue  # a dead layer owns nothing
        cut = tp.prune_linear_out_channels if is_row else tp.prune_linear_in_channels
        node = Node(layer, None)
        group.add_dep(Dependency(cut, cut, node, node), list(range(units)))
        # the placeholder that the library's graph would fill: no index is remapped
        group[-1].root_idxs = list(range(units))
    if not len(group):
        return first.weight.new_zeros(units)
    return criterion(group)
