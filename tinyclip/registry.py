"""Names in YAML to the functions they stand for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from .errors import UserError, nearest

T = TypeVar("T")


class Registry(Generic[T]):
    """A table of one kind of thing, filled by plain imports.

    Args:
        kind: what the entries are, as an error message says it ("objective").
        reserved: names that mean something else where these stand.
    """

    def __init__(self, kind: str, reserved: tuple[str, ...] = ()) -> None:
        self.kind, self.reserved = kind, reserved
        self._entries: dict[str, T] = {}

    def register(self, name: str) -> Callable[[T], T]:
        """A decorator that enters what it decorates under `name`.

        Raises:
            ValueError: the name is taken, or reserved.
        """
        if name in self.reserved:
            raise ValueError(f"no {self.kind} can be called {name!r}")

        def enter(entry: T) -> T:
            if name in self._entries:
                raise ValueError(f"{self.kind} {name!r} is registered twice")
            self._entries[name] = entry
            return entry

        return enter

    def get(self, name: str, where: str) -> T:
        """The entry called `name`; `where` is the key that asked for it.

        Raises:
            UserError: there is none of that name.
        """
        if name not in self._entries:
            raise UserError(
                where, f"unknown {self.kind} {name!r}", nearest(name, self._entries)
            )
        return self._entries[name]

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._entries))

    def __contains__(self, name: object) -> bool:
        return name in self._entries
