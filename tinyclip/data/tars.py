"""`tars:DIR/{000..331}.tar`: shards as webdataset writes them, on a local disk.

Every picture is read from its own place, so the order is a permutation of all samples,
not of a buffer, and a resumed run reads nothing twice. On a local disk that costs 5 us
a picture beside reading it; on a disk with moving heads or over a network it costs a
seek each, and shards should be copied first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import blake2b
from pathlib import Path

import numpy as np
from PIL import Image

from ..config.schema import Data
from ..errors import UserError
from .broken import Broken, Dropped
from .columns import Column, excluder
from .files import HASHED, evenly
from .pictures import RGB, decode_picture, parse_background
from .shards import find_shards, shard_labels
from .tar_index import NO_CAPTIONS, NO_TEXT, Index, index_shards
from .views import Subset


class TarPairs:
    """The samples of tar shards, in the order of shards and of members.

    Args:
        name: the source, as the user wrote it.
        shards: their files.
        indices: what is in each.
        background: what transparency is laid on.
    """

    def __init__(
        self,
        name: str,
        shards: Sequence[Path],
        indices: Sequence[Index],
        background: RGB,
    ) -> None:
        import pyarrow as pa

        self.name, self.background = name, background
        self.shards, self._labels = list(shards), shard_labels(list(shards))
        table = pa.concat_tables([index.table for index in indices])
        self._keys, self._texts = Column(table["key"]), Column(table["captions"])
        self._offsets = table["offset"].to_numpy()
        self._sizes = table["size"].to_numpy()
        self._ends = np.cumsum([len(index.table) for index in indices])
        self._digests = [index.digest for index in indices]
        self._dropped = Dropped()
        for label, index in zip(self._labels, indices, strict=True):
            rows = {f"{label}/{k}": why for k, why in index.dropped.rows.items()}
            self._dropped.merge(index.dropped, rows)

    @property
    def dropped(self) -> Mapping[str, int]:
        return self._dropped

    def __len__(self) -> int:
        return len(self._keys)

    def shard(self, i: int) -> int:
        """The number of the shard that row `i` is in."""
        return int(np.searchsorted(self._ends, i, side="right"))

    def key(self, i: int) -> str:
        return f"{self._labels[self.shard(i)]}/{self._keys[i]}"

    def place(self, i: int) -> str:
        """The shard, and where in it: the same whichever pattern named the shard."""
        return f"{self.shards[self.shard(i)].absolute()}@{self._offsets[i]}"

    def captions(self, i: int) -> tuple[str, ...]:
        return tuple(self._texts[i])

    def read(self, i: int) -> bytes:
        """The bytes of the picture of row `i`; raises `Broken`."""
        path, size = self.shards[self.shard(i)], int(self._sizes[i])
        try:
            with path.open("rb", buffering=0) as file:
                file.seek(int(self._offsets[i]))
                content = file.read(size)
        except FileNotFoundError:
            raise Broken("missing", f"the shard {path} is gone") from None
        except OSError as error:
            raise Broken("unreadable", f"{path}: {error.strerror}") from None
        if len(content) < size:
            raise Broken("truncated", f"the shard {path} has become shorter")
        return content

    def image(self, i: int) -> Image.Image:
        """The picture of row `i`, RGB; raises `Broken`."""
        return decode_picture(self.read(i), self.background)

    def fingerprint(self) -> str:
        """Of every key, caption, place and size, and the bytes of `HASHED` pictures."""
        digest = blake2b(digest_size=16)
        for label, of_shard in zip(self._labels, self._digests, strict=True):
            digest.update(f"{label}\x1f{of_shard}\x1e".encode())
        for i in evenly(len(self), HASHED):
            try:
                digest.update(self.read(i))
            except Broken as broken:
                digest.update(broken.kind.encode())
        digest.update(repr(self.background).encode())
        return digest.hexdigest()


def captions_under(data: Data) -> str | None:
    """The caption key that shards are indexed by."""
    return data.caption_column if data.captioned else NO_CAPTIONS


def open_tars(data: Data, patterns: str) -> TarPairs | Subset:
    """The pairs of tar shards; captions are ``.txt`` or a value of a ``.json``.

    Raises:
        UserError: shards are missing, compressed, or hold no or too few usable pairs.
    """
    return tars_of(data, find_shards(data.source, patterns, ".tar"))


def tars_of(data: Data, shards: Sequence[Path]) -> TarPairs | Subset:
    """The pairs of these files, as `open_tars`."""
    where = data.source
    indices = index_shards(shards, captions_under(data))
    torn = {
        str(path): ("torn tar", index.torn)
        for path, index in zip(shards, indices, strict=True)
        if index.torn
    }
    if len(torn) > data.max_broken_share * len(shards):
        lines = "".join(f"\n  {path}: {why}" for path, (_, why) in [*torn.items()][:10])
        raise UserError(
            where,
            f"{len(torn)} of {len(shards)} shards are torn, more than the share of "
            f"{data.max_broken_share:g} that data.max_broken_share allows:{lines}",
            "Fetch them again, or raise data.max_broken_share to use what is whole",
        )
    pairs = TarPairs(where, shards, indices, parse_background(data.background))
    _dropped = pairs.dropped
    assert isinstance(_dropped, Dropped)
    pattern = excluder(data.exclude)
    if pattern is None:
        _check(data, _dropped, len(pairs))
        return pairs
    rows = [i for i in range(len(pairs)) if not pattern.match(pairs.key(i))]
    _dropped.add("excluded", count=len(pairs) - len(rows))
    _check(data, _dropped, len(rows))
    return Subset(pairs, np.asarray(rows, dtype=np.int64))


def _check(data: Data, dropped: Dropped, whole: int) -> None:
    """Stop where too much cannot be used; if for one reason, say that once.

    Raises:
        UserError: as `Dropped.check`.
    """
    count = dropped.get(NO_TEXT, 0)
    if count > data.max_broken_share * (whole + dropped.broken):
        whys = [why for kind, why in dropped.rows.values() if kind == NO_TEXT]
        what, _, todo = whys[0].rpartition(". ") if whys else ("", "", "")
        counted = f"of {count} of {whole + dropped.broken} samples "
        raise UserError(data.source, counted + what, todo)
    dropped.check(data.source, whole, data.max_broken_share)
