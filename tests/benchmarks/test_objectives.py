"""The ablation of objectives: its entries, their order, its folder and its figures."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tinyclip.config.load import fingerprint, recipe_to_dict
from tinyclip.config.schema import Recipe
from tinyclip.config.setting import without_later

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def ablation(scripts: Any) -> Callable[[str], Any]:
    """A module of the ablation."""
    return lambda name: scripts(f"ablation.{name}")


@pytest.fixture(scope="module")
def report(script: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    work = tmp_path_factory.mktemp("objectives")
    found: dict[str, Any] = script(
        "objectives.py", "--quick", "--work", work, "--out", work / "out"
    )
    (file,) = (work / "out").glob("*-objectives.md")
    return {**found, "page": file.read_text(), "work": work}


# entries


def test_what_does_not_exist_is_not_offered(ablation: Any) -> None:
    entries = ablation("entries")
    asks = entries.Entry(entries.ALONE, {"mimic": 1.0})
    assert asks.offered
    assert not replace(asks, losses={"mimic": 1.0, "no_such": 1.0}).offered
    assert replace(asks, settings={"stages.0.distil.optim.lr": 1e-3}).offered
    assert not replace(asks, settings={"stages.0.distil.no_such": 1}).offered


def test_an_entry_that_does_not_stand_alone_says_why(ablation: Any) -> None:
    entries = ablation("entries")
    for name, entry in entries.ENTRIES.items():
        assert bool(entry.why) == (entry.kind == entries.BESIDE), name
        assert name not in (entries.NONE, "") and "," not in name


def test_every_published_value_has_its_entry(ablation: Any) -> None:
    entries = ablation("entries")
    offered = {name for name, entry in entries.ENTRIES.items() if entry.offered}
    assert set(entries.PUBLISHED) <= offered


def test_an_entry_s_losses_and_settings_are_those_of_its_recipe(
    ablation: Any, part: Any, base: Recipe
) -> None:
    entries, cell = ablation("entries"), part("cells").Cell
    asks = entries.Entry("", {"crd": 2.0}, settings={"stages.0.scale": 50.0}, live=True)
    method = ablation("kept").methods({"asked": asks})["asked"]
    made = method.of(base, cell("asked", 0.25, "1000", 150, 2, 0.003))
    (stage,) = made.stages
    assert (stage.phases, stage.distil.losses) == (("distil",), {"crd": 2.0})
    assert (stage.scale, stage.distil.steps, stage.distil.optim.lr) == (50.0, 150, 3e-3)
    assert (made.seed, made.data.limit, made.cache_teacher) == (2, 1000, "never")


# order


class Recorded:
    """Remembers what it is asked for, and has a row of each."""

    def __init__(self, dev: dict[str, float]) -> None:
        self.dev, self.asked = dev, list[Any]()

    def rows(self, cells: list[Any]) -> list[dict[str, Any]]:
        self.asked += cells
        return [
            {
                "method": cell.method,
                "rate": cell.rate,
                "tasks": {"dev": {"value": self.dev.get(cell.method, 0.0)}},
                "divergence": {"dev": float(len(cell.method))},
            }
            for cell in cells
        ]


def test_the_first_seed_comes_first_and_the_best_mixes_get_more_before_all_others(
    ablation: Any,
) -> None:
    entries, order = ablation("entries"), ablation("order")
    singles = (entries.TODAY, "mimic", "icl")
    named = {n: entries.ENTRIES[n] for n in (*singles, "contrastive+fd")}
    mixes = {f"m{i}": entries.mix(mimic=float(i)) for i in range(1, 5)}
    work = Recorded({"m1": 0.1, "m2": 0.3, "m3": 0.2, "m4": 0.15, "icl": 0.2})
    order.rows_of(work, order.Axes({**named, **mixes}, ["all"], [0, 1], 0.5))
    asked = [(c.method, c.seed, c.rate) for c in work.asked]
    first = [(name, 0, 0.5) for name in (*singles, *mixes)]
    again = [(name, 1, 0.5) for name in (entries.TODAY, "m2", "m3")]
    rated = [(n, 0, r) for r in order.OTHER_RATES for n in ("m2", "mimic")]
    clip_kd = [("contrastive+fd", seed, 0.5) for seed in (0, 1)]
    rest = [(name, 1, 0.5) for name in ("icl", "m4", "m1", "mimic")]
    inherited = [("none", 0, None)]
    assert asked == [*inherited, *first, *again, *rated, clip_kd[0], *rest, clip_kd[1]]


def test_of_equals_on_dev_the_nearer_to_the_teacher_is_the_better(
    ablation: Any,
) -> None:
    def row(method: str, right: float, far: float, rate: float = 1.0) -> dict[str, Any]:
        dev = {"dev": {"value": right}}
        return {
            "method": method,
            "rate": rate,
            "tasks": dev,
            "divergence": {"dev": far},
        }

    rows = [row("a", 0.4, 0.3), row("b", 0.4, 0.2), row("c", 0.3, 0.1)]
    rows += [row("c", 0.6, 0.1)]  # another seed: 0.45 in the mean
    rows += [row("a", 0.9, 0.3, rate=2.0)]
    best = ablation("order").best(rows, ["a", "b", "c", "unknown"], 1.0, 3)
    assert best == [*"cba"]


# figures


def test_the_divergence_is_that_of_the_definition(ablation: Any) -> None:
    draw = np.random.default_rng(0)
    own_NC, wanted_NC = (5 * draw.standard_normal((2, 6, 9))).astype(np.float64)

    def softened(values: np.ndarray) -> np.ndarray:
        raised = np.exp(values - values.max(1, keepdims=True))
        return raised / raised.sum(1, keepdims=True)

    p, q = softened(own_NC), softened(wanted_NC)
    expected = (q * (np.log(q) - np.log(p))).sum(1).mean()
    tensors = {"dev": torch.tensor(own_NC)}, {"dev": torch.tensor(wanted_NC)}
    divergences = ablation("kept").divergences
    assert divergences(*tensors)["dev"] == pytest.approx(expected, rel=1e-12)
    assert divergences(tensors[1], tensors[1])["dev"] == pytest.approx(0, abs=1e-12)


def test_a_rank_correlation_is_spearman_s(ablation: Any) -> None:
    correlation = ablation("summary").rank_correlation
    one, other = [3.0, 1.0, 2.0, 5.0, 4.0], [30.0, 20.0, 10.0, 40.0, 50.0]
    ranks = np.array([[3, 1, 2, 5, 4], [3, 2, 1, 4, 5]])
    squares = ((ranks[0] - ranks[1]) ** 2).sum()
    assert correlation(one, other) == pytest.approx(1 - 6 * squares / (5 * (25 - 1)))


def test_orders_are_of_what_was_measured_at_the_common_rate(ablation: Any) -> None:
    def entry(method: str, value: float, rate: float = 0.1) -> dict[str, Any]:
        tasks = {task: {"mean": value} for task in ("dev", "designer")}
        return {"method": method, "data": "all", "rate": rate, "tasks": tasks}

    entries = [
        entry("contrastive", 0.1),
        entry("contrastive+fd", 0.2),
        entry("contrastive+icl", 0.3),
        entry("contrastive+gd", 0.9, rate=0.2),
        entry("feature", 0.4),
        entry("icl", 0.3),
    ]
    beside, alone = ablation("summary").orders(entries, 0.1)
    assert beside["published"] == ["contrastive+fd", "contrastive+icl", "contrastive"]
    assert beside["measured"]["dev"]["correlation"] == pytest.approx(0.5)
    assert alone["published"] == ["feature", "icl", "contrastive"]
    assert alone["measured"]["designer"]["correlation"] == pytest.approx(1)


def test_a_mean_has_its_sample_deviation_and_a_single_value_has_none(
    ablation: Any,
) -> None:
    spread = ablation("summary").spread
    assert spread([1.0, 2.0, 6.0]) == {
        "mean": pytest.approx(3.0),
        "sd": pytest.approx(np.std([1, 2, 6], ddof=1)),
    }
    assert spread([2.0]) == {"mean": 2.0, "sd": None}


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("mimic+4feature", "mimic + 4 feature"),
        ("mimic+0.1mfi+intra", "mimic + 0.1 mfi + intra"),
        ("affinity50", "affinity50"),
        ("none", "as inherited, no training"),
    ],
)
def test_names_are_shown_as_people_read_them(
    ablation: Any, name: str, shown: str
) -> None:
    assert ablation("table").title(name) == shown


# the folder


def test_a_setting_that_comes_later_leaves_kept_cells_what_they_are(
    ablation: Any, part: Any, base: Recipe, tmp_path: Path
) -> None:
    kept, search = ablation("kept"), part("cells").Search((0.001,))
    work = kept.Ablation(base, tmp_path, search, kept.methods({}), lambda: False)
    cut = work.methods["none"].of(base, part("cells").Cell("none", 0.25, "all", 0, 0))
    plain = recipe_to_dict(cut)
    for later in ("rotate", "allocate", "solve"):  # its phases, all at their defaults
        del plain["stages"][0][later]
    assert work.mark(cut) == fingerprint(without_later(Recipe, plain))
    (stage,) = cut.stages
    tuned = replace(stage, solve=replace(stage.solve, samples=stage.solve.samples + 1))
    assert work.mark(replace(cut, stages=(tuned,))) != work.mark(cut)


def test_the_smallest_ablation_has_what_its_tables_need(
    report: dict[str, Any],
) -> None:
    names = ["none", "mimic+4feature", "mimic+16feature"]
    assert [entry["method"] for entry in report["summary"]] == names
    assert [entry["seeds"] for entry in report["summary"]] == [[0], *[[0, 1]] * 2]
    for entry in report["summary"]:
        assert {"designer", "dev", "clipart", "designer_unshown"} == set(entry["tasks"])
        assert set(entry["divergence"]) == {"dev", "designer"}
        assert entry["divergence"]["dev"]["mean"] > 0
        own = entry["method"] == "mimic+4feature"
        assert bool(entry["over_today"]) != own
    assert {row["samples"] for row in report["rows"]} == {0, 3 * 16}
    assert "| mimic + 16 feature | mix | 2 |" in report["page"]


def test_what_is_kept_is_told_when_no_time_is_left(
    report: dict[str, Any], script: Any
) -> None:
    again = script("objectives.py", "--quick", "--minutes", 0, "--work", report["work"])
    assert again["summary"] == report["summary"]


def test_all_students_start_from_one_and_differ(report: dict[str, Any]) -> None:
    def weights(method: str) -> Iterator[bytes]:
        for path in sorted(report["work"].glob(f"cells/{method}/*/run/stages/*/model")):
            yield (path / "model.safetensors").read_bytes()

    (start,) = weights("none")
    ends = [*weights("mimic+16feature"), *weights("mimic+4feature")]
    assert len({start, *ends}) == 5
    assert {len(end) for end in ends} == {len(start)}


def test_an_unknown_entry_gets_the_nearest(start: Any, tmp_path: Path) -> None:
    child = start("objectives.py", "--entries", "mimik", "--work", tmp_path)
    out, err = child.communicate()
    assert (child.returncode, out) == (1, "")
    assert "Did you mean 'mimic'" in err


# what is told


@pytest.fixture(scope="module")
def last() -> tuple[str, dict[str, Any]]:
    """The name and the content of the last results."""
    file = max((ROOT / "benchmarks" / "results").glob("*-objectives.json"))
    return file.stem, json.loads(file.read_text())


def test_the_page_of_objectives_ends_with_what_was_measured(
    ablation: Any, last: tuple[str, dict[str, Any]]
) -> None:
    name, report = last
    written = (ROOT / "docs" / "objectives.md").read_text()
    assert written.endswith(ablation("page").page(report, name)), "make settings"


def test_the_page_of_results_has_its_tables_from_its_json(
    ablation: Any, last: tuple[str, dict[str, Any]]
) -> None:
    name, report = last
    written = (ROOT / "benchmarks" / "results" / f"{name}.md").read_text()
    assert written.endswith(ablation("table").table(report))


def test_time_is_told_as_a_multiple_of_mimic_s(ablation: Any) -> None:
    found = {
        (method, "all"): {"cpu_seconds": seconds, "rate": 0.1}
        for method, seconds in (("mimic", 40.0), ("slow", 90.0))
    }
    found["none", "all"] = {"cpu_seconds": 70.0, "rate": None}
    time = ablation("page")._time
    assert time("slow", ["all"], found) == "2.2"
    assert time("none", ["all"], found) == ""
