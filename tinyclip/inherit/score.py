"""How much every unit matters, by Torch-Pruning's importance classes.

The library cannot trace our gated towers (its graph would also cut dims inside heads
and skip bare parameters), so its groups are built by hand: what dies with a unit is
known. Its defaults divide each group by its own mean, which makes layers incomparable;
here the raw sums are taken, Σ|w|², Σ|w·∂L/∂w| or Σw²·h over all matrices that a unit
owns, and are comparable between the layers of a site. Biases and LayerNorms do not
count.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from ..axes import BLOCK
from ..errors import UserError, nearest
from ..model.clip import Clip
from ..sites import DIMS, FILLING, GROUPS, SITES, Site

Scores = dict[str, Tensor]  # one a unit, flat, by site name, as `masks` lays them out
Batch = TypeVar("Batch")
KINDS = ("magnitude", "taylor", "hessian")


def importance(
    model: Clip,
    kind: str,
    batches: Iterable[Batch] = (),
    loss: Callable[[Clip, Batch], Tensor] | None = None,
) -> Scores:
    """Scores of every unit of all sites.

    Args:
        kind: `magnitude` needs no data; `taylor` and `hessian` need batches and a
            loss, and `hessian` takes each batch for a sample.

    Raises:
        UserError: the kind is unknown.
    """
    if kind == "magnitude":
        return magnitude_scores(model)
    if kind in KINDS:
        assert loss is not None
        if kind == "taylor":
            return taylor_scores(model, batches, loss)
        return hessian_scores(model, (loss(model, batch) for batch in batches))
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

    with _own_gradients(model):
        batch_count = 0
        for batch in batches:
            loss(model, batch).backward()  # type: ignore[no-untyped-call]
            batch_count += 1
        if not batch_count:
            raise UserError("importance", "taylor needs at least one batch of pairs")
        criterion = tp.GroupTaylorImportance(
            group_reduction="sum", normalizer=None, target_types=[nn.Linear]
        )
        return _scores(model, criterion)


def hessian_scores(model: Clip, losses: Iterable[Tensor]) -> Scores:
    """Σw²·h of what each unit owns, h the mean over pairs of (∂L/∂w)²: what the loss
    rises by in second order, its Hessian the diagonal of the empirical Fisher (LeCun et
    al. 1989, "Optimal Brain Damage", eq. 5, grouped as in Fang et al. 2023).

    The library's own sum over pairs keeps the last one alone; it is taken here.

    Args:
        losses: one a pair, each made when it is asked for.

    Raises:
        UserError: there are none.
    """
    from torch_pruning.pruner import importance as tp

    weights = [part.weight for part in model.modules() if isinstance(part, nn.Linear)]
    sums = [torch.zeros_like(weight) for weight in weights]
    pair_count = 0
    for loss in losses:
        slopes = torch.autograd.grad(loss, weights, allow_unused=True)
        for total, slope in zip(sums, slopes, strict=True):
            if slope is not None:
                total += slope.square()
        pair_count += 1
    if not pair_count:
        raise UserError("importance", "hessian needs at least one pair")
    with _own_gradients(model):
        for weight, total in zip(weights, sums, strict=True):
            weight.grad = total / pair_count
        criterion = tp.GroupHessianImportance(
            group_reduction="sum", normalizer=None, target_types=[nn.Linear]
        )
        return _scores(model, criterion)


@contextmanager
def _own_gradients(model: Clip) -> Iterator[None]:
    """No gradient at first, activations made twice; all as it was at the end."""
    before = {name: p.grad for name, p in model.named_parameters()}
    stacks = (model.image.blocks, model.text.blocks)
    recompute = [stack.recompute for stack in stacks]
    model.zero_grad(set_to_none=True)
    try:
        for stack in stacks:
            stack.recompute = True
        yield
    finally:
        for stack, was in zip(stacks, recompute, strict=True):
            stack.recompute = was
        for name, parameter in model.named_parameters():
            parameter.grad = before[name]


@torch.no_grad()
def _scores(model: Clip, criterion: Callable[[Any], Tensor]) -> Scores:
    scores: Scores = {}
    for name, group in GROUPS.items():
        tower: nn.Module = getattr(model, group.tower)
        shape = model.shape.towers()[group.tower]
        if group.part and getattr(tower, group.part, None) is None:
            continue
        blocks = [getattr(tower, group.part)] if group.part else list(tower.blocks)  # type: ignore[arg-type]
        like = model.logit_scale.detach()
        if group.site.in_block:
            by_block = [like.new_zeros(0)]
            by_block += [
                _unit_scores(block, group.site, criterion, like) for block in blocks
            ]
            scores[name] = torch.cat(by_block)
            continue
        owned = [pair for block in blocks for pair in _owned(block, group.site)]
        width = getattr(shape, group.site.field)
        scores[name] = (
            _library_scores(criterion, owned) if owned else like.new_zeros(width)
        )
    return scores


def _unit_scores(
    block: nn.Module,
    site: Site,
    criterion: Callable[[Any], Tensor],
    like: Tensor,
) -> Tensor:
    """One a unit of the block, of the type and place of `like`."""
    empty = like.new_zeros(0)
    if site.owns:  # a whole layer is the sum of all that is in it
        # heads hold all that dims do
        inside = [m for m in SITES.values() if m.layer == site.name and m is not DIMS]
        if not any(_owned(block, member) for member in inside):
            return empty
        sums = [_unit_scores(block, member, criterion, like).sum() for member in inside]
        return torch.stack(sums).sum(0, keepdim=True)
    owned = _owned(block, site)
    if not owned:
        return empty
    scores = _library_scores(criterion, owned)
    if not site.inner:
        return scores
    # the library scores single rows; a unit is the sum of its own
    attention = _module_at(block, "attention")
    scores_HK = scores.view(attention.heads, attention.dims)
    return scores_HK.sum(1 if site is FILLING else 0)


def _owned(block: nn.Module, site: Site) -> list[tuple[nn.Linear, bool]]:
    """The matrices of a block that a unit of the site owns a part of, and whether its
    rows; readers of the unit first, then those that write it to the stream."""
    matrices = []
    for name, axes in BLOCK.items():
        path, _, kind = name.rpartition(".")
        layer = _module_at(block, path)
        if kind == "weight" and isinstance(layer, nn.Linear):
            matrices += [
                (axis.fold, layer, dim == 0)
                for dim, ruled in enumerate(axes)
                for axis in ruled
                if axis.site == site.name
            ]
    return [
        (layer, is_row) for _, layer, is_row in sorted(matrices, key=lambda f: f[0])
    ]


def _module_at(block: nn.Module, path: str) -> Any:
    """A part of a block; None if it lacks it."""
    module: Any = block
    for step in path.split("."):
        module = getattr(module, step, None)
    return module


def _library_scores(
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
