"""The table of families: whoever adds one registers a function that makes attacks."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

SEED = 0  # of whatever a family draws
LONGEST = 600  # seconds that a forked process lives


def forked() -> None:
    """What a process that was forked begins with: its parent's threads are not there,
    and OpenMP would wait for them for ever; it waits for nothing longer than that."""
    import torch

    torch.set_num_threads(1)
    signal.alarm(LONGEST)


@dataclass(frozen=True)
class Attack:
    """One hostile file, and who reads it.

    Args:
        name: distinct in its family.
        write: puts the file into a folder.
        read: reads it; returns what it counted as broken, if that is all it does.
        harmless: whether it may be read without a word.
        writes: whether reading leaves something in the folder, as it should.
    """

    name: str
    write: Callable[[Path], object]
    read: Callable[[Path], str]
    harmless: bool = False
    writes: bool = False


Family = Callable[[], Iterator[Attack]]
FAMILIES: dict[str, Family] = {}


def family(name: str) -> Callable[[Family], Family]:
    """A decorator that enters a family under its name."""

    def enter(attacks: Family) -> Family:
        if name in FAMILIES:
            raise ValueError(f"the family {name!r} is registered twice")
        FAMILIES[name] = attacks
        return attacks

    return enter
