"""Features of pictures and captions, in batches, without a gradient.

Legend: N items, B batch, E joint embedding.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..data.broken import Broken
from ..data.loader import PixelMaker
from ..data.protocol import Pairs
from ..data.tokens import TokenMaker
from ..errors import UserError
from ..model.clip import Clip


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


class Encoder:
    """A model with its preprocess and tokenizer, remembering what it encoded.

    Features are normalised, float32 and on the CPU. Tasks that share pictures or class
    names (by identity of the pairs, by the texts) share the work.
    """

    def __init__(
        self, model: Clip, preprocess: PixelMaker, tokenizer: TokenMaker, batch: int
    ) -> None:
        self.model, self.preprocess, self.tokenizer = model, preprocess, tokenizer
        self.batch = batch
        self._texts: dict[tuple[str, ...], Tensor] = {}
        self._pictures: list[tuple[Pairs, tuple[list[int], Tensor]]] = []

    def pictures(self, pairs: Pairs) -> tuple[list[int], Tensor]:
        """The whole rows of `pairs` and their features (N, E).

        Raises:
            UserError: no picture can be read.
        """
        for earlier, result in self._pictures:
            if earlier is pairs:
                return result
        result = self._encode_pictures(pairs)
        self._pictures.append((pairs, result))
        return result

    def texts(self, texts: Sequence[str]) -> Tensor:
        """Features (N, E) of texts."""
        key = tuple(texts)
        if key not in self._texts:
            self._texts[key] = self._encode_texts(key)
        return self._texts[key]

    def _encode_pictures(self, pairs: Pairs) -> tuple[list[int], Tensor]:
        whole: list[int] = []
        parts: list[Tensor] = []
        broken: dict[str, tuple[str, str]] = {}
        for start in range(0, len(pairs), self.batch):
            pixels: list[Tensor] = []
            for i in range(start, min(start + self.batch, len(pairs))):
                try:
                    pixels.append(self.preprocess(pairs.image(i)))
                    whole.append(i)
                except Broken as error:
                    broken[pairs.key(i)] = (error.kind, error.detail)
            if pixels:
                parts.append(self._run(self.model.encode_image, torch.stack(pixels)))
        if not parts:
            shown = "".join(f"\n  {k}: {v[0]}" for k, v in list(broken.items())[:10])
            raise UserError(pairs.name, f"no picture can be read:{shown}")
        return whole, torch.cat(parts)

    def _encode_texts(self, texts: tuple[str, ...]) -> Tensor:
        parts = [
            self._run(
                self.model.encode_text,
                self.tokenizer(list(texts[start : start + self.batch])),
            )
            for start in range(0, len(texts), self.batch)
        ]
        return torch.cat(parts)

    def _run(self, encode: object, inputs: Tensor) -> Tensor:
        parameter = next(self.model.parameters())
        dtype = parameter.dtype if inputs.is_floating_point() else inputs.dtype
        with evaluating(self.model):
            features = encode(inputs.to(parameter.device, dtype))  # type: ignore[operator]
        return F.normalize(features.float(), dim=-1).cpu()
