"""Whether stored features are the live teacher's: looked at before they are used.

Legend: B samples looked at, E joint embedding.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ...data.batch import Batch
from ...data.loader import Loader
from ...errors import UserError
from .live import LiveTeacher, Teacher

SAMPLES = 64
# measured on the embedded teacher: mirrored pictures give 0.972 to 0.9997, features
# stored in 16 bits 0.99999997
LEAST = 0.9999


def verify(
    stored: Teacher,
    live: LiveTeacher,
    loader: Loader,
    precision: str,
    where: str,
    todo: str,
) -> None:
    """Compare stored features of `SAMPLES` samples with the live teacher's.

    Args:
        precision: of the arithmetic that the stored features were made in.

    Raises:
        UserError: a cosine is under `LEAST`; the message has the figures.
    """
    batch = samples(loader)
    if batch is None:
        return
    with live.computing_in(precision):
        live_features = live.features(batch)
    stored_features = stored.features(batch)
    refuse_unlike(
        {
            "pictures": cosines(stored_features.image_BE, live_features.image_BE),
            "captions": cosines(stored_features.text_BE, live_features.text_BE),
        },
        where,
        todo,
    )


def refuse_unlike(cosines_B: Mapping[str, Tensor], where: str, todo: str) -> None:
    """Refuse stored features that are not the live teacher's.

    Args:
        cosines_B: of stored and live features, by what they are of.

    Raises:
        UserError: one is under `LEAST`; the message has the figures.
    """
    low = min(float(cosine_B.min()) for cosine_B in cosines_B.values())
    if low >= LEAST:  # false for NaN too
        return
    count = max(map(len, cosines_B.values()))
    figures = ", ".join(_summary(kind, values) for kind, values in cosines_B.items())
    raise UserError(
        where,
        f"its features are not this teacher's: cosine on {count} samples: {figures}; "
        f"at least {LEAST} is wanted",
        todo,
    )


def _summary(kind: str, cosine_B: Tensor) -> str:
    return (
        f"{kind} {float(cosine_B.mean()):.4f} on average, "
        f"{float(cosine_B.min()):.4f} the lowest"
    )


def cosines(one_BE: Tensor, other_BE: Tensor) -> Tensor:
    """Cosine of each pair of features, (B), float64."""
    return functional.cosine_similarity(one_BE.double(), other_BE.double())


def spaced(count: int) -> list[int]:
    """At most `SAMPLES` of 0..count-1, at even distances."""
    places = np.linspace(0, count - 1, SAMPLES).round().astype(np.int64)
    return [int(place) for place in np.unique(places)]


def samples(loader: Loader) -> Batch | None:
    """Evenly spaced whole rows, each augmentation in its turn; None if all are broken.

    Args:
        loader: its preprocess makes the pixels, as those that the student sees.
    """
    rows: list[tuple[int, int, Tensor, str]] = []
    for place in spaced(len(loader.indices)):
        row = int(loader.indices[place])
        augmentation = len(rows) % loader.augmentations
        pixels = loader.pixels_or_blank(row, augmentation)
        if loader.pairs.key(row) not in loader.broken:
            rows.append((row, augmentation, pixels, loader.pairs.captions(row)[0]))
    if not rows:
        return None
    row_numbers, augmentations, pixels_B, captions = zip(*rows, strict=True)
    return Batch(
        torch.tensor(row_numbers),
        torch.tensor(augmentations),
        torch.stack(pixels_B),
        loader.tokens(captions),
        tuple(captions),
    )
