"""Which pictures are shots, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from tinyclip.config.schema import Data
from tinyclip.data.few_shots import few_shots
from tinyclip.data.task import ADAPTATIONS, FewShotTask, ProbeTask
from tinyclip.data.tasks import tasks_of
from tinyclip.data.views import Subset
from tinyclip.errors import UserError


@pytest.fixture
def make_task(make_pairs):
    """Shots of twelve pictures of `x` and `y` in turn, or of some of their rows."""

    def make(rows=range(12), **settings) -> FewShotTask:
        pairs = Subset(make_pairs(12), list(rows))
        labels = tuple(row % 2 for row in rows)
        probe = ProbeTask(
            "coop", "coop", pairs, labels, make_pairs(1), (0,), ("x", "y")
        )
        settings = {"shots": (1, 2), "shot_draws": 2, **settings}
        return few_shots(Data(**settings), probe, ("{}",))

    return make


def shown(task: FewShotTask, draw: int, count: int) -> list[set[str]]:
    """The keys of the first pictures of each class."""
    found = []
    for label in range(len(task.classes)):
        rows = [row for row in task.draws[draw] if task.train_labels[row] == label]
        found.append({task.train.key(row) for row in rows[:count]})
    return found


def test_each_class_has_as_many_shots_and_they_are_its_own(make_task) -> None:
    for label, keys in enumerate(shown(make_task(), 0, 2)):
        assert len(keys) == 2
        assert all(int(key[1:]) % 2 == label for key in keys)


def test_what_one_shot_shows_is_among_what_more_show(make_task) -> None:
    """Though the numbers of shots are another task's."""
    few, more = make_task(shots=(1,)), make_task(shots=(1, 4))
    for fewer, wider in zip(shown(few, 1, 1), shown(more, 1, 4), strict=True):
        assert fewer < wider


def test_shots_depend_on_keys_and_not_on_the_order_of_rows(make_task) -> None:
    turned = make_task(range(11, -1, -1))
    for draw in (0, 1):
        assert shown(turned, draw, 2) == shown(make_task(), draw, 2)


def test_another_draw_shows_others(make_task) -> None:
    task = make_task()
    assert shown(task, 0, 2) != shown(task, 1, 2)


def test_numbers_of_shots_are_sorted_and_each_is_there_once(make_task) -> None:
    assert make_task(shots=(2, 1, 2)).shots == (1, 2)


def test_a_class_with_fewer_pictures_than_shots_is_one_message(make_task) -> None:
    with pytest.raises(UserError) as caught:
        make_task([0, 1, 2, 3, 4, 6, 8], shots=(1, 4))
    words = str(caught.value)
    assert "4 pictures of each class, and of 1 of 2 classes there are fewer" in words
    assert "down to 2: 'y'" in words
    assert "--set 'data.shots=[1, 2]'" in words


def test_no_number_of_shots_is_refused(make_task) -> None:
    with pytest.raises(UserError, match=r"data.shots: .* Write for example \[1, 4, 16"):
        make_task(shots=())


def test_class_folders_offer_few_shots_as_a_group(tmp_path: Path, picture) -> None:
    for name in "ab":
        for i in range(8):
            path = tmp_path / name / f"{i}.png"
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(picture((1, 2, 3)))
    data = Data(source=f"folder:{tmp_path}", shots=(1, 2))
    found = tasks_of(data, names=["few_shots"])
    assert tuple(task.name for task in found) == ADAPTATIONS
    for task in found:
        assert isinstance(task, FewShotTask)
        tested = {task.pairs.key(i) for i in range(len(task.pairs))}
        assert tested.isdisjoint(task.train.key(i) for i in range(len(task.train)))


def test_the_embedded_set_leaves_out_classes_with_fewer(pictograms: Path) -> None:
    """`sub-2` has two emoji to learn from, the others four."""
    data = Data(source=f"parquet:{pictograms}", shots=(1, 4))
    (task,) = tasks_of(data, names=["adapter"])
    assert isinstance(task, FewShotTask)
    assert (task.classes, task.left_out) == (("sub 0", "sub 1"), 1)
    assert [task.pairs.key(i) for i in range(len(task.pairs))] == [
        f"set/{i}" for i in (15, 16, 18, 19)
    ]
    assert task.labels == (0, 1, 0, 1)
    assert len(task.clusters or ()) == 4


def test_more_shots_than_the_embedded_set_has_are_refused(pictograms: Path) -> None:
    data = Data(source=f"parquet:{pictograms}", shots=(1, 5))
    with pytest.raises(UserError, match=r"0 classes have 5 .* data.shots=\[1\]"):
        tasks_of(data, names=["adapter"])
