"""Clip-arts with the titles and keywords that their files carry."""

import html
import re
from pathlib import Path

from pictoset.captions import clean, distinct
from pictoset.drawing import Drawing
from pictoset.sources import CLIPART

EMPTY_TITLES = {"drawing", "untitled", "no title", "layer", "svg", "unnamed"}
EMPTY_WORDS = {"hash(0x0)", "unsorted", "clip art", "clipart", "externalsource"}
HEAD, METADATA = 60_000, 6_000


def field(text: str, tag: str) -> str:
    """The first Dublin Core field of that name, or nothing."""
    match = re.search(rf"<dc:{tag}>\s*([^<]+?)\s*</dc:{tag}>", text)
    return html.unescape(match.group(1)).strip() if match else ""


def subjects(text: str) -> list[str]:
    """The keywords of a file that say something."""
    bag = re.search(r"<dc:subject>(.*?)</dc:subject>", text, re.DOTALL)
    items = re.findall(r"<rdf:li>([^<]*)</rdf:li>", bag.group(1)) if bag else []
    words = [clean(html.unescape(item)) for item in items]
    return [word for word in words if len(word) < 40 and word not in EMPTY_WORDS]


def title(text: str) -> str:
    """The title without serial numbers; nothing where it says nothing."""
    name = clean(re.sub(r"[\d#]+", " ", field(text, "title")))
    return name if 3 <= len(name) <= 80 and name not in EMPTY_TITLES else ""


def read_clipart(folder: Path) -> list[Drawing]:
    """Every clip-art that has a title or a keyword, by path."""
    base = folder / "usr/share/openclipart/svg"
    drawings = []
    for path in sorted(base.rglob("*.svg")):
        with path.open(encoding="utf-8", errors="replace") as file:
            head = file.read(HEAD)
        start = max(head.find("<metadata"), 0)
        text = head[start : start + METADATA]
        words = distinct(subjects(text), "")
        name = title(text) or " ".join(words[:2])
        if not name:
            continue
        place = path.relative_to(base)
        folders = place.parts[:-1]
        drawings.append(
            Drawing(
                key=f"clipart/{place.with_suffix('').as_posix()}",
                kind="clipart",
                concept=f"clipart:{place.with_suffix('').as_posix()}",
                name=name,
                keywords=tuple(distinct(words, name)),
                group=folders[0],
                subgroup="/".join(folders),
                source=CLIPART,
                path=path,
            )
        )
    return drawings
