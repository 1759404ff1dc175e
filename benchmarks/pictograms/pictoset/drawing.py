"""One drawing, before it is pixels."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Concept:
    """What an emoji shows, whoever drew it."""

    concept: str
    name: str
    keywords: tuple[str, ...]
    group: str
    subgroup: str


@dataclass(frozen=True)
class Drawing:
    """A drawing with its words and where its shape comes from.

    Exactly one of `svg` (text) and `path` (a file: SVG or a bitmap) is set.
    """

    key: str
    kind: str
    concept: str
    name: str
    keywords: tuple[str, ...]
    group: str
    subgroup: str
    source: str
    svg: str | None = None
    path: Path | None = None
