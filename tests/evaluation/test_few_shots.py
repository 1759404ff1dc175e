"""Few shots: what is learnt from which pictures, and what is told."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from tinyclip.data.task import FewShotTask
from tinyclip.errors import UserError
from tinyclip.evaluation.few_shots import Adapted, few_shots
from tinyclip.evaluation.suite import encoder_of, evaluate, refuse_unfit


@pytest.fixture
def encoder(make_loaded):
    """Pictures whose red is even lie at `x`, the others at `y`."""
    loaded = make_loaded(np.eye(2)[[0, 1] * 6], np.eye(2), ["x", "y"])
    loaded.model.logit_scale = nn.Parameter(torch.tensor(math.log(10.0)))
    return encoder_of(loaded)


@pytest.fixture
def make_task(make_pairs):
    """Six pictures to learn from, shown in turn; four to name, one wrongly labelled."""

    def make(kind: str = "adapter", broken=(), shots=(1, 2)) -> FewShotTask:
        train = make_pairs([("-",)] * 6, frozenset(broken))
        draws = (0, 1, 2, 3, 4, 5), (4, 5, 2, 3, 0, 1)
        tested, labels = make_pairs([("-",)] * 4), (0, 1, 0, 0)
        return FewShotTask(
            *(kind, kind, train, (0, 1) * 3, draws, shots, tested, labels),
            *(("x", "y"), ("{}",)),
        )

    return make


class Watched:
    """Learns nothing, and remembers from what."""

    def __init__(self) -> None:
        self.seen = []

    def __call__(self, shots) -> Adapted:
        self.seen.append(shots)
        turn = torch.eye(2) if len(self.seen) % 2 else torch.eye(2).flip(0)
        return Adapted(lambda images: images, shots.classes_CE @ turn)


def test_the_most_shots_are_told_first_then_fewer_and_none(encoder, make_task) -> None:
    found = few_shots(encoder, make_task(), Watched())
    assert list(found.samples) == ["top1_2_shots", "top1_1_shots", "zero_shot"]
    assert (found.n, found.chance) == (4, 0.5)


def test_a_figure_is_the_mean_over_draws(encoder, make_task) -> None:
    """The second draw learns classes that are exchanged: 3 of 4 and 1 of 4."""
    found = few_shots(encoder, make_task(), Watched())
    values = {name: sample.value for name, sample in found.samples.items()}
    assert values == {"top1_2_shots": 0.5, "top1_1_shots": 0.5, "zero_shot": 0.75}


def test_each_draw_and_number_has_a_seed_of_its_own(encoder, make_task) -> None:
    learn = Watched()
    few_shots(encoder, make_task(), learn)
    assert len({shots.seed for shots in learn.seen}) == 4
    assert sorted(len(shots.labels_M) for shots in learn.seen) == [2, 2, 4, 4]


def test_a_shot_that_cannot_be_read_gives_way_to_the_next(encoder, make_task) -> None:
    learn = Watched()
    few_shots(encoder, make_task(broken=[0]), learn)
    assert all(shots.labels_M.bincount().min() >= 1 for shots in learn.seen)
    assert [len(shots.labels_M) for shots in learn.seen] == [2, 2, 4, 4]


def test_too_few_that_can_be_read_are_refused(encoder, make_task) -> None:
    with pytest.raises(UserError, match="of 1 classes fewer than 2 pictures .*: 'x'"):
        few_shots(encoder, make_task(broken=[0, 2]), Watched())


def test_a_model_without_a_scale_is_refused_by_its_name(make_loaded, make_task) -> None:
    loaded = make_loaded(np.eye(2), np.eye(2), ["x", "y"])
    with pytest.raises(UserError, match="small, task adapter: .* does not say it"):
        refuse_unfit("small", loaded, [make_task()])


def test_a_task_is_measured_by_its_kind(encoder, make_task) -> None:
    for kind in ("adapter_image", "adapter_text", "adapter"):
        found = evaluate(encoder, [make_task(kind)])[kind]
        assert found["metric"] == "top1_2_shots"
        assert found["value"] == found["also"]["zero_shot"] == 0.75
        assert found["also"]["draws"] == 2
