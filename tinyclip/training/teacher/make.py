"""Making a teacher cache: shard after shard, what is there already stays.

Legend: r rows of a shard, R of all, A augmentations, E joint embedding.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...data.loader import Loader
from ...dtypes import DTYPES
from ...errors import UserError
from .index import INDEX, Index, mismatches, read_index, write_keys
from .live import LiveTeacher, chunks, encode, no_progress
from .shards import Layout, Shard, Torn, write_shard

Progress = Callable[[int, int], None]
ShardRows = tuple[
    Tensor, Sequence[bool]
]  # features (r, A, E), and which rows are whole


def begin(
    folder: Path,
    made_of: dict[str, Any],
    loader: Loader,
    captions: Sequence[str],
    embed_dim: int,
    again: str,
) -> Index:
    """The index of a folder in which a cache is made, or goes on being made.

    Raises:
        UserError: the folder holds a cache of other things.
        StorageError: it cannot be written.
    """
    if (folder / INDEX).exists():
        index = read_index(folder)
        changed = mismatches(index.made_of, made_of, sorted(made_of))
        if changed:
            raise UserError(
                str(folder),
                f"holds another cache ({'; '.join(changed)})",
                "Name another folder with --out",
            )
        return index
    rows, views, dtype = len(loader.indices), loader.augmentations, made_of["dtype"]
    index = Index(
        made_of=made_of,
        images=Layout.bounded("image", rows, views, embed_dim, dtype),
        texts=Layout.bounded("text", len(captions), 1, embed_dim, dtype),
        again=again,
    )
    index.write(folder)
    return index


def make(
    folder: Path,
    index: Index,
    teacher: LiveTeacher,
    loader: Loader,
    captions: Sequence[str],
    progress: Progress = no_progress,
    workers: int = 0,
) -> tuple[Index, int]:
    """Fill a folder that `begin` has begun; returns its index and the shards kept.

    A shard is a pure function of teacher, data and transform, made in chunks that do
    not depend on which shards are there: whatever is killed, lost or damaged, the
    result is the same.

    Args:
        captions: `loader.all_captions()`.
        progress: told how many features are there, of how many.
        workers: threads that decode pictures.

    Raises:
        UserError: too many pictures are broken.
        StorageError: a file cannot be written; the shards before it stay.
    """
    with ThreadPoolExecutor(max(1, workers)) as pool:
        maker = _Maker(folder, index, teacher, loader, captions, progress, pool)
        maker.fill(index.texts, maker.encode_texts)
        whole_R = maker.fill(index.images, maker.encode_pictures)

    def keys() -> Iterator[str]:
        return (loader.pairs.key(int(row)) for row in loader.indices)

    index = write_keys(folder, index, keys, captions, whole_R)
    index = replace(index, whole=True, content=maker.content())
    index.write(folder)
    return index, maker.kept


@dataclass
class _Maker:
    """What every shard is made with, and what was made so far."""

    folder: Path
    index: Index
    teacher: LiveTeacher
    loader: Loader
    captions: Sequence[str]
    progress: Progress
    pool: ThreadPoolExecutor
    kept: int = 0
    done: int = 0

    def __post_init__(self) -> None:
        images = self.index.images
        self.total = self.index.texts.rows + images.rows * images.augmentations
        self._digest = hashlib.sha256()

    def content(self) -> str:
        """Fingerprint of all features."""
        return self._digest.hexdigest()[:16]

    def fill(
        self, layout: Layout, make: Callable[[range], ShardRows]
    ) -> NDArray[np.bool_]:
        """Every shard of one kind; returns which rows are whole, (R)."""
        flags = []
        for number in range(layout.count):
            shard = self._existing(layout, number)
            if shard is None:
                features, whole_rows = make(layout.span(number))
                path, dtype = (
                    layout.path(self.folder, number),
                    DTYPES[layout.dtype].torch,
                )
                write_shard(
                    path, features.to(dtype), whole_rows, self.index.fingerprint
                )
                shard = self._written(layout, number)
            self._digest.update(shard.crc_rA.tobytes())
            flags.append(shard.whole_r.copy())
        return np.concatenate(flags) if flags else np.zeros(0, dtype=np.bool_)

    def _open(self, layout: Layout, number: int) -> Shard:
        return Shard(layout, self.folder, number, self.index.fingerprint)

    def _written(self, layout: Layout, number: int) -> Shard:
        """A shard that was written just now.

        Raises:
            UserError: it is not there any more.
        """
        try:
            return self._open(layout, number)
        except Torn as torn:
            path = layout.path(self.folder, number)
            todo = f"Go on with: {self.index.again}"
            raise UserError(str(path), f"was written, and {torn}", todo) from None

    def _existing(self, layout: Layout, number: int) -> Shard | None:
        """A shard that was made before, or None where there is no whole one."""
        try:
            shard = self._open(layout, number)
            shard.check()
        except Torn:
            return None
        rows = layout.span(number)
        if layout is self.index.images:
            for row in np.flatnonzero(~shard.whole_r):  # they count as broken
                key = self._key(rows.start + int(row))
                self.loader.broken.setdefault(key, ("broken", "when it was cached"))
        self.kept += 1
        self._advance(len(rows) * layout.augmentations)
        return shard

    def _key(self, place: int) -> str:
        return self.loader.pairs.key(int(self.loader.indices[place]))

    def _advance(self, more: int) -> None:
        self.done += more
        self.progress(self.done, self.total)

    def encode_texts(self, rows: range) -> ShardRows:
        """The captions of one shard."""
        captions = list(self.captions[rows.start : rows.stop])
        tokenize = self.teacher.tokenizer or self.loader.tokens

        def tokens() -> Iterator[Tensor]:
            for piece in chunks(captions):
                yield tokenize(captions[piece])
                self._advance(len(captions[piece]))

        features_rE = encode(
            self.teacher.model.encode_text, self.teacher.engine, tokens()
        )
        return features_rE.unsqueeze(1), [True] * len(rows)

    def encode_pictures(self, rows: range) -> ShardRows:
        """The pictures of one shard under every augmentation."""
        loader = self.loader
        own = loader.indices[rows.start : rows.stop].tolist()
        keys = [(row, a) for row in own for a in range(loader.augmentations)]

        def pixels() -> Iterator[Tensor]:
            for piece in chunks(keys):
                pictures = self.pool.map(
                    lambda key: loader.pixels_or_blank(*key), keys[piece]
                )
                yield torch.stack(list(pictures))
                self._advance(len(keys[piece]))

        features = encode(
            self.teacher.model.encode_image, self.teacher.engine, pixels()
        )
        whole = [self._key(place) not in loader.broken for place in rows]
        return features.unflatten(0, (-1, loader.augmentations)), whole
