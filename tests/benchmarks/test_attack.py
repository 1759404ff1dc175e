"""`benchmarks/attack.py`: no hostile file ends in a traceback, a hang or silence."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from tinyclip.errors import UserError

KINDS = {"held", "refused", "wrong"}
FAMILIES = {
    *("tar", "parquet", "zip", "safetensors", "yaml", "tokenizer", "configuration"),
    *("hugging face", "open_clip", "names", "places", "command line"),
    *("strangers' code", "teacher", "state"),
}


def test_some_of_each_family_are_held_or_refused_clearly(script: Any) -> None:
    report = script("attack.py", "--quick")
    assert report["wrong"] == []
    assert report["attacks"] >= 70
    assert set(report["families"]) >= FAMILIES
    assert all(set(counts) == KINDS for counts in report["families"].values())


def refuses(folder: Path) -> str:
    raise UserError("a file", "is hostile")


def fails(folder: Path) -> str:
    raise ValueError("a traceback")


def spins(folder: Path) -> str:
    while True:
        pass


def litters(folder: Path) -> str:
    (folder / "draft").write_text("")
    raise UserError("a file", "is hostile")


def waits(folder: Path) -> str:
    time.sleep(60)
    return ""


def fills(folder: Path) -> str:
    return str(len(bytearray(2**36)))


@pytest.mark.parametrize(
    ("read", "what", "said"),
    [
        (refuses, "refused", "a file: is hostile"),
        (lambda folder: "3 broken", "held", "3 broken"),
        (lambda folder: "", "wrong", "without a word"),
        (litters, "wrong", "left behind: draft"),
        (fails, "wrong", "ValueError: a traceback"),
        (spins, "wrong", "ended by signal"),
        (waits, "wrong", "waits for ever"),
        (fills, "wrong", "MemoryError"),
    ],
)
def test_what_becomes_of_an_attack_is_told(
    scripts: Any, monkeypatch: pytest.MonkeyPatch, read: Any, what: str, said: str
) -> None:
    attack = scripts("attack")
    monkeypatch.setattr(attack, "SECONDS", 1)
    monkeypatch.setattr(attack, "PATIENCE", 5.0)
    families = scripts("attacks.families")
    one = families.Attack("one", lambda folder: None, read)
    found, told = attack.in_child(one)
    assert (found, said in told) == (what, True), told


def test_names_of_attacks_are_distinct(scripts: Any) -> None:
    attack = scripts("attack")
    total = 0
    for name, make in attack.FAMILIES.items():
        names = [one.name for one in make()]
        assert len(set(names)) == len(names), name
        total += len(names)
    assert total >= 300
