"""A folder becomes pairs by captions beside pictures, or by class folders."""

from __future__ import annotations

import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tinyclip.config.schema import Data
from tinyclip.data.pairs import open_pairs
from tinyclip.errors import UserError


@pytest.fixture
def place(tmp_path: Path, picture):
    """Write files by key: pictures of a colour, or text."""

    def write(**files: str) -> Path:
        for key, content in files.items():
            path = tmp_path / key
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.suffix == ".txt":
                path.write_text(content)
            else:
                path.write_bytes(picture((int(content), 0, 0)))
        return tmp_path

    return write


def opened(folder: Path, **settings: object):
    return open_pairs(Data(source=f"folder:{folder}", **settings))


def refusal(folder: Path) -> str:
    with pytest.raises(UserError) as caught:
        opened(folder)
    return str(caught.value)


def test_captions_are_the_lines_of_the_text_beside(place) -> None:
    pairs = opened(place(**{"a.png": "1", "a.txt": "one\n\n uno \none\n"}))
    assert pairs.captions(0) == ("one", "uno")
    assert pairs.image(0).getpixel((0, 0)) == (1, 0, 0)


def test_pictures_without_text_beside_are_dropped_and_counted(place) -> None:
    root = place(
        **{"a.png": "1", "a.txt": "x", "b.png": "2", "c.PNG": "3", "c.txt": ""}
    )
    pairs = opened(root, max_broken_share=0.7)
    assert len(pairs) == 1
    assert pairs.dropped == {"no caption": 1, "empty caption": 1}
    assert pairs.dropped.rows["b.png"] == ("no caption", "there is no b.txt beside it")
    assert "2 of 3 pictures are broken" in refusal(root)


def test_folders_are_classes(place) -> None:
    root = place(**{"polar_bear/1.png": "1", "cat/x/2.jpg": "2", "loose.png": "3"})
    pairs = opened(root, max_broken_share=0.5)
    assert [pairs.key(i) for i in range(2)] == ["cat/x/2.jpg", "polar_bear/1.png"]
    assert pairs.labels == ("cat", "polar bear")
    assert "a photo of a polar bear" in pairs.captions(1)
    assert pairs.dropped == {"no caption": 1}


def test_pictures_of_formats_that_are_not_read_are_counted(place) -> None:
    root = place(**{"a/1.png": "1", "b/1.png": "2"})
    (root / "b" / "2.HEIC").write_bytes(b"x")
    pairs = opened(root, max_broken_share=0.5)
    assert pairs.dropped == {"not a picture": 1}
    assert "b/2.HEIC: not a picture (this format is not read here)" in refusal(root)


def test_keys_are_in_order_whatever_the_disk_says(place) -> None:
    root = place(**{f"{name}/1.png": "1" for name in "cab"})
    pairs = opened(root)
    assert [pairs.key(i) for i in range(3)] == ["a/1.png", "b/1.png", "c/1.png"]


def test_hidden_files_are_not_looked_at(place) -> None:
    root = place(
        **{"a/1.png": "1", "b/1.png": "1", ".git/2.png": "2", "a/._1.png": "3"}
    )
    assert len(opened(root)) == 2


def test_excluded_keys_are_dropped_and_counted(place) -> None:
    root = place(**{"a/1.png": "1", "a/2.png": "1", "b/1.png": "1"})
    pairs = opened(root, exclude=("a/2*",))
    assert len(pairs) == 2
    assert pairs.dropped == {"excluded": 1}


def test_a_single_class_is_refused(place) -> None:
    assert "a single class, 'a'" in refusal(place(**{"a/1.png": "1"}))


@pytest.mark.parametrize(
    ("key", "text", "todo"),
    [
        ("train/metadata.jsonl", "{}", "hf:"),
        ("metadata.csv", "file_name,text", "hf:"),
        ("all.csv", "path,caption\nimages/1.png,a cat", "csv:{root}/all.csv"),
        ("coco.json", '{"images": [{"file_name": "2.png"}]}', "csv:FILE"),
        ("captions/1.txt", "a cat", "Put each NAME.txt beside its NAME.png"),
        ("images/1.png.txt", "a cat", "Put each NAME.txt beside its NAME.png"),
        ("images/1.caption", "a cat", "Put each NAME.txt beside its NAME.png"),
        ("images/1.TXT", "a cat", "Rename them to end in .txt, not .TXT"),
        ("list.CSV", "path,caption\nimages/1.png,a cat", "csv:{root}/list.CSV"),
        (
            "captions.txt",
            "image,caption\n1.png,a cat",
            "Put it beside the pictures that it names, and name it: "
            "csv:{root}/images/captions.txt",
        ),
        ("images/all.txt", "image|text\n1.png|a cat", "csv:{root}/images/all.txt"),
    ],
)
def test_no_captions_are_made_up_where_others_lie(place, key, text, todo) -> None:
    root = place(**{"images/1.png": "1", "other/2.png": "2"})
    (root / key).parent.mkdir(exist_ok=True)
    (root / key).write_text(text)
    message = refusal(root)
    assert key in message
    assert todo.format(root=root) in message


