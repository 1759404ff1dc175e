"""Rows of pictures and of texts that have no pair, beside those of the pairs.

Legend: B pairs, N pictures and M texts without a pair, E joint embedding.
"""

from __future__ import annotations

from dataclasses import replace

import torch

from ..model.clip import Features

IMAGE, TEXT = "unpaired.image", "unpaired.text"  # in the features' `more`


def joined(features: Features) -> Features:
    """The features as an objective sees them that looks at each modality alone.

    The image side has B + N rows and the text side B + M: nothing says any more which
    picture goes with which text.
    """
    more = features.more
    if not {IMAGE, TEXT} & more.keys():
        return features
    return replace(
        features,
        image_BE=torch.cat([features.image_BE, *_rows(features, IMAGE)]),
        text_BE=torch.cat([features.text_BE, *_rows(features, TEXT)]),
        more={name: row for name, row in more.items() if name not in (IMAGE, TEXT)},
    )


def _rows(features: Features, name: str) -> list[torch.Tensor]:
    return [features.more[name]] if name in features.more else []
