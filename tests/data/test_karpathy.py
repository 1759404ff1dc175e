"""`json:`: pictures with several captions in Karpathy's form."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tinyclip.config.schema import Data
from tinyclip.data.pairs import open_pairs, open_split
from tinyclip.data.tasks import RetrievalTask, tasks_of
from tinyclip.errors import UserError

SPLITS = ("train", "restval", "val", "test", "test")


@pytest.fixture
def write(tmp_path: Path, picture):
    """The file of some pictures, each in the split named and with two captions."""

    def make(splits=SPLITS, **change) -> Data:
        images = []
        (tmp_path / "in").mkdir(exist_ok=True)
        for i, split in enumerate(splits):
            (tmp_path / "in" / f"{i}.png").write_bytes(picture((i, 0, 0)))
            said = [{"raw": f"one {i}", "tokens": []}, {"raw": f"two {i}"}]
            image = {"filename": f"{i}.png", "filepath": "in", "sentences": said}
            images.append({**image, "split": split, "imgid": i, **change})
        file = tmp_path / "dataset.json"
        file.write_text(json.dumps({"images": images, "dataset": "own"}))
        return Data(source=f"json:{file}")

    return make


def keys(pairs) -> list[str]:
    return [pairs.key(i) for i in range(len(pairs))]


def test_every_sentence_is_a_caption_and_paths_are_relative_to_the_file(write) -> None:
    pairs = open_pairs(write(), "test")
    assert keys(pairs) == ["in/3.png", "in/4.png"]
    assert pairs.captions(1) == ("one 4", "two 4")
    assert pairs.image(0).getpixel((0, 0)) == (3, 0, 0)


def test_it_is_trained_on_train_and_restval_and_validated_on_val(write) -> None:
    train, held_out = open_split(write())
    assert keys(train) == ["in/0.png", "in/1.png"]
    assert keys(held_out) == ["in/2.png"]


def test_without_splits_all_is_trained_on_and_some_held_out(write) -> None:
    train, held_out = open_split(write((None,) * 5))
    assert (len(train), len(held_out)) == (3, 2)


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize(
    ("splits", "tested"), [(SPLITS, [3, 4]), (("train", "val", "val"), [1, 2])]
)
def test_retrieval_is_on_the_test_split_or_on_val(write, whole, splits, tested) -> None:
    (task,) = tasks_of(write(splits), whole)
    assert isinstance(task, RetrievalTask)
    assert keys(task.pairs) == [f"in/{i}.png" for i in tested]


def test_captions_of_missing_pictures_are_one_message(write) -> None:
    with pytest.raises(UserError) as caught:
        open_pairs(write(filepath="elsewhere"))
    assert "2 of 2 pictures are broken" in str(caught.value)
    assert "elsewhere/0.png: missing" in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sentences": [{"text": "a"}]}, "images[0].sentences[0].raw is missing"),
        ({"filename": 3}, "images[0].filename: wants a text, not 3"),
        ({"split": "holdout"}, "its splits are 'holdout'. Call them train, val, test"),
    ],
)
def test_another_form_is_refused_with_the_place(write, change, message) -> None:
    with pytest.raises(UserError) as caught:
        open_pairs(write(**change))
    assert message in str(caught.value)


@pytest.mark.parametrize("text", ["", "{", "[1]", '{"images": []}', "[" * 99_999])
def test_what_is_no_such_json_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(UserError, match="json:"):
        open_pairs(Data(source=f"json:{tmp_path / 'a.json'}"))


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read: No such file"):
        open_pairs(Data(source=f"json:{tmp_path / 'a.json'}"))


def test_a_picture_without_sentences_is_counted(write) -> None:
    data = write(sentences=[])
    with pytest.raises(UserError, match="in/0.png: no caption"):
        open_pairs(data)


def test_pictures_may_lie_in_another_folder(write, tmp_path: Path) -> None:
    data = write()
    (tmp_path / "in").rename(tmp_path / "moved")
    (tmp_path / "root").mkdir()
    (tmp_path / "moved").rename(tmp_path / "root" / "in")
    with pytest.raises(UserError, match="pictures are broken"):
        open_pairs(data)
    pairs = open_pairs(replace(data, image_root=str(tmp_path / "root")), "test")
    assert pairs.image(0).getpixel((0, 0)) == (3, 0, 0)
