"""Classes: what they are called, and the captions that are made of that."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from ..bounded import read_bytes
from ..config.schema import Data
from ..errors import UserError
from .imagenet import SCHEME, imagenet_names
from .notes import note

CLASS_TEMPLATES = ("a photo of a {}", "{}", "a picture of a {}")
# names of folders that say where pictures come from, and not what is on them
GENERIC = frozenset(
    "train training val valid validation dev test testing eval images image imgs img "
    "jpegimages pictures pics photos masks mask labels annotations captions data "
    "dataset raw jpg jpeg png input inputs output outputs".split()
)
# what may follow such a word: train2017, images_001, test-set, trainA
WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
FOLLOWING = frozenset("set split part fold small full px".split())
# numbers, WordNet's n01440764 and 02084071-n, Freebase's m.0bt9lr, class_12, digests
CODE = re.compile(
    r"(?:[a-z]|class|label|category|cls|id|type|cluster|synset)?[\s_.-]*\d[\d\s_.-]*"
    r"|\d{8}-[nvasr]|/?m[/._ ]0\w+"
    r"|(?=.*\d)[0-9a-f-]{8,}|(?=.*\d)(?=.*[a-f])[0-9a-f]{4,}",
    re.IGNORECASE,
)
# such before a name: n01440764_tench, 001.Black_footed_Albatross
NUMBERED = re.compile(
    r"(?:[a-z]?\d{8}(?:-[nvasr])?|\d+)[\s_.-]+(?=.*[^\W\d_]{2})", re.I
)
SHOWN = 3


def spoken(name: str) -> str:
    """A name as one would say it: ``polar_bear`` is two words."""
    return " ".join(name.replace("_", " ").split())


def class_captions(name: str) -> tuple[str, ...]:
    """Captions of a class by `CLASS_TEMPLATES`."""
    return tuple(template.format(name) for template in CLASS_TEMPLATES)


def is_generic(name: str) -> bool:
    """Whether a folder's name says where pictures come from: `GENERIC`, train2017."""
    if name.lower() in GENERIC:
        return True
    first, *others = [word.lower() for word in WORDS.findall(name)] or [""]
    return first in GENERIC and all(
        len(word) == 1 or word in GENERIC | FOLLOWING for word in others
    )


def class_names(data: Data, keys: Sequence[str], todo: str = "") -> dict[str, str]:
    """What each class is called: as `data.class_names` has it, else by its own name.

    That captions are made of names is said, and so is where the names say nothing.

    Args:
        keys: the classes as the source has them, distinct: folders in the order of
            their names, labels in that of their numbers.
        todo: what to do where they are no classes.

    Raises:
        UserError: the file of names does not fit, or no name is one of a class.
    """
    where = data.source
    if data.class_names is not None and data.class_names.startswith(SCHEME):
        names = imagenet_names(data.class_names, keys, "data.class_names")
    elif data.class_names is not None:
        names = read_names(data.class_names, keys)
    elif all(map(is_generic, keys)):
        raise UserError(
            where,
            f"would make captions of {listed(keys)}, which are no classes",
            todo or "Name a column of captions: --set data.caption_column=NAME",
        )
    else:
        names = {key: spoken(key) for key in keys}
        _warn_of_codes(where, keys)
    times = Counter(names.values())
    if twice := [name for name, count in times.items() if count > 1]:
        note(f"{where}: {listed(twice)}: several classes of one name count as one")
    note(
        f"{where}: captions are made of the names of {len(times)} classes: "
        f"{listed(list(times))} ({class_captions(next(iter(times)))[0]!r}, ...)"
    )
    return names


def _warn_of_codes(where: str, keys: Sequence[str]) -> None:
    codes = [key for key in keys if CODE.fullmatch(key.strip())]
    if 2 * len(codes) > len(keys):
        note(
            f"{where}: {len(codes)} of {len(keys)} class names are numbers or codes "
            f"({listed(codes)}), and no model knows what they mean: zero-shot will be "
            "at chance. Name them: --set data.class_names=FILE with lines like "
            f"'{codes[0]} tench'"
        )
    numbered = [key for key in keys if NUMBERED.match(key.strip())]
    if 2 * len(numbered) > len(keys):
        key = numbered[0]
        name = spoken(NUMBERED.sub("", key.strip(), count=1))
        caption = class_captions(spoken(key))[0]
        note(
            f"{where}: {len(numbered)} of {len(keys)} class names begin with a number "
            f"or code, and so does what captions say ({caption!r})"
            f". Name them: --set data.class_names=FILE with lines like '{key} {name}'"
        )


def warn_of_codes_in(where: str, captions: Sequence[str]) -> None:
    """Say it where most captions are numbers or codes: a column of labels, it seems."""
    codes = [text for text in captions if CODE.fullmatch(text)]
    if 2 * len(codes) > len(captions):
        note(
            f"{where}: most captions are numbers or codes ({listed(codes)}), and no "
            "model knows what they mean. Is the column one of labels? Write what they "
            "stand for, or name another: --set data.caption_column=NAME"
        )


def read_names(file: str, keys: Sequence[str]) -> dict[str, str]:
    """The name of each class from a text file.

    Its lines are a class as the source has it, a space, tab, comma or colon, and its
    name, in any order; or one name for each class, in their order.

    Raises:
        UserError: it cannot be read, or a class has no name in it.
    """
    where = "data.class_names"
    try:
        text = read_bytes(Path(file).expanduser()).decode("utf-8-sig")
    except OSError as error:
        raise UserError(where, f"{file}: {error.strerror}", "Check the path") from None
    except UnicodeDecodeError:
        raise UserError(
            where, f"{file} is not UTF-8 text", "Save it as UTF-8"
        ) from None
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    names = _by_key(lines, set(keys))
    if not names and len(lines) == len(keys):
        return dict(zip(keys, lines, strict=True))
    missing = [key for key in keys if key not in names]
    if missing:
        raise UserError(
            where,
            f"{file} has no name for {listed(missing)}: {len(keys) - len(missing)} of "
            f"{len(keys)} classes are named in its {len(lines)} lines",
            f"Write lines like '{missing[0]} tench', or as many names as classes, in "
            "their order",
        )
    return names


def _by_key(lines: Sequence[str], keys: set[str]) -> dict[str, str]:
    """The names in lines that begin with a class and something that ends it."""
    names_by_key: dict[str, str] = {}
    for line in lines:
        for end in re.finditer(r"[\s,:;=]+", line):
            key, name = line[: end.start()], line[end.end() :].strip()
            if key in keys and name:
                names_by_key[key] = name
                break
    return names_by_key


def listed(names: Sequence[str]) -> str:
    """The first few names, and how many more there are."""
    shown = ", ".join(repr(name[:40]) for name in names[:SHOWN])
    return shown + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
