"""Names are data wherever they are printed."""

from __future__ import annotations

import ast
import subprocess

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from tinyclip.errors import UserError
from tinyclip.quoting import (
    as_source,
    code_span,
    command,
    markdown,
    one_line,
    plain,
    python,
    shell,
)

NAMES = [
    "runs/demo",
    "run with space",
    'it\'s "q"',
    "$HOME;touch pwn",
    "-dash",
    "a\nb",
    "a\tb",
    "back\\slash'",
    "`touch pwn`",
    "*?[a]{b,c}",
    "!!",
    "#x",
    "~",
    "\x1b[31mred",
    "\u202ereversed",
    "caf\u00e9",
    "\udcff\udcfe",  # bytes that are no UTF-8
]


def read_by_bash(line: str) -> list[str]:
    """The words that bash makes of a line."""
    words = line.encode("utf-8", "surrogateescape").removeprefix(b"tinyclip ")
    script = b"printf '%s\\0' " + words
    done = subprocess.run(["bash", "-c", script], capture_output=True, check=True)
    return done.stdout.decode("utf-8", "surrogateescape").split("\0")[:-1]


@pytest.mark.parametrize("name", NAMES)
def test_a_command_is_one_line_that_bash_reads_as_it_was_meant(name: str) -> None:
    line = command("compress", "--resume", out=name)
    assert line.isprintable()
    words = read_by_bash(line)
    expected = [f"--out={name}"] if name.startswith("-") else ["--out", name]
    assert words == ["compress", "--resume", *expected]


@pytest.mark.parametrize("name", NAMES)
def test_a_python_string_is_a_literal_on_one_line(name: str) -> None:
    literal = python(name)
    assert literal.isprintable()
    assert ast.literal_eval(literal) == name


def test_what_needs_no_quotes_gets_none() -> None:
    line = command("compress", "--resume", out="runs/demo", from_stage=2)
    assert line == "tinyclip compress --resume --out runs/demo --from-stage 2"
    assert python("runs/demo") == '"runs/demo"'
    assert shell("csv:pairs.csv") == "csv:pairs.csv"


def test_an_option_with_several_values_is_given_several_times_and_none_never() -> None:
    line = command("cache", set=["a=1", "b=x y"], seed=None)
    assert line == "tinyclip cache --set a=1 --set 'b=x y'"


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("runs/demo", "runs/demo"),
        ("run:x/model", "./run:x/model"),
        ("/run:x", "/run:x"),
        ("-dash", "./-dash"),
        ("~", "./~"),
        ("a/b:c", "a/b:c"),
    ],
)
def test_a_folder_is_not_taken_for_a_source(path: str, source: str) -> None:
    assert as_source(path) == source


@pytest.mark.parametrize("mark", ["<img src=x>", "[a](b)", "*a*", "`a`", " _a_ ", "|"])
def test_what_is_markup_is_escaped_in_markdown(mark: str) -> None:
    bare = markdown(mark)
    assert not {"<", ">"} & set(bare)
    for character in "[*`|":
        assert bare.count(character) == bare.count(f"\\{character}")
    assert " _" not in bare


def test_what_html_takes_for_its_own_is_an_entity_that_nothing_escapes() -> None:
    assert markdown("R&D, 1 < 2 > 0 &amp;") == "R&amp;D, 1 &lt; 2 &gt; 0 &amp;amp;"


@example("__0__")
@example("R&D <b> &lt;")
@given(st.text("_*~`a0é-<>&;", min_size=1))
def test_markdown_shows_a_name_letter_for_letter(name: str) -> None:
    (line,) = MarkdownIt("gfm-like", {"linkify": False}).parseInline(markdown(name))
    assert "".join(part.content for part in line.children or []) == name
    assert {part.type for part in line.children or []} <= {"text", "text_special"}


def test_a_name_makes_no_new_line_in_markdown() -> None:
    assert markdown("x\n\n# Injected\r\ny") == "x # Injected y"
    assert code_span("") == "` `"  # two backticks alone are no code
    assert "\n" not in code_span("x\n# y")


def test_names_as_they_are_stay_readable_in_markdown() -> None:
    assert markdown("openclip:ViT-B-32@a_b.pt, 2.5") == "openclip:ViT-B-32@a_b.pt, 2.5"


@pytest.mark.parametrize("text", ["a`b", "``", "`a", "a"])
def test_code_is_fenced_by_more_backticks_than_it_holds(text: str) -> None:
    span = code_span(text)
    fence = span[: len(span) - len(span.lstrip("`"))]
    assert fence not in text
    assert span.endswith(fence)


def test_a_terminal_is_told_nothing_by_a_name() -> None:
    assert plain("a\x1b]0;title\x07\x9bb\n") == "a\\x1b]0;title\\x07\\x9bb\n"
    assert plain("\u202ea\udcff") == "\\u202ea\\udcff"
    assert one_line("a\nb\tc") == "a\\nb\\tc"


def test_the_place_of_an_error_stays_on_its_line() -> None:
    assert str(UserError("a\nb", "is wrong")) == "a\\nb: is wrong"
