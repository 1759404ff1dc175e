"""YAML of recipes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from tinyclip.config.load import load_recipe

from .families import Attack, family


def read(folder: Path) -> str:
    load_recipe(str(folder / "r.yaml"))
    return ""


def doubling(word: str, lines: int) -> str:
    more = (word.format(i=i, b=i - 1) for i in range(1, lines))
    return "\n".join(["m0: &m0 {k0: 1}", *more])


ALIASES = {
    "merge keys": "m{i}: &m{i} {{<<: [*m{b}, *m{b}]}}",
    "merge keys and values": "m{i}: &m{i} {{<<: *m{b}, n: *m{b}}}",
    "lists": "m{i}: &m{i} [*m{b}, *m{b}]",
    "ten at a time": "m{i}: &m{i} [" + ", ".join(["*m{b}"] * 10) + "]",
    "as keys": "m{i}: &m{i} {{? *m{b} : *m{b}}}",
}
TEXTS = {
    "an alias of itself": "a: &a [*a]",
    "a merge of itself": "a: &a {<<: *a}",
    "an unknown alias": "a: *b",
    "a million digits": "seed: " + "9" * 10**6,
    "a hexadecimal number": "seed: 0x" + "f" * 10**5,
    "numbers in base 60": "seed: 1" + ":10" * 10**5,
    "a binary number": "seed: 0b" + "1" * 10**5,
    "a python object": "a: !!python/object/apply:os.system ['true']",
    "a tag": "a: !x y",
    "binary": "a: !!binary " + "A" * 1001,
    "a set": "? a\n? b",
    "a list": "[1, 2]",
    "a text": "abc",
    "nothing": "",
    "two documents": "a: 1\n---\nb: 2",
    "a date": "seed: 2020-13-45",
    "control characters": "name: \x01\x02",
    "tabs": "a:\n\t- b",
    "a key of a list": "? [a, b]\n: c",
    "NaN": "seed: .nan",
    "infinity": "divergence: .inf",
    "a name of a megabyte": "name: " + "a" * (2**20 - 10),
    "megabytes": "a: [" + "1," * 2**21 + "1]",
    "keys by the thousand": "\n".join(f"k{i}: 1" for i in range(20_000)),
    "a key twice": "seed: 1\nseed: 2",
    "stages without end": "stages: [" + "{}," * 60_000 + "{}]",
}
OPENING = {"brackets": ("[", "]"), "braces": ("{a: ", "}"), "dashes": ("- ", "")}


@family("yaml")
def yaml() -> Iterator[Attack]:
    """Aliases, depth, size, numbers, tags, and files that are none."""

    def of(text: str, folder: Path) -> None:
        (folder / "r.yaml").write_text(text)

    for name, word in ALIASES.items():
        for lines in (25, 60, 400):
            yield Attack(f"{name}, {lines}", partial(of, doubling(word, lines)), read)
    for name, text in TEXTS.items():
        yield Attack(name, partial(of, text), read)
    for name, (begin, end) in OPENING.items():
        for depth in (40, 500, 5_000, 100_000):
            text = begin * depth + "1" + end * depth
            yield Attack(f"{name}, {depth}", partial(of, text), read)
    for content in (b"\xff\xfe", b"\x00" * 100, b"seed: \xff", b"\x1f\x8b\x08"):
        yield Attack(
            f"bytes {content[:4]!r}",
            lambda folder, content=content: (folder / "r.yaml").write_bytes(content),
            read,
        )
    yield Attack("a pipe", lambda folder: os.mkfifo(folder / "r.yaml"), read)
    for device in ("/dev/zero", "/dev/tty", "/proc/self/mem", "/"):
        yield Attack(
            f"a link to {device}",
            lambda folder, device=device: (folder / "r.yaml").symlink_to(device),
            read,
        )
