"""A family in one run: nested, from one basis, and as good as resumed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tinyclip import cost
from tinyclip.config.family import family_of
from tinyclip.config.schema import Recipe, Stage
from tinyclip.errors import Interrupted, UserError
from tinyclip.model.store import load_model
from tinyclip.pipeline.family import larger_member
from tinyclip.pipeline.request import Request
from tinyclip.pipeline.run_dir import RunDir
from tinyclip.pipeline.scheduler import execute

MakeRecipe = Callable[..., Recipe]
FEW = (
    "stages[*].phases=[rotate, allocate, inherit, solve]",
    "stages[*].sites=[dims, ffn, embed]",
    "stages[*].rotate.samples=64",
    "stages[*].allocate.samples=64",
    "stages[*].allocate.judged=32",
    "stages[*].allocate.tries=1",
    "stages[*].solve.samples=64",
)
SHARES = (0.8, 0.6, 0.45)


@pytest.fixture(scope="module")
def recipe(one_stage: MakeRecipe) -> Recipe:
    return family_of(one_stage(*FEW), SHARES)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, recipe: Recipe) -> RunDir:
    """A family that nobody interrupted."""
    return execute(Request(tmp_path_factory.mktemp("family") / "run", recipe))


@pytest.fixture
def copied(whole: RunDir, tmp_path: Path) -> RunDir:
    shutil.copytree(whole.path, tmp_path / "run")
    return RunDir(tmp_path / "run")


def files(run: RunDir) -> dict[str, bytes]:
    """What every stage says and weighs."""
    names = ("keep.json", "certificate.json", "allocation.json", "done.json")
    told = {
        f"{folder.number}/{name}": (folder.path / name).read_bytes()
        for folder in run.stages(run.recipe())
        for name in (*names, "model/model.safetensors", "model/config.json")
    }
    basis = {path.name: path.read_bytes() for path in run.basis.iterdir()}
    return {**told, **basis}


def test_every_member_has_its_share_of_the_teacher(whole: RunDir) -> None:
    sizes = json.loads((whole.path / "plan.json").read_text())["sizes"]
    for folder, share in zip(whole.stages(whole.recipe()), SHARES, strict=True):
        shape = load_model(folder.model).model.shape
        assert cost.size(shape, "encoder") / sizes["encoder"] == pytest.approx(
            share, rel=0.005
        )


def test_folders_say_that_each_member_comes_from_the_teacher(whole: RunDir) -> None:
    names = sorted(path.name for path in (whole.path / "stages").iterdir())
    assert names == ["1-100to80", "2-100to60", "3-100to45"]


def test_members_are_nested(whole: RunDir) -> None:
    keeps = [folder.keep() for folder in whole.stages(whole.recipe())]
    for larger, smaller in zip(keeps, keeps[1:], strict=False):
        assert larger is not None and smaller is not None
        for tower, inner in smaller.towers().items():
            outer = larger.towers()[tower]
            for site in ("dims", "ffn", "embed"):
                pairs = zip(inner.units[site], outer.units[site], strict=True)
                assert all(set(one.kept) <= set(other.kept) for one, other in pairs)


def test_the_curves_are_measured_once(whole: RunDir) -> None:
    told = [
        json.loads((folder.path / "allocation.json").read_text())
        for folder in whole.stages(whole.recipe())
    ]
    assert all(one["curves"] == told[0]["curves"] for one in told)
    assert [one.get("nested_in") for one in told] == [None, "1-100to80", "2-100to60"]


@pytest.mark.slow
def test_the_first_member_is_what_a_run_of_its_own_makes(
    whole: RunDir, recipe: Recipe, tmp_path: Path
) -> None:
    alone = replace(recipe.stages[0], start="previous")
    run = execute(Request(tmp_path / "run", replace(recipe, stages=(alone,))))
    mine = (whole.stages(recipe)[0].model / "model.safetensors").read_bytes()
    assert (run.model / "model.safetensors").read_bytes() == mine


@pytest.mark.slow
def test_stopped_after_each_member_and_resumed_it_is_the_same(
    whole: RunDir, recipe: Recipe, tmp_path: Path
) -> None:
    request = Request(tmp_path / "run", recipe)
    for _ in range(2):
        with pytest.raises(Interrupted):
            execute(request, stop=lambda: True)
        request = Request(tmp_path / "run", resume=True)
    assert files(execute(request)) == files(whole)


def test_a_member_that_is_made_again_is_the_same(whole: RunDir, copied: RunDir) -> None:
    assert files(execute(Request(copied.path, from_stage=2))) == files(whole)


@pytest.mark.slow
def test_a_basis_that_is_gone_is_made_anew(whole: RunDir, copied: RunDir) -> None:
    shutil.rmtree(copied.basis)
    assert files(execute(Request(copied.path, from_stage=3))) == files(whole)


@pytest.mark.parametrize("text", ["{}", "[]", '{"image": 1, "text": 2}'])
def test_a_damaged_keep_of_the_larger_member_is_refused(
    text: str, copied: RunDir
) -> None:
    shutil.rmtree(copied.stages(copied.recipe())[2].path)
    shutil.rmtree(copied.model)
    (copied.stages(copied.recipe())[1].path / "keep.json").write_text(text)
    with pytest.raises(UserError, match=r"keep\.json is not.*--from-stage 2"):
        execute(Request(copied.path, resume=True))


def test_a_keep_that_is_not_the_larger_members_own_is_refused(copied: RunDir) -> None:
    folders = copied.stages(copied.recipe())
    shutil.rmtree(folders[2].path)
    shutil.rmtree(copied.model)
    shutil.copy(folders[0].path / "keep.json", folders[1].path / "keep.json")
    with pytest.raises(UserError, match="is not what the student beside it kept"):
        execute(Request(copied.path, resume=True, accept_changes=True))


@pytest.mark.slow
def test_a_distilled_member_counts_its_own_samples(
    recipe: Recipe, tmp_path: Path
) -> None:
    phases = (*recipe.stages[0].phases, "distil")
    members = tuple(replace(stage, phases=phases) for stage in recipe.stages[:2])
    run = execute(Request(tmp_path / "run", replace(recipe, stages=members)))
    seen = [(folder.done() or {})["samples"] for folder in run.stages(run.recipe())]
    assert seen == [4 * 8, 4 * 8]


def test_a_member_is_nested_in_the_last_of_the_same_bases() -> None:
    phases = ("rotate", "allocate", "inherit")
    one = Stage(start="teacher", phases=phases, target=0.5)
    other = replace(one, rotate=replace(one.rotate, samples=128))
    by_hand = replace(one, phases=("manual", "inherit"))
    assert larger_member((one, one, one), 2) == 1
    assert larger_member((one, other, by_hand, one), 3) == 0
    assert larger_member((one, other), 1) is None
    assert larger_member((one, replace(one, start="previous")), 1) is None
