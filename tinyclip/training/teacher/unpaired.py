"""The teacher's features of what has no pair: made before a run needs them, and held.

Legend: N pictures and M texts of a step, E joint embedding.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from ...data.batch import UnpairedPictures, UnpairedTexts
from ...data.loader import Loader
from ...data.unpaired import TextLoader
from .cached import ANEW, image_features, kept, text_features
from .live import LiveTeacher, no_progress
from .verify import cosines, refuse_unlike, samples, spaced


def cached_pictures(
    teacher: LiveTeacher,
    loader: Loader,
    path: Path,
    fingerprint: str,
    progress: Callable[[int, int], None] = no_progress,
) -> Callable[[UnpairedPictures], Tensor]:
    """What gives pictures' features, from `path` or made anew, as `cache_teacher`.

    Raises:
        UserError: what was read is not this teacher's.
    """
    tensors, was_read = kept(
        path,
        fingerprint,
        ("image",),
        lambda: {"image": image_features(teacher, loader, progress)},
    )
    image_RAE = tensors["image"]
    places = {int(row): place for place, row in enumerate(loader.indices)}

    def of(pictures: UnpairedPictures) -> Tensor:
        rows = [places[row] for row in pictures.index_N.tolist()]
        return image_RAE[rows, pictures.augmentation_N].to(teacher.scale.device)

    batch = samples(loader) if was_read else None
    if batch is not None:
        stored = of(UnpairedPictures(batch.index_B, batch.augmentation_B, batch.pixels))
        alike = cosines(stored, teacher.images(batch.pixels))
        refuse_unlike({"pictures": alike}, str(path), ANEW)
    return of


def cached_texts(
    teacher: LiveTeacher, loader: TextLoader, path: Path, fingerprint: str
) -> Callable[[UnpairedTexts], Tensor]:
    """What gives texts' features, from `path` or made anew, as `cache_teacher`.

    Raises:
        UserError: what was read is not this teacher's.
    """
    tensors, was_read = kept(
        path,
        fingerprint,
        ("text",),
        lambda: {"text": text_features(teacher, loader.texts, loader.tokens)},
    )
    text_CE = tensors["text"]

    def of(texts: UnpairedTexts) -> Tensor:
        return text_CE[texts.index_M].to(teacher.scale.device)

    if was_read:
        index_M = torch.tensor(spaced(len(loader.texts)))
        texts = tuple(loader.texts[i] for i in index_M.tolist())
        tokens_MT = loader.tokens(texts)
        alike = cosines(
            of(UnpairedTexts(index_M, tokens_MT, texts)),
            teacher.texts(tokens_MT, texts),
        )
        refuse_unlike({"texts": alike}, str(path), ANEW)
    return of
