"""Data sets of Hugging Face's library become pairs; nothing here uses a network."""

from __future__ import annotations

import builtins
import sys
from pathlib import Path

import pytest

from tinyclip.config.schema import Data
from tinyclip.data.pairs import open_pairs, open_split
from tinyclip.data.pictures import Broken
from tinyclip.data.tasks import ZeroShotTask, tasks_of
from tinyclip.errors import UserError


@pytest.fixture
def datasets(monkeypatch, tmp_path: Path):
    library = pytest.importorskip("datasets")
    monkeypatch.setattr(library.config, "HF_DATASETS_CACHE", tmp_path / "hf-cache")
    monkeypatch.setattr(library.config, "HF_HUB_OFFLINE", True)
    library.disable_progress_bars()
    return library


@pytest.fixture
def saved(datasets, tmp_path: Path, picture):
    """A data set on disk; row i has colour (i, 2i, 7) and `colour i`."""

    def save(count: int = 6, kinds: dict | None = None, **columns) -> Path:
        rows = {
            "image": [
                {"bytes": picture((i, 2 * i, 7)), "path": None} for i in range(count)
            ],
            "text": [f"colour {i}" for i in range(count)],
            **columns,
        }
        kinds = (
            {"image": datasets.Image()} | (kinds or {})
            if columns.get("image", 1)
            else {}
        )
        kept = {name: values for name, values in rows.items() if values is not None}
        table = datasets.Dataset.from_dict(kept)
        for name, kind in kinds.items():
            table = table.cast_column(name, kind)
        folder = tmp_path / "saved"
        table.save_to_disk(folder)
        return folder

    return save


def opened(source: object, **settings: object):
    return open_pairs(Data(source=f"hf:{source}", **settings))


def refusal(source: object, **settings: object) -> str:
    with pytest.raises(UserError) as caught:
        opened(source, **settings)
    return str(caught.value)


def test_a_data_set_on_disk_is_read(saved) -> None:
    pairs = opened(saved())
    assert len(pairs) == 6
    assert (pairs.key(3), pairs.captions(3)) == ("00000003", ("colour 3",))
    assert pairs.image(3).getpixel((0, 0)) == (3, 6, 7)


def test_a_split_can_be_named(datasets, saved, tmp_path: Path) -> None:
    whole = datasets.load_from_disk(str(saved()))
    parts = datasets.DatasetDict(
        train=whole.select(range(4)), test=whole.select(range(4, 6))
    )
    parts.save_to_disk(tmp_path / "parts")
    assert len(opened(tmp_path / "parts")) == 4
    test = opened(f"{tmp_path / 'parts'}#test")
    assert test.captions(0) == ("colour 4",)
    assert test.image(1).getpixel((0, 0)) == (5, 10, 7)
    assert "Did you mean 'test'?" in refusal(f"{tmp_path / 'parts'}#tets")
    train, val = open_split(
        Data(source=f"hf:{tmp_path / 'parts'}", val=f"hf:{tmp_path / 'parts'}#test")
    )
    assert (len(train), len(val)) == (4, 2)


def test_a_split_that_is_the_only_one_needs_no_name(datasets, saved, tmp_path) -> None:
    whole = datasets.load_from_disk(str(saved()))
    datasets.DatasetDict(test=whole).save_to_disk(tmp_path / "parts")
    assert len(opened(tmp_path / "parts")) == 6


def test_a_split_of_a_data_set_without_splits_is_refused(saved) -> None:
    assert "has no splits, and 'test' is asked for" in refusal(f"{saved()}#test")


def test_the_split_that_a_data_set_was_is_no_other(datasets, saved, tmp_path) -> None:
    table = datasets.load_from_disk(saved())
    datasets.Dataset(table.data, split=datasets.Split("train")).save_to_disk(
        tmp_path / "one"
    )
    assert len(opened(f"{tmp_path / 'one'}#train")) == 6
    assert "is the split 'train' alone" in refusal(f"{tmp_path / 'one'}#test")


def test_a_configuration_of_a_saved_data_set_is_refused(saved) -> None:
    assert "holds no configuration 'en'" in refusal(f"{saved()}#en/train")


