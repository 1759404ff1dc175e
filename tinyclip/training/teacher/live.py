"""The teacher's features, computed live.

Legend: B batch, N pictures, M texts, T tokens, E joint embedding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Protocol
from weakref import WeakSet

import torch
from torch import Tensor

from ... import dtypes
from ...data.batch import Batch
from ...model.clip import Clip, Features
from ...model.streams import Streams
from ..engine import Engine
from .shards import CHUNK

Tokens = Callable[[list[str]], Tensor]


class Teacher(Protocol):
    """What a phase asks of a teacher."""

    def features(self, batch: Batch) -> Features: ...


class Cached(Teacher, Protocol):
    """A teacher whose features are stored."""

    def with_scale_of(self, live: LiveTeacher) -> Cached:
        """The same features under another logit scale."""

    def pictures(self, rows: Sequence[int]) -> Tensor:
        """Of each row's first augmentation, (N, E); zeros where it is broken."""


def no_progress(_done: int, _total: int) -> None:
    """Nobody is watching."""


def placed(batch: Batch, model: Clip) -> tuple[Tensor, Tensor]:
    """Pixels and tokens where the model is, the pixels of its type."""
    scale = model.logit_scale
    return batch.pixels.to(scale), batch.tokens_BT.to(scale.device)


def at_least_float32(features: Tensor) -> Tensor:
    """Float32 at least: losses are not for half types. Whole numbers stay."""
    if not features.is_floating_point():
        return features
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
        own_scale = self.model.logit_scale.exp().detach()
        self.scale = own_scale if scale is None else torch.full_like(own_scale, scale)
        bias = self.model.logit_bias
        self.bias = None if bias is None else bias.detach()
        self._autocast = engine.autocast
        self.watched_by: WeakSet[Streams] = WeakSet()  # until their phase is over
        self._last: tuple[Batch, Batch, Features] | None = None

    @contextmanager
    def computing_in(self, precision: str) -> Iterator[None]:
        """Another precision than the engine's, while the block runs."""
        if precision == self.engine.precision:
            yield
            return
        dtype, device = dtypes.SHORT[precision].torch, self.engine.device.type
        before = self._autocast
        self._autocast = lambda: torch.autocast(
            device, dtype=dtype, enabled=dtype != torch.float32
        )
        try:
            yield
        finally:
            self._autocast = before

    @torch.no_grad()
    def images(self, pixels: Tensor) -> Tensor:
        """Features (N, E) of pictures (N, 3, S, S), float32, without gradient."""
        with self._autocast():
            pixels = pixels.to(self.model.logit_scale)
            features_NE = self.model.encode_image(pixels, normalize=True)
        return at_least_float32(features_NE)

    @torch.no_grad()
    def texts(self, tokens_MT: Tensor, texts: Sequence[str]) -> Tensor:
        """Features (M, E) of texts, float32, without gradient.

        Args:
            tokens_MT: as the student has them.
            texts: for a tokenizer of the teacher's own.
        """
        if self.tokenizer is not None:
            tokens_MT = self.tokenizer(list(texts))
        with self._autocast():
            tokens_MT = tokens_MT.to(self.model.logit_scale.device)
            features_ME = self.model.encode_text(tokens_MT, normalize=True)
        return at_least_float32(features_ME)

    def features(self, batch: Batch) -> Features:
        """Features of one batch, float32, without gradient."""
        if self._last is not None and self._last[0] is batch:
            return self._last[2]
        read = self._read(batch)
        features = self._run(read)
        # once for all that look on, and for who asks for the features beside
        self._last = (batch, read, features) if self.watched_by else None
        return features

    def watched(self, batch: Batch, streams: Streams) -> Batch:
        """Run a batch for streams that look on, if it was not the last one that was.

        Returns:
            The batch with the captions as the teacher reads them.
        """
        if not streams.holds:
            self._last = None
        self.features(batch)
        assert self._last is not None, "these streams are not looking on"
        return self._last[1]

    def _read(self, batch: Batch) -> Batch:
        if self.tokenizer is None:
            return batch
        return replace(batch, tokens_BT=self.tokenizer(list(batch.captions)))

    @torch.no_grad()
    def _run(self, batch: Batch) -> Features:
        with self._autocast(), ExitStack() as stack:
            for streams in self.watched_by:
                stack.enter_context(streams.watching(self.model))
            features = self.model(*placed(batch, self.model))
        image_BE = at_least_float32(features.image_BE)
        text_BE = at_least_float32(features.text_BE)
        return Features(image_BE, text_BE, self.scale, self.bias)


def chunks(items: Sequence[object], size: int = CHUNK) -> Iterator[slice]:
    for start in range(0, len(items), size):
        yield slice(start, start + size)


@torch.no_grad()
def encode(
    tower: Callable[..., Tensor], engine: Engine, inputs: Iterable[Tensor]
) -> Tensor:
    """Normalised float32 features of chunk after chunk, on the CPU."""
    parts = []
    for chunk in inputs:
        with engine.autocast():
            parts.append(tower(chunk.to(engine.device), normalize=True).float().cpu())
    return torch.cat(parts)
