"""What cannot be used: skipped, named and counted by kind, and over a share the end."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping

from ..errors import TinyclipError, UserError

NAMED = 1_000  # rows left out at opening that are named; all of them are counted
# left out on purpose, so not broken
HARMLESS = frozenset(
    {"excluded", "repeated", "other picture", "held out", "blank line"}
)
CAPTION_LIMIT = 16_384  # characters; longer text is a page, not a caption
CAPTIONS_LIMIT = 16 * 2**20  # bytes of a file of captions of one picture

Why = tuple[str, str]  # kind, detail


class Broken(TinyclipError):
    """A row that cannot be used; it is skipped and counted.

    Args:
        kind: a few words that rows of one fault share: missing, empty, not a picture,
            truncated, damaged, too large, too narrow, unreadable; no caption,
            empty caption, long caption, no text, invalid UTF-8, bad JSON; no picture,
            no path, bad row, duplicate key, dotted name, torn tar.
        detail: what exactly was wrong.
    """

    def __init__(self, kind: str, detail: str) -> None:
        self.kind, self.detail = kind, detail
        super().__init__(f"{kind}: {detail}")


class Dropped(dict[str, int]):
    """How many rows of a source were left out when it was opened, by kind.

    `rows` names the first `NAMED` of those that are broken: key -> (kind, detail).
    """

    def __init__(self) -> None:
        super().__init__()
        self.rows: dict[str, Why] = {}

    def add(self, kind: str, key: str = "", detail: str = "", count: int = 1) -> None:
        """Count rows of a kind, and name one of them."""
        if count:
            self[kind] = self.get(kind, 0) + count
        if key and kind not in HARMLESS and len(self.rows) < NAMED:
            self.rows.setdefault(key, (kind, detail))

    def merge(self, other: Mapping[str, int], rows: Mapping[str, Why]) -> None:
        """Add what another part of the source left out."""
        for kind, count in other.items():
            self.add(kind, count=count)
        for key, (kind, detail) in rows.items():
            self.add(kind, key, detail, count=0)

    @property
    def broken(self) -> int:
        """Rows that were left out for a fault of theirs."""
        return sum(count for kind, count in self.items() if kind not in HARMLESS)

    def check(self, where: str, whole: int, limit: float) -> None:
        """Stop where too much of a source, or all of it, is of no use.

        Args:
            whole: how many rows can be used.
            limit: the share of rows that may be broken.

        Raises:
            UserError: more than that share was left out, or nothing remains.
        """
        if self.broken > limit * (whole + self.broken):
            raise too_many_broken(where, self.rows, whole + self.broken, limit, self)
        if not whole:
            counts = ", ".join(
                f"{count} {kind}" for kind, count in sorted(self.items())
            )
            raise UserError(where, f"no row can be used: {counts or 'it holds none'}")


def counts_by_kind(broken: Mapping[str, Why]) -> dict[str, int]:
    """How many broken rows are of which kind, the most frequent first."""
    counts = Counter(kind for kind, _ in broken.values())
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def skipped_of(
    dropped: Mapping[str, int], met: Mapping[str, Why]
) -> tuple[dict[str, int], dict[str, Why]]:
    """All that a run did without: how many by kind, and those that have names.

    Args:
        dropped: what was left out when the source was opened.
        met: what turned out to be broken since then.
    """
    named: dict[str, Why] = dict(getattr(dropped, "rows", {}))
    later = {key: why for key, why in met.items() if key not in named}
    counts = Counter(counts_by_kind(later))
    counts.update({k: n for k, n in dropped.items() if k not in HARMLESS})
    return dict(counts.most_common()), named | later


def to_lines(broken: Mapping[str, Why]) -> bytes:
    """``skipped.jsonl``: one object a row, with its key, and why (kind, detail)."""
    return b"".join(
        json.dumps({"key": key, "why": list(why)}).encode() + b"\n"
        for key, why in broken.items()
    )


def from_lines(content: bytes) -> dict[str, Why]:
    """What `to_lines` wrote; a line of another hand is passed over: it is a report."""
    found: dict[str, Why] = {}
    for line in content.splitlines():
        try:
            row = json.loads(line)
            kind, why = row["why"]
            found[str(row["key"])] = str(kind), str(why)
        except (KeyError, TypeError, ValueError, RecursionError):
            continue
    return found


def table_of_kinds(counts: Mapping[str, int], broken: Mapping[str, Why]) -> str:
    """Lines for the log: how many of each kind, and one row as an example."""
    example: dict[str, str] = {}
    for key, (kind, why) in broken.items():
        example.setdefault(kind, f"{key} ({why})" if why else key)
    width = max(map(len, counts), default=0)
    return "\n".join(
        f"{count:>9}  {kind:<{width}}  {example.get(kind, '')}".rstrip()
        for kind, count in counts.items()
    )


def in_words(why: Why) -> str:
    """The kind, and what more is known."""
    kind, detail = why
    return f"{kind} ({detail})" if detail else kind


def too_many_broken(
    where: str,
    broken: Mapping[str, Why],
    tried: int,
    limit: float,
    counts: Mapping[str, int] | None = None,
) -> UserError:
    """The message that stops a run; it shows the first ten with their reasons.

    Args:
        broken: key -> (kind, detail), the first of them at least.
        counts: by kind, where there are more than `broken` names.
    """
    total = counts_by_kind(broken) if counts is None else counts
    number = sum(n for kind, n in total.items() if kind not in HARMLESS)
    lines = [f"\n  {key}: {in_words(why)}" for key, why in broken.items()][:10]
    more = f"\n  and {number - len(lines)} more" if number > len(lines) else ""
    return UserError(
        where,
        f"{number} of {tried} pictures are broken, more than the share of "
        f"{limit:g} that data.max_broken_share allows:{''.join(lines)}{more}",
        "Mend or remove these rows, or raise data.max_broken_share",
    )


def reason(error: BaseException, most: int = 160) -> str:
    """What a library's error says in its first line, up to so many characters."""
    return (str(error) or type(error).__name__).split("\n")[0][:most]


def check_caption(text: str) -> str:
    """A caption without space around it.

    Raises:
        Broken: it is empty, too long, or holds what no UTF-8 was.
    """
    stripped = text.strip()
    if not stripped:
        raise Broken("empty caption", "nothing but space" if text else "no characters")
    if len(stripped) > CAPTION_LIMIT:
        raise Broken(
            "long caption", f"{len(stripped)} characters; the limit is {CAPTION_LIMIT}"
        )
    if "\ufffd" in stripped or re.search("[\ud800-\udfff]", stripped):
        raise Broken("invalid UTF-8", "a character that stands for none")
    return stripped


def decode_caption(content: bytes) -> str:
    """The text of a caption file; raises `Broken` where it is not UTF-8."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Broken("invalid UTF-8", f"byte {error.start} of the caption") from None
