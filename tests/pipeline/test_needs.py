"""What objectives need beside features, and whether a run has it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import pytest
import torch

from tinyclip import cost
from tinyclip.config.load import load_recipe
from tinyclip.config.place import Place
from tinyclip.config.schema import Recipe
from tinyclip.errors import UserError
from tinyclip.losses.needs import Masked, Need
from tinyclip.losses.objectives import Objectives, objectives, settle
from tinyclip.pipeline.caches import caching
from tinyclip.pipeline.estimate import (
    macs,
    macs_beside,
    runs_teacher,
    teaching_macs,
)
from tinyclip.pipeline.needs import needs_of, refuse_unprovided
from tinyclip.shapes import ClipShape


@dataclass(frozen=True, kw_only=True)
class Layers(Need):
    what: ClassVar[str] = "layers"
    runs_teacher: ClassVar[bool] = True


@dataclass(frozen=True, kw_only=True)
class Around(Need):
    what: ClassVar[str] = "neighbours"
    looks_around: ClassVar[bool] = True


@pytest.fixture(autouse=True)
def known() -> Iterator[None]:
    """`layers` and `around`, objectives that need such."""
    for name, kind in (("layers", Layers), ("around", Around)):

        def objective(_student: Any, _teacher: Any) -> Any:
            return torch.zeros(()), {}

        objectives.register(name, need=kind)(objective)
    yield
    for name in ("layers", "around"):
        del objectives._entries[name], objectives.needs[name]


def recipe(losses: dict[str, Any], **settings: Any) -> Recipe:
    whole = load_recipe("smoke")
    stages = tuple(
        replace(stage, distil=replace(stage.distil, losses=losses))
        for stage in whole.stages
    )
    return replace(whole, stages=stages, **settings)


def refusal(losses: dict[str, Any], **settings: Any) -> str:
    with pytest.raises(UserError) as caught:
        refuse_unprovided(recipe(losses, **settings))
    return str(caught.value)


def test_a_need_is_made_of_the_objectives_options() -> None:
    (asked,) = settle({"mfd": {"masked": 0.5}}, Place("x"))
    assert asked.need == Masked(share=0.5)
    (plain,) = settle({"mimic": 1.0}, Place("x"))
    assert plain.need is None


def test_what_no_cache_holds_is_refused_where_one_is_asked_for() -> None:
    told = refusal({"mimic": 1.0, "layers": 1.0}, cache_teacher="always")
    assert told.startswith("stages[0].distil.losses.layers: layers needs layers of the")
    assert "Leave cache_teacher: always out, or take layers out" in told
    told = refusal({"layers": 1.0}, cache="folder")
    assert "the cache that cache asks for holds features alone" in told


def test_what_is_found_in_a_cache_is_refused_where_there_is_none() -> None:
    told = refusal({"around": 1.0}, cache_teacher="never")
    assert "stages[0].distil.losses.around: around needs neighbours" in told
    assert "Leave cache_teacher out, or take around out" in told


def test_what_can_be_had_or_has_no_weight_is_not_refused() -> None:
    for losses in ({"layers": 1.0}, {"around": 1.0}, {"layers": 1.0, "around": 1.0}):
        refuse_unprovided(recipe(losses))
    refuse_unprovided(recipe({"layers": 0.0, "mimic": 1.0}, cache_teacher="always"))
    refuse_unprovided(recipe({"mfd": 1.0}, cache_teacher="always"))


def test_needs_of_a_recipe_are_those_of_phases_that_run() -> None:
    assert needs_of(recipe({"mimic": 1.0})) == []
    stages = len(load_recipe("smoke").stages)
    assert needs_of(recipe({"around": 1.0})) == [Around()] * stages


def test_a_plan_counts_what_is_encoded_beside(pico_shape: ClipShape) -> None:
    phase = recipe({"mfd": 1.0}).stages[0].distil
    image = macs_beside(phase, pico_shape)
    assert 0 < image < macs(pico_shape)
    assert macs_beside(recipe({"mimic": 1.0}).stages[0].distil, pico_shape) == 0
    assert not runs_teacher(phase)
    assert runs_teacher(recipe({"layers": 1.0}).stages[0].distil)


def test_a_plan_counts_what_the_teacher_encodes_beside(pico_shape: ClipShape) -> None:
    turned = recipe({"hsakd": 1.0}).stages[0].distil
    alone = recipe({"layers": 1.0}).stages[0].distil
    image = cost.tower_macs(pico_shape.image, pico_shape.embed_dim)
    assert macs_beside(turned, pico_shape) == 3 * image
    plain, more = (teaching_macs(x, pico_shape, [], True) for x in (alone, turned))
    assert plain == macs(pico_shape)
    assert more == plain + 3 * image
    inherit = recipe({"hsakd": 1.0}).stages[0].running()["inherit"]
    assert teaching_macs(inherit, pico_shape, [], False) == 0  # nobody teaches it


def test_a_registry_keeps_needs_by_name() -> None:
    assert Objectives().need("mfd", {}) is None


def test_what_a_run_caches_follows_from_what_is_needed() -> None:
    few, many = 10, 10**9  # pairs: fewer and more than the run sees
    assert caching(recipe({"mimic": 1.0}), few, 8)
    assert not caching(recipe({"mimic": 1.0}), many, 8)
    assert not caching(recipe({"layers": 1.0}), few, 8)
    assert caching(recipe({"layers": 1.0, "around": 1.0}), many, 8)
    assert not caching(recipe({"mimic": 1.0}, cache_teacher="never"), few, 8)
