"""Runs that have pictures and texts beside their pairs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tinyclip.config.schema import Recipe
from tinyclip.data.unpaired import UnpairedSources
from tinyclip.errors import Interrupted, UserError
from tinyclip.pipeline.estimate import plan_stage
from tinyclip.pipeline.make_cache import cache
from tinyclip.pipeline.request import Request
from tinyclip.pipeline.run_dir import RunDir
from tinyclip.pipeline.run_unpaired import RunUnpaired
from tinyclip.pipeline.scheduler import dry_run, execute
from tinyclip.pipeline.summary import summary
from tinyclip.pipeline.unpaired import (
    cached_kinds,
    refuse_unused,
    seen_by,
    seen_until,
    step_macs,
)
from tinyclip.shapes import ClipShape

LOSSES = "{mimic: 1, feature: 1, intra: 1}"
BOTH = tuple(f"stages[*].{phase}.losses={LOSSES}" for phase in ("learn", "distil"))
FEW = ("stages[*].images=4", "stages[*].texts=6")


@pytest.fixture
def beside(tmp_path: Path, pairs_csv: Path) -> tuple[str, ...]:
    """Settings that name 24 pictures and 30 texts of the test's own."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(24):
        shutil.copy(pairs_csv.parent / f"{number}.png", folder)
    texts = tmp_path / "texts.txt"
    texts.write_text("\n".join(f"a text of its own, {i}" for i in range(30)))
    return (f"data.images=folder:{folder}", f"data.texts={texts}")


def weights(run: RunDir) -> list[bytes]:
    folders = run.stages(run.recipe())
    return [(folder.model / "model.safetensors").read_bytes() for folder in folders]


def stop_at(question: int) -> Callable[[], bool]:
    asked = iter(range(10**9))
    return lambda: next(asked) >= question


def refusal(recipe: Recipe, folder: Path) -> str:
    with pytest.raises(UserError) as caught:
        dry_run(recipe, RunDir(folder / "run"))
    assert not (folder / "run").exists()
    return str(caught.value)


def losses(run: RunDir) -> list[dict[str, Any]]:
    return [line["parts"] for line in run.metrics.records()]


def test_it_resumes_to_the_byte_in_either_phase(
    one_stage: Callable[..., Recipe], beside: tuple[str, ...], tmp_path: Path
) -> None:
    recipe = one_stage(*beside, *BOTH, *FEW, "stages[*].accumulate=3")
    whole = execute(Request(tmp_path / "whole", recipe))
    out, request = tmp_path / "run", Request(tmp_path / "run", recipe)
    for question in (2, 3):  # after learn's third step, then in distil
        with pytest.raises(Interrupted):
            execute(request, stop=stop_at(question))
        request = Request(out, resume=True)
    run = execute(request)
    assert weights(run) == weights(whole)
    assert losses(run) == losses(whole)


def test_cached_features_give_the_course_of_live_ones(
    one_stage: Callable[..., Recipe], beside: tuple[str, ...], tmp_path: Path
) -> None:
    runs = {}
    for kind in ("always", "never"):
        recipe = one_stage(*beside, *BOTH, *FEW, f"cache_teacher={kind}")
        runs[kind] = execute(Request(tmp_path / kind, recipe))
    for cached, live in zip(*map(losses, runs.values()), strict=True):
        assert cached == pytest.approx(live, rel=1e-4)
    found = {
        kind: runs["always"].cache_of(kind).exists() for kind in ("images", "texts")
    }
    assert found == {"images": True, "texts": True}
    assert not any(runs["never"].cache_of(kind).exists() for kind in found)
    # 5 steps of learn and 4 of distil
    lines = [*runs["always"].metrics.records()]
    assert [line["images"] for line in lines] == [4 * n for n in range(1, 10)]
    assert [line["texts"] for line in lines] == [6 * n for n in range(1, 10)]
    (student,) = summary(runs["always"])["students"]
    assert student["samples"] == {"pairs": 72, "images": 36, "texts": 54}
    card = (runs["always"].model / "README.md").read_text()
    assert "- images\\_seen: 36" in card or "- images_seen: 36" in card
    plan = runs["always"].read("plan.json")
    assert plan["unpaired"] == {"images": 24, "texts": 30}
    assert plan["stages"][0]["unpaired"] == {"images": 36, "texts": 54}


