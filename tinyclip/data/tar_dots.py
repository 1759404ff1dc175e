"""Members of a tar that are no sample's: mostly, of more than one dot in their names.

webdataset splits a name at its first dot: ``v1.00.png`` is a part called ``00.png`` of
the sample ``v1``, as ``7.mask.png`` is a part of 7. So such a picture is nobody's, and
it is counted where it was meant to be a sample of its own. Names that begin with a dot
(``.0.png``) webdataset passes over.
"""

from __future__ import annotations

from collections.abc import Container

from .broken import Broken, Dropped
from .pictures import SUFFIXES

DOTTED = "dotted name"
APPLE_DOUBLE = b"\0\5\x16\7"  # what macOS writes beside a file: ._0.png
SHOWN = 3


class Dotted:
    """Parts of samples that were passed over, by sample."""

    def __init__(self) -> None:
        self.pictures: dict[str, list[str]] = {}
        self.texts: dict[str, list[str]] = {}
        self.others: dict[str, list[str]] = {}

    def add(self, key: str, part: str, plain: bool) -> None:
        """Remember the part of a sample.

        Args:
            plain: whether captions are in ``.txt`` too.
        """
        _, dot, kind = part.lower().rpartition(".")
        if not dot:
            self.others.setdefault(key, []).append(part)
        elif f".{kind}" in SUFFIXES:
            self.pictures.setdefault(key, []).append(part)
        elif kind == "json" or (kind == "txt" and plain):
            self.texts.setdefault(key, []).append(part)

    def no_text(self, key: str) -> Broken:
        """Why a picture has no caption."""
        why = "no .txt or .json of this name"
        if key in self.texts:
            part = self.texts[key][0]
            kind = part.rpartition(".")[2]
            why += f": is it {key}.{part}? Then call that {key}.{kind}"
        elif key in self.others:
            beside = (f"{key}.{part}" for part in self.others[key][:SHOWN])
            why += f"; beside it is {', '.join(beside)}"
        return Broken("no caption", why)

    def count(self, images: Container[str], dropped: Dropped) -> None:
        """Count pictures that are no sample's, and name them.

        A sample that has its picture may hold others (a mask), but none that has a
        caption of its own.
        """
        for key, parts in self.pictures.items():
            own = {part.rpartition(".")[0] for part in self.texts.get(key, ())}
            for part in parts:
                if key in images and part.rpartition(".")[0] not in own:
                    dropped.add("other picture")
                else:
                    dropped.add(
                        DOTTED,
                        f"{key}.{part}",
                        f"names are split at the first dot, so this is {part!r} of the "
                        f"sample {key!r}; write the name without that dot",
                    )


def hidden(name: str, begin: bytes, dropped: Dropped) -> None:
    """Count a picture whose name begins with a dot, and name it.

    Args:
        begin: its first bytes.
    """
    own = name.rpartition("/")[2]
    if own.startswith(".") and own.lower().endswith(SUFFIXES) and begin != APPLE_DOUBLE:
        why = "names that begin with a dot are passed over, as webdataset does"
        dropped.add(DOTTED, name, f"{why}; write the name without that dot")
