"""The keys of the contract, and a model beside its teacher."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from tinyclip.data.task import ProbeTask, RetrievalTask, ZeroShotTask
from tinyclip.evaluation.suite import encoder_of, evaluate, report, reports

KEYS = {"metric", "value", "ci95", "n", "teacher", "retention", "also"}
KEYS |= {"clusters", "chance", "floor", "teacher_also", "intervals"}
KEYS |= {"difference", "fidelity", "index", "modality_gap"}


@pytest.fixture
def tasks(make_pairs):
    """Four pictures, each with its own text."""
    pairs = make_pairs([(text,) for text in "abcd"])
    return [
        ZeroShotTask("zero", pairs, (0, 1, 2, 3), tuple("abcd"), ("{}",)),
        RetrievalTask("found", pairs),
    ]


@pytest.fixture
def model(make_loaded):
    """A model whose picture `i` lies at text `places[i]`."""

    def make(*places: int):
        return make_loaded(np.eye(4)[list(places)], np.eye(4), list("abcd"))

    return make


@pytest.fixture
def half_right(model, tasks):
    """Two of four pictures lie at their own text."""
    return model(0, 1, 3, 2), tasks


def test_each_task_has_the_keys_of_the_contract(half_right) -> None:
    results = evaluate(*half_right)
    assert list(results) == ["zero", "found"]
    for result in results.values():
        assert set(result) == KEYS
        low, high = result["ci95"]
        assert low < result["value"] == 0.5 < high
        assert result["teacher"] is result["retention"] is result["difference"] is None
    assert json.loads(json.dumps(results)) == results


def test_every_further_figure_has_an_interval(half_right) -> None:
    for result in evaluate(*half_right).values():
        counts = {"classes", "captions", "broken"}
        assert set(result["intervals"]) == set(result["also"]) - counts


def test_retention_is_the_value_by_the_teacher_s(model, tasks) -> None:
    student, teacher = (encoder_of(model(*p)) for p in ((0, 1, 3, 2), (0, 1, 2, 0)))
    result = report(student, tasks, teacher)["tasks"]["zero"]
    assert (result["value"], result["teacher"]) == (0.5, 0.75)
    assert result["retention"] == pytest.approx(2 / 3)
    assert result["difference"]["value"] == pytest.approx(-0.25)
    low, high = result["difference"]["ci95"]
    assert low < -0.25 < high == 0  # it is nowhere better, whatever is drawn
    assert result["difference"]["retention_ci95"][1] == 1
    assert result["fidelity"]["top1_agreement"] == 0.5


def test_a_teacher_that_knows_nothing_gives_no_retention(model, tasks) -> None:
    student, teacher = (encoder_of(model(*p)) for p in ((0, 1, 3, 2), (1, 0, 3, 2)))
    result = report(student, tasks, teacher)["tasks"]["zero"]
    assert (result["teacher"], result["retention"]) == (0.0, None)
    assert result["difference"]["retention_ci95"] is None


def test_a_model_retains_all_of_itself(half_right) -> None:
    loaded, tasks = half_right
    itself = encoder_of(loaded)
    found = report(itself, tasks, itself)
    assert found["alarms"] == []
    for result in found["tasks"].values():
        assert result["retention"] == 1.0
        assert result["difference"]["ci95"] == [0, 0]
        assert result["fidelity"]["top1_agreement"] == 1.0
        assert result["fidelity"]["cka_images"] == pytest.approx(1.0)
        gap = result["modality_gap"]
        assert gap["value"] == gap["teacher"]


def test_a_collapse_is_an_alarm_beside_tasks_that_are_kept(
    make_loaded, make_pairs
) -> None:
    """Sixty pictures; the student names one in thirty of one task, all of two."""
    pairs = make_pairs([("-",)] * 60)
    labels = tuple(i % 4 for i in range(60))
    lost = make_pairs([("-",)] * 60)
    tasks = [
        ZeroShotTask(name, of, labels, tuple("abcd"), ("{}",))
        for name, of in (("kept", pairs), ("too", pairs), ("lost", lost))
    ]
    right = np.eye(4)[list(labels)]
    teacher = make_loaded(right, np.eye(4), list("abcd"))
    student = make_loaded(right, np.eye(4), list("abcd"))
    encoder = encoder_of(student)
    encoder.pictures(pairs)
    wrong = np.eye(4)[[(i + (i > 1)) % 4 for i in range(60)]]
    student.model.images.data = torch.tensor(wrong, dtype=torch.float32)
    found = report(encoder, tasks, encoder_of(teacher))
    (alarm,) = found["alarms"]
    assert (alarm["task"], alarm["reasons"]) == ("lost", ["bound", "median"])
    assert alarm["retention"] == pytest.approx(2 / 60)
    assert (alarm["median"], alarm["chance"]) == (1.0, 0.25)


def test_several_models_are_compared_with_the_first(model, tasks) -> None:
    encoders = [encoder_of(model(*p)) for p in ((0, 1, 2, 3), (0, 1, 3, 2))]
    first, second = reports(encoders, tasks)
    assert first["against_first"]["zero"]["value"] == 0
    assert second["against_first"]["zero"]["value"] == -0.5
    assert second["tasks"]["zero"]["retention"] is None


def test_pictures_that_two_tasks_share_are_encoded_once(half_right) -> None:
    loaded, tasks = half_right
    evaluate(loaded, tasks)
    assert loaded.model.batches == [4, 4]  # pictures, and texts that both use


def test_a_teacher_that_was_asked_before_is_shown_nothing_again(model, tasks) -> None:
    teacher, student = model(0, 1, 2, 3), model(0, 1, 3, 2)
    encoder = encoder_of(teacher)
    report(encoder, tasks)
    report(encoder_of(student), tasks, encoder)
    assert teacher.model.batches == student.model.batches == [4, 4]


def test_a_probe_is_compared_without_texts(make_loaded, make_pairs) -> None:
    train, tested = make_pairs([("-",)] * 4), make_pairs([("-",)] * 2)
    task = ProbeTask("knn", "knn", train, (0, 1) * 2, tested, (0, 1), ("x", "y"))
    loaded = make_loaded([[1.0, 0.0], [0.0, 1.0]] * 2, [[1.0, 0.0]], ["-"])
    result = report(encoder_of(loaded), [task], encoder_of(loaded))["tasks"]["knn"]
    assert result["fidelity"]["kl"] is result["fidelity"]["cka_texts"] is None
    assert result["fidelity"]["top1_agreement"] == 1
    assert result["index"] is result["modality_gap"]["value"] is None


def test_a_real_clip_is_measured(pico_clip, make_pairs) -> None:
    loaded = SimpleNamespace(
        model=pico_clip,
        preprocess=lambda image: torch.full((3, 16, 16), image.getpixel((0, 0))[0] / 9),
        tokenizer=lambda texts: torch.tensor(
            [[1, *text.encode(), 49][:8] + [0] * (6 - len(text)) for text in texts]
        ).clamp(max=49),
    )
    pairs = make_pairs([(f"{i}",) for i in range(9)])
    result = evaluate(loaded, [RetrievalTask("r", pairs)], batch=4)["r"]
    assert result["n"] == 9
    assert 0 <= result["value"] <= 1
