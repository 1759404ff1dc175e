"""The grid: its cells, its methods, its folder, and what is printed of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tinyclip.config.schema import Recipe
from tinyclip.model.clip import Features

ROOT = Path(__file__).resolve().parents[2]
FEW = ("--methods", "magnitude,gates,scratch,original", "--rates", "0.001")


# cells


def test_the_most_telling_cells_come_first_and_methods_take_turns(part: Any) -> None:
    axes = part("cells").Axes(("a", "b"))
    cells = axes.cells({"a": False, "b": False})
    first = {(c.target, c.data, c.steps, c.seed) for c in cells[:4]}
    assert first == {(0.25, "1000", 150, 0), (0.25, "1000", 0, 0)}
    assert [c.method for c in cells[:4]] == ["a", "b", "a", "b"]
    assert len(set(cells)) == len(cells) == 2 * 4 * 2 * 4 * 3


def test_what_is_nothing_without_training_has_no_cells_without_it(part: Any) -> None:
    axes = part("cells").Axes(("a",), steps=(0, 150))
    assert {c.steps for c in axes.cells({"a": True})} == {150}


# methods


def test_a_cell_is_another_where_a_setting_of_its_phases_is(
    part: Any, base: Recipe
) -> None:
    """Also where that setting came later: its default is no longer what it was."""
    methods, cell, work = part("methods"), part("cells").Cell, part("work")
    recipe = methods.METHODS["cut"].of(base, cell("cut", 0.25, "1000", 0, 0, None))
    (stage,) = recipe.stages

    def with_tries(phases: tuple[str, ...], tries: int) -> str:
        allocate = replace(stage.allocate, tries=tries)
        other = replace(stage, phases=phases, allocate=allocate)
        return str(work.print_of(replace(recipe, stages=(other,))))

    default = stage.allocate.tries
    assert with_tries(stage.phases, default) != with_tries(stage.phases, default + 1)
    plain = ("distil",)
    assert with_tries(plain, default) == work.print_of(
        replace(recipe, stages=(replace(stage, phases=plain),))
    )


@pytest.mark.parametrize("steps", [0, 1, 150, 2400])
def test_every_method_trains_for_the_steps_of_its_cell(
    part: Any, base: Recipe, steps: int
) -> None:
    methods, cell = part("methods"), part("cells").Cell
    for name, method in methods.available().items():
        if method.trains and not steps:
            continue
        if steps == 1 and ("learn" in method.phases or name == "original"):
            continue  # a phase has at least one
        recipe = method.of(base, cell(name, 0.25, "1000", steps, 1, 0.002))
        assert sum(sum(s.steps.values()) for s in recipe.stages) == steps, name
        assert recipe.stages[-1].target == 0.25
        assert (recipe.seed, recipe.data.limit) == (1, 1000)


def test_every_method_trains_at_the_rate_of_its_cell(part: Any, base: Recipe) -> None:
    methods, cell = part("methods"), part("cells").Cell
    for name, method in methods.available().items():
        recipe = method.of(base, cell(name, 0.25, "all", 150, 0, 0.003))
        assert {s.distil.optim.lr for s in recipe.stages} == {0.003}, name


def test_a_method_whose_phases_do_not_exist_is_not_offered(
    part: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    methods = part("methods")
    monkeypatch.setitem(
        methods.METHODS, "later", methods._of_phases("later", ("no_such_phase",))
    )
    assert "later" not in methods.available()
    assert "magnitude" in methods.available()


def test_data_without_clip_art_leaves_out_what_the_base_does_too(
    part: Any, base: Recipe
) -> None:
    narrow = replace(base, data=replace(base.data, exclude=("emoji/noto*",)))
    method, cell = part("methods").METHODS["manual"], part("cells").Cell
    recipe = method.of(narrow, cell("manual", 0.25, "emoji", 0, 0))
    assert recipe.data.exclude == ("emoji/noto*", "clipart/*")


def test_scratch_learns_by_open_clips_two_losses(part: Any) -> None:
    draw = torch.Generator().manual_seed(0)

    def features() -> Features:
        rows = [torch.randn(5, 4, generator=draw, dtype=torch.float64) for _ in "ab"]
        unit = [torch.nn.functional.normalize(row, dim=-1) for row in rows]
        return Features(*unit, torch.tensor(7.0, dtype=torch.float64))

    mine, theirs = features(), features()
    loss, _ = part("scratch").distill_clip_loss(mine, theirs)
    logits, wanted = ((7 * f.image_BE @ f.text_BE.T).numpy() for f in (mine, theirs))

    def softened(values: np.ndarray) -> np.ndarray:
        raised = np.exp(values)
        return raised / raised.sum(1, keepdims=True)

    total = 0.0
    for student, teacher in ((logits, wanted), (logits.T, wanted.T)):
        total -= np.log(np.diag(softened(student))).mean() / 2
        total -= (softened(teacher) * np.log(softened(student))).sum(1).mean() / 2
    assert float(loss) == pytest.approx(total)


# how sure a difference is


def test_a_paired_interval_is_that_of_the_differences(part: Any) -> None:
    draw = np.random.default_rng(1)
    theirs = draw.random(2000) < 0.4
    mine = theirs.copy()
    gained = draw.choice(np.flatnonzero(~theirs), 80, replace=False)
    lost = draw.choice(np.flatnonzero(theirs), 20, replace=False)
    mine[gained], mine[lost] = True, False
    found = part("paired").paired([mine], [theirs], np.arange(2000))
    # 60 of 2,000; variance of a difference that is 1, -1 or 0
    half = 1.96 * np.sqrt((100 / 2000 - (60 / 2000) ** 2) / 2000)
    assert found.value == pytest.approx(0.03)
    assert found.low == pytest.approx(0.03 - half, abs=0.0015)
    assert found.high == pytest.approx(0.03 + half, abs=0.0015)


def test_drawings_of_one_concept_are_no_independent_items(part: Any) -> None:
    draw = np.random.default_rng(2)
    theirs = np.zeros(400, bool)
    mine = np.repeat(draw.random(40) < 0.5, 10)
    paired = part("paired").paired
    together = paired([mine], [theirs], np.repeat(np.arange(40), 10))
    alone = paired([mine], [theirs], np.arange(400))
    assert together.value == alone.value
    wide, narrow = (d.high - d.low for d in (together, alone))
    assert wide > 2.5 * narrow


def test_seeds_that_differ_widen_the_interval(part: Any) -> None:
    theirs = [np.zeros(1000, bool)] * 3
    mine = [np.arange(1000) < count for count in (0, 300, 600)]
    found = part("paired").paired(mine, theirs, np.arange(1000))
    assert found.value == pytest.approx(0.3)
    assert found.high - found.low > 0.3


# the table and the plan


def entry(method: str, seeds: int, value: float, over: bool) -> dict[str, Any]:
    task = {
        "value": value,
        "low": value - 0.01,
        "high": value + 0.02,
        "n": 9,
        "teacher": 0.4,
        "retention": value / 0.4,
    }
    difference = {"value": 0.1, "low": -0.02, "high": 0.2}
    return {
        "method": method,
        "target": 0.25,
        "data": "1000",
        "steps": 150,
        "seeds": list(range(seeds)),
        "rate": 0.1,
        "samples": 19200,
        "share_encoder": 0.2501,
        "cpu_seconds": 12.4,
        "tasks": {"designer": task, "dev": task},
        "over_baseline": {"designer": difference} if over else {},
    }


def shown(*entries: dict[str, Any]) -> dict[str, Any]:
    titles = {"ours": "our own", "magnitude": "by size"}
    return {"summary": list(entries), "titles": titles, "baseline": "magnitude"}


def test_a_table_has_medians_ranges_and_the_paired_difference(part: Any) -> None:
    text = part("table").table(
        shown(entry("magnitude", 1, 0.2, False), entry("ours", 3, 0.3, True))
    )
    assert "### 25 % of the encoder, 1,000 pictures, 150 steps" in text
    assert "| by size | 25.0 | 20.0 | 50.0 |  | 20.0 | 12 |" in text
    assert (
        "| our own | 25.0 | 30.0 (29.0 to 32.0) | 75.0 | +10.0 (-2.0 to +20.0) | 30.0 "
        "| 12 |" in text
    )
    assert "| our own | 75.0 |" in text  # of the overview


def test_figures_are_drawn_in_two_formats(part: Any, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    report = shown(entry("magnitude", 1, 0.2, False), entry("ours", 3, 0.3, True))
    written = part("figures").draw(report, tmp_path, "x")
    assert [path.name for path in written] == [
        *("x-samples.png", "x-samples.svg", "x-seconds.png", "x-seconds.svg")
    ]
    assert all(path.stat().st_size > 5000 for path in written)


def finished(method: str, target: float, steps: int, seconds: float) -> dict[str, Any]:
    return {
        "method": method,
        "target": target,
        "steps": steps,
        "seconds": seconds + 10,
        "all_seconds": seconds + 15,
        "step_share": seconds / (seconds + 10),
    }


def test_a_cell_takes_as_long_as_the_one_that_is_most_like_it(part: Any) -> None:
    rows = [
        finished("a", 0.25, 150, 30),
        finished("a", 0.1, 150, 20),
        finished("b", 0.25, 600, 300),
        finished("a", 0.25, 0, 2),
    ]
    cell, seconds_of = part("cells").Cell, part("plan").seconds_of
    assert seconds_of(cell("a", 0.25, "all", 600, 1), rows) == 135
    assert seconds_of(cell("a", 0.05, "all", 150, 1), rows) == 35
    assert seconds_of(cell("b", 0.25, "1000", 150, 1), rows) == 90
    assert seconds_of(cell("c", 0.25, "1000", 600, 1), rows) == pytest.approx(315)
    assert seconds_of(cell("b", 0.1, "1000", 0, 1), rows) == 17
    assert seconds_of(cell("b", 0.1, "1000", 0, 1), []) is None
