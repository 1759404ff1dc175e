"""Phases in the basis, from a recipe to a model that is measured and exported."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tinyclip import cost
from tinyclip.config.phases.allocate import SHARES
from tinyclip.config.schema import Recipe
from tinyclip.errors import Interrupted, UserError
from tinyclip.formats.source import load_source
from tinyclip.inherit.slicing import inherit
from tinyclip.keep import keep_from_dict
from tinyclip.model.store import load_model
from tinyclip.pipeline.request import Request
from tinyclip.pipeline.run_dir import RunDir
from tinyclip.pipeline.scheduler import execute

MakeRecipe = Callable[..., Recipe]
TEACHERS = ("builtin:pico", "builtin:pico-siglip")
DISTIL = "stages[*].phases=[rotate, allocate, inherit, solve, distil]"


def read(folder: Path, name: str) -> dict[str, Any]:
    value: dict[str, Any] = json.loads((folder / name).read_text())
    return value


def weights(run: RunDir) -> list[bytes]:
    folders = run.stages(run.recipe())
    return [(folder.model / "model.safetensors").read_bytes() for folder in folders]


def assert_met(run: RunDir, share: float, budget: str = "encoder") -> None:
    teacher = load_source(run.recipe().teacher).model.shape
    student = load_model(run.model).model.shape
    counted = cost.size(student, budget) / cost.size(teacher, budget)
    assert counted == pytest.approx(share, rel=0.005)


@pytest.fixture(scope="module", params=TEACHERS)
def cut(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    cut_recipe: MakeRecipe,
) -> RunDir:
    """A cut to a half, without training."""
    out = tmp_path_factory.mktemp("cut") / "run"
    recipe = cut_recipe(f"teacher={request.param}", "evaluate=true")
    return execute(Request(out, recipe))


def test_a_cut_without_training_has_the_size_that_was_asked_for(cut: RunDir) -> None:
    assert_met(cut, 0.5)
    assert not cut.metrics.records()


def test_it_is_certified_three_times(cut: RunDir) -> None:
    certificate = read(cut.model, "certificate.json")
    assert certificate["max_abs_diff"] <= 1e-5
    assert certificate["rotated"]["max_abs_diff"] <= 1e-5
    assert certificate["solved"]["max_abs_diff"] <= 1e-3
    assert certificate["n"] == certificate["rotated"]["n"] == 64


def test_a_stage_tells_what_the_basis_holds_and_what_was_lost(cut: RunDir) -> None:
    (stage,) = cut.stages(cut.recipe())
    teacher = load_source(cut.recipe().teacher).model.shape
    spectra = read(stage.path, "rotation.json")["spectra"]
    for name, tower in teacher.towers().items():
        assert len(spectra[name]) == tower.width - 1
        assert sum(spectra[name]) == pytest.approx(1)
    told = read(stage.path, "allocation.json")
    assert (
        told["judged"] == 3 * len(SHARES) + 1 + 1
    )  # sites alone, and two students of a half
    assert 0 < told["verdict"]["both"]
    lost = read(stage.path, "solution.json")["lost"]
    assert all(0 <= share <= 1 for blocks in lost.values() for share in blocks)


def test_the_student_is_solved_and_not_only_sliced(cut: RunDir) -> None:
    (stage,) = cut.stages(cut.recipe())
    keep = keep_from_dict(read(stage.path, "keep.json"))
    teacher = load_source(cut.recipe().teacher).model
    student = load_model(cut.model).model
    assert student.shape.image.width == len(keep.image.units["embed"][0])
    assert student.shape.image.full_width == teacher.shape.image.width
    assert all(value.isfinite().all() for value in student.state_dict().values())
    with pytest.raises(ValueError):  # the keep is of the model in its basis
        inherit(teacher, keep)


def test_its_quality_is_measured(cut: RunDir) -> None:
    tasks = read(cut.model, "metrics.json")["tasks"]
    assert tasks and all(entry for entry in tasks)


@pytest.mark.parametrize("teacher", TEACHERS)
@pytest.mark.parametrize(
    "sets",
    [
        ("layout=uniform",),
        ("budget=total", "stages[0].target=0.8"),
        ("budget=macs",),
        ("budget=bytes", "stages[0].target=0.8"),
        ("towers=[image]",),
        ("stages[*].sites=[ffn, embed]",),
    ],
    ids=str,
)
def test_any_size_of_any_kind_is_cut(
    teacher: str, sets: tuple[str, ...], cut_recipe: MakeRecipe, tmp_path: Path
) -> None:
    recipe = cut_recipe(f"teacher={teacher}", *sets)
    if recipe.layout == "uniform" and "siglip" in teacher:
        with pytest.raises(UserError, match="pool keeps its full width"):
            execute(Request(tmp_path / "run", recipe))
        assert not (tmp_path / "run").exists()  # told before anything is done
        return
    run = execute(Request(tmp_path / "run", recipe))
    if recipe.towers != ("image", "text"):
        keep = read(run.stages(recipe)[0].path, "keep.json")["text"]
        assert keep["layers"]["kept"] == list(range(keep["layers"]["total"]))
        return
    target = recipe.stages[0].target
    assert target is not None
    assert_met(run, target, recipe.budget)
    if recipe.layout == "uniform":
        shape = load_model(run.model).model.shape
        assert shape.text.is_uniform


def test_the_other_tower_is_the_turned_one_bit_for_bit(
    cut_recipe: MakeRecipe, tmp_path: Path
) -> None:
    whole = ("towers=[image]", "stages[0].target=0.6")
    runs = [
        execute(Request(tmp_path / f"run-{target}", cut_recipe(*whole, target)))
        for target in ("stages[0].target=0.6", "stages[0].target=0.8")
    ]
    one, two = (load_model(run.model).model.state_dict() for run in runs)
    same = [name for name in one if name.startswith("text.")]
    assert same and all(torch.equal(one[name], two[name]) for name in same)


@pytest.fixture(scope="module")
def distilled(
    tmp_path_factory: pytest.TempPathFactory, cut_recipe: MakeRecipe
) -> RunDir:
    """A cut that learns from its teacher, in two stages: the second turns again."""
    out = tmp_path_factory.mktemp("distilled") / "run"
    return execute(Request(out, two_stages(cut_recipe)))


def two_stages(cut_recipe: MakeRecipe) -> Recipe:
    return cut_recipe(
        "stages=[{target: 0.75}, {target: 0.5}]",
        "stages[*].phases=[rotate, allocate, inherit, solve, distil]",
        "stages[*].sites=[dims, ffn, embed]",
        *(
            "stages[*].rotate.samples=64",
            "stages[*].allocate={samples: 64, judged: 32, tries: 0}",
            "stages[*].solve.samples=64",
            "stages[*].distil={steps: 4, optim: {warmup: 2}}",
            "stages[*].batch=8",
        ),
    )


def test_a_rotated_student_turns_again_and_is_cut_on(distilled: RunDir) -> None:
    assert_met(distilled, 0.5)
    first, second = (
        load_model(folder.model).model.shape
        for folder in distilled.stages(distilled.recipe())
    )
    assert second.image.width <= first.image.width
    assert second.image.full_width == first.image.full_width
    assert [r["phase"] for r in distilled.metrics.records()] == ["distil"] * 8


@pytest.mark.parametrize("steps", [1, 2, 6])
def test_stopped_in_distil_and_resumed_gives_the_same_bytes(
    steps: int, distilled: RunDir, cut_recipe: MakeRecipe, tmp_path: Path
) -> None:
    asked = iter(range(10**6))
    out = tmp_path / "run"
    with pytest.raises(Interrupted, match="--resume --out"):
        execute(Request(out, two_stages(cut_recipe)), stop=lambda: next(asked) >= steps)
    assert weights(execute(Request(out, resume=True))) == weights(distilled)


def test_redone_from_its_second_stage_it_gives_the_same_bytes(
    distilled: RunDir,
) -> None:
    before = weights(distilled)
    assert weights(execute(Request(distilled.path, from_stage=2))) == before


def test_gates_learn_in_the_basis_before_the_solve(
    cut_recipe: MakeRecipe, tmp_path: Path
) -> None:
    recipe = cut_recipe(
        "stages[*].phases=[rotate, learn, inherit, solve, distil]",
        "stages[*].learn.init=carried",
    )
    run = execute(Request(tmp_path / "run", recipe))
    assert_met(run, 0.5)
    kinds = {record["phase"] for record in run.metrics.records()}
    assert kinds == {"learn", "distil"}
    assert "solved" in read(run.model, "certificate.json")