def test_rows_that_are_validated_on_are_not_trained_on(saved) -> None:
    folder = saved()
    with pytest.raises(UserError, match="every picture of"):
        open_split(Data(source=f"hf:{folder}", val=f"hf:{folder}"))


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_folder_of_pictures_with_classes_is_read(
    datasets, tmp_path: Path, picture
) -> None:
    for name in ("cat", "polar_bear"):
        folder = tmp_path / "pictures" / "train" / name
        folder.mkdir(parents=True)
        for i in range(3):
            (folder / f"{i}.png").write_bytes(picture((i, 0, len(name))))
    pairs = opened(tmp_path / "pictures")
    assert len(pairs) == 6
    captions = {
        pairs.image(i).getpixel((0, 0))[2]: pairs.captions(i)[0] for i in range(6)
    }
    assert captions == {3: "a photo of a cat", 10: "a photo of a polar bear"}
    (task,) = tasks_of(Data(source=f"hf:{tmp_path / 'pictures'}"), whole=True)
    assert isinstance(task, ZeroShotTask)
    assert task.classes == ("cat", "polar bear")
    assert sorted(task.labels) == [0, 0, 0, 1, 1, 1]


@pytest.fixture
def stray(datasets, tmp_path: Path, picture):
    """A table of 20 pictures, two of whose captions hold a mark that quotes nothing."""

    def write(
        name: str, inside: str, third: str = '"green barn', dune: str = '"Dune"'
    ) -> Path:
        (tmp_path / "pictures").mkdir()
        folder = tmp_path / "set"
        folder.mkdir()
        lines = ["file_name,text"]
        for i in range(20):
            (tmp_path / inside / f"{i}.png").write_bytes(picture((i, 0, 0)))
            text = {2: third, 11: f"called {dune}"}.get(i, f"colour {i}")
            place = "" if inside == "set" else f"{tmp_path / inside}/"
            lines.append(f"{place}{i}.png,{text}")
        (folder / name).write_text("\n".join(lines) + "\n")
        return folder

    return write


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize(
    ("name", "inside"), [("metadata.csv", "set"), ("x.csv", "pictures")]
)
def test_a_mark_that_swallows_rows_of_a_folder_is_refused_with_its_line(
    stray, name: str, inside: str
) -> None:
    folder = stray(name, inside)
    message = refusal(folder)
    assert f"line 4 of {name} has a quotation mark" in message
    assert "takes 9 rows after it for a part of its text" in message
    assert f"csv:{folder / name}" in message
    assert len(open_pairs(Data(source=f"csv:{folder / name}"))) == 20


def test_a_mark_that_makes_a_table_unreadable_is_named(stray) -> None:
    folder = stray("x.csv", "pictures", dune="Dune")
    message = refusal(folder)
    assert "cannot be loaded" in message
    assert "x.csv has a quotation mark that opens a field and is not" in message
    assert f"csv:{folder / 'x.csv'}" in message


def test_rows_that_were_swallowed_elsewhere_are_counted(
    datasets, stray, tmp_path: Path
) -> None:
    """On the hub, say, or before the data set was saved: the table is not here."""
    table = datasets.load_dataset(str(stray("x.csv", "pictures")))["train"]
    table.save_to_disk(tmp_path / "saved")
    pairs = opened(tmp_path / "saved", max_broken_share=0.6)
    assert (len(pairs), pairs.dropped) == (10, {"bad row": 9, "no caption": 1})
    assert "a text holds 9 rows of its table" in pairs.dropped.rows["00000002"][1]
    assert "10 of 20 pictures are broken" in refusal(tmp_path / "saved")


def test_a_caption_of_several_lines_is_none_that_swallowed_rows(
    stray,
) -> None:
    folder = stray("x.csv", "pictures", '"green, a barn\nred, a house"')
    assert len(opened(folder)) == 20


def test_a_missing_label_is_counted(datasets, saved) -> None:
    kinds = {"label": datasets.ClassLabel(names=["a", "b"])}
    folder = saved(text=None, label=[0, 1, 0, 1, 0, -1], kinds=kinds)
    pairs = opened(folder, max_broken_share=0.2)
    assert list(pairs.labels) == ["a", "b", "a", "b", "a"]
    assert pairs.dropped == {"no caption": 1}


def test_a_label_can_be_asked_for_though_there_is_text(datasets, saved) -> None:
    kinds = {"label": datasets.ClassLabel(names=["a", "b"])}
    folder = saved(label=[0, 1, 0, 1, 0, 1], kinds=kinds)
    assert opened(folder).captions(1) == ("colour 1",)
    assert opened(folder, caption_column="label").captions(1)[1] == "b"


