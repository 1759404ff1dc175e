"""Scripts in processes of their own, as people run them."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tinyclip.config.load import load_recipe
from tinyclip.config.schema import Recipe

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "benchmarks"
ENVIRONMENT = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
Script = Callable[..., dict[str, Any]]


def command(name: str, *arguments: object) -> list[str]:
    return [sys.executable, str(FOLDER / name), *map(str, arguments)]


@pytest.fixture(scope="session")
def script() -> Script:
    """Run a script; all that it prints is one JSON object, which is returned."""

    def run(name: str, *arguments: object) -> dict[str, Any]:
        process = subprocess.run(
            command(name, *arguments),
            env={**os.environ, **ENVIRONMENT},
            capture_output=True,
            text=True,
        )
        assert process.returncode == 0, process.stderr
        report = json.loads(process.stdout)
        assert isinstance(report, dict)
        return report

    return run


@pytest.fixture(scope="session")
def start() -> Callable[..., subprocess.Popen[str]]:
    """Start a script and do not wait for it."""

    def begin(name: str, *arguments: object) -> subprocess.Popen[str]:
        return subprocess.Popen(
            command(name, *arguments),
            env={**os.environ, **ENVIRONMENT},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return begin


@pytest.fixture(scope="session")
def scripts() -> Iterator[Callable[[str], ModuleType]]:
    """Scripts as modules, which they are not installed as."""
    sys.path.insert(0, str(FOLDER))
    yield importlib.import_module
    sys.path.remove(str(FOLDER))


@pytest.fixture(scope="session")
def pictoset() -> Iterator[ModuleType]:
    """The builder's package, which is not installed."""
    folder = str(FOLDER / "pictograms")
    sys.path.insert(0, folder)
    try:
        import pictoset.captions
        import pictoset.emoji
        import pictoset.fetch
        import pictoset.render
        import pictoset.sources
        import pictoset.splits
        import pictoset.table

        yield pictoset
    finally:
        sys.path.remove(folder)


@pytest.fixture(scope="session")
def part(scripts: Callable[[str], ModuleType]) -> Callable[[str], Any]:
    """A module of the comparison."""
    return lambda name: scripts(f"comparison.{name}")


@pytest.fixture(scope="session")
def base() -> Recipe:
    return load_recipe(str(FOLDER / "comparison" / "base.yaml"))
