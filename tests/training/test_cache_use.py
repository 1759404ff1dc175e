"""A teacher from a cache: the live one's features, or a refusal."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tinyclip.data.batch import Batch
from tinyclip.errors import UserError
from tinyclip.model.preprocess import Preprocess
from tinyclip.training.cache_index import find_index
from tinyclip.training.cache_store import SHARD, Shards
from tinyclip.training.cache_use import StoredTeacher, open_stored
from tinyclip.training.cache_verify import samples
from tinyclip.training.teacher import LiveTeacher


@pytest.fixture
def cache(studio, tmp_path) -> Path:
    studio.make(tmp_path / "cache")
    return tmp_path / "cache"


@pytest.fixture
def use(studio, fitting) -> Callable[..., StoredTeacher]:
    """Open a cache for a loader, as a run does."""

    def opened(folder: Path, loader: Any = None) -> StoredTeacher:
        found = find_index(folder, fitting())
        return open_stored(*found, studio.live(), loader or studio.loader())

    return opened


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
        mine, wanted = stored.features(batch), live.features(batch)
        for name in ("image_BE", "text_BE"):
            one, other = getattr(mine, name), getattr(wanted, name)
            assert one.dtype == torch.float32
            torch.testing.assert_close(one, other, atol=within, rtol=0)
            torch.testing.assert_close(one.norm(dim=-1), torch.ones(40))
        assert mine.scale == wanted.scale


def test_another_logit_scale_leaves_the_features(studio, cache, use) -> None:
    stored, batch = use(cache), studio.loader().batch(0)
    other = LiveTeacher(studio.teacher.model, studio.live().engine, 50.0)
    mine = stored.under(other).features(batch)
    assert mine.scale == 50.0
    assert torch.equal(mine.image_BE, stored.features(batch).image_BE)


def test_rows_in_another_order_and_fewer_are_found_by_key(studio, cache, use) -> None:
    rows = [77, 3, 50, 12, 99, 0, 31, 64]
    loader = studio.loader(rows)
    stored, live, batch = use(cache, loader), studio.live(), loader.batch(2)
    found, wanted = stored.features(batch), live.features(batch)
    torch.testing.assert_close(found.image_BE, wanted.image_BE)
    torch.testing.assert_close(found.text_BE, wanted.text_BE)


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

    def mirrored(self: Preprocess, *args: Any, **named: Any) -> torch.Tensor:
        return augmented(self, *args, **named).flip(-1)

    with monkeypatch.context() as patch:
        patch.setattr(Preprocess, "augmented", mirrored)
        studio.make(tmp_path)
    said = refusal(lambda: use(tmp_path))
    assert "not this teacher's: cosine on 64 samples: pictures 0." in said
    assert "captions 1.0000 on average" in said
    assert "at least 0.9999 is wanted" in said


def test_captions_of_another_teacher_are_refused(studio, tmp_path, use) -> None:
    other = copy.deepcopy(studio.teacher.model)
    with torch.no_grad():
        other.text.projection.copy_(other.text.projection.flip(0))
    replace(studio, teacher=replace(studio.teacher, model=other)).make(tmp_path)
    said = refusal(lambda: use(tmp_path))
    assert "pictures 1.0000 on average" in said and "captions 1.0000" not in said


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
    said = refusal(lambda: find_index(tmp_path, fitting(teacher="huge")))
    assert "teacher: large in the cache, huge here" in said
    assert "teacher: small in the cache, huge here" in said
    studio.make(tmp_path / "twin", teacher="small")
    said = refusal(lambda: find_index(tmp_path, fitting(teacher="small")))
    assert "several caches fit" in said


def test_samples_that_are_not_cached_are_counted_and_named(
    studio, tmp_path, use
) -> None:
    studio.make(tmp_path, studio.loader(list(range(90))))
    said = refusal(lambda: use(tmp_path))
    assert "10 samples of the data are not in the cache: " in said
    assert "90.png', " in said and said.count(".png") == 3


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
    said = refusal(lambda: use(cache, loader))
    assert "1 captions of the data are not in the cache: 'another one'" in said


def test_what_was_broken_then_and_is_whole_now_is_refused(studio, cache, use) -> None:
    stored, batch = use(cache), studio.loader().batch(0)
    stored.place_R[int(batch.index_B[0])] = -1
    said = refusal(lambda: stored.features(batch))
    assert "could be read now, and could not when" in said


def test_every_flipped_byte_of_a_shard_is_noticed_or_harmless(
    studio, tmp_path, small_shards
) -> None:
    index, _ = studio.make(tmp_path, studio.loader(list(range(20))))
    path = tmp_path / "image-00001.safetensors"
    content, number = path.read_bytes(), 1

    def read() -> torch.Tensor:
        shards = Shards(index.images, tmp_path, index.fingerprint, "again")
        rows = index.images.span(number)
        return torch.stack([shards.feature(r, a) for r in rows for a in range(3)])

    wanted, noticed = read(), 0
    header = 8 + int.from_bytes(content[:8], "little")
    tried = [*range(header), *range(header, len(content), 7)]
    for at in tried:
        path.write_bytes(content[:at] + bytes([content[at] ^ 4]) + content[at + 1 :])
        try:
            assert torch.equal(read(), wanted), f"byte {at}"
        except UserError as refused:
            assert "image-00001.safetensors: is damaged" in str(refused)
            assert "Only it is made anew by: again" in str(refused)
            noticed += 1
    assert noticed > 0.8 * len(tried)


@pytest.mark.parametrize("name", ["image-00000", "text-00000", "keys"])
@pytest.mark.parametrize("damage", ["cut", "missing"])
def test_a_damaged_file_is_told_at_start_up(cache, use, name, damage) -> None:
    path = cache / f"{name}.safetensors"
    content = path.read_bytes()
    path.unlink()
    if damage == "cut":
        path.write_bytes(content[:-9])
    said = refusal(lambda: use(cache))
    assert said.startswith(f"{path}: is damaged")
    assert "tinyclip cache again" in said


def test_a_flipped_byte_of_the_keys_is_told(cache, use) -> None:
    path = cache / "keys.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert "keys.safetensors: is damaged: its checksum" in refusal(lambda: use(cache))


def edited(folder: Path, **values: Any) -> None:
    path = folder / "index.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"format_version": 2}, "is a cache of version 2, and this tinyclip reads 1"),
        ({"format_version": None}, "is no index of a teacher cache"),
        ({"images": {}}, "is damaged"),
        ({"made_of": {"seed": 1}}, "is damaged"),
        ({"images": 3}, "is damaged"),
        ({"whole": False}, "is not finished. Go on with: tinyclip cache again"),
    ],
    ids=["newer", "none", "empty", "lacking", "number", "unfinished"],
)
def test_an_index_that_cannot_be_used_is_refused(cache, use, values, said) -> None:
    edited(cache, **values)
    assert said in refusal(lambda: use(cache))


@pytest.mark.parametrize("text", ["", "[]", "{", '"a"', '{"format_version": 1}'])
def test_an_index_that_is_none_is_refused(cache, use, text) -> None:
    (cache / "index.json").write_text(text)
    refusal(lambda: use(cache))


@pytest.mark.parametrize("kind", ["missing", "empty", "file"])
def test_a_folder_that_is_no_cache_is_refused(tmp_path, use, kind) -> None:
    path = tmp_path / "no"
    if kind == "empty":
        path.mkdir()
    if kind == "file":
        path.write_text("a file")
    said = refusal(lambda: use(path))
    assert "is no teacher cache. Make one with: tinyclip cache" in said


def memory() -> int:
    """Bytes of this process that no file backs."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(one.split()[1]) for one in lines if "RssAnon" in one) * 1024


def test_shards_are_mapped_and_not_loaded(tmp_path) -> None:
    from tinyclip.training.cache_store import Layout, write_shard

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
