"""Pairs that are made up, for phases of a model of any shape."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from PIL import Image

from tinyclip.data.broken import Broken
from tinyclip.data.loader import Loader
from tinyclip.shapes import ClipShape

WORDS = ("red", "blue", "cube", "ball", "large", "small", "dog", "cat")


class MadePairs:
    """Random pictures under captions of two parts, some of them equal.

    Args:
        broken: rows whose picture cannot be read.
        labels: the class of each, if there are classes.
    """

    name = "made"
    dropped: Mapping[str, int] = {}

    def __init__(
        self, count: int, broken: tuple[int, ...] = (), labels: list[str] | None = None
    ) -> None:
        self.count, self.broken, self.labels = count, broken, labels

    def __len__(self) -> int:
        return self.count

    def key(self, i: int) -> str:
        return f"key{i}"

    def captions(self, i: int) -> tuple[str, ...]:
        one, two, three, four = (WORDS[(i * step + step) % 8] for step in (1, 3, 5, 7))
        return (f"a {one} {two} and a {three} {four}", f"a {three}")[: 1 + i % 2]

    def image(self, i: int) -> Image.Image:
        if i in self.broken:
            raise Broken("unreadable", "made so")
        noise = np.random.default_rng(i).integers(0, 256, (8, 8, 3), dtype=np.uint8)
        return Image.fromarray(noise)

    def fingerprint(self) -> str:
        return f"made {self.count}"


class MadePixels:
    """Pictures of a size, between -1 and 1."""

    def __init__(self, size: int) -> None:
        self.size = size

    def __call__(self, image: Image.Image) -> torch.Tensor:
        pixels = np.asarray(image.resize((self.size, self.size)), dtype=np.float32)
        return torch.from_numpy(pixels / 127.5 - 1).permute(2, 0, 1)

    def augmented(self, image: Image.Image, seed: int, crop: float) -> torch.Tensor:
        return self(image) * (0.5 + seed % 100 / 200)


class MadeTokens:
    """A number for each word, as many of them as there is place for."""

    def __init__(self, length: int, vocabulary: int) -> None:
        self.length, self.vocabulary = length, vocabulary

    def __call__(self, texts: list[str]) -> torch.Tensor:
        rows = []
        for text in texts:
            ids = [
                1 + sum(map(ord, word)) % (self.vocabulary - 1) for word in text.split()
            ]
            rows.append((ids + [0] * self.length)[: self.length])
        return torch.tensor(rows)


def made_loader(
    shape: ClipShape,
    count: int,
    batch: int,
    broken: tuple[int, ...] = (),
    labels: list[str] | None = None,
    augmentations: int = 1,
) -> Loader:
    """Batches of made pairs for a model of some shape."""
    text = shape.text
    return Loader(
        MadePairs(count, broken, labels),
        range(count),
        MadePixels(shape.image.image_size),
        MadeTokens(text.context_length, text.vocab_size),
        seed=3,
        batch=batch,
        augmentations=augmentations,
        max_broken_share=1.0,
    )
