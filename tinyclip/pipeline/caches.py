"""Which stored teacher features belong to a recipe."""

from __future__ import annotations

import hashlib
import string
from pathlib import Path
from typing import Any

import torch

from ..config.load import fingerprint
from ..config.schema import Recipe
from ..errors import UserError
from ..model.clip import Clip
from ..model.store import Loaded
from ..shapes import shape_to_dict
from ..tokenizers.protocol import TokenizerLike
from ..training.teacher.index import Index, find_index
from .needs import needs_of

CACHE_LIMIT = 1024**3  # bytes of cached features

# texts whose ids tell tokenizers apart
PROBE = (
    "a photo of two Cats, sitting on the 3rd step.",
    string.printable,
    "Übergröße, café, naïve, кошка, 猫, ねこ, 고양이, قطة, 🐈",
)


def model_fingerprint(model: Clip) -> str:
    """SHA-256 of every weight, one after the other: no second copy is made."""
    digest = hashlib.sha256()
    for name, value in model.state_dict().items():
        digest.update(f"{name}{tuple(value.shape)}{value.dtype}".encode())
        digest.update(value.cpu().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()[:16]


def tokenizer_fingerprint(tokenizer: TokenizerLike) -> str:
    """Of the ids that it makes, whatever files and libraries they come from."""
    ids = tokenizer(list(PROBE)).numpy().astype("<i8").tobytes()
    return hashlib.sha256(ids).hexdigest()[:16]


def identity(teacher: Loaded) -> dict[str, str]:
    """Of a teacher's weights and of all else that it is."""
    return {
        "teacher": model_fingerprint(teacher.model),
        "architecture": fingerprint(shape_to_dict(teacher.model.shape)),
        "transform": fingerprint(teacher.preprocess.to_dict()),
        "tokenizer": tokenizer_fingerprint(teacher.tokenizer),
    }


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


def caching(recipe: Recipe, pairs: int, width: int) -> bool:
    """Whether the teacher is run once a picture: when that is less work, and objectives
    need nothing that only the teacher itself has.

    Args:
        pairs: that are trained on.
        width: of the teacher's embedding.
    """
    if recipe.cache is not None:
        return True
    if recipe.cache_teacher != "auto":
        return recipe.cache_teacher == "always"
    needs = needs_of(recipe)
    if any(need.looks_around for need in needs):
        return True
    if any(need.runs_teacher for need in needs):
        return False
    augmented = pairs * recipe.data.augmentations
    return pays(augmented, _asked(recipe), width)


def caching_unpaired(recipe: Recipe, rows: int, seen: int, width: int) -> bool:
    """Whether the teacher is run once a picture, or a text, that has no pair.

    Args:
        rows: pictures, each under its augmentations, or texts.
        seen: how many of them all steps see.
    """
    if recipe.cache_teacher != "auto":
        return recipe.cache_teacher == "always"
    return pays(rows, seen, width)


def pays(rows: int, seen: int, width: int) -> bool:
    """Whether features of all rows are less work than those of what steps see, and
    small enough to be held."""
    return rows * width * 8 <= CACHE_LIMIT and seen > rows


def _asked(recipe: Recipe) -> int:
    """How many pairs the run's teacher is asked for."""
    return sum(
        stage.batch * phase.trained_steps
        for number, stage in enumerate(recipe.stages)
        for phase in stage.running().values()
        if phase.asks_run_teacher(number)
    )


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
