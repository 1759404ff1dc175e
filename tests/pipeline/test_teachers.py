"""Students of earlier stages teach later ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tinyclip.config.load import load_recipe
from tinyclip.config.phases.distil import Distil
from tinyclip.config.schema import Recipe
from tinyclip.errors import Interrupted, UserError
from tinyclip.model.clip import Clip
from tinyclip.pipeline.caches import caching
from tinyclip.pipeline.needs import refuse_unprovided
from tinyclip.pipeline.plan import plan_stage, stage_fingerprints
from tinyclip.pipeline.request import Request
from tinyclip.pipeline.run_dir import RunDir
from tinyclip.pipeline.scheduler import execute
from tinyclip.pipeline.stage_context import StageContext
from tinyclip.pipeline.teachers import EarlierStudent, made_of
from tinyclip.shapes import ClipShape
from tinyclip.training.teacher.live import LiveTeacher

MakeRecipe = Callable[..., Recipe]
STUDENT = "model.safetensors"


def asking(teachers: str, *more: str) -> tuple[str, ...]:
    return (
        f"stages[*].distil.teachers={teachers}",
        f"stages[*].learn.teachers={teachers}",
        *more,
    )


def models(run: RunDir) -> list[bytes]:
    folders = run.stages(run.recipe())
    return [(folder.model / STUDENT).read_bytes() for folder in folders]


def stop_at(question: int) -> Callable[[], bool]:
    asked = iter(range(10**9))
    return lambda: next(asked) >= question


@pytest.mark.parametrize("teachers", ["previous_stage", "all_stages"])
def test_a_run_under_earlier_students_resumes_to_the_byte(
    pico_recipe: MakeRecipe, tmp_path: Path, teachers: str
) -> None:
    recipe = pico_recipe(*asking(teachers), "cache_teacher=never")
    whole = execute(Request(tmp_path / "whole", recipe))
    out = tmp_path / "run"
    with pytest.raises(Interrupted):
        execute(Request(out, recipe), stop=stop_at(13))  # in stage 2
    assert (out / "stages").exists() and not (out / "model").exists()
    run = execute(Request(out, resume=True))
    assert models(run) == models(whole)
    plain = execute(Request(tmp_path / "plain", pico_recipe("cache_teacher=never")))
    assert models(plain)[0] == models(whole)[0]  # the first has no assistants
    assert models(plain)[1] != models(whole)[1]


def test_who_teaches_which_stage(
    pico_recipe: MakeRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[str, list[int], bool]] = []
    plain = StageContext.beside

    def beside(stage: StageContext, phase: Any) -> Any:
        found = plain(stage, phase)
        first = stage.teacher(phase)
        assert isinstance(first, LiveTeacher)
        models = [first, *found.assistants]
        sizes = [_size(one.model) for one in models]  # type: ignore[attr-defined]
        seen.append((phase.teachers, sizes, first.model is stage.run.teacher.model))
        return found

    monkeypatch.setattr(StageContext, "beside", beside)
    sets = ("stages[*].phases=[manual, inherit, distil]", "cache_teacher=never")
    sets += tuple(f"stages[{n}].distil.teachers=all_stages" for n in (0, 1))
    recipe = pico_recipe(*sets, "stages[2].distil.teachers=previous_stage")
    run = execute(Request(tmp_path / "run", recipe))
    done = [_done(folder)["sizes"]["total"] for folder in run.stages(recipe)]
    (_, first, runs), (_, second, runs_too), (_, third, not_the_runs) = seen
    assert runs and runs_too and not not_the_runs
    assert second == [*first, done[0]]
    assert third == [done[1]]


def _size(model: Clip) -> int:
    return sum(value.numel() for value in model.state_dict().values())


def _done(folder: Any) -> dict[str, Any]:
    done = folder.done()
    assert done is not None
    return dict(done)


def test_a_stage_that_starts_from_the_teacher_has_assistants_all_the_same(
    cut_recipe: MakeRecipe, tmp_path: Path
) -> None:
    sets = ("stages[*].distil.teachers=all_stages", "stages[*].distil.dropped=0.0")
    recipe = cut_recipe(*sets)
    stage = replace(
        recipe.stages[0],
        phases=("rotate", "allocate", "inherit", "solve", "distil"),
        start="teacher",
    )
    two = (replace(stage, target=0.75), replace(stage, target=0.5))
    whole = execute(Request(tmp_path / "run", replace(recipe, stages=two)))
    alone = tuple(
        replace(one, distil=replace(one.distil, teachers="run", dropped=0.25))
        for one in two
    )
    plain = execute(Request(tmp_path / "plain", replace(recipe, stages=alone)))
    assert models(whole)[0] == models(plain)[0]
    assert models(whole)[1] != models(plain)[1]


def test_a_teacher_that_was_changed_is_noticed() -> None:
    stage = load_recipe("smoke", asking("all_stages")).stages[1]
    plain = load_recipe("smoke").stages[1]

    def student(weights: str) -> EarlierStudent:
        return EarlierStudent(None, None, weights)  # type: ignore[arg-type]

    before = [student("a"), student("b")]
    made = made_of(stage, before, "b")
    assert made != made_of(stage, [student("c"), student("b")], "b")
    assert made == made_of(stage, before, "b")
    assert made_of(plain, before, "b") == "b"
    assert made_of(stage, [], None) is None


def test_settings_that_came_later_leave_old_fingerprints_as_they_were() -> None:
    recipe = load_recipe("smoke")
    other = load_recipe("smoke", asking("all_stages"))
    written = stage_fingerprints(recipe, {})
    assert written != stage_fingerprints(other, {})
    assert "teachers" not in str(_plain(recipe))


def _plain(recipe: Recipe) -> Any:
    from tinyclip.config.load import recipe_to_dict
    from tinyclip.config.setting import without_later

    return without_later(Recipe, recipe_to_dict(recipe))


def test_a_plan_counts_those_who_teach(pico_shape: ClipShape) -> None:
    def flops(*sets: str, cached: bool = True) -> list[float]:
        recipe = load_recipe("smoke", sets)
        plans = [plan_stage(recipe, n, pico_shape, cached, 1e9) for n in (1, 2, 3)]
        return [plan["flops_per_step"]["distil"] for plan in plans]

    alone, live = flops(), flops(cached=False)
    one, all_ = flops(*asking("previous_stage")), flops(*asking("all_stages"))
    assert one[0] == all_[0] == alone[0]
    assert alone[1] < one[1] == all_[1] < live[1]
    assert one[2] < all_[2]
    assert flops(*asking("previous_stage"), cached=False)[1] == one[1]


def test_a_teacher_that_is_asked_in_one_stage_alone_is_not_worth_a_cache() -> None:
    width, recipe = 8, load_recipe("smoke", asking("previous_stage"))
    steps = recipe.stages[0].batch * 16
    assert caching(recipe, steps - 1, width)
    assert not caching(recipe, steps, width)
    assert caching(load_recipe("smoke"), steps, width)


def test_drops_without_anybody_to_drop_are_refused() -> None:
    recipe = load_recipe("smoke", ("stages[1].distil.dropped=0.5",))
    with pytest.raises(UserError, match="nothing|drops earlier students") as caught:
        refuse_unprovided(recipe)
    assert str(caught.value).startswith("stages[1].distil.dropped")
    refuse_unprovided(load_recipe("smoke", asking("all_stages")))


def test_which_earlier_students_teach() -> None:
    def of(teachers: Any, count: int) -> list[int]:
        return list(Distil(teachers=teachers).earlier_teachers(count))

    assert of("run", 3) == []
    assert (of("previous_stage", 0), of("previous_stage", 3)) == ([], [2])
    assert (of("all_stages", 0), of("all_stages", 3)) == ([], [0, 1, 2])
    assert not Distil(teachers="previous_stage").asks_run_teacher(1)
    assert Distil(teachers="previous_stage").asks_run_teacher(0)
