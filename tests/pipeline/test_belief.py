"""What a resume believes of a run's folder, and what it refuses."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tinyclip.config.schema import Recipe, Stage
from tinyclip.errors import UserError
from tinyclip.pipeline.belief import (
    Link,
    believed,
    refuse_edited,
    seal_stage,
    weights_of,
    with_recipe,
)
from tinyclip.pipeline.run_dir import RunDir, StageDir

RECIPE = Recipe(stages=(Stage(target=0.5),))
WORLD = {"device": "cpu", "threads": 2, "libraries": {"torch": "2.9.0"}}
PLAN = {"fingerprints": {"teacher": "1"}, "sizes": {"total": 2, "encoder": 1}}
Change = Callable[[StageDir], None]


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    """A run with a recipe, a world, a plan and a whole first stage."""
    run = RunDir(tmp_path / "run")
    run.make()
    run.begin(RECIPE)
    run.write("environment.json", WORLD)
    run.write("plan.json", with_recipe(PLAN, RECIPE))
    folder = stage_of(run)
    folder.write("keep.json", {"image": 1})
    folder.model.mkdir()
    (folder.model / "model.safetensors").write_bytes(bytes(100))
    (folder.model / "config.json").write_text("{}")
    (folder.model / "README.md").write_text("words")
    seal_stage(folder, "settings", "before", {"samples": 48, "sizes": {"total": 2}})
    return run


def stage_of(run: RunDir) -> StageDir:
    return run.stages(RECIPE)[0]


def link(run: RunDir, accept: bool = False) -> Link:
    return Link(run, "settings", "before", accept, main=True)


def test_a_stage_as_the_run_wrote_it_is_gone_on_from(run: RunDir) -> None:
    (stage_of(run).model / "README.md").write_text("other words")  # nobody reads it
    done = link(run).done(stage_of(run))
    assert done is not None
    assert done["samples"] == 48
    assert weights_of(stage_of(run)) == done["files"]["model/model.safetensors"]


def test_what_somebody_put_beside_the_model_stops_nothing(run: RunDir) -> None:
    (stage_of(run).model / "notes.txt").write_text("it works")
    assert link(run).done(stage_of(run)) is not None


def test_a_stage_that_is_not_whole_says_nothing(run: RunDir) -> None:
    (stage_of(run).path / "done.json").unlink()
    assert link(run).done(stage_of(run)) is None


def flip_a_bit(folder: StageDir) -> None:
    weights = bytearray((folder.model / "model.safetensors").read_bytes())
    weights[50] ^= 0x20
    (folder.model / "model.safetensors").write_bytes(weights)


def count_one_more(folder: StageDir) -> None:
    path = folder.path / "done.json"
    path.write_text(path.read_text().replace("48", "49"))


def lose_the_configuration(folder: StageDir) -> None:
    (folder.model / "config.json").unlink()


def add_a_vocabulary(folder: StageDir) -> None:
    (folder.model / "tokenizer").mkdir()
    (folder.model / "tokenizer" / "bpe.txt").write_text("a b")


def change_the_keep(folder: StageDir) -> None:
    (folder.path / "keep.json").write_text('{"image": 2}')


def take_the_seal_away(folder: StageDir) -> None:
    path = folder.path / "done.json"
    done = json.loads(path.read_text())
    path.write_text(
        json.dumps({k: done[k] for k in ("fingerprint", "samples", "sizes")})
    )


CHANGES = [
    (flip_a_bit, r"model/model\.safetensors is not what the run wrote"),
    (count_one_more, r"done\.json was changed since"),
    (lose_the_configuration, r"model/config\.json is missing"),
    (add_a_vocabulary, r"model/tokenizer/bpe\.txt was not there"),
    (change_the_keep, r"keep\.json is not what the run wrote"),
    (take_the_seal_away, r"done\.json has no seal"),
]


@pytest.mark.parametrize(("change", "words"), CHANGES)
def test_a_changed_stage_is_refused_with_what_differs(
    run: RunDir, change: Change, words: str
) -> None:
    change(stage_of(run))
    with pytest.raises(UserError, match=words) as refused:
        link(run).done(stage_of(run))
    assert f"tinyclip compress --out {run.path} --from-stage 1" in str(refused.value)
    assert "--accept-changes" in str(refused.value)


@pytest.mark.parametrize(("change", "words"), CHANGES)
def test_a_changed_stage_that_is_accepted_is_told_and_sealed_anew(
    run: RunDir, change: Change, words: str, caplog: pytest.LogCaptureFixture
) -> None:
    change(stage_of(run))
    with caplog.at_level(logging.WARNING):
        taken = link(run, accept=True).done(stage_of(run))
    assert "Going on all the same" in caplog.text
    assert link(run).done(stage_of(run)) == {**(stage_of(run).done() or {})}
    assert taken is not None


def test_a_stage_of_other_settings_or_weights_is_refused(run: RunDir) -> None:
    with pytest.raises(UserError, match="was made with other settings"):
        replace(link(run), fingerprint="others").done(stage_of(run))
    with pytest.raises(UserError, match="was made from other weights"):
        replace(link(run), made_from="others").done(stage_of(run))


def test_settings_that_were_accepted_are_remembered(run: RunDir) -> None:
    accepting = replace(link(run, accept=True), fingerprint="others")
    accepting.done(stage_of(run))
    done = stage_of(run).done()
    assert done is not None
    assert (done["fingerprint"], done["accepted"]) == ("others", ["settings"])


def test_an_edited_recipe_is_refused_with_the_setting(run: RunDir) -> None:
    text = run.recipe_file.read_text()
    run.recipe_file.write_text(text.replace("seed: 0", "seed: 7"))
    with pytest.raises(UserError, match="seed: 0 -> 7.*--set and --from-stage"):
        refuse_edited(run, accept=False)
    refuse_edited(run, accept=True)


def test_a_recipe_of_before_seals_is_refused_with_the_reason(run: RunDir) -> None:
    run.recipe_file.write_text(run.recipe_file.read_text().split("# seal")[0])
    with pytest.raises(UserError, match="has no seal.*--accept-changes"):
        refuse_edited(run, accept=False)


def test_a_recipe_as_the_run_wrote_it_is_taken(run: RunDir) -> None:
    refuse_edited(run, accept=False)
    assert run.recipe() == RECIPE


@pytest.mark.parametrize("name", ["plan.json", "environment.json"])
@pytest.mark.parametrize("text", ["{}", "[]", "null", "[" * 100_000, '{"threads": -1}'])
def test_damaged_state_is_refused_and_can_be_accepted(
    run: RunDir, name: str, text: str
) -> None:
    (run.path / name).write_text(text)
    with pytest.raises(UserError, match=rf"{name}: is .*--accept-changes"):
        believed(run, name, accept=False)
    assert believed(run, name, accept=True) is None


def test_an_edited_world_is_refused(run: RunDir) -> None:
    path = run.path / "environment.json"
    path.write_text(path.read_text().replace('"threads": 2', '"threads": 3'))
    with pytest.raises(UserError, match=r"environment\.json: was changed"):
        believed(run, "environment.json", accept=False)
    world = believed(run, "environment.json", accept=True)
    assert world is not None
    assert world["threads"] == 3
