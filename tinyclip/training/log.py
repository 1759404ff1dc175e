"""`metrics.jsonl`: one JSON object a line, cut back to where a state was saved."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import StorageError, UserError
from ..files import read_regular, write_bytes
from ..typed import Maybe, misfit

log = logging.getLogger("tinyclip")
# a link there would be somebody else's file, and a pipe would never take a line
OWN = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
FLAGS = os.O_WRONLY | os.O_CREAT | os.O_APPEND | OWN
LINE = {"stage": Maybe(int), "phase": Maybe(str)}

# what every line has, in this order; a phase that pushes on no size has no p, q, λ, β
COLUMNS = tuple(
    "stage phase step samples loss parts p q lambda beta lr seconds".split()
)


class MetricsLog:
    """The growing metrics file of a run.

    `seconds` is a clock; every other key is the same in a resumed run.

    Args:
        path: the file; made when the first line is written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def offset(self) -> int:
        """How many bytes are written: a state remembers it."""
        return self.path.stat().st_size if self.path.exists() else 0

    def digest(self, offset: int) -> str | None:
        """SHA-256 of the first bytes, or None where there are not so many."""
        if offset > self.offset:
            return None
        content = read_regular(self.path) if self.path.exists() else b""
        return hashlib.sha256(content[:offset]).hexdigest()

    def tell_missing(self, offset: int) -> bool:
        """Say so where fewer bytes are there than were written. Lines that are missing
        do not stop the run: no weight depends on them."""
        missing = offset - self.offset
        if missing > 0:
            log.warning(
                "%s: %d bytes that the run wrote there are gone, and the figures of "
                "those steps with them",
                self.path,
                missing,
            )
        return missing > 0

    def cut(self, offset: int) -> None:
        """Drop the lines that were written after a state was saved; of lines that are
        missing it tells."""
        self._truncate(self._end() if self.tell_missing(offset) else offset)

    def cut_phase(self, stage: int, phase: str) -> None:
        """Drop the lines of a phase that begins anew, and of all that came after it."""
        end = self._end()
        for start, record in self._lines():
            place = record.get("stage") or 0, record.get("phase")
            if place[0] > stage or place == (stage, phase):
                end = start
                break
        self._truncate(end)

    def _truncate(self, offset: int) -> None:
        if self.offset <= offset:
            return
        try:
            with os.fdopen(os.open(self.path, FLAGS), "a") as file:
                file.truncate(offset)
        except OSError as error:
            raise StorageError(self.path, error) from None

    def write(self, record: dict[str, Any]) -> None:
        """Append one record; a column that it lacks is empty.

        Raises:
            StorageError: it cannot be written.
        """
        line = json.dumps({**dict.fromkeys(COLUMNS), **record})
        try:
            with os.fdopen(os.open(self.path, FLAGS, 0o644), "a") as file:
                file.write(line + "\n")
        except OSError as error:
            raise StorageError(self.path, error) from None

    def replace(self, records: list[dict[str, Any]]) -> None:
        """Put other records in place of all there are."""
        lines = "".join(json.dumps(record) + "\n" for record in records)
        write_bytes(self.path, lines.encode())

    def records(self) -> list[dict[str, Any]]:
        """Every whole line; a last one that was not written to its end is none.

        Raises:
            UserError: another line is damaged.
        """
        return [record for _, record in self._lines()]

    def _content(self) -> bytes:
        """The whole lines: a full disk, or a power cut, leaves half of one."""
        content = read_regular(self.path) if self.path.exists() else b""
        return content[: content.rfind(b"\n") + 1]

    def _end(self) -> int:
        """Where the last whole line ends."""
        return len(self._content())

    def _lines(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """Where each line starts, and what it holds."""
        start = 0
        for number, line in enumerate(self._content().splitlines(keepends=True), 1):
            yield start, self._record(number, line)
            start += len(line)

    def _record(self, number: int, line: bytes) -> dict[str, Any]:
        try:
            record: dict[str, Any] = json.loads(line)
            wrong = misfit(record, LINE)
        except (ValueError, RecursionError) as error:
            wrong = str(error)
        if wrong:
            where = f"{self.path}, line {number}"
            raise UserError(where, f"is damaged ({wrong})", "Remove that line")
        return record
