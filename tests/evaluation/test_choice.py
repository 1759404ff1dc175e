"""Choices against a plain float64 reference."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from tinyclip.data.task import ChoiceTask
from tinyclip.errors import UserError
from tinyclip.evaluation import choice as room
from tinyclip.evaluation.against import result
from tinyclip.evaluation.suite import encoder_of, evaluate, outcomes, reports

VOCABULARY = [f"text {i}" for i in range(40)]
PICTURES = 12


def reference(task: ChoiceTask, images, texts, rows=None) -> np.ndarray:
    """Who is right, from definition, an item at a time."""
    found = []
    for row, answers in zip(task.rows, task.texts, strict=True):
        if rows is not None and row not in rows:
            continue
        image = images[row].astype(np.float64)
        cosines = []
        for answer in answers:
            text = texts[VOCABULARY.index(answer)].astype(np.float64)
            norms = np.linalg.norm(image) * np.linalg.norm(text)
            cosines.append(image @ text / norms)
        found.append(cosines[0] > max(cosines[1:]))
    return np.array(found)


@pytest.fixture
def drawn(make_loaded, make_pairs):
    """Random features, and items of two to four answers in two parts."""
    draw = np.random.default_rng(0)
    images = draw.normal(size=(PICTURES, 5)).astype(np.float32)
    texts = draw.normal(size=(len(VOCABULARY), 5)).astype(np.float32)
    rows = tuple(int(row) for row in draw.integers(0, PICTURES, 50))
    answers = [draw.choice(VOCABULARY, 2 + i % 3, replace=False) for i in range(50)]
    parts = tuple("wide" if i % 5 else "narrow" for i in range(50))
    pairs = make_pairs([("unused",)] * PICTURES)
    items = tuple(tuple(map(str, own)) for own in answers)
    task = ChoiceTask("t", pairs, rows, items, parts)
    return make_loaded(images, texts, VOCABULARY), task, images, texts


def test_the_share_of_right_items_is_the_reference_s(drawn) -> None:
    loaded, task, images, texts = drawn
    found = evaluate(loaded, [task])["t"]
    assert (found["metric"], found["n"]) == ("right", 50)
    assert found["value"] == pytest.approx(reference(task, images, texts).mean())


def test_each_part_has_a_figure_of_its_own_items(drawn) -> None:
    loaded, task, images, texts = drawn
    right = reference(task, images, texts)
    also = evaluate(loaded, [task])["t"]["also"]
    for part in ("wide", "narrow"):
        own = np.array(task.parts) == part
        assert also[f"right_{part}"] == pytest.approx(right[own].mean())
        assert also[f"items_{part}"] == own.sum()


def test_a_single_kind_of_items_has_no_parts(drawn) -> None:
    loaded, task, *_ = drawn
    found = evaluate(loaded, [replace(task, parts=("",) * 50)])["t"]
    assert found["also"] == {"broken": 0} and found["intervals"] == {}


def test_chance_is_the_mean_of_one_by_the_answers(drawn) -> None:
    loaded, task, *_ = drawn
    found = evaluate(loaded, [task])["t"]
    each = np.array([1 / len(own) for own in task.texts])
    assert found["chance"] == pytest.approx(each.mean())
    assert found["floor"] == found["chance"]
    narrow = each[np.array(task.parts) == "narrow"].mean()
    assert found["also"]["chance_narrow"] == pytest.approx(narrow)


def test_chunks_of_answers_change_nothing(drawn, monkeypatch) -> None:
    loaded, task, *_ = drawn
    whole = evaluate(loaded, [task])
    monkeypatch.setattr(room, "ROWS", 7)
    assert evaluate(loaded, [task]) == whole


@pytest.mark.parametrize("at", [0, 1])
def test_ties_and_what_is_no_number_count_against_the_model(at: int) -> None:
    similar = torch.tensor([[0.5, 0.5], [0.5, 0.4], [0.5, 0.6]])
    assert room.chosen(similar).tolist() == [1, 0, 1]
    similar[:, at] = float("nan")
    assert room.chosen(similar).tolist() == [1, 1, 1]


def test_a_model_that_says_the_same_of_all_is_never_right(drawn, make_loaded) -> None:
    _, task, images, texts = drawn
    same = make_loaded(images, np.ones_like(texts), VOCABULARY)
    assert evaluate(same, [task])["t"]["value"] == 0


def test_texts_that_a_tokenizer_cuts_to_the_same_are_a_tie(drawn, monkeypatch) -> None:
    """Whatever batch they were encoded in: one of another size rounds otherwise."""
    loaded, task, *_ = drawn
    monkeypatch.setattr(
        loaded.model,
        "encode_text",
        lambda tokens: torch.tensor([[1.0, len(tokens), 0, 0, 0]]).expand(
            len(tokens), -1
        ),
    )
    assert len({*encoder_of(loaded, batch=7).texts(VOCABULARY)[:, 1].tolist()}) == 2
    loaded.tokenizer = lambda texts: torch.tensor([[3]] * len(texts))
    features = encoder_of(loaded, batch=7).texts(VOCABULARY)
    assert (features == features[0]).all()
    assert evaluate(loaded, [task], batch=7)["t"]["value"] == 0


def test_items_of_broken_pictures_are_left_out_and_the_pictures_counted(
    drawn, make_pairs
) -> None:
    loaded, task, images, texts = drawn
    gone = frozenset({0, 5})
    broken = replace(task, pairs=make_pairs(task.pairs.texts, gone))
    found = evaluate(loaded, [broken])["t"]
    right = reference(task, images, texts, set(range(PICTURES)) - gone)
    assert (found["n"], found["also"]["broken"]) == (len(right), 2)
    assert found["value"] == pytest.approx(right.mean())


def test_pictures_that_no_item_asks_for_are_not_counted(drawn, make_pairs) -> None:
    loaded, task, *_ = drawn
    pairs = make_pairs([*task.pairs.texts, ("more",)], frozenset({PICTURES}))
    assert evaluate(loaded, [replace(task, pairs=pairs)])["t"]["also"]["broken"] == 0


def test_items_whose_pictures_are_all_broken_are_one_message(drawn, make_pairs) -> None:
    loaded, task, *_ = drawn
    one = replace(
        task,
        pairs=make_pairs(task.pairs.texts, frozenset({3})),
        rows=(3,),
        texts=task.texts[:1],
        parts=("",),
    )
    with pytest.raises(UserError, match="no picture can be read"):
        evaluate(loaded, [one])


def test_items_of_a_picture_are_drawn_together(drawn) -> None:
    loaded, task, *_ = drawn
    assert evaluate(loaded, [task])["t"]["clusters"] == len(set(task.rows))
    concepts = tuple(row // 3 for row in range(PICTURES))
    found = evaluate(loaded, [replace(task, clusters=concepts)])["t"]
    assert found["clusters"] == len({row // 3 for row in task.rows})


def test_an_interval_of_a_part_counts_the_part_s_pictures(
    make_loaded, make_pairs
) -> None:
    """Of a part that is right throughout it is Wilson's; one picture says little."""
    images, texts = np.eye(2), np.array([[1.0, 1.0], [-1.0, -1.0]])
    rows = (0,) * 20 + (1,) * 30
    task = ChoiceTask(
        "t",
        make_pairs([("",)] * 2),
        rows,
        (("yes", "no"),) * 50,
        tuple("one" if row == 0 else "other" for row in rows),
    )
    found = evaluate(make_loaded(images, texts, ["yes", "no"]), [task])["t"]
    assert found["value"] == 1
    low, high = found["intervals"]["right_one"]
    assert low == pytest.approx(1 / (1 + 1.959964**2)) and high == 1


