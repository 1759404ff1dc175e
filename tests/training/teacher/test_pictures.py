"""Features of any pictures of a cache, in memory and on disk."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tinyclip.data.broken import Broken
from tinyclip.data.loader import Loader
from tinyclip.training.needs.nearest import Nearby
from tinyclip.training.needs.provider import Offered
from tinyclip.training.teacher.cached import cache_teacher


class Torn:
    """Pairs of which row 7 cannot be read."""

    def __init__(self, pairs: Any) -> None:
        self.pairs = pairs

    def __getattr__(self, name: str) -> Any:
        return getattr(self.pairs, name)

    def __len__(self) -> int:
        return len(self.pairs)

    def image(self, i: int) -> Any:
        if i == 7:
            raise Broken("torn", "made so")
        return self.pairs.image(i)


@pytest.fixture
def torn(studio) -> Loader:
    loader: Loader = studio.loader(max_broken_share=0.05)
    loader.pairs = Torn(loader.pairs)
    return loader


@pytest.fixture
def opened(studio, torn, tmp_path, use):
    """Either kind of cache; the second time one in memory is read from its file."""

    def open_cache(kind: str) -> Any:
        if kind == "in memory":
            path = tmp_path / "teacher.safetensors"
            return cache_teacher(studio.live(), torn, path, "x")
        studio.make(tmp_path / "cache", torn)
        return use(tmp_path / "cache", torn)

    return open_cache


@pytest.mark.usefixtures("small_shards")
@pytest.mark.parametrize("kind", ["in memory", "on disk"])
def test_they_are_those_of_the_first_augmentation(studio, torn, opened, kind) -> None:
    opened(kind)
    rows = [70, 3, 8]
    pixels = torch.stack([torn.sample(row, 0) for row in rows])
    expected = studio.teacher.model.encode_image(pixels, normalize=True).detach()
    torch.testing.assert_close(opened(kind).pictures(rows), expected)


@pytest.mark.usefixtures("small_shards")
@pytest.mark.parametrize("kind", ["in memory", "on disk"])
def test_those_that_are_broken_are_zeros_after_a_resume_too(opened, kind) -> None:
    for _ in range(2):
        features = opened(kind).pictures(range(100))
        assert (~features.any(1)).nonzero().flatten().tolist() == [7]


@pytest.mark.usefixtures("small_shards")
def test_neighbours_are_the_same_from_both(studio, torn, opened) -> None:
    found = []
    for kind in ("in memory", "on disk"):
        around = Offered(studio.live().engine, torn, opened(kind), studio.live, 0)
        found.append(Nearby.found(around, 3).rows_RK)
    assert torch.equal(*found)
    assert found[0].shape == (100, 3)
    assert (found[0] != 7).all() and found[0][7].tolist() == [-1, -1, -1]
