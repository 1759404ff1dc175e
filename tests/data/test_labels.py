"""A column of classes: what is made of it, measured on it, and refused."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tinyclip.config.schema import Data
from tinyclip.data.notes import note
from tinyclip.data.pairs import open_pairs, open_split
from tinyclip.data.refused import refuse_unsound
from tinyclip.data.task import MultiLabelTask, ProbeTask, ZeroShotTask
from tinyclip.data.tasks import tasks_of
from tinyclip.errors import UserError

ROWS = [(0, "polar_bear"), (1, "cat"), (2, "cat"), (3, "polar_bear")]


@pytest.fixture(autouse=True)
def anew() -> None:
    note.cache_clear()


@pytest.fixture
def labelled(tmp_path: Path, picture):
    """A table of pictures and classes."""

    def make(rows=ROWS, kind: str = "csv", **settings) -> Data:
        for i, _ in rows:
            (tmp_path / f"{i}.png").write_bytes(picture((i, 0, 0)))
        if kind == "csv":
            lines = ["path,title,class", *(f"{i}.png,x,{name}" for i, name in rows)]
            (tmp_path / "t.csv").write_text("\n".join(lines) + "\n")
        else:
            bytes_of = {i: (tmp_path / f"{i}.png").read_bytes() for i, _ in rows}
            columns = [{"image": bytes_of[i], "class": name} for i, name in rows]
            pq.write_table(pa.Table.from_pylist(columns), tmp_path / "t.parquet")
        source = f"{kind}:{tmp_path / 't'}.{kind}"
        return Data(source=source, label_column="class", **settings)

    return make


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_captions_and_zero_shot_are_of_the_names(labelled, kind: str) -> None:
    data = labelled(kind=kind)
    assert open_pairs(data).captions(0)[0] == "a photo of a polar bear"
    (task,) = tasks_of(data, whole=True)
    assert isinstance(task, ZeroShotTask)
    assert (task.name, task.classes) == ("classes", ("cat", "polar bear"))
    assert task.labels == (1, 0, 0, 1)


def test_a_picture_of_several_rows_has_several_classes(labelled) -> None:
    data = labelled([*ROWS, (3, "cat"), (3, "snow")])
    (task,) = tasks_of(data, whole=True)
    assert isinstance(task, MultiLabelTask)
    assert (task.name, task.classes) == ("labels", ("cat", "polar bear", "snow"))
    assert task.labels == ((1,), (0,), (0,), (1, 0, 2))
    assert len(open_pairs(data).captions(3)) == 9


def test_lists_in_a_parquet_are_several_classes(labelled) -> None:
    rows = [(0, ["a", "b"]), (1, ["b"]), (2, ["c"])]
    (task,) = tasks_of(labelled(rows, "parquet"), whole=True)
    assert isinstance(task, MultiLabelTask)
    assert task.labels == ((0, 1), (1,), (2,))


def test_names_come_from_a_file(labelled, tmp_path: Path) -> None:
    (tmp_path / "names").write_text("cat house cat\npolar_bear ice bear\n")
    data = labelled(class_names=str(tmp_path / "names"))
    (task,) = tasks_of(data, whole=True)
    assert task.classes == ("house cat", "ice bear")


def test_a_single_class_is_refused(labelled) -> None:
    with pytest.raises(UserError, match="a single class, 'cat'"):
        open_pairs(labelled([(0, "cat"), (1, "cat")]))


def test_an_unknown_column_gets_the_nearest(labelled, table) -> None:
    data = labelled()
    with pytest.raises(UserError) as caught:
        open_pairs(Data(source=data.source, label_column="clas"))
    assert str(caught.value).startswith("data.label_column: ")
    assert "Did you mean 'class'?" in str(caught.value)


@pytest.mark.parametrize("source", ["builtin:pictograms", "folder:x", "json:x"])
def test_a_source_that_is_no_table_refuses_the_column(source: str) -> None:
    with pytest.raises(UserError, match="data.label_column: .* is no table"):
        open_pairs(Data(source=source, label_column="class"))


@pytest.mark.parametrize("kind", ["knn", "linear_probe"])
def test_probes_learn_from_what_is_trained_on_and_name_what_is_tested(
    labelled, kind: str
) -> None:
    rows = [(i, "cat" if i % 2 else "dog") for i in range(40)]
    data = labelled(rows)
    train, held_out = open_split(data)
    for whole in (False, True):
        (task,) = tasks_of(data, whole, names=[kind])
        assert isinstance(task, ProbeTask)
        assert task.kind == task.name == kind
        learnt, tested = (
            {pairs.key(i) for i in range(len(pairs))}
            for pairs in (task.train, task.pairs)
        )
        assert learnt == {train.key(i) for i in range(len(train))}
        assert tested == {held_out.key(i) for i in range(len(held_out))}
        wanted = [
            "cat" if int(task.pairs.key(i)[:-4]) % 2 else "dog" for i in range(20)
        ]
        assert [task.classes[label] for label in task.labels] == wanted


def test_with_validation_pairs_of_their_own_probes_name_all_of_them(
    labelled, tmp_path: Path
) -> None:
    data = labelled([(i, "cat" if i % 2 else "dog") for i in range(6)])
    (tmp_path / "test.csv").write_text("path,class\n1.png,cat\n2.png,dog\n")
    data = Data(
        source=data.source, label_column="class", val=f"csv:{tmp_path / 'test.csv'}"
    )
    zero_shot, knn = tasks_of(data, whole=True, names=["classes", "knn"])
    assert len(zero_shot.pairs) == len(knn.pairs) == 2
    assert len(knn.train) == 4


def test_a_class_that_nothing_is_learnt_of_is_refused(labelled, tmp_path) -> None:
    data = labelled([(0, "a"), (1, "b"), (2, "c"), (3, "d")])
    (tmp_path / "test.csv").write_text("path,class\n2.png,c\n3.png,d\n")
    data = Data(
        source=data.source, label_column="class", val=f"csv:{tmp_path / 'test.csv'}"
    )
    with pytest.raises(UserError) as caught:
        tasks_of(data, names=["knn"])
    assert "2 pictures are too few for knn to learn 4 classes from" in str(caught.value)
    assert "none shows 'c', 'd'" in str(caught.value)


def test_probes_are_measured_only_where_they_are_named(labelled) -> None:
    assert [task.name for task in tasks_of(labelled(), whole=True)] == ["classes"]


def test_an_embedded_set_has_probes_over_its_subgroups(pictograms: Path) -> None:
    data = Data(source=f"parquet:{pictograms}")
    (task,) = tasks_of(data, names=["knn"])
    assert isinstance(task, ProbeTask)
    assert task.classes == ("sub-0", "sub-1", "sub-2")
    assert (len(task.train), len(task.pairs)) == (10, 6)
    assert [task.classes[i] for i in task.labels] == [
        f"sub-{i % 3}" for i in range(15, 21)
    ]


def test_drawings_of_one_name_are_one_cluster(pictograms: Path) -> None:
    tasks = {task.name: task for task in tasks_of(Data(source=f"parquet:{pictograms}"))}
    assert tasks["designer"].clusters == (0, 1, 2, 3, 4, 5)
    assert tasks["clipart"].clusters == (0,)


def test_codes_are_refused_where_a_model_is_tested(labelled) -> None:
    data = labelled([(0, "n01440764"), (1, "n01443537"), (2, "cat")])
    tasks = tasks_of(data, whole=True)
    with pytest.raises(UserError) as caught:
        refuse_unsound(data, tasks)
    assert "2 of 3 class names are numbers or codes ('n01440764'" in str(caught.value)
    assert "--set data.class_names=FILE" in str(caught.value)


def test_numbers_that_a_file_calls_so_are_taken(labelled, tmp_path: Path) -> None:
    (tmp_path / "names").write_text("0\n1\n")
    data = labelled([(0, "0"), (1, "1")], class_names=str(tmp_path / "names"))
    refuse_unsound(data, tasks_of(data, whole=True))


def test_a_folder_without_a_picture_is_refused_where_a_model_is_tested(
    tmp_path: Path, picture
) -> None:
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.png").write_bytes(picture((1, 2, 3)))
    (tmp_path / "emu").mkdir()
    (tmp_path / ".hidden").mkdir()
    data = Data(source=f"folder:{tmp_path}")
    with pytest.raises(UserError, match="classes without a picture: 'emu'. Remove"):
        refuse_unsound(data, tasks_of(data, whole=True))
