"""A run that was killed and then damaged, resumed: as if nobody had, or refused."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import tempfile
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any

from tinyclip.config.load import load_recipe
from tinyclip.pipeline.request import Request
from tinyclip.pipeline.scheduler import execute
from tinyclip.training.state import Checkpoints

from .commands import both_of, run_verb
from .families import SEED, Attack, family, forked
from .values import TEXTS

SETTINGS = (
    "stages[*].learn.steps=3",
    "stages[*].distil.steps=3",
    "stages[*].batch=8",
    "checkpoint_every=1",
    "log_every=1",
    "evaluate=false",
    "cache_teacher=never",
)
STAGES = 2
LOST = "bytes that the run wrote there are gone"  # figures, which no weight is of
SAVES = 9  # after which it is killed: in the second stage, with states of two steps
TOLD = ("nothing", "null", "a list", "an object", "brackets", "no UTF-8")
VALUES: dict[str, dict[str, Any]] = {
    "done.json": {"samples": 49, "fingerprint": "x", "files": {}, "made_from": "0"},
    "keep.json": {"image": None, "text": {}},
    "plan.json": {"fingerprints": None, "sizes": {"total": -1}},
    "environment.json": {"device": "tpu", "threads": -1, "libraries": None},
    "checkpoint": {"step": -9, "sha256": "0", "phase": "x", "extra": {"offset": 1}},
}
RESUME = ("compress", "--resume", "--no-report")


def begun(out: Path, most: int) -> None:
    """Run until so many states are saved, and then die as by SIGKILL."""
    count, save = 0, Checkpoints.save

    def counted(self: Checkpoints, state: Any) -> None:
        nonlocal count
        save(self, state)
        count += 1
        if count == most:
            os._exit(0)

    Checkpoints.save = counted  # type: ignore[method-assign]
    recipe = load_recipe("smoke", SETTINGS)
    stages = recipe.stages[:STAGES]
    from dataclasses import replace

    execute(Request(out, replace(recipe, stages=stages)))


def in_another(work: Callable[[], object]) -> None:
    """Do it in a process of its own, silently."""
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        return
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)
    try:
        forked()
        work()
    finally:
        os._exit(0)


@cache
def killed() -> Path:
    """The run: its first stage whole, its second begun."""
    out = Path(tempfile.mkdtemp()) / "run"
    in_another(partial(begun, out, SAVES))
    return out


@cache
def made() -> dict[str, str]:
    """What it comes to when it is resumed as it is."""
    folder = Path(tempfile.mkdtemp())
    shutil.copytree(killed(), folder / "run")
    in_another(lambda: run_verb(folder, *RESUME, "--out", f"{folder}/run"))
    found = outcome(folder / "run")
    if len(found) != STAGES + 2:
        raise RuntimeError(f"the run that was not damaged is not whole: {found}")
    return found


def outcome(run: Path) -> dict[str, str]:
    """SHA-256 of every student, and of the metrics but for their clocks."""
    found = {
        str(path.relative_to(run)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(run.rglob("model.safetensors"))
    }
    lines = (run / "metrics.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    for row in rows:
        row.pop("seconds", None)
    text = json.dumps(rows, sort_keys=True)
    return {**found, "metrics": hashlib.sha256(text.encode()).hexdigest()}


def resumed(folder: Path) -> str:
    said = both_of(folder, *RESUME, "--out", str(folder / "run"))[1]
    now = outcome(folder / "run")
    other = [name for name in {**made(), **now} if made().get(name) != now.get(name)]
    if other == ["metrics"] and LOST in said:
        return "figures that are gone are told of, and no weight depends on them"
    assert not other, f"resumed, and others than they were: {other}"
    return "as if nobody had touched it"


def damage(change: Callable[[Path], object], name: str, folder: Path) -> None:
    shutil.copytree(killed(), folder / "run")
    change(folder / "run" / name)


def flip(seed: int, path: Path) -> None:
    content, draw = bytearray(path.read_bytes()), random.Random(SEED + seed)
    content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
    path.write_bytes(content)


def cut(share: float, path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])


def put(key: str, value: Any, path: Path) -> None:
    settings = json.loads(path.read_text())
    path.write_text(json.dumps({**settings, key: value}))


def files() -> list[str]:
    """What the killed run holds, but for what nobody reads again."""
    run = killed()
    paths = (path for path in sorted(run.rglob("*")) if path.is_file())
    return [str(p.relative_to(run)) for p in paths if p.suffix not in (".lock", ".md")]


@family("state")
def state() -> Iterator[Attack]:
    """Every file that a resume reads: bits, cuts, other values, none at all."""
    made()
    for name in files():
        for seed in range(2):
            change = partial(damage, partial(flip, seed), name)
            yield Attack(f"{name}: flipped {seed}", change, resumed, writes=True)
        change = partial(damage, partial(cut, 0.7), name)
        yield Attack(f"{name}: cut", change, resumed, writes=True)
        change = partial(damage, Path.unlink, name)
        yield Attack(f"{name}: removed", change, resumed, writes=True)
        if name.endswith(".json"):
            yield from others(name)


def others(name: str) -> Iterator[Attack]:
    """A JSON file with other values in it, or another text."""
    kind = "checkpoint" if "checkpoints" in name else Path(name).name
    for key, value in VALUES.get(kind, {}).items():
        change = partial(damage, partial(put, key, value), name)
        yield Attack(f"{name}: {key} is {value!r}", change, resumed, writes=True)
    for told in TOLD:
        text = TEXTS[told]
        change = partial(damage, lambda path, text=text: path.write_bytes(text), name)
        yield Attack(f"{name} holds {told}", change, resumed, writes=True)
