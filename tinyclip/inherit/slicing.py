"""The cut itself: which rows and columns of every parameter survive, and what folds in.

The table of sites says which rules which dimension of a parameter and whether the gate
value is multiplied in; here it is done, to weights and the optimiser's moments alike.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from ..keep import ClipKeep, Keep, TowerKeep
from ..model.clip import Clip
from ..shapes import TOWERS, ClipShape, TowerShape
from ..sites import BLOCK, JOINT, LAYERS, SITES, STEM, WIDTH, Axis, Site, key_of

NAME = re.compile(rf"({'|'.join(TOWERS)})\.(?:(blocks\.\d+|pool)\.)?(.+)")


def inherit(model: Clip, keep: ClipKeep) -> Clip:
    """The student that the kept units make; the model is left as it is.

    Its features are those of the model under the keep's hardened gates (law 1).

    Raises:
        ValueError: the keep is of another shape.
    """
    student = Clip(keep.cut(model.shape)).to(model.logit_scale)
    sliced = slice_named(dict(model.named_parameters()), keep, model.shape)
    student.load_state_dict(sliced)
    return student.train(model.training)


@torch.no_grad()
def slice_named(
    named: Mapping[str, Tensor], keep: ClipKeep, shape: ClipShape, power: int = 1
) -> dict[str, Tensor]:
    """Slice tensors that are shaped like the parameters whose names they carry.

    Args:
        named: by canonical parameter name; parameters of dropped layers are left out of
            the result, and the layers that stay are numbered anew.
        power: of the gate values that are multiplied in. 1 for weights. A weight that
            grew by s has a gradient that shrank by s: −1 for Adam's first moment, −2
            for its second. 0 multiplies nothing.

    Returns:
        New tensors by the student's names, with the type and place of the old.

    Raises:
        ValueError: a name is unknown, or the keep is of another shape.
    """
    result = {}
    joint = joint_keep(keep, shape)
    for name, value in named.items():
        if name in ("logit_scale", "logit_bias"):
            result[name] = value.detach().clone()
            continue
        match = NAME.fullmatch(name)
        table = BLOCK if match and match[2] else STEM
        if match is None or match[3] not in table:
            raise ValueError(f"no rule for parameter {name!r}")
        tower, place, inner = match.groups()
        kept = Kept(keep.towers()[tower], shape.towers()[tower], place, joint)
        if kept.has(inner):
            start = ".".join(part for part in (tower, kept.place) if part)
            sliced = kept.slice(value.detach().clone(), table[inner], power)
            result[f"{start}.{inner}"] = kept.fold_layers(sliced, inner, power)
    return result


def joint_keep(keep: ClipKeep, shape: ClipShape) -> Keep | None:
    """The channels of the joint embedding that stay; None where none can be cut."""
    return None if shape.image.projection else keep.image.sole(WIDTH.name)


class Kept:
    """What survives around one parameter.

    Args:
        keep, shape: of its tower.
        place: `blocks.3`, `pool`, or None outside the blocks.
        joint: channels of the joint embedding, where they are the image tower's.
    """

    def __init__(
        self, keep: TowerKeep, shape: TowerShape, place: str | None, joint: Keep | None
    ) -> None:
        self.keep, self.shape, self.joint = keep, shape, joint
        self.part, self.layer, self.place = "", 0, place
        self.there = True
        if place is None:
            return
        part, _, number = place.partition(".")
        if not number:
            self.part = part
            return
        self.there = int(number) in keep.layers.kept
        if self.there:  # the layers that stay are numbered anew
            self.layer = keep.layers.kept.index(int(number))
            self.place = f"{part}.{self.layer}"

    def survivors(self, site: str) -> Keep | None:
        """The units that stay; None where all of them do."""
        if site == JOINT:
            return self.joint
        in_block = SITES[site].in_block
        keeps = self.keep.units.get(key_of(site, self.part if in_block else ""))
        return None if keeps is None else keeps[self.layer if in_block else 0]

    def layers(
        self, starts: Callable[[Site], tuple[str, ...]], inner: str
    ) -> list[Keep]:
        """The keeps of whole layers that rule a parameter."""
        if self.part or self.place is None:
            return []
        ruling = [name for name in LAYERS if inner.startswith(starts(SITES[name]))]
        return [keep for keep in map(self.survivors, ruling) if keep is not None]

    def has(self, inner: str) -> bool:
        """Whether the parameter is there at all."""
        return self.there and all(map(len, self.layers(lambda site: site.owns, inner)))

    def slice(self, value: Tensor, axes: tuple[Axis, ...], power: int) -> Tensor:
        """The rows and columns that stay."""
        for dim, axis in enumerate(axes):
            keep = None if axis.site is None else self.survivors(axis.site)
            if axis.site is None or keep is None:
                continue
            rows = None if axis.site == JOINT else SITES[axis.site].rows
            repeat = 1 if rows is None else getattr(self.shape, rows)
            value = _slice(value, dim, keep, repeat, power if axis.fold else 0)
        return value

    def fold_layers(self, value: Tensor, inner: str, power: int) -> Tensor:
        """The gate values of whole layers, multiplied in."""
        for keep in self.layers(lambda site: site.joins, inner):
            if power and keep.scale is not None:
                value = value * float(keep.scale[0]) ** power
        return value


def _slice(value: Tensor, dim: int, site: Keep, repeat: int, power: int) -> Tensor:
    """One dimension of one parameter; each unit owns `repeat` neighbours."""
    if value.shape[dim] != site.total * repeat:
        raise ValueError("the keep does not fit the parameter's shape")
    value = value.index_select(dim, _rows(site, repeat, value.device))
    if not power or site.scale is None:
        return value
    scale = torch.tensor(site.scale, dtype=value.dtype, device=value.device)
    if power != 1:
        scale = scale.double().pow(power).to(value.dtype)
    along = [-1 if i == dim else 1 for i in range(value.ndim)]
    return value * scale.repeat_interleave(repeat).view(along)


def _rows(site: Keep, repeat: int, device: torch.device) -> Tensor:
    """Indices of the surviving rows; each unit owns `repeat` neighbours."""
    unit_U = torch.tensor(site.kept, dtype=torch.long, device=device)
    inside = torch.arange(repeat, device=device)
    return (unit_U.unsqueeze(1) * repeat + inside).flatten()
