"""What a plan says against its recipe."""

from __future__ import annotations

import pytest

from tinyclip.config.load import load_recipe
from tinyclip.pipeline.advice import MEASURED, advice_of


def test_few_samples_to_learn_masks_with_are_told_the_closed_form() -> None:
    (sentence,) = advice_of(load_recipe("smoke"))
    assert sentence.startswith("768 samples are few")
    assert "tinyclip compress cut" in sentence


@pytest.mark.parametrize("name", ["cut", "demo", "standard"])
def test_the_closed_form_is_told_nothing(name: str) -> None:
    assert advice_of(load_recipe(name)) == ()


def test_more_samples_than_were_compared_are_told_nothing() -> None:
    recipe = load_recipe("vit-b-32-paper")
    assert sum(sum(stage.steps.values()) for stage in recipe.stages) > MEASURED
    assert advice_of(recipe) == ()


def test_masks_learned_in_the_basis_are_told_what_sharing_by_the_closed_form_kept() -> (
    None
):
    in_basis = (
        'stages[*].phases=["rotate", "learn", "inherit", "solve", "distil"]',
        "stages[*].sites=[dims, ffn, embed]",
        "stages[*].learn.train_weights=false",
    )
    (sentence,) = advice_of(load_recipe("smoke", in_basis))
    assert "learned in the basis kept 91 %" in sentence
    assert "[rotate, allocate, inherit, solve, distil]" in sentence
