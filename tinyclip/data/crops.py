"""Parts of pictures that lie in files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b

from PIL import Image

from .broken import Broken
from .files import FilePairs
from .pictures import check_shape

Box = tuple[float, float, float, float]  # left, top, width and height, in pixels


@dataclass(frozen=True, eq=False)
class Crops:
    """Rows that are each a part of a picture, or all of one.

    It is a source and no view: a row has other pixels than the picture's.

    Args:
        files: the pictures.
        parts: of each row a row of `files`, and its box; None: all of it.
    """

    files: FilePairs
    parts: Sequence[tuple[int, Box | None]]

    @property
    def name(self) -> str:
        return self.files.name

    @property
    def dropped(self) -> Mapping[str, int]:
        return self.files.dropped

    def __len__(self) -> int:
        return len(self.parts)

    def key(self, i: int) -> str:
        row, box = self.parts[i]
        key = self.files.key(row)
        return key if box is None else f"{key} {','.join(f'{side:g}' for side in box)}"

    def captions(self, i: int) -> tuple[str, ...]:
        return self.files.captions(self.parts[i][0])

    def image(self, i: int) -> Image.Image:
        """What lies in the box of the picture, upright RGB; raises `Broken`."""
        row, box = self.parts[i]
        image = self.files.image(row)
        if box is None:
            return image
        x, y, width, height = box
        sides = max(x, 0), max(y, 0), min(x + width, image.width)
        left, top, right, bottom = map(round, (*sides, min(y + height, image.height)))
        if left >= right or top >= bottom:
            shown = f"{image.width} x {image.height} pixels"
            raise Broken("bad row", f"the box is beside the picture of {shown}")
        part = image.crop((left, top, right, bottom))
        check_shape(part)
        return part

    def fingerprint(self) -> str:
        digest = blake2b(self.files.fingerprint().encode(), digest_size=16)
        digest.update(repr(tuple(self.parts)).encode())
        return digest.hexdigest()
