"""Batches of drawings and captions, drawn from a seed and a step alone."""

# B batch, N tokens, C channels, S side of a picture

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

WHITE_SHARE = 0.5
FLIP_SHARE = 0.3
MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)


def normalise(rgb_BCSS: Tensor) -> Tensor:
    """CLIP's mean and deviation."""
    mean, std = rgb_BCSS.new_tensor(MEAN), rgb_BCSS.new_tensor(STD)
    return (rgb_BCSS - mean.view(3, 1, 1)) / std.view(3, 1, 1)


def on_white(rgba_BCSS: Tensor) -> Tensor:
    """Premultiplied uint8 RGBA laid on white, in [0, 1]."""
    rgba = rgba_BCSS.float() / 255
    return rgba[:, :3] + 1 - rgba[:, 3:]


def augment(rgba_BCSS: Tensor, dice: torch.Generator) -> Tensor:
    """Shifted, scaled, turned, mirrored, recoloured, on white or on a pale colour."""
    rgba = rgba_BCSS.float() / 255
    batch, device = len(rgba), rgba.device

    # Numbers are drawn on the CPU, so that every device sees the same ones.
    def draw(low: float, high: float, *shape: int) -> Tensor:
        numbers = torch.rand(batch, *shape, generator=dice)
        return (low + (high - low) * numbers).to(device)

    pale = draw(0.4, 1.0, 3, 1, 1)
    ground = torch.where(draw(0, 1, 1, 1, 1) < WHITE_SHARE, torch.ones_like(pale), pale)
    # Minus the ground: what the warp brings in from outside is then 0, the ground.
    rgb = rgba[:, :3] - rgba[:, 3:] * ground
    size, stretch, turn = draw(0.7, 1.1), draw(-0.12, 0.12).exp(), draw(-0.15, 0.15)
    room = (1 - size).abs().clamp(min=0.05)
    flip = torch.where(draw(0, 1) < FLIP_SHARE, -1.0, 1.0)
    cos, sin = turn.cos(), turn.sin()
    wide, high = size * stretch, size / stretch
    across = torch.stack([wide * cos * flip, -high * sin, draw(-1, 1) * room], 1)
    down = torch.stack([wide * sin * flip, high * cos, draw(-1, 1) * room], 1)
    matrix = torch.stack([across, down], 1)
    grid = F.affine_grid(matrix, list(rgb.shape), align_corners=False)
    rgb = F.grid_sample(rgb, grid, align_corners=False) + ground
    grey = rgb.mean(1, keepdim=True)
    rgb = grey + (rgb - grey) * draw(0.3, 1.3, 1, 1, 1)
    rgb = ((rgb - 0.8) * draw(0.7, 1.2, 1, 1, 1) + 0.8) * draw(0.8, 1.2, 1, 1, 1)
    return normalise(rgb.clamp(0, 1))


@dataclass(frozen=True)
class Mix:
    """How a batch is put together."""

    concepts: int
    views: int
    emoji_share: float
    seed: int

    @property
    def emoji(self) -> int:
        return round(self.concepts * self.emoji_share)


class Batch(NamedTuple):
    """Pictures (the views one after another), captions, and which they are."""

    images_BCSS: Tensor
    tokens_BN: Tensor
    concepts_B: Tensor
    captions_B: Tensor


class Pool:
    """The training pictures and captions of a prepared set, by concept."""

    def __init__(self, data: dict[str, Tensor]) -> None:
        self.data = data
        self.device = data["pictures"].device
        concept, training = data["concept"].cpu(), data["split"].cpu() == 0
        order = torch.argsort(concept, stable=True)
        self.rows = order[training[order]]
        self.counts = torch.bincount(concept[self.rows])
        self.starts = torch.cumsum(self.counts, 0) - self.counts
        is_emoji = data["concept_is_emoji"].cpu()
        self.emoji = is_emoji.nonzero().flatten()
        self.clipart = (~is_emoji).nonzero().flatten()
        self.caption_starts = data["caption_starts"].cpu()

    def turn(self, concepts: Tensor, start: int, count: int, seed: int) -> Tensor:
        """Positions start to start + count of an endless row of shuffled rounds."""
        first, last = start // len(concepts), (start + count - 1) // len(concepts)
        rounds = [
            torch.randperm(
                len(concepts), generator=torch.Generator().manual_seed(seed + number)
            )
            for number in range(first, last + 1)
        ]
        offset = start - first * len(concepts)
        return concepts[torch.cat(rounds)[offset : offset + count]]

    def pictures(self, concepts: Tensor, views: int, dice: torch.Generator) -> Tensor:
        """Rows: a view holds one drawing a concept, views differ where they can."""
        counts, starts = self.counts[concepts], self.starts[concepts]
        first = (torch.rand(len(concepts), generator=dice) * counts).long()
        step = 1 + (torch.rand(len(concepts), generator=dice) * (counts - 1)).long()
        picks = [(first + view * step) % counts for view in range(views)]
        return torch.cat([self.rows[starts + pick] for pick in picks])

    def captions(self, concepts: Tensor, dice: torch.Generator) -> Tensor:
        """Rows of one caption a concept."""
        start, end = self.caption_starts[concepts], self.caption_starts[concepts + 1]
        return (
            start + (torch.rand(len(concepts), generator=dice) * (end - start)).long()
        )

    def batch(self, step: int, mix: Mix) -> Batch:
        """What a step is trained on.

        They depend on the seed and the step alone: a resumed run sees what an unbroken
        one would have seen.
        """
        dice = torch.Generator().manual_seed(mix.seed * 1_000_003 + step)
        emoji, clipart = mix.emoji, mix.concepts - mix.emoji
        concepts = torch.cat(
            [
                self.turn(self.emoji, step * emoji, emoji, mix.seed * 7919),
                self.turn(self.clipart, step * clipart, clipart, mix.seed * 7919 + 1),
            ]
        )
        rows = self.pictures(concepts, mix.views, dice).to(self.device)
        images = augment(self.data["pictures"][rows], dice)
        captions = self.captions(concepts, dice).to(self.device)
        tokens = self.data["captions"][captions].long()
        return Batch(images, tokens, concepts.to(self.device), captions)
