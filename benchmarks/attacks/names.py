"""Names that are markup, options, escapes or lines of a shell, wherever one stands."""

from __future__ import annotations

import ast
import json
import os
import random
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from tinyclip.formats.registry import FORMATS
from tinyclip.model.card import model_card
from tinyclip.quoting import OBEYED, as_source, command, one_line

from .commands import run_verb
from .configurations import copied, pico
from .data import END, WHOLE, member
from .families import SEED, Attack, family
from .values import changed

NAMES = (
    *("a[/b]c", "exp[bold]x", "[link=file:///x]y[/link]", "a:smile:b", "{x}", "%s %n"),
    *("run with space", 'it\'s "q"', "$HOME;touch pwned", "`touch pwned`", "-dash"),
    *("--out", "a\nb", "a\tb", "back\\slash'", "*?[a]{b,c}", "!!", "#x", "~", "~root"),
    *("\x1b[31mred", "\x1b]0;title\x07", "\x9b2J", "\u202ereversed", "a\rb", "\x7f"),
    *("caf\u00e9", "\udcff\udcfe", "run:x", "hf:x", "builtin:pico", "x@y", "x,y=z"),
    *("<script>alert(1)</script>", "# heading", "---\nlicense: mit\n---", "a|b|c"),
    *("x" * 255, "..", "a\u2028b", "\u200b", "a" * 200 + "\n" + "b" * 20),
)
LONG = ("x" * 300, "x/" * 2_500, "\0", "a\0b")
ALPHABET = "ab [](){}<>|&;$`'\"\\!*?~#-=:,@%\n\t\r\x1b\x9b\x07\u202e\u2028\udcff/."


def usable(name: str) -> bool:
    return "/" not in name and name not in (".", "..")


def moved(name: str, folder: Path) -> None:
    copied(folder).rename(folder / "here" / name)


def here(name: str, folder: Path) -> None:
    """A model directory of that name in a folder of its own."""
    (folder / "here").mkdir()
    moved(name, folder)


def inspected(name: str, folder: Path) -> str:
    os.chdir(folder / "here")
    return run_verb(folder, "inspect", "--", as_source(name))[:80]


def evaluated(name: str, folder: Path) -> str:
    os.chdir(folder / "here")
    return run_verb(folder, "evaluate", "--data", "random", "--", as_source(name))[:80]


def planned(name: str, folder: Path) -> str:
    os.chdir(folder)
    words = ("--data", "random", f"--out={name}", "--dry-run")
    return run_verb(folder, "compress", "smoke", *words)[:80]


def looked_for(verb: str, name: str, folder: Path) -> str:
    os.chdir(folder)
    return run_verb(folder, verb, f"./{name}")[:80]


def none(folder: Path) -> None:
    """Nothing is there."""


def pasted(name: str, folder: Path) -> str:
    """A command with the name in it is what bash takes it for."""
    line = command("compress", "--resume", out=name, data=[name, name])
    assert "\n" not in line and OBEYED.search(line) is None, repr(line)
    script = b"printf '%s\\0' " + line.removeprefix("tinyclip ").encode(
        "utf-8", "surrogateescape"
    )
    told = subprocess.run(["bash", "-c", script], capture_output=True, cwd=folder)
    words = told.stdout.decode("utf-8", "surrogateescape").split("\0")[:-1]
    expected = ["compress", "--resume"]
    for option in ("--out", "--data", "--data"):
        dashed = name.startswith("-")
        expected += [f"{option}={name}"] if dashed else [option, name]
    assert words == expected, f"bash reads {words}"
    return "one line"


def loading(name: str, folder: Path) -> str:
    """The lines that a message or a card gives are Python, and name the folder."""
    for format_ in FORMATS.values():
        literal = format_.literal(name)
        assert OBEYED.search(literal) is None and "\n" not in literal, repr(literal)
        assert name in str(ast.literal_eval(literal)), literal
    return "literals"


def carded(name: str, folder: Path) -> str:
    """A card has the headings and tables that one of a plain name has."""
    config = json.loads((pico() / "config.json").read_text())
    cards = []
    for value in ("plain", name):
        told = {"teacher": value, "recipe": value, "data": value, "licence": value}
        told |= {value: value, "plain": "x"}
        cards.append(model_card({**config, "provenance": told}, None, None))
    plain, hostile = (
        [line[:1] for line in card.splitlines() if line[:1] in "#|<"] for card in cards
    )
    assert len(plain) == len(hostile), cards[1][:400]
    outside = cards[1].replace("`", "")
    assert "<script" not in _without_code(cards[1]), outside[:200]
    return "no heading more"


def _without_code(card: str) -> str:
    """A card's text outside of code."""
    return "".join(part for i, part in enumerate(card.split("`")) if i % 2 == 0)


def in_tar(name: str, folder: Path) -> None:
    stem = name.encode("utf-8", "surrogateescape").replace(b"\0", b"")[:90]
    content = (
        WHOLE + member(stem + b".png", b"no picture") + member(stem + b".txt", b"a")
    )
    (folder / "x.tar").write_bytes(content + END)


def read_tar(folder: Path) -> str:
    words = ("builtin:pico", "--data", f"tars:{folder / 'x.tar'}")
    return run_verb(folder, "evaluate", *words, "--set", "max_broken_share=0.9")[:80]


def provenance(name: str, folder: Path) -> None:
    path = copied(folder) / "config.json"
    changed(path, ("provenance",), {"teacher": name, "recipe": name, name: name})


def shown(folder: Path) -> str:
    return run_verb(folder, "inspect", str(folder / "m"))[:80]


def drawn(seed: int) -> str:
    draw = random.Random(SEED + seed)
    return "".join(draw.choices(ALPHABET, k=draw.randint(1, 40)))


@family("names")
def names() -> Iterator[Attack]:
    """Folders, members, settings and provenance that bear such names."""
    pico()
    for name in NAMES:
        told = one_line(name)[:60]
        yield Attack(f"pasted: {told}", none, partial(pasted, name))
        yield Attack(f"a literal: {told}", none, partial(loading, name))
        yield Attack(f"a card: {told}", none, partial(carded, name))
        yield Attack(f"in a tar: {told}", partial(in_tar, name), read_tar)
        yield Attack(f"provenance: {told}", partial(provenance, name), shown)
        if usable(name):
            made = partial(here, name)
            yield Attack(f"inspect {told}", made, partial(inspected, name))
            yield Attack(f"--out {told}", none, partial(planned, name), harmless=True)
    for name in (*NAMES[:3], *LONG):
        told = one_line(name)[:60] + f" ({len(name)})"
        for verb in ("inspect", "evaluate", "export", "bench"):
            reading = partial(looked_for, verb, name)
            yield Attack(f"{verb} what is not there: {told}", none, reading)
    for seed in range(40):
        yield Attack(f"pasted: drawn {seed}", none, partial(pasted, drawn(seed)))
        yield Attack(f"a card: drawn {seed}", none, partial(carded, drawn(seed)))
        yield Attack(f"a literal: drawn {seed}", none, partial(loading, drawn(seed)))
