"""`metrics.jsonl`: one JSON object a line, cut back to where a state was saved."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from ..errors import StorageError
from ..files import write_bytes

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

    def cut(self, offset: int) -> None:
        """Drop the lines that were written after a state was saved."""
        if self.offset > offset:
            os.truncate(self.path, offset)

    def write(self, record: dict[str, Any]) -> None:
        """Append one record; a column that it lacks is empty.

        Raises:
            StorageError: it cannot be written.
        """
        line = json.dumps({**dict.fromkeys(COLUMNS), **record})
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(line + "\n")
        except OSError as error:
            raise StorageError(self.path, error) from None

    def replace(self, records: list[dict[str, Any]]) -> None:
        """Put other records in place of all there are."""
        lines = "".join(json.dumps(record) + "\n" for record in records)
        write_bytes(self.path, lines.encode())

    def records(self) -> list[dict[str, Any]]:
        """Every whole line."""
        if not self.path.exists():
            return []
        lines = self.path.read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines]
