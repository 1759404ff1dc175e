"""Metadata at the head of a Markdown file: YAML between two lines of `---`.

A card is read by more than one library of YAML, so every text that is not plain letters
is written between double quotes, in ASCII and on one line: nothing that a name holds
ends the block, folds, turns the order of letters, or is a number to one reader and a
text to another.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

import yaml

from ..errors import UserError
from .reader import parse

# as the Hub finds the block, from the file's first line on
BLOCK = re.compile(
    r"\s*---(?:\r\n|\r|\n)(.*?)(?:\r\n|\r|\n)---[ \t]*(?:\r\n|\n|$)", re.S
)
PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9 ._/+-]*(?<! )")


class _Dumper(yaml.SafeDumper):
    """YAML that every reader takes for the same values."""

    def ignore_aliases(self, data: Any) -> bool:
        """A value that stands in two places is written out in both."""
        return True


def _text_node(dumper: _Dumper, value: str) -> yaml.ScalarNode:
    style = None if PLAIN.fullmatch(value) else '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style)


_Dumper.add_representer(str, _text_node)


def with_front_matter(values: Mapping[str, Any], body: str) -> str:
    """A Markdown text under its metadata, which stand in their order."""
    text: str = yaml.dump(dict(values), Dumper=_Dumper, sort_keys=False, width=math.inf)
    # it only stands between double quotes: for what shows the block as Markdown
    text = text.replace("<", "\\x3C")
    return f"---\n{text}---\n\n{body}"


def front_matter(text: str, where: str) -> dict[str, Any]:
    """The metadata of a Markdown text; nothing where it has none.

    Args:
        where: what messages call it.

    Raises:
        UserError: they are no YAML, too large or too deep, or not by name.
    """
    block = BLOCK.match(text)
    if block is None:
        return {}
    values = parse(block[1], where)
    if not isinstance(values, dict):
        raise UserError(where, "begins with metadata that have no names")
    return values
