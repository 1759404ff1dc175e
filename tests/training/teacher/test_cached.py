"""The cache that a run makes for itself, and reads again when it is resumed."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tinyclip.errors import UserError
from tinyclip.training.teacher.cached import CachedTeacher, cache_teacher
from tinyclip.training.teacher.live import LiveTeacher


@pytest.fixture
def cached(studio, tmp_path) -> Callable[..., CachedTeacher]:
    def open_cache(live: LiveTeacher | None = None, of: str = "x") -> CachedTeacher:
        path = tmp_path / "teacher.safetensors"
        return cache_teacher(live or studio.live(), studio.loader(), path, of)

    return open_cache


@pytest.fixture
def file(cached, tmp_path) -> Path:
    cached()
    return tmp_path / "teacher.safetensors"


def test_features_are_the_live_teachers(studio, cached) -> None:
    batch = studio.loader().batch(0)
    features, expected = cached().features(batch), studio.live().features(batch)
    torch.testing.assert_close(features.image_BE, expected.image_BE)
    torch.testing.assert_close(features.text_BE, expected.text_BE)


def test_a_file_that_is_read_again_gives_the_same(cached, file, caplog) -> None:
    stamp, first = file.stat().st_mtime_ns, file.read_bytes()
    assert cached().image_RAE.shape == (100, 3, 16)
    assert file.stat().st_mtime_ns == stamp
    file.unlink()
    cached()
    assert file.read_bytes() == first
    assert not caplog.text


def test_a_file_that_is_read_again_is_verified(studio, cached, file) -> None:
    other = copy.deepcopy(studio.teacher.model)
    with torch.no_grad():
        other.image.projection.copy_(other.image.projection.flip(0))
    teacher = LiveTeacher(other, studio.live().engine, None)
    with pytest.raises(UserError, match="cosine on 64 samples: pictures -?0") as no:
        cached(teacher)
    assert str(no.value).endswith("Delete it: it is made anew, bit for bit")


@pytest.mark.parametrize("damage", ["flipped", "cut"])
def test_a_damaged_file_is_made_anew_and_the_log_says_so(
    cached, file, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    content = file.read_bytes()
    flipped = bytearray(content)
    flipped[-5] ^= 1
    file.write_bytes(flipped if damage == "flipped" else content[:-5])
    with caplog.at_level(logging.WARNING):
        cached()
    assert "made anew" in caplog.text
    assert file.read_bytes() == content


def test_features_of_something_else_are_made_anew(cached, file) -> None:
    before = file.read_bytes()
    cached(of="y")
    assert file.read_bytes() != before


def test_verifying_may_use_another_precision_than_the_run(studio) -> None:
    live, batch = studio.live(), studio.loader().batch(0)
    plain = live.features(batch).image_BE
    with live.computing_in("bf16"):
        half = live.features(batch).image_BE
    assert not torch.equal(half, plain)
    torch.testing.assert_close(half, plain, atol=0.05, rtol=0)
    assert torch.equal(live.features(batch).image_BE, plain)