@pytest.mark.parametrize(
    ("path", "file"),
    [("images/1.png", "captions.parquet"), ("1.png", "images/captions.parquet")],
)
def test_a_parquet_of_captions_is_what_to_name(place, path: str, file: str) -> None:
    """Its bytes need not hold the names as they are: it is compressed."""
    root = place(**{"images/1.png": "1", "other/2.png": "2"})
    rows = pa.table({"path": [path] * 3, "caption": ["a"] * 3})
    pq.write_table(rows, root / "captions.parquet", compression="gzip")
    message = refusal(root)
    assert "captions.parquet tells of these pictures" in message
    assert f"name it: parquet:{root / file}" in message.replace("Name", "name")


def test_a_list_of_pictures_holds_no_captions(place) -> None:
    root = place(**{"cat/1.png": "1", "dog/2.png": "2", "val.txt": "cat/1.png 0\n"})
    assert opened(root).labels == ("cat", "dog")


def test_texts_that_are_no_captions_can_be_left_out(place) -> None:
    root = place(**{"cat/1.png": "1", "dog/2.png": "2"})
    (root / "cat" / "1.json").write_text("{}")
    assert "cat/1.json" in refusal(root)
    pairs = opened(root, exclude=("*.json",))
    assert (pairs.labels, pairs.dropped) == (("cat", "dog"), {})


def test_texts_that_have_nothing_to_do_with_pictures_do_not_matter(place) -> None:
    root = place(**{"cat/1.png": "1", "dog/2.png": "2", "README.txt": "x"})
    (root / "sizes.csv").write_text("class,count\ncat,1\ndog,1\n")
    assert opened(root).labels == ("cat", "dog")


def test_folders_that_are_no_classes_are_refused(place) -> None:
    root = place(**{"images/1.png": "1", "masks/1.png": "2"})
    assert "would make captions of 'images', 'masks', which are no" in refusal(root)


@pytest.mark.parametrize(
    "folders",
    [
        ("train2017", "val2017"),
        ("Training", "Testing-2"),
        ("images_001", "images_002"),
        ("trainA", "testB"),
        ("train_set", "JPEGImages"),
    ],
)
def test_folders_that_are_no_classes_may_have_numbers(place, folders) -> None:
    root = place(**{f"{folder}/{i}.png": "1" for i, folder in enumerate(folders)})
    assert "which are no classes" in refusal(root)


@pytest.mark.parametrize("name", ["training_shoe", "rawhide", "label maker", "trainer"])
def test_a_class_may_begin_as_a_split_does(place, name: str) -> None:
    root = place(**{f"{name}/1.png": "1", "test/1.png": "2"})
    assert len(opened(root)) == 2


def test_of_folders_by_split_the_one_with_classes_is_named(place) -> None:
    root = place(**{"train/cat/1.png": "1", "val/dog/1.png": "2"})
    assert f"folder:{root}/train" in refusal(root)


def test_a_class_may_be_called_train(place) -> None:
    root = place(**{"train/1.png": "1", "plane/1.png": "2"})
    assert opened(root).labels == ("plane", "train")


def test_pictures_that_nothing_names_are_refused(place) -> None:
    message = refusal(place(**{"1.png": "1", "2.png": "2"}))
    assert "2 pictures with neither captions nor class folders" in message


def test_one_picture_or_text_is_no_plural(place) -> None:
    message = refusal(place(**{"1.png": "1"}))
    assert ": 1 picture with neither captions nor class folders" in message
    assert "has 1 text named" in refusal(place(**{"a/1.txt": "a cat"}))


def test_captions_that_are_all_empty_are_refused(place) -> None:
    message = refusal(place(**{"1.png": "1", "1.txt": " \n"}))
    assert "1 of 1 pictures are broken" in message
    assert "1.png: empty caption" in message


def test_a_folder_without_pictures_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.md").write_text("nothing")
    assert "no pictures" in refusal(tmp_path)


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    assert "no such folder" in refusal(tmp_path / "no")


def test_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("")
    assert "is a file" in refusal(tmp_path / "f")


@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_a_caption_that_never_ends_is_broken(place, kind: str) -> None:
    texts = {"0.txt": "zero", "2.txt": "two"}
    folder = place(**{f"{i}.png": f"{i}" for i in range(3)}, **texts)
    if kind == "pipe":
        os.mkfifo(folder / "1.txt")
    else:
        (folder / "1.txt").symlink_to("/dev/zero")
    pairs = opened(folder, max_broken_share=0.5)
    assert pairs.dropped == {"no caption": 1}
