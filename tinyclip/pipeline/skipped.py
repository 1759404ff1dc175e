"""``skipped.jsonl``: what a run did without, row by row.

A row is named there when it is met, and not when the run ends: a run that was killed
has read rows that it does not read again after a resume, and a student's card counts
them all the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ..data.broken import Why, from_lines, skipped_of, to_lines
from ..errors import StorageError
from ..files import read_regular, write_bytes

NAME = "skipped.jsonl"


class Skipped:
    """The rows that a run did without.

    Args:
        folder: the run's.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / NAME

    def met(self, key: str, why: Why) -> None:
        """Name a row that cannot be read. One call is one line, whatever threads and
        processes of the run name others.

        Raises:
            StorageError: it cannot be written.
        """
        try:
            with self.path.open("ab", buffering=0) as file:
                file.write(to_lines({key: why}))
        except OSError as error:
            raise StorageError(self.path, error) from None

    def rows(self) -> dict[str, Why]:
        """Those that are named; what is no line of ours is passed over: it is a report.

        Raises:
            UserError: the file is a pipe or a device.
        """
        return from_lines(read_regular(self.path)) if self.path.exists() else {}

    def settle(
        self, dropped: Mapping[str, int], met: Mapping[str, Why]
    ) -> tuple[dict[str, int], dict[str, Why]]:
        """How many there are by kind, and those that have names.

        Args:
            dropped: what was left out when the sources were opened.
            met: what turned out to be broken in this process.
        """
        return skipped_of(dropped, {**self.rows(), **met})

    def write(self, named: Mapping[str, Why]) -> None:
        """Name these, each once.

        Raises:
            StorageError: it cannot be written.
        """
        write_bytes(self.path, to_lines(named))
