"""The nearest others of every picture."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from made import made_loader  # type: ignore[import-not-found]
from torch import Tensor
from torch.nn import functional as F

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from processes import SHAPE, make_batch, phase_of  # type: ignore[import-not-found]

from tinyclip.losses.needs import Neighbours
from tinyclip.losses.objectives import Weighted
from tinyclip.training.engine import Engine
from tinyclip.training.needs import nearest as room
from tinyclip.training.needs.nearest import Nearby, nearest
from tinyclip.training.needs.neighbours import Bags
from tinyclip.training.needs.provider import Offered
from tinyclip.training.teacher.cached import CachedTeacher


def drawn(size: int, width: int, seed: int = 0) -> Tensor:
    draw = torch.Generator().manual_seed(seed % 2**32)
    return F.normalize(torch.randn(size, width, generator=draw), dim=-1)


def expected(features: Tensor, count: int) -> list[list[int]]:
    """By sorting all others, row by row; broken rows are zeros."""
    rows = features.double().numpy()
    whole = [i for i in range(len(rows)) if rows[i].any()]
    found = []
    for i in range(len(rows)):
        others = [j for j in whole if j != i] if i in whole else []
        others.sort(key=lambda j: (-round(rows[i] @ rows[j], 5), j))
        found.append((others + [-1] * count)[:count])
    return found


@settings(max_examples=40, deadline=None)
@given(
    size=st.integers(1, 40),
    count=st.integers(1, 5),
    seed=st.integers(0),
    asking=st.integers(1, 50),
    compared=st.integers(1, 50),
)
def test_they_are_those_that_sorting_gives_whatever_the_blocks(
    size: int, count: int, seed: int, asking: int, compared: int
) -> None:
    features = drawn(size, 3, seed)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(room, "ASKING", asking)
        patched.setattr(room, "COMPARED", compared)
        found = nearest(features, count, Engine())
    rows = features.double().numpy()
    for i, near in enumerate(found.tolist()):
        wanted = expected(features, count)[i]
        assert i not in near and near.count(-1) == wanted.count(-1)
        similar = [rows[i] @ rows[j] if j >= 0 else -2 for j in near]
        best = [rows[i] @ rows[j] if j >= 0 else -2 for j in wanted]
        assert similar == pytest.approx(best, abs=2e-5)


def test_of_equals_the_first_are_taken() -> None:
    features = drawn(3, 8)[torch.tensor([0, 1, 1, 1, 2, 1, 1])]
    found = nearest(features, 3, Engine()).tolist()
    assert found[1] == [2, 3, 5]
    assert found[5] == [1, 2, 3]
    assert found[6] == [1, 2, 3]


def test_broken_pictures_are_nobodys_and_have_none() -> None:
    features = drawn(6, 4)
    features[2] = 0
    found = nearest(features, 5, Engine()).tolist()
    assert found[2] == [-1] * 5
    assert all(2 not in near for near in found)
    assert [near.count(-1) for near in found] == [1, 1, 5, 1, 1, 1]


def test_each_process_does_a_share_and_all_have_the_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(room, "ASKING", 4)
    features, parts = drawn(11, 5), []

    class Half:
        world, device = 2, torch.device("cpu")

        def __init__(self, rank: int) -> None:
            self.rank = rank

        def summed(self, value: Tensor) -> Tensor:
            parts.append(value.clone())
            return value

    for rank in range(2):
        nearest(features, 2, cast(Any, Half(rank)))
    assert [int((part == 0).all(1).sum()) for part in parts] == [4, 7]
    assert torch.equal(parts[0] + parts[1] - 1, nearest(features, 2, Engine()))


def offered(features: Tensor, told: Any = None, **how: Any) -> Offered:
    loader = made_loader(SHAPE, len(features), 4, **how)
    rows = {row: row for row in range(len(features))}
    scale = torch.tensor(1.0)
    cached = CachedTeacher(features[:, None], features, rows, {}, scale)
    more = {} if told is None else {"phase": told}
    return Offered(Engine(), loader, cached, cast(Any, None), seed=0, **more)


def test_a_batch_has_the_rows_of_its_bags_and_their_features() -> None:
    features = drawn(9, 6)
    bags = Bags(Neighbours(count=3), offered(features), cast(Weighted, None))
    batch = make_batch(SHAPE, 4, 0).rows(torch.tensor([2, 0, 3]))
    more = bags.teacher(batch, 0)
    wanted = expected(features, 3)
    assert more["rows"].tolist() == [[i, *wanted[i]] for i in (2, 0, 3)]
    assert torch.equal(more["features"], features[more["rows"][:, 1:]])


def test_where_there_are_no_more_others_bags_are_smaller() -> None:
    features = drawn(4, 6)
    bags = Bags(Neighbours(count=5), offered(features), cast(Weighted, None))
    more = bags.teacher(make_batch(SHAPE, 4, 0), 0)
    assert (more["rows"] == -1).sum(1).tolist() == [2] * 4
    assert more["features"].shape == (4, 5, 6)
    assert not more["features"][:, 3:].any()


def test_only_a_long_search_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[tuple[str, int, int]] = []
    around = offered(drawn(9, 6), told=lambda *line: lines.append(line))
    Nearby.found(around, 2)
    assert lines == []
    monkeypatch.setattr(room, "LONG", 9)
    monkeypatch.setattr(room, "ASKING", 4)
    Nearby.found(around, 2)
    assert lines == [("neighbours", done, 9) for done in (0, 4, 8, 9)]


def test_a_phase_hands_bags_to_the_objective() -> None:
    phase = phase_of("distil", SHAPE, Engine(), {"bingo": {"neighbours": 2}})
    batch = make_batch(SHAPE, 8, 0)
    more = phase.teacher_features(batch, 0)[0].more
    assert {name: tuple(x.shape) for name, x in more.items()} == {
        "bingo.rows": (8, 3),
        "bingo.features": (8, 2, 6),
    }
    assert np.isfinite(
        float(
            phase.objective(
                phase.features(batch, 0), phase.teacher_features(batch, 0), 0
            )[0].detach()
        )
    )
