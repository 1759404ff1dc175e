"""What a student's configuration says of where it comes from, and its card with it."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from huggingface_hub import ModelCard
from PIL import Image

from tinyclip.config.schema import Recipe
from tinyclip.data.broken import from_lines
from tinyclip.errors import Interrupted, StorageError
from tinyclip.pipeline import scheduler
from tinyclip.pipeline.request import Request
from tinyclip.pipeline.run_dir import RunDir
from tinyclip.pipeline.scheduler import execute
from tinyclip.pipeline.skipped import Skipped

MakeRecipe = Callable[..., Recipe]
FILES = ("config.json", "README.md")
BROKEN, COUNT = 6, 48


@pytest.fixture
def torn(tmp_path: Path, one_stage: MakeRecipe) -> MakeRecipe:
    """A stage on pairs of which some are no pictures, and one has no caption."""
    rng, lines = np.random.default_rng(0), ["image,caption", "none.png,"]
    for number in range(COUNT):
        path = tmp_path / f"{number}.png"
        if number < BROKEN:
            path.write_bytes(b"no picture")
        else:
            pixels = rng.integers(0, 255, (20, 20, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(path)
        lines.append(f"{number}.png,picture number {number}")
    (tmp_path / "pairs.csv").write_text("\n".join(lines))
    (tmp_path / "val.csv").write_text("\n".join(["image,caption", *lines[-4:]]))
    sets = (
        f"data.source=csv:{tmp_path}/pairs.csv",
        f"data.val=csv:{tmp_path}/val.csv",
        "data.max_broken_share=0.3",
    )

    def make(*more: str) -> Recipe:
        return one_stage(*sets, *more)

    return make


def provenance_of(run: RunDir) -> dict[str, Any]:
    config: dict[str, Any] = json.loads((run.model / "config.json").read_text())
    return config["provenance"]


def killed_after(polls: int, request: Request, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that ends at a step, and writes nothing as it ends."""
    polled = itertools.count(1)
    with monkeypatch.context() as patch, pytest.raises(Interrupted):
        patch.setattr(scheduler, "_report_broken", lambda context: None)
        execute(request, stop=lambda: next(polled) >= polls)


@pytest.mark.parametrize("caching", ["always", "never"])
def test_a_run_that_was_killed_counts_what_it_skipped_before(
    caching: str, torn: MakeRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = torn(f"cache_teacher={caching}")
    whole = execute(Request(tmp_path / "whole", recipe))
    out = tmp_path / "killed"
    # one epoch is over, and no row that is broken is read again
    killed_after(8, Request(out, recipe), monkeypatch)
    resumed = execute(Request(out, resume=True))
    for name in FILES:
        wanted = (whole.model / name).read_bytes()
        assert (resumed.model / name).read_bytes() == wanted
    assert provenance_of(resumed)["skipped"] == {
        "of": COUNT + 1,
        "kinds": {"not a picture": BROKEN, "empty caption": 1},
    }
    said = (resumed.model / "README.md").read_text()
    assert (
        "7 of 49 pairs could not be used and were left out: 6 not a picture, 1 empty "
        "caption."
    ) in said
    rows = (resumed.path / "skipped.jsonl").read_text().splitlines()
    assert len(rows) == BROKEN + 1  # each once


def test_nothing_is_said_of_rows_where_all_can_be_used(
    one_stage: MakeRecipe, tmp_path: Path
) -> None:
    run = execute(Request(tmp_path / "run", one_stage()))
    told = provenance_of(run)
    assert not {"skipped", "hub", "licences"} & set(told)
    assert "left out" not in (run.model / "README.md").read_text()


def test_a_broken_row_is_named_as_soon_as_it_is_met(tmp_path: Path) -> None:
    skipped = Skipped(tmp_path)
    assert skipped.rows() == {}
    skipped.met("a", ("empty", "0 bytes"))
    skipped.met("b\n", ("truncated", ""))
    skipped.met("a", ("empty", "0 bytes"))
    found = {"a": ("empty", "0 bytes"), "b\n": ("truncated", "")}
    assert skipped.rows() == from_lines(skipped.path.read_bytes()) == found
    counts, named = skipped.settle({}, {"c": ("empty", "")})
    assert counts == {"empty": 2, "truncated": 1} and set(named) == {*found, "c"}


def test_what_cannot_be_named_stops_the_run(tmp_path: Path) -> None:
    (tmp_path / "skipped.jsonl").mkdir()
    with pytest.raises(StorageError, match="skipped"):
        Skipped(tmp_path).met("a", ("empty", ""))


def test_licences_and_names_on_the_hub_are_those_that_the_sources_state(
    torn: MakeRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tinyclip.pipeline import context, origin

    def load(spec: str, where: str) -> Any:
        loaded = load_source("builtin:pico", where)
        told = {"source": "x", "licence": "MIT", "hub": {"teacher": "org/clip"}}
        return replace(loaded, config={"provenance": told})

    load_source = context.load_source
    monkeypatch.setattr(context, "load_source", load)
    monkeypatch.setattr(origin, "licence_of", lambda data, train: "CC-BY-4.0")
    monkeypatch.setattr(origin, "hub_name", lambda data: "org/pairs")
    run = execute(Request(tmp_path / "run", torn()))
    told = provenance_of(run)
    assert told["licences"] == {"teacher": "MIT", "data": "CC-BY-4.0"}
    assert told["hub"] == {"teacher": "org/clip", "data": "org/pairs"}
    card = ModelCard.load(run.model / "README.md")
    assert card.data.license == "mit" and card.data.base_model == "org/clip"
    assert card.data.datasets == ["org/pairs"]
