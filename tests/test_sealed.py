"""State that is read again is what was written, or it is said what is wrong with it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tinyclip.errors import UserError
from tinyclip.sealed import (
    CHANGED,
    UNSEALED,
    digest_of,
    digests,
    fault_of_text,
    read_sealed,
    write_sealed,
    write_sealed_text,
)

KIND = {"samples": int}
VALUE = {"samples": 48, "rate": 0.1, "by_size": {1: "one"}, "pair": (1, 2)}


def test_what_was_written_comes_back_without_a_fault(tmp_path: Path) -> None:
    write_sealed(tmp_path / "done.json", VALUE)
    read = read_sealed(tmp_path / "done.json", KIND, "")
    assert read.fault == ""
    assert read.value == {**VALUE, "by_size": {"1": "one"}, "pair": [1, 2]}


def test_another_digit_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "done.json"
    write_sealed(path, VALUE)
    path.write_text(path.read_text().replace("48", "49"))
    assert read_sealed(path, KIND, "").fault == CHANGED


def test_one_more_name_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "done.json"
    write_sealed(path, VALUE)
    path.write_text(json.dumps({**json.loads(path.read_text()), "more": float("nan")}))
    assert read_sealed(path, KIND, "").fault == CHANGED


def test_no_seal_is_not_a_wrong_one(tmp_path: Path) -> None:
    (tmp_path / "done.json").write_text('{"samples": 48}')
    assert read_sealed(tmp_path / "done.json", KIND, "").fault == UNSEALED


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "[]",
        "null",
        "[" * 100_000,
        '{"samples": null}',
        '{"samples": -1}',
        "{\xff",
    ],
)
def test_damaged_state_is_one_message(tmp_path: Path, text: str) -> None:
    (tmp_path / "done.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(UserError, match=r"done\.json: is .*Redo it$"):
        read_sealed(tmp_path / "done.json", KIND, "Redo it")


def test_a_text_keeps_its_lines_and_has_a_seal_after_them(tmp_path: Path) -> None:
    write_sealed_text(tmp_path / "recipe.yaml", "a: 1\nb: 2\n")
    assert (tmp_path / "recipe.yaml").read_text().startswith("a: 1\nb: 2\n# seal: ")
    assert fault_of_text(tmp_path / "recipe.yaml") == ""


@pytest.mark.parametrize(
    ("old", "new"), [("2", "3"), ("# seal: ", "# seal: 0"), ("\n", "\n\n")]
)
def test_an_edited_text_is_noticed(tmp_path: Path, old: str, new: str) -> None:
    path = tmp_path / "recipe.yaml"
    write_sealed_text(path, "a: 1\nb: 2\n")
    path.write_text(path.read_text().replace(old, new, 1))
    assert fault_of_text(path) == CHANGED


def test_a_line_after_the_seal_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    write_sealed_text(path, "a: 1\n")
    path.write_text(path.read_text() + "a: 2\n")
    assert fault_of_text(path) == CHANGED


def test_a_text_of_another_hand_has_no_seal(tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text("a: 1\n")
    assert fault_of_text(tmp_path / "recipe.yaml") == UNSEALED


def test_a_pipe_in_place_of_a_text_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "recipe.yaml")
    with pytest.raises(UserError, match="a pipe, a device or a socket"):
        fault_of_text(tmp_path / "recipe.yaml")
    with pytest.raises(UserError, match="a pipe, a device or a socket"):
        digest_of(tmp_path / "recipe.yaml")


def test_every_file_of_a_folder_has_a_digest_but_those_left_out(tmp_path: Path) -> None:
    for name in ("weights", "words", "README.md"):
        (tmp_path / name).write_text(name)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "inner").write_text("inner")
    made = digests(tmp_path, without=("README.md",))
    assert sorted(made) == ["folder/inner", "weights", "words"]
    assert len(set(made.values())) == 3
