"""Pairs in memory, and a model whose features a test chooses."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest
import torch
from PIL import Image
from torch import nn

from tinyclip.data.pictures import Broken


@dataclass(eq=False)
class Listed:
    """Row i is a picture of colour (i, 0, 0); `texts[i]` are its captions."""

    texts: list[tuple[str, ...]]
    broken: frozenset[int] = frozenset()
    name: str = "listed"
    dropped: dict[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.texts)

    def key(self, i: int) -> str:
        return f"k{i}"

    def captions(self, i: int) -> tuple[str, ...]:
        return self.texts[i]

    def image(self, i: int) -> Image.Image:
        if i in self.broken:
            raise Broken("missing", "gone")
        return Image.new("RGB", (1, 1), (i, 0, 0))

    def fingerprint(self) -> str:
        return "listed"


class Looked(nn.Module):
    """A model that looks features up: of a picture by its red, of a text by its id."""

    def __init__(self, images: torch.Tensor, texts: torch.Tensor) -> None:
        super().__init__()
        self.images = nn.Parameter(images)
        self.table = nn.Parameter(texts)
        self.part = nn.Dropout(0.5)
        self.batches: list[int] = []

    def encode_image(self, pixels: torch.Tensor) -> torch.Tensor:
        self.seen = (self.training, self.part.training, torch.is_grad_enabled())
        self.batches.append(len(pixels))
        return self.images[pixels[:, 0, 0, 0].round().long()]

    def encode_text(self, tokens: torch.Tensor) -> torch.Tensor:
        self.batches.append(len(tokens))
        return self.table[tokens[:, 0]]


@pytest.fixture
def make_pairs():
    return Listed


@pytest.fixture
def make_loaded():
    """A loaded model of chosen features; texts are numbered by `vocabulary`."""

    def make(images, texts, vocabulary: list[str]) -> SimpleNamespace:
        at = {text: i for i, text in enumerate(vocabulary)}

        def pixels(image: Image.Image) -> torch.Tensor:
            return torch.full((3, 1, 1), float(image.getpixel((0, 0))[0]))

        return SimpleNamespace(
            model=Looked(
                torch.as_tensor(images, dtype=torch.float32),
                torch.as_tensor(texts, dtype=torch.float32),
            ),
            preprocess=pixels,
            tokenizer=lambda texts: torch.tensor([[at[text]] for text in texts]),
        )

    return make
