"""Features of pictures and captions, in batches, without a gradient.

Legend: N items, B batch, E joint embedding.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..data.broken import Broken, in_words
from ..data.loader import PixelMaker
from ..data.protocol import Pairs
from ..data.tokens import TokenMaker
from ..data.views import rows_of
from ..errors import UserError
from ..model.clip import Clip

SHOWN = 10  # broken pictures that are named


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """The model in eval mode and without gradients; each part's mode restored."""
    modes = [(part, part.training) for part in model.modules()]
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for part, mode in modes:
            part.training = mode


@dataclass
class _Seen:
    """What is known of the pictures of one source, by row."""

    source: Pairs
    features: dict[int, Tensor] = field(default_factory=dict)
    broken: dict[int, tuple[str, str]] = field(default_factory=dict)

    def knows(self, row: int) -> bool:
        return row in self.features or row in self.broken


class Encoder:
    """A model with its preprocess and tokenizer, remembering what it encoded.

    Features are normalised, float32 and on the CPU. A picture is known by its source
    and row, whatever view of the source it is asked for by, and a text by its words: no
    two tasks have either encoded twice. Texts that are the same tokens have the same
    feature to the bit, so that none is nearer than the other.
    """

    def __init__(
        self, model: Clip, preprocess: PixelMaker, tokenizer: TokenMaker, batch: int
    ) -> None:
        self.model, self.preprocess, self.tokenizer = model, preprocess, tokenizer
        self.batch = batch
        self._texts: dict[str, Tensor] = {}
        self._read: dict[bytes, Tensor] = {}  # by tokens
        self._seen: list[_Seen] = []

    def pictures(self, pairs: Pairs) -> tuple[list[int], Tensor]:
        """The whole rows of `pairs` and their features (N, E).

        Raises:
            UserError: no picture can be read.
        """
        look_together([self], pairs)
        source, rows = rows_of(pairs)
        seen = self.seen(source)
        whole = [i for i, row in enumerate(rows) if row in seen.features]
        if not whole:
            broken = [(pairs.key(i), seen.broken[row]) for i, row in enumerate(rows)]
            lines = (f"\n  {key}: {in_words(why)}" for key, why in broken[:SHOWN])
            shown = "".join(lines)
            raise UserError(pairs.name, f"no picture can be read:{shown}")
        return whole, torch.stack([seen.features[rows[i]] for i in whole])

    def texts(self, texts: Sequence[str]) -> Tensor:
        """Features (N, E) of texts."""
        new = [text for text in dict.fromkeys(texts) if text not in self._texts]
        for start in range(0, len(new), self.batch):
            some = new[start : start + self.batch]
            tokens = self.tokenizer(some)
            features = self._run(self.model.encode_text, tokens)
            for text, row, feature in zip(some, tokens.cpu(), features, strict=True):
                known = self._read.setdefault(row.numpy().tobytes(), feature)
                self._texts[text] = known
        return torch.stack([self._texts[text] for text in texts])

    @property
    def scale(self) -> float | None:
        """What similarities are multiplied with; None where the model does not say."""
        scale = getattr(self.model, "logit_scale", None)
        return None if scale is None else float(scale.detach().exp())

    def seen(self, source: Pairs) -> _Seen:
        """What it knows of a source, by identity."""
        for known in self._seen:
            if known.source is source:
                return known
        self._seen.append(_Seen(source))
        return self._seen[-1]

    def take(
        self, source: Pairs, rows: Sequence[int], pixels: Sequence[Tensor]
    ) -> None:
        """Encode pictures of a source, and remember them."""
        features = self._run(self.model.encode_image, torch.stack(list(pixels)))
        self.seen(source).features.update(zip(rows, features, strict=True))

    def _run(self, encode: object, inputs: Tensor) -> Tensor:
        parameter = next(self.model.parameters())
        dtype = parameter.dtype if inputs.is_floating_point() else inputs.dtype
        with evaluating(self.model):
            features = encode(inputs.to(parameter.device, dtype))  # type: ignore[operator]
        return F.normalize(features.float(), dim=-1).cpu()


def look_together(encoders: Sequence[Encoder], pairs: Pairs) -> None:
    """Show pictures to several models: each is decoded once, and preprocessed once for
    all models that want it alike."""
    source, rows = rows_of(pairs)
    encoders = [e for e in encoders if not all(map(e.seen(source).knows, rows))]
    seen = [encoder.seen(source) for encoder in encoders]
    new = [row for row in rows if not all(known.knows(row) for known in seen)]
    batch = min([encoder.batch for encoder in encoders], default=1)
    for start in range(0, len(new), batch):
        whole, pixels = _pixels(source, new[start : start + batch], encoders)
        if whole:
            for encoder, made in zip(encoders, pixels, strict=True):
                encoder.take(source, whole, made)


def _pixels(
    source: Pairs, rows: Sequence[int], encoders: Sequence[Encoder]
) -> tuple[list[int], list[list[Tensor]]]:
    """The rows that can be read, and their pixels for each model; the other rows are
    remembered. One picture at a time is held as it is: it may be large."""
    makers: list[PixelMaker] = []
    for encoder in encoders:
        if encoder.preprocess not in makers:
            makers.append(encoder.preprocess)
    made: list[list[Tensor]] = [[] for _ in makers]
    whole: list[int] = []
    for row in rows:
        try:
            picture = source.image(row)
        except Broken as error:
            for encoder in encoders:
                encoder.seen(source).broken[row] = (error.kind, error.detail)
            continue
        whole.append(row)
        for maker, pixels in zip(makers, made, strict=True):
            pixels.append(maker(picture))
    return whole, [made[makers.index(encoder.preprocess)] for encoder in encoders]
