"""Names as data: how a text stands in a shell line, a Python line, a card, a terminal.

Whatever prints a line that is meant to be pasted makes it here, so that a folder called
`it's "q"` or `$HOME;touch x` stays a folder's name.
"""

from __future__ import annotations

import html
import os
import re
import shlex
from pathlib import Path

# what a terminal obeys, or what turns the order of letters around; newlines are told
# apart by `one_line`
OBEYED = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
# what Markdown takes for its own, but for HTML, which entities tell; of `_` what has no
# letter or digit on both sides
MARKS = re.compile(r"[\\`*\[\]|~$]|(?<![^\W_])_|_(?![^\W_])")
BEGINS = re.compile(r"^(\d*)([#+=.)-])")  # and what begins a heading, a list or a rule


def shell(text: str) -> str:
    """The text as one word of a shell line, and on one line.

    What cannot be shown stands in `$'...'`, which bash, zsh and POSIX of 2024 read.
    """
    if text.isprintable():
        return shlex.quote(text)
    return f"$'{''.join(map(_spelt, text))}'"


def _spelt(character: str) -> str:
    if character in "\\'":
        return f"\\{character}"
    if character.isprintable():
        return character
    return "".join(f"\\{byte:03o}" for byte in os.fsencode(character))


def command(verb: str, *words: str, **options: object) -> str:
    """A line that runs one of our commands: `tinyclip compress --resume --out 'a b'`.

    Args:
        words: what follows the verb as it is.
        options: their values by name; of a list each, and none of None.
    """
    said = list(words)
    for name, value in options.items():
        values = value if isinstance(value, list) else [value]
        for each in values:
            if each is not None:
                said.append(_option(f"--{name.replace('_', '-')}", str(each)))
    return " ".join(["tinyclip", verb, *said])


def _option(name: str, value: str) -> str:
    """An option and its value, which may look like an option itself."""
    return f"{name}{'=' if value.startswith('-') else ' '}{shell(value)}"


def python(text: str) -> str:
    """The text as a literal of Python, between double quotes where that is simple."""
    literal = repr(text)
    return f'"{literal[1:-1]}"' if literal[0] == "'" and '"' not in text else literal


def as_source(path: str | Path) -> str:
    """A folder's path that is not taken for a source such as `run:x`, or for `~`."""
    text = str(path)
    first = text.split("/")[0]
    return f"./{text}" if ":" in first or first[:1] in ("~", "-") else text


def markdown(text: object) -> str:
    """The text in a line of Markdown: no heading, no link, no HTML, no new line."""
    line = one_line(" ".join(str(text).split()))
    inline = MARKS.sub(r"\\\g<0>", line)
    # entities, since not all that shows Markdown knows `\<`; without a backslash, with
    # which an entity is shown as it stands
    return html.escape(BEGINS.sub(r"\1\\\2", inline), quote=False)


def code_span(text: object) -> str:
    """The text as code in a line of Markdown, whatever backticks it holds; none at all
    is a space, for two backticks alone are two backticks."""
    line = one_line(" ".join(str(text).split())) or " "
    longest = max((len(run) for run in re.findall("`+", line)), default=0)
    fence, space = "`" * (longest + 1), " " if longest else ""
    return f"{fence}{space}{line}{space}{fence}"


def plain(text: str) -> str:
    """The text with what a terminal would obey spelt out; it may have several lines."""
    return OBEYED.sub(_escaped, text)


def one_line(text: str) -> str:
    """As `plain`, line breaks and tabs spelt out too."""
    return plain(text).replace("\n", "\\n").replace("\t", "\\t")


def _escaped(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode()