def test_a_phase_whose_objectives_cannot_use_them_sees_none(
    one_stage: Callable[..., Recipe], beside: tuple[str, ...], tmp_path: Path
) -> None:
    recipe = one_stage(*beside, BOTH[1])
    run = execute(Request(tmp_path / "run", recipe))
    alone = execute(Request(tmp_path / "alone", one_stage(BOTH[1])))
    of_learn = [
        [line["loss"] for line in one.metrics.records() if line["phase"] == "learn"]
        for one in (run, alone)
    ]
    assert of_learn[0] == of_learn[1]
    assert losses(run)[-1] != losses(alone)[-1]


def test_broken_pictures_are_named_and_counted(
    one_stage: Callable[..., Recipe],
    beside: tuple[str, ...],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    (tmp_path / "pictures" / "3.png").write_bytes(b"no picture")
    recipe = one_stage(*beside, *BOTH, "data.max_broken_share=0.05")
    run = execute(Request(tmp_path / "run", recipe))
    named = [
        json.loads(x) for x in (run.path / "skipped.jsonl").read_text().split("\n")[:-1]
    ]
    source = f"folder:{tmp_path}/pictures"
    assert [line["key"] for line in named] == [f"{source}: 3.png"]
    assert "1 broken samples were skipped" in caplog.text
    strict = one_stage(*beside, *BOTH)
    with pytest.raises(UserError, match=r"3\.png: not a picture"):
        execute(Request(tmp_path / "strict", strict))


def test_a_resume_with_other_texts_is_refused(
    one_stage: Callable[..., Recipe], beside: tuple[str, ...], tmp_path: Path
) -> None:
    recipe = one_stage(*beside, *BOTH)
    with pytest.raises(Interrupted):
        execute(Request(tmp_path / "run", recipe), stop=stop_at(1))
    (tmp_path / "texts.txt").write_text("\n".join(f"other {i}" for i in range(30)))
    with pytest.raises(UserError, match="changed since this run began:\n  texts: "):
        execute(Request(tmp_path / "run", resume=True))


def test_a_trimmed_vocabulary_keeps_what_texts_use(
    one_stage: Callable[..., Recipe], beside: tuple[str, ...], tmp_path: Path
) -> None:
    """Texts are all of words that no caption has."""
    sizes = []
    for sets in ((), beside):
        recipe = one_stage(*sets, *BOTH, "vocab=captions")
        run = execute(Request(tmp_path / f"run{len(sizes)}", recipe))
        config = json.loads((run.model / "config.json").read_text())
        sizes.append(config["shape"]["text"]["vocab_size"])
    assert sizes[1] > sizes[0]


def test_what_nothing_can_use_is_refused(
    one_stage: Callable[..., Recipe], beside: tuple[str, ...], tmp_path: Path
) -> None:
    told = refusal(one_stage(*beside), tmp_path)
    assert told.startswith(
        "data.images: no objective of this run looks at images alone"
    )
    assert "Add one of" in told
    assert "fd, feature, ickd, intra" in told
    unweighted = "stages[*].distil.losses={mimic: 1, feature: 0}"
    assert "looks at images alone" in refusal(one_stage(*beside, unweighted), tmp_path)
    told = refusal(one_stage(beside[1], *BOTH, "towers=[image]"), tmp_path)
    assert told.startswith("data.texts: the text tower stays as it is")
    with pytest.raises(UserError, match=r"Leave data\.images or more_teachers out"):
        refuse_unused(one_stage(*beside, *BOTH, "more_teachers=[builtin:other]"))
    told = refusal(one_stage("stages[*].texts=4"), tmp_path)
    assert told.startswith("stages[0].texts: says how many a step sees, and data.texts")


def test_steps_that_see_more_than_there_is_are_refused(
    one_stage: Callable[..., Recipe], beside: tuple[str, ...], tmp_path: Path
) -> None:
    told = refusal(one_stage(*beside, *BOTH, "stages[*].images=25"), tmp_path)
    assert told.startswith("stages[0].images: a step sees 25 images without a pair")
    assert told.endswith("Let it see fewer: --set 'stages[*].images=24'")
    told = refusal(one_stage(*beside, *BOTH, "stages[*].texts=31"), tmp_path)
    assert told.endswith("Let it see fewer: --set 'stages[*].texts=30'")


def test_steps_that_do_not_divide_among_processes_are_refused(
    one_stage: Callable[..., Recipe], beside: tuple[str, ...]
) -> None:
    recipe, nothing = one_stage(*beside, *BOTH, "stages[*].texts=7"), SimpleNamespace()
    world: Any = SimpleNamespace(rank=0, world=2)
    run = RunUnpaired(recipe, UnpairedSources(), nothing, world, nothing, nothing)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="7 texts a step do not divide among 2"):
        run.loader(recipe.stages[0])


