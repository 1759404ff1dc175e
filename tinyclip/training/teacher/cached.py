"""The teacher's features of one run: made before its first step, and held in memory.

Legend: B batch, E joint embedding, R rows, A augmentations, C distinct captions.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as save_tensors
from torch import Tensor

from ...bounded import open_regular
from ...data.batch import Batch
from ...data.loader import Loader
from ...files import write_bytes
from ...model.clip import Features
from .live import LiveTeacher, Tokens, chunks, encode, no_progress
from .verify import verify

log = logging.getLogger("tinyclip")
NAMES = ("image", "text")
ANEW = "Delete it: it is made anew, bit for bit"
PLAIN = (OSError, KeyError, ValueError, AttributeError, TypeError, RecursionError)
DAMAGED = (*PLAIN, SafetensorError)


class CachedTeacher:
    """Features that were computed once, looked up by picture, augmentation, caption.

    Args:
        image_RAE: by row of the training set and augmentation.
        text_CE: by distinct caption.
        rows: place in `image_RAE` of each row number.
        captions: place in `text_CE` of each caption.
        scale, bias: the teacher's logit scale, and its logit bias if it has one.
    """

    def __init__(
        self,
        image_RAE: Tensor,
        text_CE: Tensor,
        rows: dict[int, int],
        captions: dict[str, int],
        scale: Tensor,
        bias: Tensor | None = None,
    ) -> None:
        self.image_RAE, self.text_CE = image_RAE, text_CE
        self.rows, self.captions = rows, captions
        self.scale, self.bias = scale, bias

    def with_scale_of(self, live: LiveTeacher) -> CachedTeacher:
        """The same features under another logit scale."""
        return CachedTeacher(
            self.image_RAE,
            self.text_CE,
            self.rows,
            self.captions,
            live.scale,
            live.bias,
        )

    def features(self, batch: Batch) -> Features:
        """Features of one batch, as `LiveTeacher` computes them."""
        device = self.scale.device
        places = [self.rows[int(row)] for row in batch.index_B]
        image_BE = self.image_RAE[places, batch.augmentation_B]
        text_BE = self.text_CE[[self.captions[text] for text in batch.captions]]
        image_BE, text_BE = image_BE.to(device), text_BE.to(device)
        return Features(image_BE, text_BE, self.scale, self.bias)

    def pictures(self, rows: Sequence[int]) -> Tensor:
        """Of each row's first augmentation, (N, E); zeros where it is broken."""
        places = [self.rows[row] for row in rows]
        return self.image_RAE[places, 0].to(self.scale.device)


def image_features(
    teacher: LiveTeacher, loader: Loader, progress: Callable[[int, int], None]
) -> Tensor:
    """Every row under every augmentation, (R, A, E); broken rows are zeros."""
    keys = [(row, a) for row in loader.indices for a in range(loader.augmentations)]

    def pixels() -> Iterator[Tensor]:
        for piece in chunks(keys):
            progress(min(piece.stop, len(keys)), len(keys))
            yield torch.stack([loader.pixels_or_blank(*key) for key in keys[piece]])

    features_NE = encode(teacher.model.encode_image, teacher.engine, pixels())
    features_RAE = features_NE.unflatten(0, (-1, loader.augmentations))
    if loader.broken:
        rows = map(int, loader.indices)
        broken_R = [loader.pairs.key(row) in loader.broken for row in rows]
        features_RAE[torch.tensor(broken_R)] = 0
    return features_RAE


def text_features(teacher: LiveTeacher, texts: Sequence[str], tokens: Tokens) -> Tensor:
    """Every text, (C, E).

    Args:
        tokens: of a teacher that has no tokenizer of its own.
    """
    tokenize = teacher.tokenizer or tokens
    ids = (tokenize(list(texts[piece])) for piece in chunks(texts))
    return encode(teacher.model.encode_text, teacher.engine, ids)


def cache_teacher(
    teacher: LiveTeacher,
    loader: Loader,
    path: Path,
    fingerprint: str,
    progress: Callable[[int, int], None] = no_progress,
) -> CachedTeacher:
    """The teacher's features of all that `loader` can give, from `path` or made anew.

    A pure function of teacher, data and transform (`fingerprint` stands for the
    three): a lost file is made again, bit for bit.
    """
    captions = loader.all_captions()
    tensors, was_read = kept(
        path,
        fingerprint,
        NAMES,
        lambda: _compute(teacher, loader, captions, progress),
    )
    rows = {int(row): place for place, row in enumerate(loader.indices)}
    places = {text: place for place, text in enumerate(captions)}
    features = tensors["image"], tensors["text"]
    cached = CachedTeacher(*features, rows, places, teacher.scale, teacher.bias)
    if was_read:
        verify(cached, teacher, loader, teacher.engine.precision, str(path), ANEW)
    return cached


def kept(
    path: Path,
    fingerprint: str,
    names: Sequence[str],
    compute: Callable[[], dict[str, Tensor]],
) -> tuple[dict[str, Tensor], bool]:
    """Tensors of these names from `path`, or made and written there; and whether they
    were read."""
    read = _read(path, fingerprint, names)
    if read is not None:
        return read, True
    tensors = compute()
    header = {"fingerprint": fingerprint, "sha256": _digest(tensors, names)}
    # one entry: the library writes several in no fixed order
    write_bytes(path, save_tensors(tensors, {"cache": json.dumps(header)}))
    return tensors, False


def _compute(
    teacher: LiveTeacher,
    loader: Loader,
    captions: list[str],
    progress: Callable[[int, int], None],
) -> dict[str, Tensor]:
    return {
        "image": image_features(teacher, loader, progress),
        "text": text_features(teacher, captions, loader.tokens),
    }


def _digest(tensors: dict[str, Tensor], names: Sequence[str]) -> str:
    digest = hashlib.sha256()
    for name in names:
        digest.update(tensors[name].contiguous().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _read(
    path: Path, fingerprint: str, names: Sequence[str]
) -> dict[str, Tensor] | None:
    """What `path` holds, or None when it is absent, torn or of something else."""
    try:
        open_regular(path).close()  # a pipe would be waited for
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {}).get("cache", "{}"))
            if header.get("fingerprint") != fingerprint:
                return None
            tensors = {name: file.get_tensor(name) for name in names}
        if _digest(tensors, names) != header["sha256"]:
            raise ValueError("its checksum is wrong")
        return tensors
    except DAMAGED as error:
        if path.exists():
            log.warning("%s: not readable (%s); made anew", path, error)
        return None
