"""The cut itself: which rows and columns of every parameter survive, and what folds in.

One table says which site rules which dimension of a parameter and whether the gate
value is multiplied in; it serves weights and the optimiser's moments alike.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..keep import ClipKeep, Keep, TowerKeep
from ..model.clip import Clip
from ..shapes import ClipShape


@dataclass(frozen=True)
class Axis:
    """What happens to one dimension of a parameter.

    Args:
        site: the site whose survivors are taken; None leaves the dimension as it is.
        fold: whether their gate values are multiplied in. Each gate is folded once on
            each path, where the unit's output joins the residual stream (design §5).
    """

    site: str | None = None
    fold: bool = False


WHOLE = Axis()
EMBED, EMBED_FOLD = Axis("embed"), Axis("embed", fold=True)
HEADS, HEADS_FOLD = Axis("heads"), Axis("heads", fold=True)
FFN, FFN_FOLD = Axis("ffn"), Axis("ffn", fold=True)
# channels of the joint embedding: they are cut only where they are the image tower's
JOINT_FOLD = Axis("joint", fold=True)

# the names inside a tower, without the number of the block
TABLE: dict[str, tuple[Axis, ...]] = {
    "patch": (EMBED_FOLD, WHOLE, WHOLE, WHOLE),
    "patch_bias": (EMBED_FOLD,),
    "class_embedding": (EMBED_FOLD,),
    "token_embedding": (WHOLE, EMBED_FOLD),
    "position": (WHOLE, EMBED_FOLD),
    "projection": (EMBED, JOINT_FOLD),
    "projection_bias": (JOINT_FOLD,),
    "attention.out.weight": (EMBED_FOLD, HEADS_FOLD),
    "attention.out.bias": (EMBED_FOLD,),
    "ffn.up.weight": (FFN, EMBED),
    "ffn.up.bias": (FFN,),
    "ffn.down.weight": (EMBED_FOLD, FFN_FOLD),
    "ffn.down.bias": (EMBED_FOLD,),
    **{f"attention.{name}.weight": (HEADS, EMBED) for name in "qkv"},
    **{f"attention.{name}.bias": (HEADS,) for name in "qkv"},
    # the update that they scale is gated already
    "scale_1": (EMBED,),
    "scale_2": (EMBED,),
    **{
        f"{norm}.{part}": (EMBED_FOLD,)
        for norm in ("norm_pre", "norm_post", "norm_final", "norm_1", "norm_2")
        for part in ("weight", "bias")
    },
}
# an attention pool is cut like a block, at sites of its own
TABLE |= {
    f"pool.{name}": tuple(
        replace(axis, site=f"pool_{axis.site}")
        if axis.site in ("heads", "ffn")
        else axis
        for axis in TABLE[name]
    )
    for name in list(TABLE)
    if name.startswith(("attention.", "ffn."))
} | {
    "pool.latent": (EMBED_FOLD,),
    "pool.norm.weight": (EMBED_FOLD,),
    "pool.norm.bias": (EMBED_FOLD,),
}
NAME = re.compile(r"(image|text)\.(?:blocks\.(\d+)\.)?(.+)")


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
    for name, value in named.items():
        if name in ("logit_scale", "logit_bias"):
            result[name] = value.detach().clone()
            continue
        match = NAME.fullmatch(name)
        if match is None or match[3] not in TABLE:
            raise ValueError(f"no rule for parameter {name!r}")
        tower, block, inner = match.groups()
        kept, towers = keep.towers()[tower], shape.towers()[tower]
        layer = 0
        if block is not None:
            if int(block) not in kept.layers.kept:
                continue
            layer = kept.layers.kept.index(int(block))
            name = f"{tower}.blocks.{layer}.{inner}"
        joint = joint_keep(keep, shape)
        value = value.detach().clone()
        for dim, axis in enumerate(TABLE[inner]):
            site = _survivors(axis, kept, layer, joint)
            if site is not None:
                repeat = towers.head_width if str(axis.site).endswith("heads") else 1
                value = _slice(value, dim, site, repeat, power if axis.fold else 0)
        result[name] = value
    return result


def joint_keep(keep: ClipKeep, shape: ClipShape) -> Keep | None:
    """The channels of the joint embedding that stay; None where none can be cut."""
    return None if shape.image.projection else keep.image.embed


def _survivors(
    axis: Axis, keep: TowerKeep, layer: int, joint: Keep | None
) -> Keep | None:
    """The units that stay along an axis; None leaves it as it is.

    Args:
        layer: counts the layers that stay.
        joint: channels of the joint embedding, where they are the image tower's.
    """
    if axis.site is None:
        return None
    if axis.site == "joint":
        return joint
    found: Keep | tuple[Keep, ...] | None = getattr(keep, axis.site)
    return found[layer] if isinstance(found, tuple) else found


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
