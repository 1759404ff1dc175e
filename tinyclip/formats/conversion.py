"""A student as it is written for stock classes, and what it loses by that.

Legend: B batch, E joint embedding, T tokens.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ..errors import UserError
from ..model.clip import Clip
from ..model.store import Loaded
from ..shapes import ClipShape
from .parity import RANDOM, Probe, apart, probe_of
from .stock import as_layer_norm, is_stock, stock_shape

log = logging.getLogger("tinyclip")
MEAN = 0.99  # the least mean cosine of a tower's features
EXACT = "a stock class holds the rotated student exactly"
STEM = (
    "stock classes have one LayerNorm before the blocks where the student has its "
    "teacher's and a stem, so a token's length is its mean there"
)


@dataclass(frozen=True)
class Conversion:
    """A student in the form that stock classes compute.

    Args:
        loaded: what is written.
        same_as: what features of it are compared with to 1e-5: the student itself, or
            where it has a stem, what is written.
        loss: what changes by the conversion; None where there was nothing to convert.
    """

    loaded: Loaded
    same_as: Loaded
    loss: Mapping[str, Any] | None = None

    def told(self, parity: Mapping[str, Any]) -> dict[str, Any]:
        """What `parity.json` says, with what the conversion loses.

        Args:
            parity: of the written folder and `same_as`. Where that is not the student,
                its differences are told as `read_back`, and those to the student where
                they always are.
        """
        if self.loss is None:
            return dict(parity)
        if self.same_as is not self.loaded:
            return {**parity, "conversion": dict(self.loss)}
        towers = {name: self.loss[name] for name in ("image", "text")}
        gaps = {name: part["max_abs_diff"] for name, part in towers.items()}
        back = {key: parity[key] for key in ("max_abs_diff", "image", "text", "n")}
        return {
            **parity,
            **gaps,
            "max_abs_diff": max(gaps.values()),
            "cosine": {name: part["lowest"] for name, part in towers.items()},
            "n": self.loss["n"],
            "read_back": back,
            "conversion": dict(self.loss),
        }


def probes_for(shape: ClipShape, source: str) -> tuple[Probe, Probe | None]:
    """Pairs to compare an export on; and, where a stem is folded, more of them.

    Raises:
        UserError: as `parity.real_probe`.
    """
    if shape.image.stemmed and stock_shape(shape) != shape:
        return apart(source)
    return probe_of(source), None


def convert(loaded: Loaded, probe: Probe, more: Probe | None = None) -> Conversion:
    """The student in the form of stock classes, if both towers are uniform.

    Args:
        probe: its pictures tell the length of tokens behind a stem.
        more: pairs that the loss is measured on; the probe's without them.
    """
    shape = loaded.model.shape
    if is_stock(shape) or stock_shape(shape) == shape:
        return Conversion(loaded, loaded)
    if shape.image.stemmed and probe.source == RANDOM:
        log.warning(
            "the length of a token is taken from noise; name pictures with --data"
        )
    ours = loaded.model.eval().cpu().float()
    pixels = torch.stack([loaded.preprocess(image) for image in probe.images])
    stock = as_layer_norm(ours, pixels)
    written = replace(loaded, model=stock)
    exact = not shape.image.stemmed
    loss = {"exact": exact, **_loss(loaded, stock, more or probe)}
    return Conversion(written, loaded if exact else written, loss)


@torch.no_grad()
def _loss(loaded: Loaded, stock: Clip, probe: Probe) -> dict[str, Any]:
    """How near the features of a converted model are, and whether they agree."""
    pixels = torch.stack([loaded.preprocess(image) for image in probe.images])
    tokens_BT = loaded.tokenizer(probe.captions)
    image = loaded.model.encode_image(pixels, normalize=True)
    text = loaded.model.encode_text(tokens_BT, normalize=True)
    stock_image = stock.encode_image(pixels, normalize=True)
    stock_text = stock.encode_text(tokens_BT, normalize=True)
    first_B, stock_B = (
        (image @ text.T).argmax(1),
        (stock_image @ stock_text.T).argmax(1),
    )
    return {
        "image": _near(image, stock_image),
        "text": _near(text, stock_text),
        "top1_agreement": float((first_B == stock_B).double().mean()),
        "n": len(probe),
        "inputs": probe.source,
    }


def _near(ours_BE: Tensor, theirs_BE: Tensor) -> dict[str, float]:
    """Mean and lowest cosine of normalised features, and their largest difference."""
    near_B = F.cosine_similarity(ours_BE.double(), theirs_BE.double(), dim=-1)
    return {
        "mean": float(near_B.mean()),
        "lowest": float(near_B.amin()),
        "max_abs_diff": float((ours_BE - theirs_BE).abs().amax()),
    }


def too_far(conversion: Conversion) -> str:
    """Why a conversion is not written; "" if it is."""
    loss = conversion.loss
    if loss is None or loss["exact"]:
        return ""  # compared to 1e-5 as every export
    means = {name: loss[name]["mean"] for name in ("image", "text")}
    if all(mean >= MEAN for mean in means.values()):
        return ""
    words = " and ".join(f"{mean:.4f} ({name})" for name, mean in means.items())
    return (
        f"{STEM}: features keep a mean cosine of {words} with the student's own, and "
        f"{MEAN} is needed"
    )


def refuse_loss(conversion: Conversion, where: str, todo: str) -> None:
    """Refuse a conversion that loses too much.

    Raises:
        UserError: it does.
    """
    if why := too_far(conversion):
        raise UserError(where, why, todo)


def in_words(loss: Mapping[str, Any]) -> str:
    """What a conversion loses, as a sentence."""
    if loss["exact"]:
        return f"{EXACT[0].upper()}{EXACT[1:]}."
    image, text = loss["image"], loss["text"]
    agreeing = round(loss["top1_agreement"] * loss["n"])
    return (
        f"Not exact: {STEM}. On {loss['n']} "
        f"{'random pairs' if loss['inputs'] == RANDOM else 'real pairs'} features have "
        f"a cosine with the student's own of {image['mean']:.5f} on average and "
        f"{image['lowest']:.5f} at worst (image), {text['mean']:.5f} and "
        f"{text['lowest']:.5f} (text); {agreeing} pictures find the same caption first "
        f"({100 * loss['top1_agreement']:.1f} %)."
    )
