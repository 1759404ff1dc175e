"""What objectives need beside features, made up: a line each.

Legend: B pairs of a batch.
"""

from __future__ import annotations

from dataclasses import replace

import torch

from tinyclip.model.clip import Features


def beside(name: str, mine: Features, theirs: Features) -> tuple[Features, Features]:
    """Both with what an objective needs, where the tests have to make it up."""
    more = {"mfd": {"mfd.masked": mine.image_BE}}.get(name, {})  # nothing left out
    rows_B = torch.arange(len(theirs.image_BE))
    next_BK = (rows_B[:, None] + torch.arange(1, 2)) % len(rows_B)  # one neighbour
    theirs_more = {
        "bingo": {
            "bingo.rows": torch.cat([rows_B[:, None], next_BK], 1),
            "bingo.features": theirs.image_BE[next_BK],
        },
    }.get(name, {})
    return replace(mine, more=more), replace(theirs, more=theirs_more)
