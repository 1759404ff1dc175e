"""What makes a run's bits is compared whole: libraries, teacher, data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tinyclip.config.schema import Recipe
from tinyclip.model.clip import Clip
from tinyclip.model.store import Loaded
from tinyclip.pipeline.changes import LIBRARIES, changed_world, environment, minor
from tinyclip.pipeline.context import RunContext
from tinyclip.pipeline.run_dir import RunDir
from tinyclip.pipeline.scheduler import Silent
from tinyclip.training.engine import Engine


@pytest.fixture(scope="module")
def world() -> dict[str, Any]:
    return environment(Engine("fp32"))


@pytest.fixture(scope="module")
def context(
    pico_recipe: Callable[..., Recipe], tmp_path_factory: pytest.TempPathFactory
) -> RunContext:
    """A run's, of the teacher as it is."""
    run = RunDir(tmp_path_factory.mktemp("run"))
    return RunContext.open(pico_recipe(), run, Engine("fp32"), Silent(), lambda: False)


def other(world: dict[str, Any], name: str, version: str) -> dict[str, Any]:
    return {**world, "libraries": {**world["libraries"], name: version}}


@pytest.mark.parametrize("name", LIBRARIES)
def test_another_version_of_a_library_is_told(world: dict[str, Any], name: str) -> None:
    told = list(changed_world(other(world, name, "0.1"), world))
    assert told == [f"{name}: 0.1 -> {world['libraries'][name]}"]


@pytest.mark.parametrize("name", LIBRARIES)
def test_a_patch_of_a_library_changes_nothing(world: dict[str, Any], name: str) -> None:
    patched = f"{minor(world['libraries'][name])}.99+other"
    assert not list(changed_world(other(world, name, patched), world))


def test_a_run_from_before_a_library_was_recorded_goes_on(
    world: dict[str, Any],
) -> None:
    before = {**world, "libraries": {"torch": world["libraries"]["torch"]}}
    assert not list(changed_world(before, world))


def changed(context: RunContext, teacher: Loaded) -> list[str]:
    """What of a run is another thing with another teacher."""
    again = replace(context, teacher=teacher, base=teacher, _known_fingerprints=None)
    was, now = context.fingerprints(), again.fingerprints()
    return [name for name in was if was[name] != now[name]]


def test_the_same_teacher_changes_nothing(context: RunContext) -> None:
    assert changed(context, context.teacher) == []


def test_another_activation_is_another_teacher(context: RunContext) -> None:
    shape = context.teacher.model.shape
    act = "gelu" if shape.image.activation != "gelu" else "quick_gelu"
    model = Clip(replace(shape, image=replace(shape.image, activation=act)))
    model.load_state_dict(context.teacher.model.state_dict())
    assert changed(context, replace(context.teacher, model=model)) == ["architecture"]


def test_another_transform_is_another_teacher(context: RunContext) -> None:
    preprocess = replace(context.teacher.preprocess, interpolation="bilinear")
    teacher = replace(context.teacher, preprocess=preprocess)
    assert changed(context, teacher) == ["transform"]


def test_another_tokenizer_is_another_teacher(context: RunContext) -> None:
    ids = context.teacher.tokenizer
    teacher = replace(context.teacher, tokenizer=lambda texts: ids(texts).flip(1))
    assert changed(context, teacher) == ["tokenizer"]
