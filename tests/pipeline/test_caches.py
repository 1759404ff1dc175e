"""A run with a teacher cache that was made beforehand."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tinyclip.cli.main import main
from tinyclip.config.schema import Recipe
from tinyclip.errors import Interrupted, UserError
from tinyclip.formats.source import load_source
from tinyclip.model.store import Loaded
from tinyclip.pipeline.caches import fitting
from tinyclip.pipeline.request import Request
from tinyclip.pipeline.run_dir import RunDir
from tinyclip.pipeline.scheduler import execute
from tinyclip.training.teacher.live import LiveTeacher

VIEWS = ("data.augmentations=2", "data.crop=0.8", "seed=3")


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory, pairs_csv: Path) -> Path:
    """Made by the command line, of all pairs."""
    folder = tmp_path_factory.mktemp("cache") / "pico"
    options = ["--augmentations", "2", "--crop", "0.8", "--seed", "3"]
    source = ["--teacher", "builtin:pico", "--data", f"csv:{pairs_csv}"]
    assert main(["cache", *source, "--out", str(folder), *options]) == 0
    return folder


@pytest.fixture
def recipe(one_stage: Callable[..., Recipe], cache: Path) -> Callable[..., Recipe]:
    """One stage that uses the cache."""

    return lambda *sets: one_stage(*VIEWS, f"cache={cache}", *sets)


def weights(run: RunDir) -> bytes:
    return (run.model / "model.safetensors").read_bytes()


def test_a_run_with_a_cache_runs_the_teacher_to_verify_alone(
    recipe, tmp_path, monkeypatch
) -> None:
    runs: list[int] = []
    features = LiveTeacher.features

    def spy(self: LiveTeacher, batch: Any) -> Any:
        runs.append(len(batch))
        return features(self, batch)

    monkeypatch.setattr(LiveTeacher, "features", spy)
    run = execute(Request(tmp_path / "run", recipe()))
    assert runs == [64]
    assert not run.teacher_cache.exists()
    assert run.read("plan.json")["cached"] is True


def test_its_course_is_that_of_the_live_teacher(recipe, tmp_path) -> None:
    runs = {
        "stored": execute(Request(tmp_path / "stored", recipe())),
        "live": execute(Request(tmp_path / "live", replace(recipe(), cache=None))),
    }
    losses = {
        name: [line["loss"] for line in run.metrics.records()]
        for name, run in runs.items()
    }
    assert losses["stored"] == pytest.approx(losses["live"], rel=2e-3)
    assert losses["stored"] != losses["live"]  # features of 16 bits


def test_interrupted_and_resumed_it_gives_the_same_bytes(recipe, tmp_path) -> None:
    whole = execute(Request(tmp_path / "whole", recipe()))
    asked = iter(range(100))
    with pytest.raises(Interrupted):
        execute(Request(tmp_path / "run", recipe()), stop=lambda: next(asked) >= 6)
    run = execute(Request(tmp_path / "run", resume=True))
    assert weights(run) == weights(whole)


def test_a_resume_with_another_cache_in_its_place_is_refused(
    recipe, cache, pairs_csv, tmp_path
) -> None:
    place = tmp_path / "cache"
    shutil.copytree(cache, place)
    asked = iter(range(100))
    moved = replace(recipe(), cache=str(place))
    with pytest.raises(Interrupted):
        execute(Request(tmp_path / "run", moved), stop=lambda: next(asked) >= 1)
    shutil.rmtree(place)
    options = ["--augmentations", "2", "--crop", "0.8", "--seed", "3"]
    source = ["--teacher", "builtin:pico", "--data", f"csv:{pairs_csv}"]
    main(["cache", *source, "--out", str(place), *options, "--dtype", "bfloat16"])
    with pytest.raises(UserError, match="changed since this run began:\n  cache: "):
        execute(Request(tmp_path / "run", resume=True))


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("seed=4", "seed: 3 in the cache, 4 here"),
        ("data.crop=0.9", "crop: 0.8 in the cache, 0.9 here"),
        ("data.augmentations=1", "augmentations: 2 in the cache, 1 here"),
        ("teacher=builtin:pictoclip", "teacher: "),
        ("data.background=black", "transform.background: white in the cache, black"),
        ("cache_teacher=never", "cache_teacher is 'never'"),
    ],
)
def test_a_run_that_the_cache_does_not_fit_writes_nothing(
    recipe, tmp_path, setting, said
) -> None:
    with pytest.raises(UserError) as refused:
        execute(Request(tmp_path / "run", recipe(setting)))
    assert said in str(refused.value)
    assert not (tmp_path / "run").exists()


def test_a_trimmed_vocabulary_does_not_matter(recipe, tmp_path) -> None:
    run = execute(Request(tmp_path / "run", recipe("vocab=captions")))
    assert run.is_done(run.recipe())


def test_tokenizers_are_told_apart_by_their_ids(pico_loaded: Loaded) -> None:
    pico = load_source("builtin:pico")
    recipe = Recipe()
    mine = fitting(recipe, pico, "x")
    other = fitting(recipe, replace(pico, tokenizer=pico_loaded.tokenizer), "x")
    assert {k for k in mine if mine[k] != other[k]} == {"tokenizer"}
    assert mine == fitting(recipe, load_source("builtin:pico"), "x")
