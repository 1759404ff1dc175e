"""Every source offers tasks, none of them on rows to train on."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tinyclip.config.schema import Data
from tinyclip.data.pairs import open_split
from tinyclip.data.tasks import RetrievalTask, ZeroShotTask, tasks_of
from tinyclip.data.views import rows_of
from tinyclip.errors import UserError


def named(source: str) -> dict:
    return {task.name: task for task in tasks_of(Data(source=source))}


def keys(pairs) -> list[str]:
    return [pairs.key(i) for i in range(len(pairs))]


@pytest.fixture
def builtin(pictograms: Path) -> dict:
    return named(f"parquet:{pictograms}")


def test_the_embedded_set_offers_five_tasks(builtin) -> None:
    assert list(builtin) == [
        *("designer", "unseen_groups", "unseen_subgroups", "clipart", "dev")
    ]


def test_designer_names_drawings_among_all_emoji_names(builtin) -> None:
    task = builtin["designer"]
    assert isinstance(task, ZeroShotTask)
    assert task.classes == tuple(f"name-{i}" for i in range(6))
    assert keys(task.pairs) == [f"set/{i}" for i in range(15, 21)]
    assert [task.classes[label] for label in task.labels] == [
        f"name-{i % 6}" for i in range(15, 21)
    ]


def test_groups_are_said_as_words_and_are_those_of_emoji(builtin) -> None:
    task = builtin["unseen_groups"]
    assert task.classes == ("group 0", "group 1")
    assert [task.classes[label] for label in task.labels] == [
        f"group {i % 2}" for i in range(21, 25)
    ]


def test_groups_and_subgroups_share_their_pictures(builtin) -> None:
    """So that features are computed once."""
    assert builtin["unseen_groups"].pairs is builtin["unseen_subgroups"].pairs


def test_clipart_is_found_by_name_and_three_keywords_where_those_are_unique(
    builtin,
) -> None:
    # rows 25 to 29: art 12, art 13 twice, art 14 twice
    task = builtin["clipart"]
    assert isinstance(task, RetrievalTask)
    assert keys(task.pairs) == ["set/25"]
    assert task.pairs.captions(0) == ("art 12, red, round, big",)


def test_dev_holds_the_development_split(builtin) -> None:
    assert keys(builtin["dev"].pairs) == ["set/12", "set/13", "set/14"]


def probes(source: str, *names: str) -> list[str]:
    return [task.name for task in tasks_of(Data(source=source), names=names)]


def test_a_group_s_name_stands_for_its_tasks(pictograms: Path, table) -> None:
    source = f"parquet:{pictograms}"
    usual = [task.name for task in tasks_of(Data(source=source))]
    assert probes(source, "usual") == usual
    assert probes(source, "dev", "usual") == ["dev", *usual[:-1]]
    assert "retrieval" not in probes(f"csv:{table(10)}", "probes")


def test_probes_are_measured_where_they_are_named(table) -> None:
    source = f"csv:{table(10)}"
    assert probes(source) == ["retrieval"]
    assert probes(source, "order") == ["order"]
    assert probes(source, "usual", "probes")[:2] == ["retrieval", "order"]
    assert "linear_probe" not in probes(source, "usual", "probes")


def test_an_unknown_task_is_told_the_nearest_task_or_group(table) -> None:
    for name, nearest in (("ordr", "'order'"), ("probe", "'probes'")):
        with pytest.raises(UserError, match=f"unknown task '{name}'.*{nearest}"):
            probes(f"csv:{table(10)}", name)


def test_a_probe_without_an_item_is_left_out_of_its_group_and_refused_by_name(
    pictograms: Path, caplog
) -> None:
    source = f"parquet:{pictograms}"  # its names are single words
    with pytest.raises(UserError, match="no rows for the task 'order'. Leave it out"):
        probes(source, "order")
    assert "order" not in probes(source, "usual", "probes")
    assert "no rows for the task 'order', which is left out" in caplog.text


def test_a_group_of_which_no_task_has_an_item_is_refused_by_its_name(table) -> None:
    path = table(3)
    path.write_text("path,caption\n" + "".join(f"{i}.png,:)\n" for i in range(3)))
    with pytest.raises(UserError, match="no rows for any of the tasks probes"):
        probes(f"csv:{path}", "probes")


def test_probes_of_the_embedded_set_are_on_the_names_of_its_test_drawings() -> None:
    (task,) = tasks_of(Data(), names=["order"])
    source, rows = rows_of(task.pairs)
    assert set(source.values("split")) == {"test_designer"}
    names = source.values("name")
    assert {texts[0] for texts in task.texts} == {names[row] for row in rows}
    assert all(len(texts) == 2 for texts in task.texts)


def test_a_file_without_test_rows_is_refused(pictograms: Path) -> None:
    rows = [r for r in pq.read_table(pictograms).to_pylist() if r["split"] == "train"]
    pq.write_table(pa.Table.from_pylist(rows), pictograms)
    with pytest.raises(UserError, match="no test rows"):
        named(f"parquet:{pictograms}")


def test_pairs_offer_retrieval_on_their_validation_pairs(table) -> None:
    data = Data(source=f"csv:{table(10)}")
    (task,) = tasks_of(data)
    assert (type(task), task.name) == (RetrievalTask, "retrieval")
    assert keys(task.pairs) == keys(open_split(data)[1])


def test_pairs_named_for_validation_are_all_tested_on(table) -> None:
    data = Data(source=f"csv:{table(10)}", val=f"csv:{table(3, name='val.csv')}")
    (task,) = tasks_of(data)
    assert keys(task.pairs) == ["0.png", "1.png", "2.png"]


@pytest.fixture
def class_folders(tmp_path: Path, picture) -> str:
    for name in ("b_b", "a", "c"):
        for i in range(2):
            path = tmp_path / name / f"{i}.png"
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(picture((1, 2, 3)))
    return f"folder:{tmp_path}"


def test_class_folders_offer_zero_shot_over_all_classes(class_folders: str) -> None:
    (task,) = tasks_of(Data(source=class_folders))
    assert isinstance(task, ZeroShotTask)
    assert task.classes == ("a", "b b", "c")
    assert len(task.pairs) == len(task.labels) == 3
    for i, label in enumerate(task.labels):
        folder = task.pairs.key(i).split("/")[0]
        assert task.classes[label] == folder.replace("_", " ")


def test_fewer_pairs_to_train_on_leave_the_task_as_it_is(class_folders: str) -> None:
    (task,) = tasks_of(Data(source=class_folders, limit=1))
    assert isinstance(task, ZeroShotTask)
    assert (task.classes, len(task.pairs)) == (("a", "b b", "c"), 3)


def test_class_folders_offer_probes_of_what_they_show(class_folders: str) -> None:
    with pytest.raises(UserError, match="unknown task 'order'"):
        probes(class_folders, "order")
    tasks = tasks_of(Data(source=class_folders), whole=True, names=["negation"])
    assert {row for task in tasks for row in task.rows} == set(range(6))
    assert probes(class_folders, "probes") == ["negation", "denial"]


def test_a_root_of_pictures_that_nothing_uses_is_told(table, caplog) -> None:
    open_split(Data(source=f"csv:{table(10)}", image_root="/nowhere"))
    assert "so that data.image_root is not used" in caplog.text


def test_a_single_pair_leaves_nothing_to_measure_on(table) -> None:
    with pytest.raises(UserError, match="leave none to measure on"):
        named(f"csv:{table(1)}")


def test_a_source_that_nothing_saw_is_measured_whole(tmp_path: Path) -> None:
    from PIL import Image

    lines = ["path,caption"]
    for i in range(12):
        Image.new("RGB", (4, 4), (i, 0, 0)).save(tmp_path / f"{i}.png")
        lines.append(f"{i}.png,number {i}")
    (tmp_path / "test.csv").write_text("\n".join(lines) + "\n")
    data = Data(source=f"csv:{tmp_path / 'test.csv'}")
    (held_out,), (whole,) = tasks_of(data), tasks_of(data, whole=True)
    assert (len(held_out.pairs), len(whole.pairs)) == (6, 12)
