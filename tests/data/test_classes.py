"""What classes are called: by a file, by their folders, and when that says nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from tinyclip.config.schema import Data
from tinyclip.data.classes import CODE, read_names
from tinyclip.data.notes import note
from tinyclip.data.pairs import open_pairs
from tinyclip.data.tasks import ZeroShotTask, tasks_of
from tinyclip.errors import UserError

KEYS = ("n01440764", "n01443537", "n01484850")
NAMES = {
    "n01440764": "tench",
    "n01443537": "gold fish, Carassius",
    "n01484850": "shark",
}


@pytest.fixture(autouse=True)
def anew() -> None:
    note.cache_clear()


@pytest.fixture
def folders(tmp_path: Path, picture):
    """Class folders of two pictures each."""

    def make(*names: str) -> str:
        for at, name in enumerate(names):
            (tmp_path / "set" / name).mkdir(parents=True)
            for i in range(2):
                file = tmp_path / "set" / name / f"{i}.png"
                file.write_bytes(picture((at, i, 0)))
        return f"folder:{tmp_path / 'set'}"

    return make


@pytest.mark.parametrize("between", [" ", "\t", ",", ", ", ": ", " = "])
def test_a_line_is_a_class_and_its_name_in_any_order(tmp_path, between) -> None:
    lines = [f"{key}{between}{name}" for key, name in NAMES.items()]
    file = tmp_path / "names.txt"
    file.write_text("\n".join(["n00000001 not here", *lines[::-1]]) + "\n")
    assert read_names(str(file), KEYS) == NAMES | {}


def test_lines_without_classes_are_names_in_their_order(tmp_path: Path) -> None:
    file = tmp_path / "names.txt"
    file.write_text("\ufefftench\n\ngold fish\nshark", encoding="utf-8")
    assert list(read_names(str(file), KEYS).values()) == ["tench", "gold fish", "shark"]


def test_a_number_is_not_the_beginning_of_a_longer_one(tmp_path: Path) -> None:
    file = tmp_path / "names.txt"
    file.write_text("10 ten\n1 one\n")
    assert read_names(str(file), ("1", "10")) == {"1": "one", "10": "ten"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("n01440764 tench\n", "no name for 'n01443537', 'n01484850': 1 of 3 classes"),
        ("a\nb\n", "0 of 3 classes are named in its 2 lines"),
        ("", "0 of 3 classes are named in its 0 lines"),
    ],
)
def test_a_file_that_leaves_a_class_without_a_name_is_refused(
    tmp_path, text, message
) -> None:
    file = tmp_path / "names.txt"
    file.write_text(text)
    with pytest.raises(UserError, match="data.class_names") as caught:
        read_names(str(file), KEYS)
    assert message in str(caught.value)


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="No such file"):
        read_names(str(tmp_path / "no.txt"), KEYS)
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    with pytest.raises(UserError, match="not UTF-8"):
        read_names(str(tmp_path / "binary"), KEYS)


@pytest.mark.parametrize(
    "name",
    ["7", "00417", "n01440764", "class_12", "Class 3", "label-0", "m.0bt9lr", "c7"]
    + ["3f2a9c0d1e", "0.5", "02084071-n", "a3f9", "00Ff"],
)
def test_numbers_and_codes_say_nothing(name: str) -> None:
    assert CODE.fullmatch(name)


@pytest.mark.parametrize(
    "name",
    ["cat", "boeing 747", "2cv", "n", "deadbeef", "polar_bear", "a4 paper"]
    + ["cafe", "02084071-x", "n01440764_tench"],
)
def test_words_say_something(name: str) -> None:
    assert not CODE.fullmatch(name)


def test_codes_are_warned_of_with_the_way_to_name_them(folders, caplog) -> None:
    open_pairs(Data(source=folders("n01440764", "n01443537")))
    assert "2 of 2 class names are numbers or codes ('n01440764', 'n014" in caplog.text
    assert (
        "--set data.class_names=FILE with lines like 'n01440764 tench'" in caplog.text
    )


@pytest.mark.parametrize(
    ("names", "said", "line"),
    [
        (
            ("001.Black_footed_Albatross", "002.Laysan_Albatross", "other"),
            "2 of 3 class names begin with a number or code, and so does what captions "
            "say ('a photo of a 001.Black footed Albatross')",
            "'001.Black_footed_Albatross Black footed Albatross'",
        ),
        (
            ("n01440764_tench", "n01443537-goldfish"),
            "2 of 2 class names begin with a number or code",
            "'n01440764_tench tench'",
        ),
    ],
)
def test_numbers_before_names_are_warned_of(folders, caplog, names, said, line) -> None:
    open_pairs(Data(source=folders(*names)))
    assert said in caplog.text
    assert f"--set data.class_names=FILE with lines like {line}" in caplog.text


def test_numbers_behind_names_or_in_few_are_not(folders, caplog) -> None:
    open_pairs(Data(source=folders("boeing 747", "4_wheeler", "cat")))
    assert "begin with a number" not in caplog.text


def test_captions_that_are_codes_are_warned_of(table, caplog) -> None:
    file = table()
    for texts, warned in (
        (("3", "n01440764", "7", "a cat"), 1),
        (("3", "7", "a", "b"), 0),
    ):
        rows = [f"{i}.png,{text}" for i, text in enumerate(texts)]
        file.write_text("\n".join(["path,label", *rows]) + "\n")
        note.cache_clear()
        caplog.clear()
        open_pairs(Data(source=f"csv:{file}"))
        assert caplog.text.count("most captions are numbers or codes ('3', ") == warned


def test_captions_of_folders_are_said_once(folders, caplog) -> None:
    source = folders("polar_bear", "cat")
    for _ in range(2):
        open_pairs(Data(source=source))
    assert (
        caplog.text.count("captions are made of the names of 2 classes: 'cat', ") == 1
    )
    assert "numbers or codes" not in caplog.text


def test_named_classes_are_what_captions_and_zero_shot_say(
    folders, tmp_path: Path, caplog
) -> None:
    (tmp_path / "names.txt").write_text("1 red panda\n0 cat\n")
    data = Data(source=folders("0", "1"), class_names=str(tmp_path / "names.txt"))
    pairs = open_pairs(data)
    assert pairs.captions(2)[0] == "a photo of a red panda"
    (task,) = tasks_of(data, whole=True)
    assert isinstance(task, ZeroShotTask)
    assert task.classes == ("cat", "red panda")
    assert task.labels == (0, 0, 1, 1)
    assert "numbers or codes" not in caplog.text


def test_two_classes_of_one_name_are_one_and_said(folders, tmp_path, caplog) -> None:
    (tmp_path / "names.txt").write_text("0 crane\n1 crane\n2 cat\n")
    data = Data(source=folders("0", "1", "2"), class_names=str(tmp_path / "names.txt"))
    (task,) = tasks_of(data, whole=True)
    assert task.classes == ("cat", "crane")
    assert "'crane': several classes of one name count as one" in caplog.text


def test_names_for_a_source_without_classes_are_said_to_be_unused(
    table, tmp_path, caplog
) -> None:
    (tmp_path / "names.txt").write_text("a\n")
    open_pairs(Data(source=f"csv:{table()}", class_names=str(tmp_path / "names.txt")))
    assert "has no classes, so that data.class_names is not used" in caplog.text
