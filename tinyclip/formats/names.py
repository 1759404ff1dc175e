"""Whose names the tensors of a file bear, and what wrappers put around them."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping

import torch
from torch import Tensor

from ..bounds import check_shape
from ..errors import UserError
from ..model import weights
from ..model.clip import Clip
from ..model.weights import check_fit, shown
from ..shapes import ClipShape

log = logging.getLogger("tinyclip")
# parts of a name that wrappers of torch put into it, wherever that is
WRAPPERS = (
    "module",  # DataParallel
    "_orig_mod",  # torch.compile
    "_forward_module",  # Lightning Fabric
    "_fsdp_wrapped_module",
    "_checkpoint_wrapped_module",
)
# beginnings of names in the checkpoints of the TinyCLIP paper's code
PAPER = (
    "_image_encoder",
    "_text_encoder",
    "_logit_scale",
    "image_encoder_without_ddp",
    "text_encoder_without_ddp",
    "logit_scale_without_ddp",
)
TRANSFORMERS, OPENCLIP, TINYCLIP = "transformers", "open_clip", "tinyclip"
# of a library, beginnings of names that no other one has
OWNERS = {
    TRANSFORMERS: ("text_model.", "vision_model."),
    OPENCLIP: ("visual.", "transformer.resblocks.", "text.transformer.resblocks."),
    TINYCLIP: ("image.blocks.", "text.blocks."),
}
READ_BY = {
    TRANSFORMERS: "Put them into a folder with their config.json and write hf:DIR",
    OPENCLIP: "Write openclip:NAME@FILE, with the name of their architecture",
    TINYCLIP: "Name the model directory that they lie in",
}
ADAPTED = "lora_"


def outline(shape: ClipShape, where: str) -> Clip:
    """A model of names and sizes only, on the meta device.

    Raises:
        UserError: none can be built of these numbers.
    """
    try:
        return weights.outline(check_shape(shape))
    except (RuntimeError, TypeError, ValueError, ArithmeticError) as error:
        first = str(error).strip().splitlines()[0][:200]
        raise UserError(where, f"does not describe a model ({first})") from None


def plain_names(
    tensors: Mapping[str, Tensor], own: Collection[str], where: str
) -> dict[str, Tensor]:
    """The tensors of a file without what wrappers put around their names.

    These are torch's own, those of the TinyCLIP paper's code, and whatever all names
    begin with: Lightning's `model.`, say. The log tells what was left away.

    Args:
        own: names that are looked for; their beginnings stay.

    Raises:
        UserError: two tensors that differ have one name without it.
    """
    gone: dict[str, None] = {}  # in the order in which they were met
    plain: dict[str, Tensor] = {}
    for name, value in tensors.items():
        parts = [part for part in name.split(".") if part not in WRAPPERS]
        gone |= dict.fromkeys(part for part in name.split(".") if part in WRAPPERS)
        if len(parts) > 1 and parts[0] in PAPER:
            gone[parts.pop(0)] = None
        bare = ".".join(parts)
        if bare in plain and not _are_equal(plain[bare], value):
            raise UserError(where, f"holds two different tensors for {bare!r}")
        plain[bare] = value
    heads = {name.split(".")[0] for name in own}
    while (head := _common_beginning(plain)) and head not in heads:
        gone[head] = None
        plain = {name.removeprefix(f"{head}."): v for name, v in plain.items()}
    if gone:
        dropped = ", ".join(f"'{part}'" for part in gone)
        log.warning("%s: %s in the names of its tensors is left away", where, dropped)
    return plain


def _are_equal(first: Tensor, second: Tensor) -> bool:
    return first.dtype == second.dtype and torch.equal(first, second)


def _common_beginning(names: Collection[str]) -> str:
    """The part that all names begin with; empty where there is none."""
    heads = {name.partition(".")[::2] for name in names}
    firsts = {head for head, _ in heads}
    return firsts.pop() if len(firsts) == 1 and all(rest for _, rest in heads) else ""


def check_names(
    own: Mapping[str, Tensor],
    tensors: Mapping[str, Tensor],
    where: str,
    expected: str,
) -> None:
    """Refuse tensors that are not a model's, and say whose they are.

    Args:
        own: the model's, by the names of the library `expected`.

    Raises:
        UserError: they do not fit.
    """
    if adapted := [name for name in tensors if ADAPTED in name]:
        raise UserError(
            where,
            f"holds LoRA adapters beside the weights: {shown(adapted)}",
            "Merge them (peft: merge_and_unload) and save the weights again",
        )
    for owner, beginnings in OWNERS.items():
        foreign = [name for name in tensors if name.startswith(beginnings)]
        if foreign and owner != expected:
            raise UserError(
                where,
                f"does not fit: its names are those of {owner} ({shown(foreign)}), and "
                f"those of {expected} are expected",
                READ_BY[owner],
            )
    check_fit(own, tensors, where, _whole_model_under(own, tensors))


def _whole_model_under(own: Collection[str], tensors: Collection[str]) -> str:
    """What to do about a whole model that lies among other tensors."""
    tail = f".{next(iter(own))}"
    for name in tensors:
        prefix = name.removesuffix(tail)
        if prefix != name and all(
            f"{prefix}.{own_name}" in tensors for own_name in own
        ):
            return f"A whole model lies under '{prefix}.': save that alone"
    return ""
