"""Whether an export is the model it was made from: features on real inputs.

Legend: B batch, T tokens, S image size, E joint embedding.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from ..config.schema import Data
from ..data.pairs import open_pairs
from ..errors import TinyclipError
from ..model.preprocess import Preprocess
from ..model.tokenizer import Tokenizer

BOUND = 1e-5
PAIRS = 32


class Encoders(Protocol):
    """What ours and the stock libraries' models have in common."""

    def encode_image(self, pixels: Tensor, /) -> Tensor: ...

    def encode_text(self, tokens_BT: Tensor, /) -> Tensor: ...


@dataclass(frozen=True)
class Inputs:
    """Real pictures and captions, as a model takes them."""

    pixels: Tensor
    tokens_BT: Tensor


@dataclass(frozen=True)
class Comparison:
    """The largest difference of normalised features: what `parity.json` says."""

    max_abs_diff: float
    image: float
    text: float
    n: int
    bound: float

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def real_inputs(preprocess: Preprocess, tokenizer: Tokenizer, n: int = PAIRS) -> Inputs:
    """Embedded pictures and captions, through the model's own transforms."""
    pairs = open_pairs(Data())
    step = max(1, len(pairs) // n)
    rows = range(0, step * n, step)
    pixels = torch.stack([preprocess(pairs.image(row)) for row in rows])
    return Inputs(pixels, tokenizer([pairs.captions(row)[0] for row in rows]))


@torch.no_grad()
def compare_features(ours: Encoders, theirs: Encoders, inputs: Inputs) -> Comparison:
    """Compare two models, float32.

    Raises:
        TinyclipError: a normalised feature differs by more than 1e-5.
    """
    image, text = (
        float((F.normalize(a, dim=-1) - F.normalize(b, dim=-1)).abs().max())
        for a, b in (
            (ours.encode_image(inputs.pixels), theirs.encode_image(inputs.pixels)),
            (ours.encode_text(inputs.tokens_BT), theirs.encode_text(inputs.tokens_BT)),
        )
    )
    worst = max(image, text)
    if not worst <= BOUND:
        raise TinyclipError(
            f"the export differs from the model by {worst:.1e} (bound {BOUND:.0e}); "
            "nothing was written"
        )
    return Comparison(worst, image, text, len(inputs.pixels), BOUND)
