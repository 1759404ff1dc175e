"""The teacher's features: computed live, or once for every picture and caption.

Legend: B batch, E joint embedding, R rows, A augmentations, C distinct captions.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as save_tensors
from torch import Tensor

from ..data.batch import Batch
from ..data.loader import Loader
from ..model.clip import Clip, Features
from ..model.files import write_bytes
from .engine import Engine

log = logging.getLogger("tinyclip")
Tokens = Callable[[list[str]], Tensor]
CHUNK = 256  # fixed: the bits of a feature must not depend on who asks for it


class Teacher(Protocol):
    """What a phase asks of a teacher."""

    def features(self, batch: Batch) -> Features: ...


def no_progress(_done: int, _total: int) -> None:
    """Nobody is watching."""


def placed(batch: Batch, model: Clip) -> tuple[Tensor, Tensor]:
    """Pixels and tokens where the model is, the pixels of its type."""
    scale = model.logit_scale
    return batch.pixels.to(scale), batch.tokens_BT.to(scale.device)


def wide(features: Tensor) -> Tensor:
    """Float32 at least: losses are not for half types."""
    return features.to(torch.promote_types(features.dtype, torch.float32))


class LiveTeacher:
    """A frozen model, run on every batch.

    Args:
        model: the teacher; put in eval mode, never given a gradient.
        engine: device and precision.
        scale: logit scale to use in place of the model's own.
        tokenizer: the teacher's own, where the student's is another (a trimmed one);
            None takes the tokens as they come.
    """

    def __init__(
        self,
        model: Clip,
        engine: Engine,
        scale: float | None,
        tokenizer: Tokens | None = None,
    ) -> None:
        self.model = engine.place(model).eval().requires_grad_(False)
        self.engine, self.tokenizer = engine, tokenizer
        own = self.model.logit_scale.exp().detach()
        self.scale = own if scale is None else torch.full_like(own, scale)
        bias = self.model.logit_bias
        self.bias = None if bias is None else bias.detach()

    @torch.no_grad()
    def features(self, batch: Batch) -> Features:
        """Features of one batch, float32, without gradient."""
        if self.tokenizer is not None:
            tokens_BT = self.tokenizer(list(batch.captions))
            batch = replace(batch, tokens_BT=tokens_BT)
        with self.engine.autocast():
            made = self.model(*placed(batch, self.model))
        image_BE, text_BE = wide(made.image_BE), wide(made.text_BE)
        return Features(image_BE, text_BE, self.scale, self.bias)


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

    def under(self, live: LiveTeacher) -> CachedTeacher:
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


def chunks(items: Sequence[object], size: int = CHUNK) -> Iterator[slice]:
    for start in range(0, len(items), size):
        yield slice(start, start + size)


@torch.no_grad()
def _encode(
    encode: Callable[..., Tensor], engine: Engine, inputs: Iterable[Tensor]
) -> Tensor:
    """Normalised float32 features of chunk after chunk, on the CPU."""
    made = []
    for chunk in inputs:
        with engine.autocast():
            made.append(encode(chunk.to(engine.device), normalize=True).float().cpu())
    return torch.cat(made)


def _images(
    teacher: LiveTeacher, loader: Loader, progress: Callable[[int, int], None]
) -> Tensor:
    """Every row under every augmentation, (R, A, E); broken rows are zeros."""
    wanted = [(row, a) for row in loader.indices for a in range(loader.augmentations)]

    def pixels() -> Iterator[Tensor]:
        for piece in chunks(wanted):
            progress(min(piece.stop, len(wanted)), len(wanted))
            yield torch.stack([loader.pixels_or_blank(*key) for key in wanted[piece]])

    made = _encode(teacher.model.encode_image, teacher.engine, pixels())
    return made.unflatten(0, (-1, loader.augmentations))


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
    tensors = _read(path, fingerprint)
    if tensors is None:
        tokenize = teacher.tokenizer or loader.tokens
        tokens = (tokenize(captions[piece]) for piece in chunks(captions))
        tensors = {
            "image": _images(teacher, loader, progress),
            "text": _encode(teacher.model.encode_text, teacher.engine, tokens),
        }
        write_bytes(path, save_tensors(tensors, {"fingerprint": fingerprint}))
    rows = {int(row): place for place, row in enumerate(loader.indices)}
    places = {text: place for place, text in enumerate(captions)}
    image_RAE, text_CE = tensors["image"], tensors["text"]
    return CachedTeacher(image_RAE, text_CE, rows, places, teacher.scale, teacher.bias)


def _read(path: Path, fingerprint: str) -> dict[str, Tensor] | None:
    """What `path` holds, or None when it is absent, torn or of something else."""
    try:
        with safe_open(path, framework="pt") as file:
            if (file.metadata() or {}).get("fingerprint") != fingerprint:
                return None
            return {name: file.get_tensor(name) for name in ("image", "text")}
    except (OSError, SafetensorError) as error:
        if path.exists():
            log.warning("%s: not readable (%s); made anew", path, error)
        return None
