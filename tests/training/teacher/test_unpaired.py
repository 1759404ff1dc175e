"""The teacher's features of what has no pair: made once, and read again."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch

from tinyclip.config.schema import Data
from tinyclip.data.texts import open_texts
from tinyclip.data.unpaired import MixedLoader, TextLoader, UnpairedLoader
from tinyclip.errors import UserError
from tinyclip.losses.unpaired import IMAGE, TEXT
from tinyclip.training.teacher.live import LiveTeacher
from tinyclip.training.teacher.unpaired import cached_pictures, cached_texts
from tinyclip.training.unpaired import UnpairedTeacher


@pytest.fixture
def loader(studio, tmp_path: Path) -> MixedLoader:
    lines = "\n".join(f"a bar of {i}" for i in range(30))
    (tmp_path / "texts.txt").write_text(lines)
    texts = open_texts(Data(texts=str(tmp_path / "texts.txt")))
    tokenizer = studio.teacher.tokenizer
    of_texts = TextLoader(texts, tokenizer, seed=1, batch=7)
    return MixedLoader(studio.loader(), UnpairedLoader(studio.loader(), of_texts))


def cached(
    live: LiveTeacher, loader: MixedLoader, folder: Path, of: str = "x"
) -> UnpairedTeacher:
    unpaired = loader.unpaired
    assert unpaired.pictures is not None and unpaired.texts is not None
    images, texts = folder / "images.safetensors", folder / "texts.safetensors"
    pictures = cached_pictures(live, unpaired.pictures, images, of)
    of_texts = cached_texts(live, unpaired.texts, texts, of)
    return UnpairedTeacher(live, pictures, of_texts)


def alive(live: LiveTeacher) -> UnpairedTeacher:
    return UnpairedTeacher.live(live)


def test_features_are_the_live_teachers(studio, loader, tmp_path: Path) -> None:
    batch = loader.batch(1)
    features = cached(studio.live(), loader, tmp_path).features(batch)
    expected = alive(studio.live()).features(batch)
    assert (len(expected.more[IMAGE]), len(expected.more[TEXT])) == (8, 7)
    for name in (IMAGE, TEXT):
        torch.testing.assert_close(features.more[name], expected.more[name])
    torch.testing.assert_close(features.image_BE, expected.image_BE)


def test_files_that_are_read_again_are_left_and_give_the_same(
    studio, loader, tmp_path: Path
) -> None:
    cached(studio.live(), loader, tmp_path)
    files = sorted(tmp_path.glob("*.safetensors"))
    before = [(path.read_bytes(), path.stat().st_mtime_ns) for path in files]
    assert len(before) == 2
    cached(studio.live(), loader, tmp_path)
    assert [(p.read_bytes(), p.stat().st_mtime_ns) for p in files] == before
    files[1].write_bytes(before[1][0][:-5])
    cached(studio.live(), loader, tmp_path, of="x")
    assert files[1].read_bytes() == before[1][0]
    cached(studio.live(), loader, tmp_path, of="y")
    assert all(p.read_bytes() != was for p, (was, _) in zip(files, before, strict=True))


@pytest.mark.parametrize("tower", ["image", "text"])
def test_files_that_are_read_again_are_verified(
    studio, loader, tmp_path: Path, tower: str
) -> None:
    cached(studio.live(), loader, tmp_path)
    other = copy.deepcopy(studio.teacher.model)
    with torch.no_grad():
        projection = getattr(other, tower).projection
        projection.copy_(projection.flip(0))
    kind = {"image": "pictures", "text": "texts"}[tower]
    with pytest.raises(UserError, match=f"not this teacher's: cosine on .*{kind}"):
        cached(LiveTeacher(other, studio.live().engine, None), loader, tmp_path)


def test_a_teacher_with_a_tokenizer_of_its_own_is_asked_for_texts(
    studio, loader, tmp_path: Path
) -> None:
    """As where the student's vocabulary is trimmed: its ids mean nothing there."""
    asked: list[str] = []

    def own(texts: list[str]) -> torch.Tensor:
        asked.extend(texts)
        return studio.teacher.tokenizer(texts)

    live = LiveTeacher(studio.teacher.model, studio.live().engine, None, own)
    batch = loader.batch(0)
    texts = batch.unpaired.texts
    assert texts is not None
    live.texts(torch.zeros_like(texts.tokens_MT), texts.texts)
    assert asked == list(texts.texts)
