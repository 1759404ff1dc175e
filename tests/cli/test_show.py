"""Names are never markup on a terminal."""

from __future__ import annotations

import io
import json
import logging
import sys

import pytest

from tinyclip.cli.main import main
from tinyclip.cli.progress import Bar
from tinyclip.cli.show import PlainFormatter, print_json, show_table, tell
from tinyclip.cli.tables import make_table

NAMES = ["exp[lr=high]", "a[/b]c", "exp[bold]x", ":smile:", "[link=x]y[/link]"]


@pytest.mark.parametrize("name", NAMES)
def test_a_table_shows_names_as_they_are(
    capsys: pytest.CaptureFixture[str], name: str
) -> None:
    table = make_table(f"title {name}", "what", "count")
    table.add_row(f"row {name}", name)
    show_table(table, 160)
    out = capsys.readouterr().out
    assert f"title {name}" in out
    assert f"row {name}" in out
    assert out.count(name) == 3


def test_a_table_passes_no_escapes_on(capsys: pytest.CaptureFixture[str]) -> None:
    table = make_table("title\x1b[31m", "what")
    table.add_row("cell\x1b]0;x\x07")
    show_table(table, 80)
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "cell\\x1b]0;x\\x07" in out


@pytest.mark.parametrize("name", NAMES)
def test_the_bar_shows_names_as_they_are(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    stream = io.StringIO()
    monkeypatch.setattr("sys.stderr", stream)
    with Bar() as bar:
        bar.phase(0, name, 0, 1)
        bar.step({"step": 1})
    assert name in stream.getvalue()


def test_a_line_is_not_broken_and_its_escapes_are_spelt_out(
    capsys: pytest.CaptureFixture[str],
) -> None:
    tell("x" * 500 + "\x1b[1m")
    assert capsys.readouterr().out == "x" * 500 + "\\x1b[1m\n"


def test_the_log_passes_no_escapes_on() -> None:
    record = logging.LogRecord("a", 30, "f", 1, "%s", ("tar\x1b[2J",), None)
    assert PlainFormatter("%(message)s").format(record) == "tar\\x1b[2J"


def test_an_error_passes_no_escapes_on(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", "no\x1b[2J\nsuch"]) == 2
    err = capsys.readouterr().err
    assert "\x1b" not in err
    assert err.count("\n") == 1


def test_json_is_json_in_an_encoding_that_lacks_letters(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(raw, encoding="ascii"))
    print_json({"name": "caf\u00e9 \udcff"})
    sys.stdout.flush()
    assert json.loads(raw.getvalue()) == {"name": "caf\u00e9 \udcff"}