def choosing(right: int, of: int, make_loaded, make_pairs):
    """A model that is right about the first so many of `of` pictures."""
    images = np.array([[1.0 if i < right else -1.0] for i in range(of)])
    loaded = make_loaded(images, np.array([[1.0], [-1.0]]), ["yes", "no"])
    items = (("yes", "no"),) * of
    pairs = make_pairs([("",)] * of)
    return loaded, ChoiceTask("t", pairs, tuple(range(of)), items, ("all",) * of)


def beside(ours: int, theirs: int, make_loaded, make_pairs, of: int = 200) -> dict:
    student, task = choosing(ours, of, make_loaded, make_pairs)
    teacher, _ = choosing(theirs, of, make_loaded, make_pairs)
    both = [encoder_of(loaded) for loaded in (teacher, student)]
    found = outcomes(both, task)
    return result(found[1], found[0])


def test_retention_counts_from_chance(make_loaded, make_pairs) -> None:
    found = beside(120, 180, make_loaded, make_pairs)
    assert found["retention"] == pytest.approx((0.6 - 0.5) / (0.9 - 0.5))
    low, high = found["difference"]["retention_ci95"]
    assert low < found["retention"] < high < 0.5


def test_of_a_teacher_that_may_guess_nothing_is_retained(
    make_loaded, make_pairs
) -> None:
    for theirs in (108, 100, 60, 0):
        found = beside(40, theirs, make_loaded, make_pairs)
        assert found["retention"] is None
        assert found["difference"]["retention_ci95"] is None
    assert beside(40, 130, make_loaded, make_pairs)["retention"] < 0


def test_a_choice_that_is_lost_raises_the_alarm_and_a_guessed_one_does_not(
    make_loaded, make_pairs
) -> None:
    for theirs, names in ((180, ["t"]), (105, [])):
        student, task = choosing(98, 200, make_loaded, make_pairs)
        teacher, _ = choosing(theirs, 200, make_loaded, make_pairs)
        (found,) = reports([encoder_of(student)], [task], encoder_of(teacher))
        assert [alarm["task"] for alarm in found["alarms"]] == names


def test_the_teacher_s_figures_of_parts_stand_beside(make_loaded, make_pairs) -> None:
    found = beside(120, 180, make_loaded, make_pairs)
    assert found["also"]["right_all"] == pytest.approx(0.6)
    assert found["teacher_also"] == pytest.approx({"right_all": 0.9})
    assert found["fidelity"]["top1_agreement"] == pytest.approx(0.7)
    assert found["fidelity"]["kl"] is None and found["index"] is None


def test_a_control_has_its_own_figure_and_is_not_in_the_task_s(drawn) -> None:
    loaded, task, images, texts = drawn
    found = evaluate(loaded, [replace(task, controls=frozenset({"narrow"}))])["t"]
    wide = np.array(task.parts) == "wide"
    right = reference(task, images, texts)
    assert found["n"] == wide.sum()
    assert found["value"] == pytest.approx(right[wide].mean())
    assert found["also"]["right_narrow"] == pytest.approx(right[~wide].mean())
    each = np.array([1 / len(own) for own in task.texts])
    assert found["chance"] == pytest.approx(each[wide].mean())
    assert found["also"]["chance_narrow"] == pytest.approx(each[~wide].mean())