def test_captions_may_be_lists_and_columns_be_named(saved) -> None:
    folder = saved(said=[[f"a {i}", f"b {i}"] for i in range(6)])
    assert opened(folder, caption_column="said").captions(2) == ("a 2", "b 2")
    assert "Did you mean 'said'?" in refusal(folder, caption_column="sayd")


@pytest.mark.parametrize("several", [False, True])
def test_a_column_with_fields_is_told_and_read_by_field(saved, several) -> None:
    rows = [{"raw": f"said {i}", "sentid": i} for i in range(6)]
    folder = saved(
        said=[[row, row | {"raw": "x"}] for row in rows] if several else rows
    )
    message = refusal(folder, caption_column="said")
    assert "the column 'said' holds " in message
    assert "{raw, sentid}, not text" in message
    assert "--set data.caption_column=said.raw" in message
    pairs = opened(folder, caption_column="said.raw")
    assert pairs.captions(2) == (("said 2", "x") if several else ("said 2",))
    message = refusal(folder, caption_column="said.row")
    assert "and no 'row'" in message
    assert "Did you mean 'raw'?" in message


def test_a_column_of_something_else_is_told_from_none(saved) -> None:
    message = refusal(saved(number=list(range(6))), caption_column="number")
    assert "the column 'number' holds int64, not text" in message
    assert "'image' holds" in refusal(saved(), caption_column="image")
    assert "holds int64, not pictures" in refusal(
        saved(number=list(range(6))), image_column="number"
    )


def test_labels_without_words_are_warned_of(datasets, saved, caplog, tmp_path) -> None:
    kinds = {"label": datasets.ClassLabel(names=["0", "1"])}
    folder = saved(text=None, label=[0, 1, 0, 1, 0, 1], kinds=kinds)
    opened(folder)
    assert "2 of 2 class names are numbers or codes" in caplog.text
    (tmp_path / "names.txt").write_text("cat\ndog\n")
    pairs = opened(folder, class_names=str(tmp_path / "names.txt"))
    assert pairs.captions(1)[0] == "a photo of a dog"
    assert pairs.labels[:2] == ["cat", "dog"]


def test_broken_rows_are_counted_or_break(saved, picture) -> None:
    rows = [{"bytes": picture((i, 0, 0)), "path": None} for i in range(5)]
    rows += [None]
    folder = saved(image=rows, text=["a", None, "", "b", "c", "d"])
    pairs = opened(folder, max_broken_share=0.5)
    assert pairs.dropped == {"no caption": 1, "empty caption": 1}
    assert pairs.image(1).getpixel((0, 0)) == (3, 0, 0)
    with pytest.raises(Broken, match="no picture"):
        pairs.image(3)


def test_a_column_of_paths_is_read(saved, tmp_path: Path, picture) -> None:
    (tmp_path / "1.png").write_bytes(picture((1, 2, 3)))
    paths = [str(tmp_path / "1.png"), str(tmp_path / "2.png")]
    pairs = opened(saved(2, image=None, path=paths))
    assert pairs.image(0).getpixel((0, 0)) == (1, 2, 3)
    with pytest.raises(Broken, match="missing"):
        pairs.image(1)


def test_a_name_that_is_nowhere_is_refused(datasets, tmp_path: Path) -> None:
    assert "cannot be loaded" in refusal(tmp_path / "no")


def test_the_fingerprint_is_of_content(saved, tmp_path: Path) -> None:
    first = opened(saved()).fingerprint()
    (tmp_path / "saved").rename(tmp_path / "moved")
    assert opened(tmp_path / "moved").fingerprint() == first
    assert opened(saved(text=["x"] * 6)).fingerprint() != first


def test_without_the_library_the_extra_is_named(monkeypatch) -> None:
    def without(name: str, *rest: object, **more: object):
        if name.split(".")[0] == "datasets":
            raise ImportError(name)
        return whole(name, *rest, **more)

    whole = builtins.__import__
    monkeypatch.setattr(builtins, "__import__", without)
    monkeypatch.setitem(sys.modules, "datasets", None)
    message = refusal("some/set")
    assert "pip install 'tinyclip[hf]'" in message
    with pytest.raises(UserError) as caught:
        opened("some/set")
    assert caught.value.exit_code == 2
