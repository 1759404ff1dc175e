"""Pictures with captions, from whatever source."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from PIL import Image

BARE = "-"  # stands for a caption where those are neither looked for nor needed


class Pairs(Protocol):
    """Pictures in a fixed order, each with a distinct key and at least one caption."""

    @property
    def name(self) -> str:
        """The source, as a message names it."""

    @property
    def dropped(self) -> Mapping[str, int]:
        """Rows of the source that are not here, by reason."""

    def __len__(self) -> int: ...

    def key(self, i: int) -> str: ...

    def captions(self, i: int) -> tuple[str, ...]: ...

    def image(self, i: int) -> Image.Image:
        """RGB and upright; raises `Broken`."""

    def fingerprint(self) -> str:
        """Changes when the data changes."""
