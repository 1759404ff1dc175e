"""Batches as a recipe's data has them made."""

from __future__ import annotations

from typing import Any

from ..config.schema import Recipe
from ..data.loader import Loader
from ..data.protocol import Pairs
from ..model.store import Loaded


def loader_of(
    recipe: Recipe, pairs: Pairs, reader: Loaded, batch: int = 1, **others: Any
) -> Loader:
    """All of the pairs, as a model reads them: its pixels and its tokens.

    Args:
        others: of `Loader`, in place of the recipe's or beside them.

    Raises:
        UserError: as `Loader`.
    """
    data = recipe.data
    asked = {"seed": recipe.seed, "workers": data.workers, **others}
    return Loader(
        pairs,
        range(len(pairs)),
        reader.preprocess,
        reader.tokenizer,
        batch=batch,
        augmentations=data.augmentations,
        crop=data.crop,
        max_broken_share=data.max_broken_share,
        **asked,
    )
