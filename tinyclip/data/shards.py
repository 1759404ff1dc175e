"""The files that a source names: brace lists, globs, folders, several in a row."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from ..errors import UserError

MOST = 1_000_000  # names that one pattern may stand for
RANGE = re.compile(r"(-?\d+)\.\.(-?\d+)(?:\.\.(\d+))?")


def find_shards(where: str, patterns: str, suffix: str) -> list[Path]:
    """The files of ``/data/{000..331}.tar``, in the order in which they are named.

    Several patterns stand between ``::`` or commas; braces hold a range or a list; a
    pattern with ``*``, ``?`` or ``[`` is looked up on disk, and of a folder every file
    of `suffix` counts; these two in the order of their names.

    Raises:
        UserError: a file is missing or named twice, or there is none.
    """
    paths: list[Path] = []
    for pattern in filter(str.strip, _separate(patterns)):
        for name in expand(where, pattern):
            paths.extend(_on_disk(where, Path(name).expanduser(), suffix))
    missing = [path for path in paths if not path.is_file()]
    if missing:
        shown = "".join(f"\n  {path}" for path in missing[:10])
        more = f"\n  and {len(missing) - 10} more" if len(missing) > 10 else ""
        raise UserError(
            where,
            f"{len(missing)} of {len(paths)} files are not there:{shown}{more}",
            "Correct the pattern, or fetch them",
        )
    repeated = (
        sorted({str(path) for path in paths if paths.count(path) > 1})
        if len(set(paths)) < len(paths)
        else []
    )
    if repeated:
        raise UserError(where, f"names {repeated[0]} twice", "Name every file once")
    if not paths:
        raise UserError(where, "names no file", f"Give {suffix} files")
    return paths


def shard_labels(paths: list[Path]) -> list[str]:
    """A name for each file that stays when all of them are moved together."""
    absolute = [path.absolute() for path in paths]
    common = os.path.commonpath([path.parent for path in absolute])
    return [path.relative_to(common).with_suffix("").as_posix() for path in absolute]


def expand(where: str, pattern: str) -> Iterator[str]:
    """Every name that the braces of a pattern stand for, the rightmost fastest.

    Raises:
        UserError: a brace is open, or they are too many names.
    """
    names = _names(where, pattern)
    for count, name in enumerate(names):
        if count >= MOST:
            raise UserError(where, f"{pattern!r} stands for more than {MOST} names")
        yield name


def _names(where: str, pattern: str) -> Iterator[str]:
    start = pattern.find("{")
    if start < 0:
        if "}" in pattern:
            raise UserError(where, f"a brace is not opened in {pattern!r}")
        yield pattern
        return
    end = _closing(where, pattern, start)
    inner = pattern[start + 1 : end]
    parts = _separate(inner)
    if len(parts) == 1 and RANGE.fullmatch(inner):
        options: Iterator[str] = _range(inner)
    else:
        options = (name for part in parts for name in _names(where, part))
    for option in options:
        for rest in _names(where, pattern[end + 1 :]):
            yield pattern[:start] + option + rest


def _range(text: str) -> Iterator[str]:
    """``08..11`` is 08, 09, 10, 11: as wide as the wider end that has a zero before."""
    match = RANGE.fullmatch(text)
    assert match is not None
    first, last, step = match[1], match[2], max(1, int(match[3] or 1))
    padded = any(re.match(r"-?0\d", end) for end in (first, last))
    width = max(len(first), len(last)) if padded else 0
    down = int(last) < int(first)
    numbers = range(
        int(first), int(last) + (-1 if down else 1), -step if down else step
    )
    return (f"{number:0{width}d}" for number in numbers)


def _closing(where: str, pattern: str, start: int) -> int:
    depth = 0
    for end in range(start, len(pattern)):
        depth += {"{": 1, "}": -1}.get(pattern[end], 0)
        if not depth:
            return end
    raise UserError(where, f"a brace is not closed in {pattern!r}", "Write {000..331}")


def _separate(text: str) -> list[str]:
    """The parts between ``::`` or commas that stand outside of braces."""
    parts, depth, at = [""], 0, 0
    while at < len(text):
        character = text[at]
        depth += {"{": 1, "}": -1}.get(character, 0)
        if depth == 0 and (character == "," or text[at : at + 2] == "::"):
            at += 1 if character == "," else 2
            parts.append("")
            continue
        parts[-1] += character
        at += 1
    return parts


def _on_disk(where: str, path: Path, suffix: str) -> list[Path]:
    if path.is_dir():
        paths = sorted(path.glob(f"*{suffix}"))
    elif re.search(r"[*?\[]", str(path)) and not path.exists():
        paths = sorted(
            Path(path.anchor or ".").glob(str(path.relative_to(path.anchor)))
        )
    else:
        return [path]
    if not paths:
        raise UserError(where, f"there is no {suffix} file in {path}", "Check the path")
    return paths
