"""YAML from anywhere is read in bounded steps."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tinyclip.config.load import load_recipe
from tinyclip.config.reader import DEEPEST, LARGEST, parse
from tinyclip.errors import UserError


def refusal(text: str) -> str:
    with pytest.raises(UserError) as caught:
        parse(text, "x.yaml")
    return str(caught.value)


def doubling(lines: int, word: str) -> str:
    first = "m0: &m0 {k0: 1}"
    more = [word.format(i=i, b=i - 1) for i in range(1, lines)]
    return "\n".join([first, *more])


@pytest.mark.parametrize(
    "word",
    [
        "m{i}: &m{i} {{<<: [*m{b}, *m{b}]}}",
        "m{i}: &m{i} {{<<: *m{b}, n: *m{b}}}",
        "m{i}: &m{i} [*m{b}, *m{b}]",
    ],
)
def test_aliases_that_double_are_refused(word: str) -> None:
    assert "aliases stand for more than" in refusal(doubling(60, word))


def test_aliases_that_stand_for_little_are_read() -> None:
    text = doubling(5, "m{i}: &m{i} {{<<: *m{b}}}")
    assert parse(text, "x.yaml")["m4"] == {"k0": 1}


def test_an_alias_of_what_it_stands_in_is_refused() -> None:
    assert "inside of what it names" in refusal("a: &a [*a]")
    assert "inside of what it names" in refusal("a: &a {<<: *a}")


@pytest.mark.parametrize("depth", [DEEPEST + 2, 400, 100_000])
def test_deep_values_are_refused(depth: int) -> None:
    assert "nested" in refusal("[" * depth + "]" * depth)


def test_numbers_of_any_length_are_refused() -> None:
    for number in ("1" * 101, "0x" + "f" * 101, "1" + ":10" * 40):
        assert "a number of more than" in refusal(f"a: {number}")


def test_a_text_of_megabytes_is_refused() -> None:
    assert "read at most" in refusal("a" * (LARGEST + 1))


def test_a_line_of_what_is_refused_is_named() -> None:
    assert "x.yaml, line 2" in refusal("a: 1\nb: &b [*b]")


@pytest.mark.parametrize("kind", ["pipe", "device", "huge"])
def test_a_recipe_is_a_regular_file(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "r.yaml"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        with path.open("wb") as file:
            file.truncate(2**40)
    with pytest.raises(UserError, match="cannot be read"):
        load_recipe(str(path))
