"""Teachers of another make, beside the run's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tinyclip.cli.main import main
from tinyclip.config.load import load_recipe
from tinyclip.config.schema import Recipe
from tinyclip.data.loader import Loader
from tinyclip.data.pairs import open_split
from tinyclip.errors import Interrupted, UserError
from tinyclip.formats.source import load_source
from tinyclip.inherit.vocabulary import kept_ids, trim
from tinyclip.model.store import Loaded, save_model
from tinyclip.pipeline.others import open_others
from tinyclip.pipeline.request import Request
from tinyclip.pipeline.run_dir import RunDir
from tinyclip.pipeline.scheduler import dry_run, execute
from tinyclip.training.engine import Engine
from tinyclip.training.teacher.beside import OwnView
from tinyclip.training.teacher.live import LiveTeacher

MakeRecipe = Callable[..., Recipe]
OTHER = "more_teachers=[builtin:pictoclip]"


def weights(run: RunDir) -> bytes:
    return (run.model / "model.safetensors").read_bytes()


def loader_of(recipe: Recipe, teacher: Loaded) -> Loader:
    train, _ = open_split(recipe.data)
    words = teacher.preprocess, teacher.tokenizer
    views = recipe.data.augmentations
    return Loader(
        train, range(len(train)), *words, seed=3, batch=4, augmentations=views
    )


def test_a_teacher_sees_the_same_samples_in_pixels_and_ids_of_its_own(
    one_stage: MakeRecipe,
) -> None:
    recipe = one_stage("data.augmentations=2")
    mine, whole = load_source(recipe.teacher), load_source("builtin:pictoclip")
    batch = loader_of(recipe, mine).batch(5)
    theirs = trim(whole, kept_ids(whole.tokenizer, batch.captions))  # other ids
    other = loader_of(recipe, theirs)
    live = LiveTeacher(theirs.model, Engine(), None)
    found = OwnView(live, other).features(batch)
    pixels = torch.stack(
        [
            other.sample(int(row), int(view))
            for row, view in zip(batch.index_B, batch.augmentation_B, strict=True)
        ]
    )
    assert pixels.shape != batch.pixels.shape
    tokens_BT = theirs.tokenizer(list(batch.captions))
    assert not torch.equal(tokens_BT, batch.tokens_BT)
    with torch.no_grad():
        expected = theirs.model(pixels, tokens_BT)
    assert torch.equal(found.image_BE, expected.image_BE)
    assert torch.equal(found.text_BE, expected.text_BE)
    assert float(found.scale) == pytest.approx(float(expected.scale))


@pytest.mark.parametrize("cached", ["never", "always"])
def test_a_run_under_two_makes_resumes_to_the_byte(
    one_stage: MakeRecipe, tmp_path: Path, cached: str
) -> None:
    recipe = one_stage(OTHER, f"cache_teacher={cached}")
    whole = execute(Request(tmp_path / "whole", recipe))
    asked = iter(range(10**9))
    with pytest.raises(Interrupted):
        execute(Request(tmp_path / "run", recipe), stop=lambda: next(asked) >= 3)
    run = execute(Request(tmp_path / "run", resume=True))
    assert weights(run) == weights(whole)
    stored = run.path / "teacher-2.safetensors"
    assert stored.exists() == (cached == "always")
    if cached == "always":
        alone = execute(Request(tmp_path / "alone", one_stage("cache_teacher=always")))
        assert weights(alone) != weights(whole)
        own = load_file(alone.teacher_cache)
        assert load_file(stored)["image"].shape[-1] != own["image"].shape[-1]


def test_another_teacher_of_the_same_name_is_noticed(
    one_stage: MakeRecipe, tmp_path: Path
) -> None:
    source = tmp_path / "other"
    loaded = load_source("builtin:pico")

    def save(scale: float) -> None:
        with torch.no_grad():
            loaded.model.logit_scale.fill_(scale)
        parts = loaded.model, loaded.preprocess, loaded.tokenizer
        save_model(source, *parts, provenance={}, teacher_sizes=None)

    save(1.0)
    recipe = one_stage(f"more_teachers=[{source}]")
    with pytest.raises(Interrupted):
        execute(Request(tmp_path / "run", recipe), stop=lambda: True)
    save(2.0)
    with pytest.raises(UserError, match=r"more_teachers\[0\].teacher: ") as caught:
        execute(Request(tmp_path / "run", resume=True))
    assert "changed since this run began" in str(caught.value)


def refusal(recipe: Recipe, out: Path) -> str:
    with pytest.raises(UserError) as caught:
        dry_run(recipe, RunDir(out / "run"))
    return str(caught.value)


@pytest.mark.parametrize("name", ["feature", "afd", "icl", "gd", "ickd", "mfd", "fd"])
def test_objectives_of_embeddings_are_refused_with_the_way_out(
    one_stage: MakeRecipe, tmp_path: Path, name: str
) -> None:
    losses = f"stages[*].distil.losses={{mimic: 1.0, {name}: 1.0}}"
    told = refusal(one_stage(OTHER, losses), tmp_path)
    assert told.startswith(
        f"stages[0].distil.losses.{name}: {name} compares embeddings"
    )
    assert "Use mimic or affinity" in told


def test_what_has_no_weight_or_compares_products_is_not(
    one_stage: MakeRecipe, tmp_path: Path
) -> None:
    losses = "{affinity: 1.0, crd: 1.0, dist: 1.0, intra: 1.0, feature: 0.0}"
    recipe = one_stage(OTHER, f"stages[*].distil.losses={losses}")
    dry_run(recipe, RunDir(tmp_path / "run"))


def test_kinds_of_similarity_that_differ_are_refused_where_both_are_asked(
    one_stage: MakeRecipe, tmp_path: Path
) -> None:
    other = "more_teachers=[builtin:pico-siglip]"
    told = refusal(one_stage(other), tmp_path)
    assert "mimic: more_teachers[0] and the teacher were trained with different" in told
    assert "Use affinity" in told
    phases = [f"stages[*].{p}.losses={{affinity: 1.0}}" for p in ("learn", "distil")]
    dry_run(one_stage(other, *phases), RunDir(tmp_path / "run"))


def test_a_teacher_that_is_named_twice_is_refused(
    one_stage: MakeRecipe, tmp_path: Path
) -> None:
    told = refusal(one_stage("more_teachers=[builtin:pico]"), tmp_path)
    assert told.startswith("more_teachers[0]: builtin:pico teaches already")


def test_a_teacher_that_brings_no_tokenizer_is_refused(
    one_stage: MakeRecipe, tmp_path: Path
) -> None:
    stock = tmp_path / "stock"
    assert (
        main(["export", "builtin:pico", "--to", "huggingface", "--out", str(stock)])
        == 0
    )
    kept = ("config.json", "model.safetensors", "preprocessor_config.json")
    for path in stock.iterdir():
        if path.name not in (*kept, "processor_config.json"):
            path.unlink()
    told = refusal(one_stage(f"more_teachers=[hf:{stock}]"), tmp_path)
    assert told.startswith("more_teachers[0]: tokenizer")
    assert ",tokenizer=PATH" in told


def test_caches_of_several_teachers_lie_side_by_side(
    one_stage: MakeRecipe, pairs_csv: Path, tmp_path: Path
) -> None:
    caches = tmp_path / "caches"
    data = ["--data", f"csv:{pairs_csv}"]
    for name in ("pico", "pictoclip"):
        teacher = ["--teacher", f"builtin:{name}", "--out", str(caches / name)]
        assert main(["cache", *teacher, *data]) == 0
        if name == "pico":
            recipe = one_stage(OTHER, f"cache={caches}")
            assert "holds no cache for this run" in refusal(recipe, tmp_path)
    run = execute(Request(tmp_path / "run", recipe))
    assert not (run.path / "teacher-2.safetensors").exists()
    plan = run.read("plan.json")
    assert "more_teachers[0].cache" in plan["fingerprints"]


def test_a_plan_counts_each(one_stage: MakeRecipe, tmp_path: Path) -> None:
    def step(*sets: str) -> float:
        recipe = one_stage("cache_teacher=never", *sets)
        plan = dry_run(recipe, RunDir(tmp_path / "run"))
        return plan.stages[0].flops_per_step["distil"]

    assert step(OTHER) > 2 * step()


def test_the_recipes_that_there_are_name_none() -> None:
    recipe = load_recipe("smoke")
    assert recipe.more_teachers == ()
    train, _ = open_split(recipe.data)
    assert open_others(recipe, train) == ()
