"""The import map of the house. Change the table on purpose, never by accident."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "tinyclip"
FLOORS = [  # bottom to top: a room may import only from floors below its own
    {"quoting"},  # the ground floor, in the order in which it is built
    {"errors", "leaving"},
    {"bounded"},
    {
        "cpus",
        "differences",
        "dtypes",
        "files",
        "hub",
        "registry",
        "shapes",
        "typed",
        "words",
    },
    {"sealed", "sites", "axes", "bounds"},
    {"keep", "cost"},
    {"goal"},
    {"config", "tokenizers"},
    {"model"},
    {"masks", "data", "losses"},
    {"formats", "inherit", "evaluation"},
    {"training"},
    {"pipeline"},
    {"report"},
    {"cli"},
]
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
TORCH_FREE = {
    "leaving",
    "quoting",
    "errors",
    "bounded",
    "bounds",
    "cpus",
    "dtypes",
    "files",
    "hub",
    "registry",
    "shapes",
    "words",
}
TORCH_FREE |= {"typed", "sealed", "differences"}
TORCH_FREE |= {"sites", "axes", "keep", "cost", "goal", "config"}
HEAVY = ("torch", "transformers", "open_clip", "pandas")
ONLY_IN = {  # a library, and the only places that may know it
    "accelerate": {"training/engine.py"},
    "yaml": {"config"},
    "open_clip": {"formats", "model", "tokenizers", "data/imagenet.py"},
    "torch_pruning": {"inherit", "masks"},
    "argparse": {"cli"},
    "rich": {"cli"},
    "matplotlib": {"report"},
    "jinja2": {"report"},
}
SOURCES = sorted(PACKAGE.rglob("*.py"))


def imported(path: Path, text: str | None = None) -> Iterator[tuple[list[str], int]]:
    """Every import of a file as dotted parts with its line, relative ones resolved."""
    here = ["tinyclip", *path.relative_to(PACKAGE).parent.parts]
    for node in ast.walk(ast.parse(path.read_text() if text is None else text)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name.split("."), node.lineno
        elif isinstance(node, ast.ImportFrom):
            base = here[: len(here) - node.level + 1] if node.level else []
            base = base + (node.module.split(".") if node.module else [])
            for alias in node.names:
                yield [*base, alias.name], node.lineno


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def upward(path: Path, text: str | None = None) -> list[str]:
    """The imports of a file that do not point down."""
    room = room_of(path)
    if room in {"__init__", "__main__"}:
        return []
    assert room in FLOOR, f"{room} has no floor yet: add it to FLOORS"
    return [
        f"line {line}: {room} -> {target[1]}"
        for target, line in imported(path, text)
        if target[0] == "tinyclip" and len(target) > 1 and target[1] in FLOOR
        if target[1] != room and FLOOR[target[1]] >= FLOOR[room]
    ]


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_only_point_down(path: Path) -> None:
    assert not upward(path), f"{path}: " + "; ".join(upward(path))


@pytest.mark.parametrize(
    "text",
    [
        "from ..pipeline import stage",
        "import tinyclip.cli.main",
        "from tinyclip.masks import gates",  # same floor, another room
        "def late():\n    from .. import training",
        "if TYPE_CHECKING:\n    from ..inherit.slicing import inherit",
    ],
)
def test_an_import_that_points_up_or_sideways_is_found(text: str) -> None:
    assert upward(PACKAGE / "data" / "planted.py", text)


def test_a_library_is_known_only_where_it_belongs() -> None:
    strays = [
        f"{path.relative_to(ROOT)}:{line} imports {target[0]}"
        for path in SOURCES
        for target, line in imported(path)
        if target[0] in ONLY_IN
        and not {room_of(path), str(path.relative_to(PACKAGE))} & ONLY_IN[target[0]]
    ]
    assert not strays


def graph(texts: Mapping[Path, str]) -> dict[str, set[str]]:
    """Which file imports which, by dotted name.

    Imports inside functions and those for types alone count: what cannot be read from
    top to bottom is one thing in several files.
    """
    names = {
        path: ".".join(path.relative_to(ROOT).with_suffix("").parts) for path in texts
    }
    names = {path: name.removesuffix(".__init__") for path, name in names.items()}
    known = set(names.values())
    edges: dict[str, set[str]] = {name: set() for name in known}
    for path, text in texts.items():
        for parts, _ in imported(path, text):
            while parts and ".".join(parts) not in known:
                parts = parts[:-1]
            edges[names[path]].add(".".join(parts))
        edges[names[path]] -= {"", names[path]}
    return edges


def circles(edges: Mapping[str, set[str]]) -> list[list[str]]:
    """The files that reach themselves, those of one circle together."""
    below: dict[str, set[str]] = {}
    for name in edges:
        reached, rest = set(), [name]
        while rest:
            new = edges[rest.pop()] - reached
            reached |= new
            rest += new
        below[name] = reached
    knots = {
        tuple(sorted(other for other in reached if name in below[other]))
        for name, reached in below.items()
        if name in reached
    }
    return [list(knot) for knot in sorted(knots)]


def test_no_files_import_each_other_in_a_circle() -> None:
    assert circles(graph({path: path.read_text() for path in SOURCES})) == []


@pytest.mark.parametrize(
    "back",
    [
        "from . import first",
        "from .first import something",
        "import tinyclip.data.first",
        "def late():\n    from .first import something",
        "if TYPE_CHECKING:\n    from .first import Something",
    ],
)
def test_a_circle_of_files_is_found(back: str) -> None:
    planted = {
        PACKAGE / "data" / "first.py": "from .second import a",
        PACKAGE / "data" / "second.py": "from .third import b",
        PACKAGE / "data" / "third.py": back,
        PACKAGE / "data" / "fourth.py": "from .first import c",
    }
    assert circles(graph(planted)) == [
        [f"tinyclip.data.{name}" for name in ("first", "second", "third")]
    ]


def loaded_by(code: str) -> set[str]:
    """The heavy modules that a fresh interpreter holds after running the code."""
    probe = f"import sys; {code}; print(*[m for m in {HEAVY} if m in sys.modules])"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    found = subprocess.run(
        [sys.executable, "-c", probe],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return set(found.stdout.split())


def test_importing_tinyclip_loads_nothing_heavy() -> None:
    assert loaded_by("import tinyclip") == set()


def test_the_ground_floor_and_the_settings_are_torch_free() -> None:
    names = [f"tinyclip.{room}" for room in sorted(TORCH_FREE)]
    names += [
        f"tinyclip.config.{p.stem}" for p in (PACKAGE / "config").glob("[!_]*.py")
    ]
    assert loaded_by("; ".join(f"import {name}" for name in names)) == set()


def test_the_command_line_loads_nothing_heavy_before_it_runs() -> None:
    assert loaded_by("import tinyclip.cli.main") == set()


def test_a_heavy_import_would_be_seen() -> None:
    assert loaded_by("import pandas") == {"pandas"}
