"""What has no pair: who sees it, and what comes of it."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from formulas import FORMULAS, Side  # type: ignore[import-not-found]

from tinyclip.losses import objectives, weighted
from tinyclip.losses.objectives import objectives as registry
from tinyclip.losses.unpaired import IMAGE, TEXT, joined
from tinyclip.model.clip import Features

ALONE = sorted(registry.each_modality)
COUNTS = {"size": st.integers(2, 9), "images": st.integers(0, 6)}
COUNTS |= {"texts": st.integers(0, 6), "width": st.integers(3, 17)}
SEEDS = st.integers(0, 2**20)


def drawn(
    seed: int, size: int, width: int, images: int, texts: int, scale: float
) -> Features:
    draw = np.random.default_rng(seed)
    image, text, more_images, more_texts = (
        F.normalize(torch.from_numpy(draw.normal(size=(rows, width))), dim=-1)
        for rows in (size, size, images, texts)
    )
    more = {IMAGE: more_images, TEXT: more_texts}
    a = torch.tensor(scale, dtype=torch.float64)
    return Features(image, text, a, more=more)


def side(features: Features) -> Side:
    """All pictures, and all texts."""
    v = np.concatenate([features.image_BE.numpy(), features.more[IMAGE].numpy()])
    s = np.concatenate([features.text_BE.numpy(), features.more[TEXT].numpy()])
    return Side(v, s, float(features.scale))


def both(seed: int, **counts: int) -> tuple[Features, Features]:
    one = drawn(seed, scale=9.0, **counts)
    return one, drawn(seed + 1, scale=14.0, **counts)


def test_those_that_look_at_one_modality_say_so() -> None:
    assert {"feature", "fd", "ickd", "intra"} <= set(ALONE)
    assert not {"mimic", "affinity", "contrastive", "crd", "kd", "icl"} & set(ALONE)


@pytest.mark.parametrize("name", ["feature", "fd", "ickd", "intra"])
@settings(max_examples=25, deadline=None)
@given(seed=SEEDS, **COUNTS)
def test_the_value_is_that_of_the_formula_on_all_rows(
    name: str, seed: int, **counts: int
) -> None:
    mine, theirs = both(seed, **counts)
    expected = FORMULAS[name](side(mine), side(theirs))
    value = weighted({name: 1.0}, mine, theirs)[0]
    assert float(value) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("name", ["feature", "ickd", "intra"])
def test_rows_without_a_pair_have_their_gradient(name: str) -> None:
    """Against finite differences, of one number of each kind."""
    mine, theirs = both(3, size=4, images=3, texts=2, width=5)
    leaves = {key: row.requires_grad_() for key, row in mine.more.items()}
    value = weighted({name: 1.0}, mine, theirs)[0]
    gradients = torch.autograd.grad(value, list(leaves.values()))
    for (key, row), gradient in zip(leaves.items(), gradients, strict=True):
        moved = []
        for step in (1e-6, -1e-6):
            there = row.detach().clone()
            there[1, 2] += step
            at = replace(mine, more={**mine.more, key: there})
            plain = {name: value.detach() for name, value in at.more.items()}
            one = Side(*(side(replace(at, more=plain)).__dict__[n] for n in "vsa"))
            moved.append(FORMULAS[name](one, side(theirs)))
        slope = (moved[0] - moved[1]) / 2e-6
        assert float(gradient[1, 2]) == pytest.approx(slope, rel=1e-4, abs=1e-8)


@pytest.mark.parametrize("name", sorted(set(objectives) - registry.each_modality))
def test_the_others_see_the_pairs_alone(name: str) -> None:
    seen: list[Any] = []

    def spy(student: Features, teacher: Features) -> tuple[torch.Tensor, dict]:
        seen.extend((student, teacher))
        return student.image_BE.sum(), {}

    mine, theirs = both(3, size=4, images=3, texts=2, width=5)
    from tinyclip.config.place import Place
    from tinyclip.losses.objectives import settle

    (asked,) = settle({name: 1.0}, Place(path="losses"))
    weighted((replace(asked, loss=spy, make=None),), mine, theirs)
    assert [(len(x.image_BE), len(x.text_BE)) for x in seen] == [(4, 4)] * 2


def test_features_without_such_rows_are_left_as_they_are() -> None:
    plain = replace(both(3, size=4, images=0, texts=0, width=5)[0], more={})
    assert joined(plain) is plain


def test_what_other_objectives_need_stays_and_one_kind_may_be_absent() -> None:
    mine = both(3, size=4, images=3, texts=2, width=5)[0]
    own = torch.ones(4, 5)
    one = replace(mine, more={IMAGE: mine.more[IMAGE], "mfd.masked": own})
    whole = joined(one)
    assert (len(whole.image_BE), len(whole.text_BE)) == (7, 4)
    assert set(whole.more) == {"mfd.masked"}
