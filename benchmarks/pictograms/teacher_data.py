"""Batches of drawings and captions, drawn from a seed and a step alone."""

# B concepts of a batch, V pictures of all views, N tokens, C channels, S side

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence

Range = tuple[float, float]
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


class Dice:
    """Uniform numbers, one row a picture, the same on every device.

    What is drawn from lies between a mild and a strong range, as `strength` says.
    """

    def __init__(
        self, generator: torch.Generator, batch: int, device: str, strength: float
    ) -> None:
        self.generator, self.batch, self.device = generator, batch, device
        self.strength = strength

    def draw(self, low: float, high: float, *shape: int) -> Tensor:
        numbers = torch.rand(self.batch, *shape, generator=self.generator)
        return (low + (high - low) * numbers).to(self.device)

    def between(self, mild: Range, strong: Range, *shape: int) -> Tensor:
        ends = zip(mild, strong, strict=True)
        low, high = (one + self.strength * (other - one) for one, other in ends)
        return self.draw(low, high, *shape)

    def chance(self, share: float, *shape: int) -> Tensor:
        return self.draw(0, 1, *shape) < share


def warp(rgb_BCSS: Tensor, dice: Dice) -> Tensor:
    """Shifted, scaled, turned, mirrored and bent; 0 comes in from outside."""
    size = dice.between((0.7, 1.1), (0.65, 1.25))
    stretch = dice.between((-0.12, 0.12), (-0.2, 0.2)).exp()
    turn = dice.between((-0.15, 0.15), (-0.25, 0.25))
    room = (1 - size).abs().clamp(min=0.05 + 0.03 * dice.strength)
    flip = torch.where(dice.chance(FLIP_SHARE), -1.0, 1.0)
    cos, sin = turn.cos(), turn.sin()
    wide, high = size * stretch, size / stretch
    across = [wide * cos * flip, -high * sin, dice.draw(-1, 1) * room]
    down = [wide * sin * flip, high * cos, dice.draw(-1, 1) * room]
    matrix = torch.stack([torch.stack(across, 1), torch.stack(down, 1)], 1)
    grid = F.affine_grid(matrix, list(rgb_BCSS.shape), align_corners=False)
    bend = dice.draw(-1, 1, 2, 4, 4) * dice.between((0, 0), (0, 0.12), 1, 1, 1)
    bend = F.interpolate(bend, rgb_BCSS.shape[-2:], mode="bicubic", align_corners=False)
    grid = grid + bend.permute(0, 2, 3, 1)
    return F.grid_sample(rgb_BCSS, grid, align_corners=False)


def recolour(rgb_BCSS: Tensor, dice: Dice) -> Tensor:
    """Blurred or with harder edges, paler or stronger, tinted, lighter or darker."""
    edges = rgb_BCSS - F.avg_pool2d(rgb_BCSS, 3, 1, 1, count_include_pad=False)
    rgb = rgb_BCSS + dice.between((0, 0), (-1.0, 1.5), 1, 1, 1) * edges
    grey = rgb.mean(1, keepdim=True)
    rgb = grey + (rgb - grey) * dice.between((0.3, 1.3), (0.0, 1.4), 1, 1, 1)
    contrast = dice.between((0.7, 1.2), (0.6, 1.3), 1, 1, 1)
    tint = dice.between((0, 0), (-0.28, 0.28), 3, 1, 1)
    rgb = (rgb - 0.8) * (contrast + tint) + 0.8
    return (rgb * dice.draw(0.8, 1.2, 1, 1, 1)).clamp(0, 1)


def augment(
    rgba_BCSS: Tensor, generator: torch.Generator, strength: float = 1.0
) -> Tensor:
    """Warped and recoloured, on white or on a pale colour."""
    rgba = rgba_BCSS.float() / 255
    dice = Dice(generator, len(rgba), rgba.device.type, strength)
    pale = dice.draw(0.4, 1.0, 3, 1, 1)
    white = dice.chance(WHITE_SHARE, 1, 1, 1)
    ground = torch.where(white, torch.ones_like(pale), pale)
    # Minus the ground: what the warp brings in from outside is then 0, the ground.
    rgb = warp(rgba[:, :3] - rgba[:, 3:] * ground, dice) + ground
    return normalise(recolour(rgb, dice))


@dataclass(frozen=True)
class Mix:
    """How a batch is put together."""

    concepts: int
    views: int
    emoji_share: float
    seed: int
    strength: float = 1.0

    @property
    def emoji(self) -> int:
        return round(self.concepts * self.emoji_share)


class Batch(NamedTuple):
    """Pictures (the views one after another), captions, and which captions of the batch
    fit which of its concepts."""

    images_VCSS: Tensor
    tokens_BN: Tensor
    fits_BB: Tensor


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
        # The category of a concept is the one of its drawings.
        self.category = data["subgroup"].cpu()[self.rows[self.starts]]
        _, self.wording = torch.unique(data["captions"], dim=0, return_inverse=True)
        owned = self.wording.cpu().tensor_split(self.caption_starts[1:-1])
        self.wordings = pad_sequence(
            list(owned), batch_first=True, padding_value=-1
        ).to(self.device)

    def turn(
        self, concepts: Tensor, start: int, count: int, seed: int, sorts: bool
    ) -> Tensor:
        """Positions start to start + count of an endless row of shuffled rounds.

        A round that sorts has concepts of one category side by side.
        """
        first, last = start // len(concepts), (start + count - 1) // len(concepts)
        rounds = []
        for number in range(first, last + 1):
            dice = torch.Generator().manual_seed(seed + number)
            order = torch.randperm(len(concepts), generator=dice)
            if sorts:
                rank = torch.randperm(int(self.category.max()) + 1, generator=dice)
                ranks = rank[self.category[concepts[order]]]
                order = order[torch.argsort(ranks, stable=True)]
            rounds.append(order)
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
        pick = (torch.rand(len(concepts), generator=dice) * (end - start)).long()
        return (start + pick).to(self.device)

    def concepts(self, step: int, mix: Mix) -> Tensor:
        """Emoji and clip-arts; every second step has emoji that are hard to tell
        apart, because they are of few categories."""
        emoji, clipart, seed = mix.emoji, mix.concepts - mix.emoji, mix.seed * 7919
        half, sorts = divmod(step, 2)
        return torch.cat(
            [
                self.turn(self.emoji, half * emoji, emoji, seed, bool(sorts)),
                self.turn(self.clipart, step * clipart, clipart, seed + 1, False),
            ]
        )

    def batch(self, step: int, mix: Mix) -> Batch:
        """What a step is trained on.

        It depends on the seed and the step alone: a resumed run sees what an unbroken
        one would have seen.
        """
        dice = torch.Generator().manual_seed(mix.seed * 1_000_003 + step)
        concepts = self.concepts(step, mix)
        rows = self.pictures(concepts, mix.views, dice).to(self.device)
        images = augment(self.data["pictures"][rows], dice, mix.strength)
        captions = self.captions(concepts, dice)
        wordings = self.wordings[concepts.to(self.device)]
        fits_BB = (self.wording[captions][:, None, None] == wordings[None]).any(-1)
        return Batch(images, self.data["captions"][captions].long(), fits_BB)
