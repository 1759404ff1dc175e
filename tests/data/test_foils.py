"""`json:`: a true and a false caption a picture, as ARO and SugarCrepe have them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tinyclip.config.schema import Data
from tinyclip.data.broken import Broken
from tinyclip.data.foils import foils
from tinyclip.data.pairs import open_pairs
from tinyclip.data.tasks import tasks_of
from tinyclip.errors import UserError

COLOURS = ((9, 0, 0), (0, 9, 0), (0, 0, 9))


@pytest.fixture
def write(tmp_path: Path):
    """A source of what is given; three pictures lie beside it."""
    for i, colour in enumerate(COLOURS):
        Image.new("RGB", (8, 6), colour).save(tmp_path / f"{i}.png")

    def make(value: Any, **settings: Any) -> Data:
        (tmp_path / "own.json").write_text(json.dumps(value))
        return Data(source=f"json:{tmp_path / 'own.json'}", **settings)

    return make


def aro(i: int, **more: Any) -> dict[str, Any]:
    entry = {"image_path": f"{i}.png", "true_caption": f"a {i}"}
    return {**entry, "false_caption": f"no {i}", "relation_name": "on", **more}


def sugar(i: int, **more: Any) -> dict[str, Any]:
    entry = {"filename": f"{i}.png", "caption": f"a {i}"}
    return {**entry, "negative_caption": f"no {i}", **more}


def table(*entries: Any) -> dict[str, Any]:
    return {str(i): entry for i, entry in enumerate(entries)}


@pytest.mark.parametrize(
    "value",
    [
        [aro(0), aro(2)],
        table(sugar(0), sugar(2)),
        [sugar(0), sugar(2)],
        table(aro(0), aro(2)),
    ],
)
def test_both_forms_are_measured_by_the_choice_alone(write, value) -> None:
    (task,) = tasks_of(write(value))
    assert (task.name, task.kind) == ("choice", "choice")
    assert task.texts == (("a 0", "no 0"), ("a 2", "no 2"))
    assert task.rows == (0, 1) and task.parts == ("", "")
    shown = [task.pairs.image(row).getpixel((0, 0)) for row in task.rows]
    assert shown == [COLOURS[0], COLOURS[2]]


def test_other_pairs_beside_it_are_refused_and_not_passed_over(write) -> None:
    with pytest.raises(UserError, match="would not be"):
        tasks_of(write([aro(0), aro(2)], val="csv:other.csv"))


def test_entries_of_one_picture_share_it_and_are_drawn_together(write) -> None:
    value = [sugar(0), sugar(1), sugar(0, negative_caption="none")]
    task = foils(write(value))
    assert task.rows == (0, 1, 0)
    assert len(task.pairs) == 2
    assert task.clusters == (0, 1)


def boxed(i: int, x: float, y: float, w: float, h: float) -> dict[str, Any]:
    return aro(i, bbox_x=x, bbox_y=y, bbox_w=w, bbox_h=h)


def test_a_box_says_what_of_the_picture_is_looked_at(write, tmp_path: Path) -> None:
    image = Image.new("RGB", (8, 6))
    image.putpixel((3, 2), (255, 0, 0))
    image.save(tmp_path / "0.png")
    task = foils(write([boxed(0, 3, 2, 4, 1), boxed(0, 0, 0, 2, 2), aro(0)]))
    part, other, whole = (task.pairs.image(row) for row in task.rows)
    assert (part.size, other.size, whole.size) == ((4, 1), (2, 2), (8, 6))
    assert part.getpixel((0, 0)) == (255, 0, 0)
    assert task.clusters == (0, 0, 0)
    assert len({task.pairs.key(row) for row in task.rows}) == 3


def test_a_box_is_cut_to_the_picture_and_one_beside_it_is_broken(write) -> None:
    task = foils(write([boxed(0, 5, -2, 40, 4), boxed(0, 8, 0, 4, 4)]))
    assert task.pairs.image(0).size == (3, 2)
    with pytest.raises(Broken, match="beside the picture of 8 x 6 pixels"):
        task.pairs.image(1)


def test_a_strip_of_a_picture_is_broken(write, tmp_path: Path) -> None:
    Image.new("RGB", (300, 300)).save(tmp_path / "0.png")
    task = foils(write([boxed(0, 0, 0, 300, 1)]))
    with pytest.raises(Broken, match="too narrow"):
        task.pairs.image(0)


def test_pictures_may_lie_in_another_folder(write, tmp_path: Path) -> None:
    (tmp_path / "coco").mkdir()
    (tmp_path / "0.png").rename(tmp_path / "coco" / "0.png")
    with pytest.raises(UserError, match="1 of 1 pictures are broken"):
        foils(write([sugar(0)]))
    task = foils(write([sugar(0)], image_root=str(tmp_path / "coco")))
    assert task.pairs.image(0).size == (8, 6)
    with pytest.raises(
        UserError, match=r"data.image_root: there is no folder .*nowhere"
    ):
        foils(write([sugar(0)], image_root=str(tmp_path / "nowhere")))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([], "has no entries"),
        ([1], r"\[0\]: wants a table, not 1"),
        ([aro(0), {"image_path": "1.png"}], r"\[1\].true_caption is missing"),
        ([aro(0, false_caption=["no"])], r"\[0\].false_caption: wants a text"),
        (table(sugar(0), sugar(1, caption=None)), r"\[1\].caption: wants a text"),
        ({"a": {"caption": "a"}}, r"\[a\].filename is missing"),
        ([aro(0, bbox_x="1")], r"\[0\].bbox_x: wants a number, not '1'"),
        ([aro(0), sugar(1)], r"\[1\].image_path is missing"),
    ],
)
def test_another_form_is_one_message_with_the_entry(write, value, message) -> None:
    with pytest.raises(UserError, match=message) as caught:
        foils(write(value))
    assert "own.json" in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (aro(1, true_caption=" "), "empty caption"),
        (aro(1, false_caption="A  1"), "the true and the false caption are the same"),
        (aro(1, bbox_x=1), "bbox_y is missing"),
        (boxed(1, 0, 0, 0, 5), "a box of 0 x 5 pixels"),
    ],
)
def test_an_entry_of_no_use_is_broken_and_too_many_are_refused(
    write, wrong, why
) -> None:
    with pytest.raises(UserError, match=r"\[1\] \(1.png\)") as caught:
        foils(write([aro(0), wrong]))
    assert why in str(caught.value) and "data.max_broken_share" in str(caught.value)
    task = foils(write([aro(0), wrong], max_broken_share=0.5))
    assert len(task.rows) == 1 and task.pairs.dropped.broken == 1


def test_missing_pictures_are_refused_over_the_share_and_broken_under_it(write) -> None:
    value = [aro(0), aro(7)]
    with pytest.raises(UserError, match="7.png: missing"):
        foils(write(value))
    task = foils(write(value, max_broken_share=0.5))
    with pytest.raises(Broken):
        task.pairs.image(1)


def test_excluded_pictures_are_left_out(write) -> None:
    task = foils(write([aro(0), aro(1)], exclude=("1.*",)))
    assert task.texts == (("a 0", "no 0"),) and task.pairs.dropped == {"excluded": 1}


def test_it_is_not_to_train_on(write) -> None:
    data = write([aro(0)])
    with pytest.raises(UserError, match="to measure on, not to train on"):
        open_pairs(data)
    with pytest.raises(UserError, match="unknown task 'order'"):
        tasks_of(data, names=["order"])


def test_other_pictures_of_an_entry_are_another_fingerprint(write) -> None:
    found = {
        foils(write(value)).pairs.fingerprint()
        for value in ([aro(0)], [aro(1)], [boxed(0, 0, 0, 2, 2)])
    }
    assert len(found) == 3
