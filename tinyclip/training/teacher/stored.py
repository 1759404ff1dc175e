"""A teacher whose features were stored beforehand, read row by row.

Legend: B batch, E joint embedding, R rows of the pairs.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from ...data.batch import Batch
from ...data.loader import Loader
from ...data.protocol import Pairs
from ...errors import UserError
from ...model.clip import Features
from .index import BROKEN, MISSING, Index, Places, read_keys
from .live import LiveTeacher, chunks
from .shards import Shards
from .verify import verify

LOOKED_UP = 100_000  # names at once
SHOWN = 3


class StoredTeacher:
    """Features from shards, found by the samples' keys and by captions.

    Args:
        place_R: place in `images` of each row of `pairs`, or `BROKEN`.
        captions: places in `texts`.
        scale, bias: the teacher's logit scale, and its logit bias if it has one.
    """

    def __init__(
        self,
        pairs: Pairs,
        images: Shards,
        texts: Shards,
        place_R: NDArray[np.int64],
        captions: Places,
        scale: Tensor,
        bias: Tensor | None,
    ) -> None:
        self.pairs, self.images, self.texts = pairs, images, texts
        self.place_R, self.captions = place_R, captions
        self.scale, self.bias = scale, bias

    def with_scale_of(self, live: LiveTeacher) -> StoredTeacher:
        """The same features under another logit scale."""
        unchanged = self.pairs, self.images, self.texts, self.place_R, self.captions
        return StoredTeacher(*unchanged, live.scale, live.bias)

    def features(self, batch: Batch) -> Features:
        """Features of one batch, float32, as `LiveTeacher` computes them.

        Raises:
            UserError: a checksum is wrong, or a picture could not be read when the
                cache was made.
        """
        views = zip(batch.index_B.tolist(), batch.augmentation_B.tolist(), strict=True)
        image_BE = [self.images.feature(self._place(row), a) for row, a in views]
        places = self.captions.of(batch.captions)
        text_BE = [self.texts.feature(int(place), 0) for place in places]
        device = self.scale.device
        image_B, text_B = (
            _restored(torch.stack(features)).to(device)
            for features in (image_BE, text_BE)
        )
        return Features(image_B, text_B, self.scale, self.bias)

    def pictures(self, rows: Sequence[int]) -> Tensor:
        """Of each row's first augmentation, (N, E); zeros where it is broken.

        Raises:
            UserError: a checksum is wrong.
        """
        layout, places = self.images.layout, self.place_R[list(rows)].tolist()
        features_NE = torch.zeros(len(places), layout.embed_dim)
        for chunk in chunks(places):
            whole = [(i, p) for i, p in enumerate(places[chunk]) if p != BROKEN]
            if whole:
                stored = [self.images.feature(place, 0) for _, place in whole]
                at = [chunk.start + i for i, _ in whole]
                features_NE[at] = _restored(torch.stack(stored))
        return features_NE.to(self.scale.device)

    def _place(self, row: int) -> int:
        place = int(self.place_R[row])
        if place != BROKEN:
            return place
        raise UserError(
            f"cache: {self.pairs.key(row)}",
            "could be read now, and could not when the teacher's features were made",
            f"Delete the cache's folder and run: {self.images.again}",
        )


def _restored(stored_BE: Tensor) -> Tensor:
    """Float32; what half types rounded is of length 1 again."""
    if stored_BE.dtype == torch.float32:
        return stored_BE
    return functional.normalize(stored_BE.float(), dim=-1)


def open_stored(
    folder: Path, index: Index, live: LiveTeacher, loader: Loader
) -> StoredTeacher:
    """The teacher of a whole cache, verified against the live one.

    Args:
        index: of the cache, which `find_index` has found to fit.
        loader: what the student sees.

    Raises:
        UserError: a file is damaged, a sample or caption is missing, or the features
            are not the teacher's.
    """
    images = Shards(index.images, folder, index.fingerprint, index.again)
    texts = Shards(index.texts, folder, index.fingerprint, index.again)
    keys, captions = read_keys(folder, index)
    pairs, rows = loader.pairs, loader.indices
    row_keys = (pairs.key(int(row)) for row in rows)
    row_captions = (text for row in rows for text in pairs.captions(int(row)))
    place_R = np.full(len(pairs), MISSING)
    place_R[rows] = np.concatenate(list(_places_of(folder, "samples", row_keys, keys)))
    for _ in _places_of(folder, "captions", row_captions, captions):
        pass  # only whether they are there
    features = pairs, images, texts, place_R, captions
    teacher = StoredTeacher(*features, live.scale, live.bias)
    precision = str(index.made_of["precision"])
    todo = "Make it again of this teacher and these data, in another folder"
    verify(teacher, live, loader, precision, str(folder), todo)
    return teacher


def _places_of(
    folder: Path, what: str, names: Iterator[str], places: Places
) -> Iterator[NDArray[np.int64]]:
    """Places of names, many at a time.

    Raises:
        UserError: names are missing; how many, and the first of them.
    """
    count = 0
    missing: list[str] = []
    while chunk := list(itertools.islice(names, LOOKED_UP)):
        place_M = places.of(chunk)
        missing_M = np.flatnonzero(place_M == MISSING)
        missing += [chunk[place] for place in missing_M[: SHOWN - len(missing)]]
        count += len(missing_M)
        yield place_M
    if count:
        shown = ", ".join(map(repr, missing))
        more = " ..." if count > len(missing) else ""
        raise UserError(
            str(folder),
            f"{count} {what} of the data are not in the cache: {shown}{more}",
            "Make one of all these data: tinyclip cache --data SOURCE --out DIR",
        )
