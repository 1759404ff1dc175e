"""The examples of docs/data.md run, and what it says of limits is so."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tinyclip.data import broken, files, pairs, parquets, pictures

GUIDE = (Path(__file__).resolve().parents[2] / "docs" / "data.md").read_text()


def test_the_examples_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    code = "\n".join(re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL))
    assert code.count("open_pairs(Data") == 5
    exec(compile(code, "docs/data.md", "exec"), {})


def test_every_scheme_is_described() -> None:
    described = set(re.findall(r"`(\w+):", GUIDE.split("Try one")[0]))
    assert described == set(pairs.SCHEMES)


def test_every_kind_is_described() -> None:
    described = {
        kind.strip()
        for row in re.findall(r"^\| ([^|`]+) \|", GUIDE, re.MULTILINE)
        for kind in row.split(",")
    }
    room = Path(broken.__file__).parent.glob("*.py")
    source = "\n".join(path.read_text() for path in room)
    raised = set(re.findall(r'Broken\(\s*"([^"]+)"', source))
    raised |= set(re.findall(r'dropped\.add\(\s*"([^"]+)"', source))
    assert raised - broken.HARMLESS <= described


def test_limits_are_as_described() -> None:
    assert f"{broken.CAPTION_LIMIT:,} characters" in GUIDE
    assert f"{pictures.LARGEST >> 20} MB" in GUIDE
    assert f"over {pictures.NARROWEST} times" in GUIDE
    assert parquets.HELD == 2**30
    assert parquets.LARGEST == 2 * 2**30
    assert f"{files.HASHED:,} evenly" in GUIDE
    assert f"{files.LOOKED_AT:,}" in GUIDE
