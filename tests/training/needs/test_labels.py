"""Which captions fit which pictures."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, cast

import torch
from made import made_loader  # type: ignore[import-not-found]

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from processes import SHAPE, phase_of  # type: ignore[import-not-found]

from tinyclip.losses.needs import Labels
from tinyclip.losses.objectives import Weighted
from tinyclip.training.engine import Engine
from tinyclip.training.needs import labels as room
from tinyclip.training.needs.labels import FittingCaptions
from tinyclip.training.needs.provider import Offered


def provider(**how: Any) -> tuple[FittingCaptions, Any]:
    loader = made_loader(SHAPE, 12, 8, **how)
    offered = Offered(Engine(), loader, *(cast(Any, None),) * 2, seed=0)
    return FittingCaptions(Labels(), offered, cast(Weighted, None)), loader


def found(**how: Any) -> tuple[Any, set[tuple[int, int]], Any]:
    """The batch, and which of its captions fit which pictures."""
    labels, loader = provider(**how)
    batch = loader.batch(0)
    more = labels.teacher(batch, 0)
    fits = {
        (i, j)
        for i in range(8)
        for j in range(8)
        if more["caption"][j] in more["fitting"][i]
    }
    return batch, fits, more


def test_a_caption_fits_every_picture_that_has_it() -> None:
    batch, fits, _ = found()
    pairs = made_loader(SHAPE, 12, 8).pairs
    expected = {
        (i, j)
        for i, row in enumerate(batch.index_B.tolist())
        for j, text in enumerate(batch.captions)
        if text in pairs.captions(row)
    }
    assert fits == expected
    assert {(i, i) for i in range(8)} < fits  # some are equal


def test_all_rows_are_as_wide_as_the_longest_list_of_captions() -> None:
    more = found()[2]
    assert more["fitting"].shape == (8, 2)
    assert (more["fitting"] == -1).any()  # those with one caption
    assert (more["caption"] >= 0).all()


def test_classes_are_numbers_where_there_are_classes() -> None:
    assert found()[2]["label"].tolist() == [-1] * 8
    names = ["dog", "cat", "cow"] * 4
    batch, _, more = found(labels=names)
    own = [names[row] for row in batch.index_B.tolist()]
    for i in range(8):
        same = more["label"] == more["label"][i]
        assert same.tolist() == [name == own[i] for name in own]


def test_the_caption_shown_is_compared_however_many_there_are(
    monkeypatch: Any,
) -> None:
    monkeypatch.setattr(room, "MOST", 1)
    batch, _, more = found()
    assert more["fitting"].shape == (8, 1)
    assert torch.equal(more["fitting"][:, 0], more["caption"])


def test_a_phase_hands_them_to_the_objective() -> None:
    phase = phase_of("distil", SHAPE, Engine(), {"asl": 1.0})
    loader = made_loader(SHAPE, 12, 8)
    batch = loader.batch(0)
    more = phase.teacher_features(batch, 0)[0].more
    assert set(more) == {"asl.fitting", "asl.caption", "asl.label"}
    loss, parts = phase.objective(
        phase.features(batch, 0), phase.teacher_features(batch, 0), 0
    )
    assert float(parts["asl.fitting"]) > 1 and bool(loss.isfinite())
