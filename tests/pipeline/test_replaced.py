"""What `--from-stage` replaces: nothing whole is lost, whenever it is killed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tinyclip.config.schema import Recipe, Stage
from tinyclip.errors import UserError
from tinyclip.pipeline.foreign import foreign_in
from tinyclip.pipeline.replaced import Replaced, drop_leftovers, has_leftovers
from tinyclip.pipeline.request import Request
from tinyclip.pipeline.run_dir import RunDir
from tinyclip.pipeline.scheduler import execute

RECIPE = Recipe(stages=(Stage(target=0.75), Stage(target=0.5)))


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    """A whole run of two stages."""
    run = RunDir(tmp_path)
    for folder in run.stages(RECIPE):
        make(folder.path, "first", whole=True)
        run.metrics.write({"stage": folder.number, "phase": "distil", "step": 1})
    make(run.model, "first", whole=False)
    return run


def make(folder: Path, what: str, whole: bool) -> None:
    folder.mkdir(parents=True)
    (folder / "certificate.json").write_text(what)
    if whole:
        (folder / "done.json").touch()


def there(run: RunDir) -> dict[str, str]:
    return {
        str(path.parent.relative_to(run.path)): path.read_text()
        for path in run.path.rglob("certificate.json")
    }


def test_a_stage_and_the_model_are_set_aside_with_their_lines(run: RunDir) -> None:
    Replaced(run).take(2)
    assert sorted(there(run)) == [
        "replaced/2-75to50",
        "replaced/model",
        "stages/1-100to75",
    ]
    assert [record["stage"] for record in run.metrics.records()] == [1]


def test_an_attempt_that_was_killed_does_not_replace_the_whole_stage(
    run: RunDir,
) -> None:
    Replaced(run).take(2)
    make(run.path / "stages/2-75to50", "attempt", whole=False)
    Replaced(run).take(2)
    assert there(run)["replaced/2-75to50"] == "first"
    assert "attempt" not in there(run).values()


def test_two_that_are_whole_are_both_kept(run: RunDir) -> None:
    Replaced(run).take(2)
    make(run.path / "stages/2-75to50", "second", whole=True)
    Replaced(run).take(2)
    assert there(run)["replaced/2-75to50"] == "first"
    assert there(run)["replaced/2-75to50.2"] == "second"


def test_a_stage_of_the_recipe_before_goes_too_and_nothing_else(run: RunDir) -> None:
    make(run.path / "stages/3-50to40", "old", whole=True)
    make(run.path / "stages/2-notes", "theirs", whole=False)
    Replaced(run).take(2)
    assert there(run)["replaced/3-50to40"] == "old"
    assert there(run)["stages/2-notes"] == "theirs"


def test_a_damaged_line_is_told_before_anything_moves(run: RunDir) -> None:
    with run.metrics.path.open("a") as file:
        file.write("[]\n")
    before = there(run)
    with pytest.raises(UserError, match="line 3: is damaged"):
        Replaced(run).take(2)
    assert there(run) == before


def test_what_others_put_there_stays(
    run: RunDir, caplog: pytest.LogCaptureFixture
) -> None:
    (run.stages(RECIPE)[1].path / "notes").mkdir()
    (run.model / "notes.txt").write_text("mine")
    Replaced(run).take(1)
    Replaced(run).drop()
    left = [path.name for path in (run.path / "replaced").iterdir()]
    assert sorted(left) == ["2-75to50", "model"]
    assert "2-75to50 stays: the run did not write notes" in caplog.text


def test_an_attempt_that_holds_what_others_wrote_costs_no_whole_stage(
    run: RunDir,
) -> None:
    Replaced(run).take(2)
    make(run.path / "stages/2-75to50", "attempt", whole=False)
    (run.path / "stages/2-75to50" / "notes").mkdir()
    Replaced(run).take(2)
    assert there(run)["replaced/2-75to50"] == "first"
    assert there(run)["replaced/2-75to50.2"] == "attempt"


def test_the_final_model_takes_the_place_of_the_files_that_are_its_own(
    run: RunDir,
) -> None:
    (run.model / "notes.txt").write_text("mine")
    (run.model / "metrics.json").write_text("of the one before")
    (run.model / "mine").mkdir()
    (run.model / "mine" / "link").symlink_to("nowhere")
    stage = run.path / "other"
    make(stage, "new", whole=False)
    (stage / "theirs").symlink_to("nowhere")
    run.publish(stage)
    names = sorted(path.name for path in run.model.iterdir())
    assert names == ["certificate.json", "mine", "notes.txt"]
    assert (run.model / "certificate.json").read_text() == "new"
    assert (run.model / "mine" / "link").is_symlink()


def test_what_a_kill_left_in_a_whole_run_goes(run: RunDir) -> None:
    assert not has_leftovers(run, RECIPE)
    states = run.stages(RECIPE)[0].checkpoints
    states.mkdir()
    (states / "distil-00000003.json").touch()
    (run.path / "replaced").mkdir()
    assert has_leftovers(run, RECIPE)
    drop_leftovers(run, RECIPE)
    assert not has_leftovers(run, RECIPE)


def test_all_that_a_run_writes_is_known_to_be_its_own(
    cut_recipe: Callable[..., Recipe],
    pico_recipe: Callable[..., Recipe],
    tmp_path: Path,
) -> None:
    for name, recipe in {"cut": cut_recipe(), "smoke": pico_recipe()}.items():
        run = execute(Request(tmp_path / name, recipe))
        for folder in [*(stage.path for stage in run.stages(recipe)), run.model]:
            assert list(foreign_in(folder)) == []
