"""Proof on real inputs that the cut changed nothing.

Legend: B batch, T tokens, E joint embedding.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeAlias

import torch
from torch import Tensor

from ..errors import TinyclipError
from ..keep import ClipKeep, Keep
from ..masks.choose import gates_of
from ..model.clip import Clip
from ..model.gating import ClipGates
from ..shapes import TOWERS
from .slicing import joint_keep
from .solve import Ridges, solve
from .stream import Pairs, Some

BOUND = 1e-5
SOLVED_BOUND = 1e-3  # float32 streams, then inverses of their moments
BATCH = 64
# ... of a solve, whose work grows with a model's tokens as well: image tokens of all
# pairs, and pairs at least. Fewer rows are harder on the digits, not easier
SOLVED_TOKENS, SOLVED_LEAST = 4096, 16
Encoders: TypeAlias = dict[str, Callable[[Tensor], Tensor]]  # by tower


def certify(
    model: Clip, keep: ClipKeep, student: Clip, pixels: Tensor, tokens: Tensor
) -> dict[str, Any]:
    """The largest difference between the gated model's and the student's features.

    Float32 weights and arithmetic, autocast and TF32 off.

    Args:
        model, keep: what the student was cut from, and how.
        pixels: (B, 3, S, S); tokens: (B, T). At least 64 real pairs prove something.

    Returns:
        What `certificate.json` holds: `max_abs_diff`, `image`, `text`, `n`, `dtype`.

    Raises:
        TinyclipError: the difference is over 1e-5, or not a number.
    """
    gates = gates_of(keep, model.shape, device=model.logit_scale.device)
    joint = joint_keep(keep, model.shape)
    whole, small = _encoders(model, gates), _encoders(student, joint=joint)
    stated = _stated(whole, small, pixels, tokens, model.logit_scale.device)
    _check(stated, "the student's", "the gated model's")
    return {**stated, "dtype": "float32"}


def certify_same(
    model: Clip, other: Clip, pixels: Tensor, tokens: Tensor
) -> dict[str, Any]:
    """The largest difference between the features of two models that are to be the
    same, by name of the tower, `max_abs_diff` and `n`; arithmetic as in `certify`.

    Raises:
        TinyclipError: the difference is over 1e-5, or not a number.
    """
    encoders = _encoders(model), _encoders(other)
    stated = _stated(*encoders, pixels, tokens, model.logit_scale.device)
    _check(stated, "the rotated model's", "the model's")
    return stated


def _encoders(
    model: Clip, gates: ClipGates | None = None, joint: Keep | None = None
) -> Encoders:
    """What makes normalised features of pictures and of token ids, float32.

    Args:
        joint: the places that its channels have in the joint embedding.
    """
    model = _float32(model)
    encoders = {"image": model.encode_image, "text": model.encode_text}

    def features(tower: str, inputs: Tensor) -> Tensor:
        inputs = inputs.to(model.logit_scale.device)
        return spread(encoders[tower](inputs, normalize=True, gates=gates), joint)

    return {tower: partial(features, tower) for tower in TOWERS}


def _stated(
    one: Encoders,
    other: Encoders,
    pixels: Tensor,
    tokens: Tensor,
    device: torch.device,
) -> dict[str, Any]:
    """The largest difference of both models' features, and of each tower's.

    Args:
        device: where the models are.
    """
    inputs = {"image": pixels.to(torch.float32), "text": tokens}
    with exact_float32(device):
        differences = {
            tower: _difference(one[tower], other[tower], part)
            for tower, part in inputs.items()
        }
    return {"max_abs_diff": max(differences.values()), **differences, "n": len(pixels)}


def _check(stated: dict[str, Any], ours: str, theirs: str) -> None:
    """Refuse a difference over 1e-5, or one that is not a number.

    Args:
        ours, theirs: whose features those were.
    """
    if all(stated[tower] <= BOUND for tower in TOWERS):
        return
    raise TinyclipError(
        f"the certificate is out of bounds: {ours} normalised features differ from "
        f"{theirs} by {stated['image']:.2e} (image) and {stated['text']:.2e} (text) on "
        f"{stated['n']} pairs; the law allows {BOUND:.0e}. This is a bug, or weights "
        "that are not finite"
    )


def certify_solved(
    model: Clip, keep: ClipKeep, pairs: Pairs, ridges: Ridges
) -> dict[str, Any]:
    """The largest difference between the features of a student that is solved with
    float32 streams and of one with all arithmetic in float64, as `certify_same`.

    One tower at a time is made wide. Of a large model 16 pairs are enough work.

    Raises:
        TinyclipError: it is over 1e-3, or not a number.
    """
    count = max(SOLVED_LEAST, SOLVED_TOKENS // model.shape.image.tokens)
    pixels, tokens_BT = pairs.pixels[:count], pairs.tokens_BT[:count]
    with exact_float32(model.logit_scale.device):
        few = Some(pixels, tokens_BT)
        small = solve(model, keep, [few], ridges).model
        image_BE = small.encode_image(pixels, normalize=True)
        text_BE = small.encode_text(tokens_BT, normalize=True)
        del small
        wide = _solved_wide(model, "image", keep, few, ridges)
        exact_BE = wide.encode_image(pixels.double(), normalize=True)
        gaps = {"image": float((image_BE.double() - exact_BE).abs().amax())}
        del wide
        wide = _solved_wide(model, "text", keep, few, ridges)
        exact_BE = wide.encode_text(tokens_BT, normalize=True)
        gaps["text"] = float((text_BE.double() - exact_BE).abs().amax())
    if not all(gap <= SOLVED_BOUND for gap in gaps.values()):
        raise TinyclipError(
            "the solve lost its digits: features differ from the same formulas' "
            f"in float64 by {gaps['image']:.2e} (image) and {gaps['text']:.2e} (text), "
            f"where {SOLVED_BOUND:.0e} is allowed"
        )
    worst = max(gaps.values())
    return {"max_abs_diff": worst, **gaps, "n": len(pixels)}


def _solved_wide(
    model: Clip, tower: str, keep: ClipKeep, pairs: Pairs, ridges: Ridges
) -> Clip:
    """The student that is solved with one tower in float64."""
    mixed = copy.deepcopy(model)
    getattr(mixed, tower).double()
    # a student is made of this one's type
    mixed.logit_scale.data = mixed.logit_scale.data.double()
    return solve(mixed, keep, [pairs], ridges).model


def spread(features_BK: Tensor, joint: Keep | None) -> Tensor:
    """The student's features at the places that its channels had in the model's
    joint embedding, (B, E): 0 where a channel is gone."""
    if joint is None:
        return features_BK
    features_BE = features_BK.new_zeros(len(features_BK), joint.total)
    features_BE[:, list(joint.kept)] = features_BK
    return features_BE


@contextmanager
def exact_float32(device: torch.device) -> Iterator[None]:
    """Autocast and TF32 off, no gradient; the settings are put back afterwards."""
    cudnn: Any = torch.backends.cudnn
    backends: tuple[Any, ...] = (torch.backends.cuda.matmul, cudnn.conv)
    before = [backend.fp32_precision for backend in backends]
    try:
        for backend in backends:
            backend.fp32_precision = "ieee"
        with torch.no_grad(), torch.autocast(device.type, enabled=False):
            yield
    finally:
        for backend, precision in zip(backends, before, strict=True):
            backend.fp32_precision = precision


def _float32(model: Clip) -> Clip:
    """The model with float32 weights, in eval; a copy unless it is so already."""
    if not model.training and model.logit_scale.dtype == torch.float32:
        return model
    return copy.deepcopy(model).float().eval()


def _difference(
    gated: Callable[[Tensor], Tensor],
    sliced: Callable[[Tensor], Tensor],
    inputs: Tensor,
) -> float:
    worst = torch.zeros(())
    for part in inputs.split(BATCH):
        gap_BE = (gated(part) - sliced(part)).abs()
        # amax keeps a NaN, which must not pass
        worst = torch.maximum(worst, gap_BE.amax().cpu())
    return float(worst)
