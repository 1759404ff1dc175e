"""`json:FILE`: pictures with several captions each, in the form of Karpathy's splits.

{"images": [{"filename": "1.jpg", "filepath": "val2014", "split": "test",
             "sentences": [{"raw": "a dog runs"}, ...]}, ...]}

as of COCO and Flickr30k (Karpathy and Fei-Fei 2015); paths are relative to the file, or
to `data.image_root`.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from ..config.schema import Data
from ..errors import UserError
from ..typed import Maybe, misfit
from .broken import Broken, Dropped, check_caption
from .columns import excluder, tidy_path
from .files import FilePairs
from .json_files import file_of, root_of, value_of
from .pictures import parse_background

SPLITS = {"train": ("train", "restval"), "val": ("val",), "test": ("test",)}
IMAGE = {
    "filename": str,
    "filepath": Maybe(str),
    "split": Maybe(str),
    "sentences": [{"raw": str}],
}
FORM = '{"images": [{"filename": ..., "split": ..., "sentences": [{"raw": ...}]}]}'


def is_karpathy(data: Data) -> bool:
    """Whether a source is of this form."""
    return file_of(data) is not None


def open_karpathy(data: Data, file: str, split: str = "train") -> FilePairs:
    """The pairs of a split; `train` has those of `restval`, and all that have no split.

    Raises:
        UserError: the file is missing or of another form, has no such rows, or too many
            of its pictures or captions cannot be used.
    """
    pairs = _split(data, file, split)
    if pairs is None:
        raise UserError(data.source, f"no pictures of the split {split!r}", "Check it")
    return pairs


def tested_split(data: Data) -> FilePairs | None:
    """The pairs of its `test` split, else of `val`; None where it has neither.

    Raises:
        UserError: as `open_karpathy`.
    """
    file = data.source.partition(":")[2]
    return _split(data, file, "test") or _split(data, file, "val")


def validation_split(data: Data) -> FilePairs | None:
    """The pairs of its `val` split; None where it has none.

    Raises:
        UserError: as `open_karpathy`.
    """
    return _split(data, data.source.partition(":")[2], "val")


def _split(data: Data, file: str, split: str) -> FilePairs | None:
    path = Path(file).expanduser()
    images = [
        image for image in _images(path, data.source) if _split_of(image) == split
    ]
    if not images:
        return None
    dropped = Dropped()
    pattern = excluder(data.exclude)
    texts: dict[str, tuple[str, ...]] = {}
    for image in images:
        key = tidy_path(str(Path(image.get("filepath") or "") / image["filename"]))
        if pattern is not None and pattern.match(key):
            dropped.add("excluded")
            continue
        captions = _captions(key, image, dropped)
        if captions:
            texts[key] = tuple(dict.fromkeys((*texts.get(key, ()), *captions)))
    dropped.check(data.source, len(texts), data.max_broken_share)
    pairs = FilePairs(
        name=data.source,
        root=root_of(data, path),
        keys=tuple(texts),
        texts=tuple(texts.values()),
        background=parse_background(data.background),
        dropped=dropped,
    )
    pairs.check_present(data.max_broken_share)
    return pairs


def _split_of(image: dict[str, Any]) -> str:
    own = image.get("split") or "train"
    return next((name for name, of in SPLITS.items() if own in of), own)


def _captions(key: str, image: dict[str, Any], dropped: Dropped) -> list[str]:
    """The captions of a picture that can be used; a picture without any is counted."""
    captions = []
    fault = Broken("no caption", "no sentences")
    for sentence in image["sentences"]:
        try:
            captions.append(check_caption(sentence["raw"]))
        except Broken as broken:
            fault = broken
    if not captions:
        dropped.add(fault.kind, key, fault.detail)
    return captions


def _images(path: Path, where: str) -> list[dict[str, Any]]:
    value = value_of(path, where)
    wrong = misfit(value, {"images": [IMAGE]})
    if wrong:
        raise UserError(where, f"is of another form ({wrong})", f"Write {FORM}")
    if not value["images"]:
        raise UserError(where, "names no pictures", f"Write {FORM}")
    known = Counter(map(_split_of, value["images"]))
    if not known.keys() & SPLITS.keys():
        names = ", ".join(repr(name[:40]) for name in [*known][:3])
        raise UserError(
            where, f"its splits are {names}", f"Call them {', '.join(SPLITS)}"
        )
    return list(value["images"])
