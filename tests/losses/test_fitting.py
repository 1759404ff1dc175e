"""Objectives that do not fit a recipe's teacher, told before anything is trained."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from tinyclip.config.load import load_recipe
from tinyclip.config.place import Place
from tinyclip.config.schema import Recipe
from tinyclip.errors import UserError
from tinyclip.losses.fitting import refuse_misfits
from tinyclip.shapes import ClipShape


def recipe(losses: dict[str, Any]) -> Recipe:
    whole = load_recipe("smoke")
    last = whole.stages[-1]
    last = replace(last, distil=replace(last.distil, losses=losses))
    return replace(whole, stages=(*whole.stages[:-1], last))


def test_options_that_no_student_of_the_teacher_can_have_are_refused(
    pico_shape: ClipShape,
) -> None:
    """Two patches to a side."""
    told = (
        r"^stages\[2\].distil.losses.tat: asks for 3 groups, and the image tower has 2"
    )
    with pytest.raises(UserError, match=told):
        refuse_misfits(
            recipe({"mimic": 1.0, "tat": {"groups": 3}}), pico_shape, Place()
        )


@pytest.mark.parametrize(
    "losses",
    [
        {"tat": {"groups": 2}, "layerwise": 1.0},
        {"mimic": 1.0, "tat": {"weight": 0.0, "groups": 3}},
    ],
)
def test_what_fits_or_has_no_weight_is_not_and_takes_no_chance(
    losses: dict[str, Any], pico_shape: ClipShape
) -> None:
    before = torch.get_rng_state()
    refuse_misfits(recipe(losses), pico_shape, Place())
    assert torch.equal(torch.get_rng_state(), before)


def test_a_sigmoid_is_refused_where_the_teacher_has_none(pico_shape: ClipShape) -> None:
    with pytest.raises(UserError, match=r"^stages\[2\].distil.losses.sigmoid: "):
        refuse_misfits(recipe({"sigmoid": 1.0}), pico_shape, Place())
