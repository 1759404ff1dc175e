"""What objectives need beside features, made up: a line each.

Legend: B pairs of a batch.
"""

from __future__ import annotations

from dataclasses import replace

import torch

from tinyclip.model.clip import Features


def beside(name: str, mine: Features, theirs: Features) -> tuple[Features, Features]:
    """Both with what an objective needs, where the tests have to make it up."""
    images_B1E, texts_B1E = (
        features_BE.roll(1, 0)[:, None] for features_BE in (mine.image_BE, mine.text_BE)
    )
    more = {
        "mfd": {"mfd.masked": mine.image_BE},  # nothing left out
        "negclip": {
            "negclip.images": images_B1E,
            "negclip.texts": texts_B1E,
            "negclip.swapped": torch.cat([-texts_B1E, 2 * texts_B1E], 1),
        },
    }.get(name, {})
    rows_B = torch.arange(len(theirs.image_BE))
    next_BK = (rows_B[:, None] + torch.arange(1, 2)) % len(rows_B)  # one neighbour
    theirs_more = {
        "bingo": {
            "bingo.rows": torch.cat([rows_B[:, None], next_BK], 1),
            "bingo.features": theirs.image_BE[next_BK],
        },
        "negclip": {
            "negclip.rows": torch.stack([rows_B, rows_B + len(rows_B)], 1),
            "negclip.swaps": torch.ones(len(rows_B), 2, dtype=torch.int64),
        },
    }.get(name, {})
    return replace(mine, more=more), replace(theirs, more=theirs_more)
