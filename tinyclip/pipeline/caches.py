"""Which stored teacher features belong to a recipe."""

from __future__ import annotations

import hashlib
import string
from pathlib import Path
from typing import Any

from ..config.schema import Recipe
from ..errors import UserError
from ..model.store import Loaded
from ..tokenizers.protocol import TokenizerLike
from ..training.teacher.index import Index, find_index

# texts whose ids tell tokenizers apart
PROBE = (
    "a photo of two Cats, sitting on the 3rd step.",
    string.printable,
    "Übergröße, café, naïve, кошка, 猫, ねこ, 고양이, قطة, 🐈",
)


def tokenizer_fingerprint(tokenizer: TokenizerLike) -> str:
    """Of the ids that it makes, whatever files and libraries they come from."""
    ids = tokenizer(list(PROBE)).numpy().astype("<i8").tobytes()
    return hashlib.sha256(ids).hexdigest()[:16]


def fitting(recipe: Recipe, teacher: Loaded, weights: str) -> dict[str, Any]:
    """What a recipe and the cache that it uses must have in common.

    Args:
        teacher: the recipe's, whole.
        weights: the fingerprint of its weights.
    """
    data = recipe.data
    return {
        "teacher": weights,
        "tokenizer": tokenizer_fingerprint(teacher.tokenizer),
        "transform": {
            **teacher.preprocess.to_dict(),
            "background": data.background,
        },
        "augmentations": data.augmentations,
        "crop": data.crop,
        "seed": recipe.seed,
    }


def cache_of(recipe: Recipe, teacher: Loaded, weights: str) -> tuple[Path, Index]:
    """The cache that a recipe names.

    Raises:
        UserError: it is none, does not fit, or is not finished.
    """
    assert recipe.cache is not None
    if recipe.cache_teacher == "never":
        raise UserError(
            "cache",
            f"{recipe.cache} is named, and cache_teacher is 'never'",
            "Leave one of them out",
        )
    folder = Path(recipe.cache).expanduser()
    return find_index(folder, fitting(recipe, teacher, weights))
