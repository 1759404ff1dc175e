"""Where a setting stands, as an error message says it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Place:
    """A file (or option) and the path of keys inside it.

    `Place("half.yaml").key("stages").item(1)` reads `half.yaml: stages[1]`; what came
    from Python has no file.
    """

    file: str = ""
    path: str = ""

    def key(self, name: object) -> Place:
        """One setting inside."""
        return Place(self.file, f"{self.path}.{name}" if self.path else f"{name}")

    def item(self, index: int) -> Place:
        """One entry of a list."""
        return Place(self.file, f"{self.path}[{index}]")

    def __str__(self) -> str:
        return ": ".join(part for part in (self.file, self.path) if part)


class Option(Place):
    """An option of the command line: its list is words, and the word says which."""

    def item(self, index: int) -> Option:
        """The option itself."""
        return self
