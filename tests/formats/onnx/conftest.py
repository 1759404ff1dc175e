"""Traced once, used by many: tracing a tower takes seconds, a copy none."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tinyclip.formats.onnx.graph import trace
from tinyclip.model.clip import Clip

Trace = Callable[[Clip, str, Path], Path]


@pytest.fixture(scope="session")
def trace_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trace]:
    """`onnx_graph.trace` that remembers: equal shapes and weights, equal files."""
    traced: dict[tuple[object, ...], Path] = {}

    def remembered(model: Clip, tower: str, folder: Path) -> Path:
        sums = tuple(float(p.detach().double().sum()) for p in model.parameters())
        key = (model.shape, tower, sums)
        if key not in traced:
            traced[key] = trace(model, tower, tmp_path_factory.mktemp("traced"))
        return Path(shutil.copy(traced[key], folder / traced[key].name))

    yield remembered
