"""The main job on other teachers, towers, budgets and vocabularies."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tinyclip import cost
from tinyclip.config.schema import Recipe
from tinyclip.errors import UserError
from tinyclip.files import read_json
from tinyclip.formats.source import load_source
from tinyclip.model.store import load_model
from tinyclip.pipeline.request import Request
from tinyclip.pipeline.run_dir import RunDir
from tinyclip.pipeline.scheduler import execute
from tinyclip.shapes import ClipShape

MakeRecipe = Callable[..., Recipe]


def shapes(run: RunDir) -> list[ClipShape]:
    return [load_model(f.model).model.shape for f in run.stages(run.recipe())]


def test_a_siglip_teacher_goes_through_the_main_job(
    pico_recipe: MakeRecipe, tmp_path: Path
) -> None:
    losses = "{mimic: 1.0, feature: 1.0}"
    recipe = pico_recipe(
        "teacher=builtin:pico-siglip",
        f"stages[*].learn.losses={losses}",
        f"stages[*].distil.losses={losses}",
    )
    run = execute(Request(tmp_path / "run", recipe))
    teacher = load_source("builtin:pico-siglip").model
    whole = cost.size(teacher.shape, "encoder")
    for shape, target in zip(shapes(run), (0.75, 0.5, 0.25), strict=True):
        assert cost.size(shape, "encoder") == pytest.approx(target * whole, rel=0.005)
        assert shape.embed_dim == shape.image.width
        assert shape.image.pool_block == teacher.shape.image.pool_block
    student = load_model(run.model).model
    assert student.logit_bias is not None and teacher.logit_bias is not None
    bias, before = (
        float(student.logit_bias.detach()),
        float(teacher.logit_bias.detach()),
    )
    assert bias == pytest.approx(before, abs=1)
    certificate = read_json(run.model / "certificate.json")
    assert certificate["max_abs_diff"] <= 1e-5


def test_the_tower_that_is_not_named_stays_bit_for_bit(
    one_stage: MakeRecipe, tmp_path: Path
) -> None:
    recipe = one_stage("towers=[image]", "budget=total")
    run = execute(Request(tmp_path / "run", recipe))
    teacher, student = load_source("builtin:pico").model, load_model(run.model).model
    own = dict(teacher.text.named_parameters())
    for name, value in student.text.named_parameters():
        assert torch.equal(value, own[name]), name
    left = cost.size(student.shape, "total", ("image",))
    whole = cost.size(teacher.shape, "total", ("image",))
    assert left == pytest.approx(0.75 * whole, rel=0.005)
    share = read_json(run.model / "config.json")["share"]
    assert share["total"] == pytest.approx(0.75, rel=0.005)


def test_the_share_of_a_file_counts_the_vocabulary_that_went(
    pico_recipe: MakeRecipe, tmp_path: Path
) -> None:
    recipe = pico_recipe("vocab=captions", "budget=bytes", "stages[2].target=0.15")
    recipe = replace(recipe, stages=recipe.stages[2:])
    run = execute(Request(tmp_path / "run", recipe))
    teacher = load_source("builtin:pico")
    loaded = load_model(run.model)
    assert loaded.model.shape.text.vocab_size < 1000
    file = (run.model / "model.safetensors").stat().st_size
    whole = cost.size(teacher.model.shape, "bytes")
    assert file == pytest.approx(0.15 * whole, rel=0.005)
    ids = loaded.tokenizer(["red large number 8", "an unseen word"])
    assert int(ids.max()) < loaded.model.shape.text.vocab_size


def test_half_done_with_another_vocabulary_is_refused(
    one_stage: MakeRecipe, tmp_path: Path
) -> None:
    words = tmp_path / "words.txt"
    words.write_text("red large\n")
    execute(Request(tmp_path / "run", one_stage(f"vocab={words}")))
    words.write_text("green small pictures\n")
    with pytest.raises(UserError, match="vocabulary: "):
        execute(Request(tmp_path / "run", from_stage=1))


def test_every_width_is_a_multiple_where_that_is_asked(
    one_stage: MakeRecipe, tmp_path: Path
) -> None:
    recipe = one_stage("round_to=4", "budget=macs")
    run = execute(Request(tmp_path / "run", recipe))
    shape = shapes(run)[0]
    widths = [b.ffn for tower in shape.towers().values() for b in tower.blocks]
    widths += [tower.width for tower in shape.towers().values()]
    assert not any(width % 4 for width in widths)
