"""Streams that are closed, full or read by nobody do not stop a command."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

TINYCLIP = f"{sys.executable} -m tinyclip"


def shell(line: str, **env: str) -> subprocess.CompletedProcess[str]:
    variables = {k: v for k, v in os.environ.items() if k != "PYTHONUNBUFFERED"}
    return subprocess.run(
        ["bash", "-c", line], env={**variables, **env}, capture_output=True, text=True
    )


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_a_closed_stream_is_no_error(closed: str) -> None:
    done = shell(f"{TINYCLIP} recipes ls {closed}")
    assert (done.returncode, done.stderr) == (0, "")


def test_no_file_gets_the_number_of_a_closed_stream(tmp_path: Path) -> None:
    done = shell(f"{TINYCLIP} recipes copy demo {tmp_path}/a.yaml >&- 2>&-")
    assert done.returncode == 0
    assert (tmp_path / "a.yaml").read_text().startswith("#")


def test_a_full_disk_behind_stdout_is_one_message() -> None:
    done = shell(f"{TINYCLIP} recipes ls >/dev/full")
    assert done.returncode == 2
    assert done.stderr.startswith(
        "tinyclip: error: stdout: cannot be written (No space"
    )
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("what", ["recipes show demo", "recipes show demo --json"])
def test_a_reader_of_stdout_that_goes_away_changes_no_code(what: str) -> None:
    line = f"{TINYCLIP} {what} | true; echo ${{PIPESTATUS[0]}}"
    done = shell(line)
    assert (done.stdout, done.stderr) == ("0\n", "")


def test_a_reader_of_stderr_that_goes_away_changes_no_code() -> None:
    line = f"{{ {TINYCLIP} inspect nothing; echo $? >&4; }} 2>&1 | true"
    assert shell(f"exec 4>&1; {line}").stdout == "2\n"


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_an_encoding_that_lacks_letters_is_no_error(encoding: str) -> None:
    done = shell(f"{TINYCLIP} inspect $'d\\u20ac\\udcff'", PYTHONIOENCODING=encoding)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
