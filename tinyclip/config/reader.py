"""YAML text to plain values, in bounded steps: aliases, depth and size are limited.

A merge key copies what it names, so that 26 short lines that each name the one before
twice are 2**26 values.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from ..bounded import read_bytes
from ..errors import UserError

LARGEST = 2**20  # characters; the largest recipe that ships has 2,000
DEEPEST = 32  # values in each other
MOST = 200_000  # values, those that aliases stand for among them
NUMBER = 100  # characters of a number
NUMBERS = tuple(f"tag:yaml.org,2002:{kind}" for kind in ("int", "float"))


class _Loader(yaml.SafeLoader):
    """YAML in which a key written twice is an error, not a silent loss."""

    def get_single_node(self) -> Any:
        node = super().get_single_node()
        if node is not None:
            _Counter().count(node, 0)
        return node


class _Counter:
    """Counts the values under a node, aliases as often as they are named."""

    def __init__(self) -> None:
        self.counts: dict[yaml.Node, int | None] = {}  # None: being counted

    def count(self, node: yaml.Node, depth: int) -> int:
        if node not in self.counts:
            self.counts[node] = None
            if depth > DEEPEST:
                raise _refused(node, f"nested more than {DEEPEST} deep")
            self.counts[node] = 1 + sum(
                self.count(inner, depth + 1) for inner in _inside(node)
            )
        number = self.counts[node]
        if number is None:
            raise _refused(node, "an alias stands inside of what it names")
        if number > MOST:
            raise _refused(node, f"its aliases stand for more than {MOST} values")
        return number


def _inside(node: yaml.Node) -> Iterator[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        for pair in node.value:
            yield from pair
    elif isinstance(node, yaml.SequenceNode):
        yield from node.value
    elif node.tag in NUMBERS and len(node.value) > NUMBER:
        raise _refused(node, f"a number of more than {NUMBER} digits")


def _refused(node: yaml.Node, why: str) -> yaml.MarkedYAMLError:
    return yaml.constructor.ConstructorError(None, None, why, node.start_mark)


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    seen: set[Any] = set()
    for key_node, _ in node.value:
        if not isinstance(key_node, yaml.ScalarNode):
            continue  # refused below: it cannot be hashed
        if key_node.tag == "tag:yaml.org,2002:merge":
            continue  # `<<`, whose keys may well be written again
        key = loader.construct_object(key_node)
        if key in seen:
            raise yaml.constructor.ConstructorError(
                None, None, f"the key {key!r} is written twice", key_node.start_mark
            )
        seen.add(key)
    return dict(loader.construct_mapping(node, deep=True))


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def parse(text: str, where: str) -> Any:
    """YAML text as plain values.

    Raises:
        UserError: it is not YAML (the message has the line), or too large or too deep.
    """
    if len(text) > LARGEST:
        raise UserError(
            where,
            f"has {len(text)} characters; {LARGEST} are read at most",
            "Name a file of settings",
        )
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f", line {mark.line + 1}" if mark else ""
        what = error.problem or error.context
        raise UserError(f"{where}{line}", f"is not valid YAML: {what}") from None
    except (yaml.YAMLError, ValueError) as error:  # ValueError: 2020-13-45 as a date
        what = " ".join(str(error).split())
        raise UserError(where, f"is not valid YAML: {what}") from None
    except RecursionError:
        raise UserError(where, "is not valid YAML: nested too deeply") from None


def read_text(path: Path) -> str:
    """The text of a file of settings.

    Raises:
        OSError: it cannot be read, is no regular file, or is too large.
        UnicodeDecodeError: it is not UTF-8.
    """
    return read_bytes(path, 4 * LARGEST).decode("utf-8-sig")
