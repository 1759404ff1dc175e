"""A teacher from a cache: the live one's features, or a refusal."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tinyclip.data.batch import Batch
from tinyclip.errors import UserError
from tinyclip.model.preprocess import Preprocess
from tinyclip.training.teacher.index import find_index
from tinyclip.training.teacher.live import LiveTeacher
from tinyclip.training.teacher.shards import SHARD, Shards
from tinyclip.training.teacher.verify import samples


def refusal(call: Callable[[], Any]) -> str:
    with pytest.raises(UserError) as refused:
        call()
    assert "Traceback" not in str(refused.value)
    return str(refused.value)


@pytest.mark.parametrize(
    ("dtype", "within"), [("float32", 2e-6), ("float16", 1e-3), ("bfloat16", 8e-3)]
)
def test_features_are_the_live_teachers(studio, tmp_path, use, dtype, within) -> None:
    studio.make(tmp_path, dtype=dtype)
    stored, live = use(tmp_path), studio.live()
    for step in range(5):
        batch = studio.loader(size=40).batch(step)
        features, expected = stored.features(batch), live.features(batch)
        for name in ("image_BE", "text_BE"):
            feature_BE, expected_BE = getattr(features, name), getattr(expected, name)
            assert feature_BE.dtype == torch.float32
            torch.testing.assert_close(feature_BE, expected_BE, atol=within, rtol=0)
            torch.testing.assert_close(feature_BE.norm(dim=-1), torch.ones(40))
        assert features.scale == expected.scale


def test_another_logit_scale_leaves_the_features(studio, cache, use) -> None:
    stored, batch = use(cache), studio.loader().batch(0)
    other = LiveTeacher(studio.teacher.model, studio.live().engine, 50.0)
    features = stored.with_scale_of(other).features(batch)
    assert features.scale == 50.0
    assert torch.equal(features.image_BE, stored.features(batch).image_BE)


def test_rows_in_another_order_and_fewer_are_found_by_key(studio, cache, use) -> None:
    rows = [77, 3, 50, 12, 99, 0, 31, 64]
    loader = studio.loader(rows)
    stored, live, batch = use(cache, loader), studio.live(), loader.batch(2)
    features, expected = stored.features(batch), live.features(batch)
    torch.testing.assert_close(features.image_BE, expected.image_BE)
    torch.testing.assert_close(features.text_BE, expected.text_BE)


def test_the_teacher_is_run_to_verify_and_never_again(
    studio, cache, use, monkeypatch
) -> None:
    runs: list[int] = []
    features = LiveTeacher.features

    def spy(self: LiveTeacher, batch: Batch) -> Any:
        runs.append(len(batch))
        return features(self, batch)

    monkeypatch.setattr(LiveTeacher, "features", spy)
    stored, loader = use(cache), studio.loader()
    for step in range(3):
        stored.features(loader.batch(step))
    assert runs == [64]


def test_verification_looks_at_every_augmentation_and_both_ends(studio) -> None:
    batch = samples(studio.loader())
    assert batch is not None
    assert set(batch.augmentation_B.tolist()) == {0, 1, 2}
    assert {0, 99} <= set(batch.index_B.tolist())
    few = samples(studio.loader([4, 5, 6], size=2))
    assert few is not None and len(few) == 3


def test_a_cache_of_mirrored_pictures_is_refused_with_the_figures(
    studio, tmp_path, use, monkeypatch
) -> None:
    augmented = Preprocess.augmented

    def mirrored(self: Preprocess, *args: Any, **settings: Any) -> torch.Tensor:
        return augmented(self, *args, **settings).flip(-1)

    with monkeypatch.context() as patch:
        patch.setattr(Preprocess, "augmented", mirrored)
        studio.make(tmp_path)
    message = refusal(lambda: use(tmp_path))
    assert "not this teacher's: cosine on 64 samples: pictures 0." in message
    assert "captions 1.0000 on average" in message
    assert "at least 0.9999 is wanted" in message


def test_captions_of_another_teacher_are_refused(studio, tmp_path, use) -> None:
    other = copy.deepcopy(studio.teacher.model)
    with torch.no_grad():
        other.text.projection.copy_(other.text.projection.flip(0))
    replace(studio, teacher=replace(studio.teacher, model=other)).make(tmp_path)
    message = refusal(lambda: use(tmp_path))
    assert "pictures 1.0000 on average" in message and "captions 1.0000" not in message


@pytest.mark.parametrize(
    ("others", "said"),
    [
        ({"teacher": "b"}, "teacher: pico in the cache, b here"),
        ({"tokenizer": "b"}, "tokenizer: bpe in the cache, b here"),
        (
            {"transform": {"size": 32, "background": "white"}},
            "transform.size: 16 in the cache, 32 here",
        ),
        ({"seed": 6}, "seed: 5 in the cache, 6 here"),
        ({"crop": 0.8}, "crop: 0.7 in the cache, 0.8 here"),
        ({"augmentations": 4}, "augmentations: 3 in the cache, 4 here"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_cache_of_other_things_is_refused_with_what_differs(
    cache, fitting, others, said
) -> None:
    assert said in refusal(lambda: find_index(cache, fitting(**others)))


def test_plain_pictures_depend_on_neither_seed_nor_crop(
    studio, tmp_path, fitting
) -> None:
    studio.make(tmp_path, studio.loader(augmentations=1))
    plain = fitting(augmentations=1, seed=6, crop=0.1)
    assert find_index(tmp_path, plain)[0] == tmp_path


def test_of_caches_side_by_side_the_one_that_fits_is_taken(
    studio, tmp_path, fitting
) -> None:
    for name in ("large", "small"):
        studio.make(tmp_path / name, teacher=name)
    for name in ("large", "small"):
        assert find_index(tmp_path, fitting(teacher=name))[0] == tmp_path / name
    message = refusal(lambda: find_index(tmp_path, fitting(teacher="huge")))
    assert "teacher: large in the cache, huge here" in message
    assert "teacher: small in the cache, huge here" in message
    studio.make(tmp_path / "twin", teacher="small")
    message = refusal(lambda: find_index(tmp_path, fitting(teacher="small")))
    assert "several caches fit" in message


def test_samples_that_are_not_cached_are_counted_and_named(
    studio, tmp_path, use
) -> None:
    studio.make(tmp_path, studio.loader(list(range(90))))
    message = refusal(lambda: use(tmp_path))
    assert "10 samples of the data are not in the cache: " in message
    assert "90.png', " in message and message.count(".png") == 3


def test_captions_that_are_not_cached_are_refused(studio, cache, use) -> None:
    loader = studio.loader()
    pairs = loader.pairs

    class Renamed:
        def captions(self, i: int) -> tuple[str, ...]:
            return ("another one",) if i == 3 else pairs.captions(i)

        def __getattr__(self, name: str) -> Any:
            return getattr(pairs, name)

        def __len__(self) -> int:
            return len(pairs)

    loader.pairs = Renamed()
    message = refusal(lambda: use(cache, loader))
    assert "1 captions of the data are not in the cache: 'another one'" in message


def test_what_was_broken_then_and_is_whole_now_is_refused(studio, cache, use) -> None:
    stored, batch = use(cache), studio.loader().batch(0)
    stored.place_R[int(batch.index_B[0])] = -1
    message = refusal(lambda: stored.features(batch))
    assert "could be read now, and could not when" in message


def memory() -> int:
    """Bytes of this process that no file backs."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if "RssAnon" in line) * 1024


def test_shards_are_mapped_and_not_loaded(tmp_path) -> None:
    from tinyclip.training.teacher.shards import Layout, write_shard

    layout = Layout("image", 30_000, 1, 512, "float16", 30_000)
    assert layout.rows * 1024 < SHARD
    features = torch.ones(30_000, 1, 512, dtype=torch.float16)
    write_shard(layout.path(tmp_path, 0), features, [True] * 30_000, "x")
    del features
    before = memory()
    shards = Shards(layout, tmp_path, "x", "again")
    read = torch.stack([shards.feature(row, 0) for row in range(0, 30_000, 100)])
    assert read.sum() == 300 * 512
    assert memory() - before < 4 * 2**20  # of 30 MB
