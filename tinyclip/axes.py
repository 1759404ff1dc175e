"""Which sites rule the dimensions of every parameter, and where gates are folded in.

Legend: a dimension that heads and dims rule together has heads x dims rows.
"""

from __future__ import annotations

from dataclasses import dataclass

from .shapes import ImageShape, TowerShape


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


# a dimension of a parameter, outermost site first: the product of their units
Axes = tuple[Axis, ...]
WHOLE: Axes = ()
EMBED, EMBED_FOLD = (Axis("embed"),), (Axis("embed", fold=True),)
FFN, FFN_FOLD = (Axis("ffn"),), (Axis("ffn", fold=True),)
# a head dies on its way out; a dim also in the scores, where q takes its gate
QUERY = Axis("heads"), Axis("dims", fold=True)
INSIDE = Axis("heads"), Axis("dims")
OUTWARD = Axis("heads", fold=True), Axis("dims", fold=True)
# channels of the joint embedding: they are cut only where they are the image tower's
JOINT = "joint"
JOINT_FOLD = (Axis(JOINT, fold=True),)

# of a block, by the name inside it; an attention pool's are the same
BLOCK: dict[str, tuple[Axes, ...]] = {
    "attention.q.weight": (QUERY, EMBED),
    "attention.q.bias": (QUERY,),
    **{f"attention.{name}.weight": (INSIDE, EMBED) for name in "kv"},
    **{f"attention.{name}.bias": (INSIDE,) for name in "kv"},
    "attention.out.weight": (EMBED_FOLD, OUTWARD),
    "attention.out.bias": (EMBED_FOLD,),
    "ffn.up.weight": (FFN, EMBED),
    "ffn.up.bias": (FFN,),
    "ffn.down.weight": (EMBED_FOLD, FFN_FOLD),
    "ffn.down.bias": (EMBED_FOLD,),
    # the update that they scale is gated already
    "scale_1": (EMBED,),
    "scale_2": (EMBED,),
    **{
        f"{norm}.{part}": (EMBED_FOLD,)
        for norm in ("norm_1", "norm_2", "norm")
        for part in ("weight", "bias")
    },
    "latent": (EMBED_FOLD,),
}
# of what stands outside the blocks
OUTSIDE: dict[str, tuple[Axes, ...]] = {
    "patch": (EMBED_FOLD, WHOLE, WHOLE, WHOLE),
    "patch_bias": (EMBED_FOLD,),
    "class_embedding": (EMBED_FOLD,),
    "token_embedding": (WHOLE, EMBED_FOLD),
    "position": (WHOLE, EMBED_FOLD),
    "stem": (WHOLE, EMBED_FOLD),
    "projection": (EMBED, JOINT_FOLD),
    "projection_bias": (JOINT_FOLD,),
    **{
        f"{norm}.{part}": (EMBED_FOLD,)
        for norm in ("norm_pre", "norm_post", "norm_final")
        for part in ("weight", "bias")
    },
}
# what stands before the stem, and what of a rotated tower's pool reads the stream
BEFORE_STEM = ("patch", "patch_bias", "class_embedding", "position", "norm_pre.")
POOL_READS = ("attention.k.", "attention.v.")


def axes_of(tower: TowerShape, place: str | None, inner: str) -> tuple[Axes, ...]:
    """Which sites rule the dimensions of a parameter.

    Args:
        place: `blocks.3`, `pool`, or None outside the blocks.
        inner: its name there.

    Raises:
        KeyError: there is no such parameter.
    """
    axes = BLOCK[inner] if place else OUTSIDE[inner]
    if isinstance(tower, ImageShape) and _stays_full(tower, place, inner):
        return tuple(WHOLE if dim in (EMBED, EMBED_FOLD) else dim for dim in axes)
    return axes


def _stays_full(tower: ImageShape, place: str | None, inner: str) -> bool:
    """Whether a parameter stands outside the basis of a rotated tower."""
    if place is None and inner == "projection":
        return tower.rotated and tower.pool_block is not None
    if place is None:
        return tower.stemmed and inner.startswith(BEFORE_STEM)
    return place == "pool" and tower.rotated and not inner.startswith(POOL_READS)
