"""Drawings cut out of their plain ground, and in other colours.

Legend: H height, W width, C the three channels.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageOps

from .broken import Broken, Dropped
from .pictures import RGB
from .protocol import Pairs

ALIKE = 45  # sum over channels by which a pixel may differ from the ground: lossy files
LEAST, MOST = 0.05, 0.95  # of the picture that a cut-out covers
LIKE, SEEN = 1, 2  # what looks like ground, and what is reached from the edge


def cut_out(drawing: Image.Image) -> Image.Image | None:
    """The drawing without its ground: RGBA, as large as what is left.

    Ground is what looks as the corners do and is reached from the edge, so that white
    inside a drawing stays.

    Args:
        drawing: RGB.

    Returns:
        None where nearly nothing is left, or nearly everything: it is no drawing on a
        plain ground.
    """
    pixels_HWC = np.asarray(drawing, dtype=np.int64)
    away_HW = np.abs(pixels_HWC - _ground(pixels_HWC)).sum(axis=2)
    alike = Image.fromarray(np.where(away_HW <= ALIKE, LIKE, 0).astype(np.uint8))
    framed = ImageOps.expand(alike, 1, LIKE)  # all of the edge is reached from a corner
    ImageDraw.floodfill(framed, (0, 0), SEEN)
    kept_HW = np.asarray(framed)[1:-1, 1:-1] != SEEN
    if not LEAST <= kept_HW.mean() <= MOST:
        return None
    alpha = Image.fromarray(kept_HW.astype(np.uint8) * 255)
    cut = drawing.copy()
    cut.putalpha(alpha)
    return cut.crop(alpha.getbbox())


def _ground(pixels_HWC: NDArray[np.int64]) -> NDArray[np.int64]:
    """The corner that most corners look like; of equal ones the upper left one."""
    corners = pixels_HWC[[0, 0, -1, -1], [0, -1, 0, -1]]
    away = np.abs(corners[:, None] - corners).sum(axis=2)
    ground: NDArray[np.int64] = corners[(away <= ALIKE).sum(axis=1).argmax()]
    return ground


def recoloured(cut: Image.Image, colour: RGB) -> Image.Image:
    """A cut-out in shades of one colour, transparent where it was.

    The luminance that half of it lies under becomes the colour, less of it goes to
    black and more to white: of two pixels the lighter one stays the lighter one
    (Pillow's `ImageOps.colorize`).
    """
    grey, alpha = cut.convert("RGB").convert("L"), cut.getchannel("A")
    grey = grey.point([min(max(level, 1), 254) for level in range(256)])  # ends take it
    middle = int(np.median(np.asarray(grey)[np.asarray(alpha) > 0]))
    shades = ImageOps.colorize(grey, "black", "white", colour, midpoint=middle)
    shades.putalpha(alpha)
    return shades


def area(cut: Image.Image) -> int:
    """Pixels that a cut-out covers."""
    return int(np.count_nonzero(np.asarray(cut.getchannel("A"))))


@dataclass(frozen=True, eq=False)
class CutOuts:
    """Cut-outs by what they show.

    Args:
        source: the drawings that they were cut from.
        rows: the row of each in it.
        images: RGBA.
        dropped: what the source lacks, and drawings that could not be read.
    """

    source: Pairs
    rows: dict[str, int]
    images: dict[str, Image.Image]
    dropped: Dropped

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.images)


def cut_outs(pairs: Pairs, names: Sequence[str], wanted: Collection[str]) -> CutOuts:
    """The first cut-out of each wanted name, in alphabetical order.

    A drawing that is broken, or not on a plain ground, is not used.

    Args:
        names: what each row shows.
    """
    dropped = Dropped()
    dropped.merge(pairs.dropped, {})
    found: dict[str, tuple[int, Image.Image]] = {}
    for row, name in enumerate(names):
        if name in found or name not in wanted:
            continue
        try:
            cut = cut_out(pairs.image(row))
        except Broken as error:
            dropped.add(error.kind, pairs.key(row), error.detail)
            continue
        if cut is not None:
            found[name] = row, cut
    return CutOuts(
        pairs,
        {name: found[name][0] for name in sorted(found)},
        {name: found[name][1] for name in sorted(found)},
        dropped,
    )