def test_what_is_seen_is_counted_of_phases_that_look(
    pico_recipe: Callable[..., Recipe], beside: tuple[str, ...]
) -> None:
    both = pico_recipe(*beside, *BOTH, "stages[*].texts=6")
    # 5 steps of learn and 4 of distil; a batch is 8
    assert seen_by(both, both.stages[0]) == {"images": 72, "texts": 54}
    assert seen_until(both, 2) == {"images": 216, "texts": 162}
    distil = pico_recipe(*beside[1:], BOTH[1])
    assert seen_by(distil, distil.stages[0]) == {"texts": 32}
    assert seen_by(pico_recipe(), pico_recipe().stages[0]) == {}
    refuse_unused(both)


def test_a_phase_goes_on_counting_where_the_one_before_stopped(
    pico_recipe: Callable[..., Recipe], beside: tuple[str, ...]
) -> None:
    both = pico_recipe(*beside[1:], *BOTH, "stages[*].texts=6")
    assert seen_until(both, 1, before="learn") == {"texts": 54}
    assert seen_until(both, 1, before="distil") == {"texts": 84}
    anew = pico_recipe(*beside[1:], *BOTH, "stages[1].start=teacher")
    assert seen_until(anew, 1) == {"texts": 72}


def test_a_plan_counts_the_work_of_it(
    one_stage: Callable[..., Recipe],
    beside: tuple[str, ...],
    pico_shape: ClipShape,
) -> None:
    """A step that sees as much again of both sees as much as one of twice the pairs;
    of the teacher's work nothing is left where its features are made once."""

    def flops(*sets: str, kinds: tuple[str, ...] = ()) -> float:
        recipe = one_stage(*BOTH, *sets)
        plan = plan_stage(recipe, 1, pico_shape, False, 1e9, kinds=kinds)
        return float(plan["flops_per_step"]["distil"])

    alone, twice = flops(), flops("stages[*].batch=16")
    assert flops(*beside) == pytest.approx(twice)
    once = flops(*beside, kinds=("images", "texts"))
    assert flops(*beside) - once == pytest.approx(
        2 * step_macs({"images": 8, "texts": 8}, pico_shape)
    )
    assert alone < once < twice


def test_features_are_made_once_where_that_is_less_work(
    one_stage: Callable[..., Recipe], beside: tuple[str, ...]
) -> None:
    recipe = one_stage(*beside, *BOTH, "data.augmentations=3")
    # steps see 72 of each: more than 24 pictures under 3 augmentations, 30 texts
    assert cached_kinds(recipe, {"images": 24, "texts": 30}, 8) == {"texts"}
    assert cached_kinds(recipe, {"images": 23, "texts": 72}, 8) == {"images"}
    assert cached_kinds(recipe, {"images": 23, "texts": 30}, 2**30) == set()


def test_a_cache_of_pairs_is_told_what_it_does_not_hold(
    pairs_csv: Path, beside: tuple[str, ...], tmp_path: Path
) -> None:
    (tmp_path / "texts.txt").write_text("a")
    texts = str(tmp_path / "texts.txt")
    with pytest.raises(UserError, match="a cache is of pairs"):
        cache("builtin:pico", f"csv:{pairs_csv}", tmp_path / "cache", texts=texts)
    assert not (tmp_path / "cache").exists()
