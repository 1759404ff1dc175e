"""How near the features of a rounded model are to our own.

Legend: B batch, E joint embedding, T tokens.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ..model.clip import Clip

CUTS = (1, 3)  # a batch of one, one of two, and all the rest


@torch.no_grad()
def compare_cosines(
    ours: Clip,
    theirs: Any,
    pixels: tuple[Tensor, Tensor],
    tokens: tuple[Tensor, Tensor],
) -> dict[str, Any]:
    """The lowest `cosine` of every tower over all inputs, and the largest differences.

    Args:
        theirs: anything with `encode_image` and `encode_text`, whatever its batch.
        pixels, tokens: as each side makes them.
    """
    cosine: dict[str, float] = {}
    gaps: dict[str, float] = {}
    encode = {
        "image": (ours.encode_image, theirs.encode_image, *pixels),
        "text": (ours.encode_text, theirs.encode_text, *tokens),
    }
    for tower, (mine, other, x, x_other) in encode.items():
        mine_BE = mine(x, normalize=True)
        parts = [part for part in x_other.tensor_split(CUTS) if len(part)]
        other_BE = torch.cat([other(part, normalize=True) for part in parts])
        near_B = F.cosine_similarity(mine_BE.double(), other_BE.double(), dim=-1)
        cosine[tower] = float(near_B.amin())
        gaps[tower] = float((mine_BE - other_BE).abs().amax())
    return {"cosine": cosine, "max_abs_diff": max(gaps.values()), **gaps}


def under(cosine: dict[str, float], bound: float) -> str:
    """What to say where a cosine is under its bound, or not a number; "" if none is."""
    if all(value >= bound for value in cosine.values()):
        return ""
    words = ", ".join(f"{value:.5f} ({tower})" for tower, value in cosine.items())
    return f"the cosine to the model's own features is {words}; {bound} is needed"
