"""Steps that see pictures and texts without a pair."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parent))

from formulas import Side, ickd  # type: ignore[import-not-found]
from processes import (  # type: ignore[import-not-found]
    SHAPE,
    SIZE,
    make_batch,
    make_phase,
    make_unpaired,
)

from tinyclip.data.batch import Batch, Unpaired
from tinyclip.model.clip import Clip
from tinyclip.training.engine import Engine
from tinyclip.training.phase import TrainingPhase
from tinyclip.training.step import backward


@pytest.fixture
def phase() -> TrainingPhase:
    phase: TrainingPhase = make_phase("distil+unpaired+ickd", SHAPE, Engine())
    return phase


@pytest.fixture
def batch() -> Batch:
    return replace(
        make_batch(SHAPE, SIZE, 0), unpaired=make_unpaired(SHAPE, 0, Engine())
    )


def parts_of(phase: TrainingPhase, batch: Batch) -> dict[str, float]:
    _, parts = backward(phase, batch, 0, Engine(), 1)
    return {name: float(value) for name, value in parts.items()}


def rows_of(model: Clip, batch: Batch) -> Side:
    """All that a model makes of a step, each tower asked once."""
    pictures, texts = batch.unpaired.pictures, batch.unpaired.texts
    assert pictures is not None and texts is not None
    pixels = torch.cat([batch.pixels, pictures.pixels]).double()
    tokens = torch.cat([batch.tokens_BT, texts.tokens_MT])
    with torch.no_grad():
        image, text = model.encode_image(pixels), model.encode_text(tokens)
    v, s = (x.numpy() / np.linalg.norm(x, axis=-1)[:, None] for x in (image, text))
    return Side(v, s, 1.0)


def test_an_objective_of_one_modality_sees_all_rows_of_it(
    phase: TrainingPhase, batch: Batch
) -> None:
    teacher: Any = phase.teacher
    expected = ickd(rows_of(phase.model, batch), rows_of(teacher.pairs.model, batch))
    assert parts_of(phase, batch)["ickd"] == pytest.approx(expected, rel=1e-9)


def test_the_others_see_what_they_saw_without_them(
    phase: TrainingPhase, batch: Batch
) -> None:
    alone = parts_of(phase, replace(batch, unpaired=Unpaired()))
    beside = parts_of(phase, batch)
    for name in ("mimic", "contrastive"):
        assert beside[name] == alone[name]
    for name in ("feature", "feature.image", "feature.text", "ickd"):
        assert beside[name] != alone[name]


def test_one_kind_may_be_there_without_the_other(
    phase: TrainingPhase, batch: Batch
) -> None:
    whole = parts_of(phase, batch)
    for kind, other in (("pictures", "image"), ("texts", "text")):
        only = Unpaired(**{kind: getattr(batch.unpaired, kind)})
        parts = parts_of(phase, replace(batch, unpaired=only))
        assert parts[f"ickd.{other}"] == pytest.approx(whole[f"ickd.{other}"])
        assert parts["ickd"] != whole["ickd"]


def test_both_towers_learn_from_what_has_no_pair(batch: Batch) -> None:
    def slopes(seen: Batch) -> dict[str, torch.Tensor]:
        phase = make_phase("distil+unpaired", SHAPE, Engine())
        backward(phase, seen, 0, Engine(), 2)
        named = phase.model.named_parameters()
        return {name: p.grad.clone() for name, p in named if p.grad is not None}

    alone, beside = slopes(replace(batch, unpaired=Unpaired())), slopes(batch)
    for name in ("image.projection", "text.projection"):
        assert not torch.allclose(alone[name], beside[name])
