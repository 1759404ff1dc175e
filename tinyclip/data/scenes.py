"""Pictures of two things, composed of cut-outs: what is true of them is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from math import sqrt

from PIL import Image

from .cutouts import CutOuts, area, recoloured
from .pictures import RGB

SIDE = 128  # pixels of a scene's edges
MARGIN, GAP = 4, 8  # pixels left free at the edges, and between the things
GROUND = (255, 255, 255)
COLOURS: dict[str, RGB] = {
    "red": (220, 30, 40),
    "orange": (255, 130, 0),
    "yellow": (250, 210, 0),
    "green": (40, 160, 60),
    "blue": (40, 100, 230),
    "purple": (140, 60, 190),
}


@dataclass(frozen=True)
class Thing:
    """What stands in a scene.

    Args:
        name: of its cut-out.
        colour: one of `COLOURS`; "" leaves it as it was drawn.
        size: its area beside the other thing's, which has a size of its own.
    """

    name: str
    colour: str = ""
    size: int = 1

    def __str__(self) -> str:
        words = (f"{self.size}x" if self.size > 1 else "", self.colour, self.name)
        return " ".join(word for word in words if word)


@dataclass(frozen=True)
class Scene:
    """Two things, and a text that is true of them.

    Args:
        first, second: left and right; above and below where they are stacked.
    """

    first: Thing
    second: Thing
    caption: str
    stacked: bool = False

    @property
    def key(self) -> str:
        return f"{self.first} {'over' if self.stacked else 'beside'} {self.second}"


class Scenes:
    """Scenes as `Pairs`; each is composed when it is asked for, of nothing but itself
    and the cut-outs.

    Args:
        cuts: what the scenes' things are called.
        scenes: distinct ones.
    """

    def __init__(self, cuts: CutOuts, scenes: Sequence[Scene]) -> None:
        self.scenes = tuple(scenes)
        self._cuts = cuts

    @property
    def name(self) -> str:
        return self._cuts.source.name

    @property
    def dropped(self) -> Mapping[str, int]:
        return self._cuts.dropped

    def __len__(self) -> int:
        return len(self.scenes)

    def key(self, i: int) -> str:
        return self.scenes[i].key

    def captions(self, i: int) -> tuple[str, ...]:
        return (self.scenes[i].caption,)

    def image(self, i: int) -> Image.Image:
        """RGB, `SIDE` x `SIDE`."""
        scene = self.scenes[i]
        cuts = [self._cut(thing) for thing in (scene.first, scene.second)]
        shares = [scene.first.size, scene.second.size]
        return composed(cuts, shares, scene.stacked)

    def fingerprint(self) -> str:
        """Of the drawings, and of the scenes made of them."""
        return self._fingerprint

    @cached_property
    def _fingerprint(self) -> str:
        digest = blake2b(self._cuts.source.fingerprint().encode(), digest_size=16)
        rows = sorted(self._cuts.rows.items())
        rule = SIDE, MARGIN, GAP, GROUND, COLOURS
        digest.update(repr((rule, rows, self.scenes)).encode())
        return digest.hexdigest()

    def _cut(self, thing: Thing) -> Image.Image:
        cut = self._cuts.images[thing.name]
        return recoloured(cut, COLOURS[thing.colour]) if thing.colour else cut


def composed(
    cuts: Sequence[Image.Image], shares: Sequence[int], stacked: bool
) -> Image.Image:
    """Cut-outs in a row or a column, as large as fit; their areas are as the shares.

    A cut-out of area a and share s is scaled by t √(s / a). Lengths are linear in t, so
    that the largest t that fits is the smaller one of room by length along the row and
    across it.
    """
    units = [sqrt(share / area(cut)) for cut, share in zip(cuts, shares, strict=True)]
    along, across = (1, 0) if stacked else (0, 1)
    room = SIDE - 2 * MARGIN
    long = sum(unit * cut.size[along] for unit, cut in zip(units, cuts, strict=True))
    wide = max(unit * cut.size[across] for unit, cut in zip(units, cuts, strict=True))
    scale = min((room - GAP * (len(cuts) - 1)) / long, room / wide)
    scaled = [
        _resized(cut, scale * unit) for unit, cut in zip(units, cuts, strict=True)
    ]
    lengths = [cut.size[along] for cut in scaled]
    at = (SIDE - sum(lengths) - GAP * (len(cuts) - 1)) // 2
    canvas = Image.new("RGB", (SIDE, SIDE), GROUND)
    for cut, length in zip(scaled, lengths, strict=True):
        middle = (SIDE - cut.size[across]) // 2
        canvas.paste(cut, (middle, at) if stacked else (at, middle), cut)
        at += length + GAP
    return canvas


def _resized(cut: Image.Image, scale: float) -> Image.Image:
    width, height = (max(1, round(scale * length)) for length in cut.size)
    return cut.resize((width, height), Image.Resampling.BICUBIC)
