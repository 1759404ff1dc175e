"""What has no pair: nothing of it is measured on, and its order is a pure function."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tinyclip.config.schema import Data
from tinyclip.data.batch import Batch, Unpaired, UnpairedPictures, UnpairedTexts
from tinyclip.data.loader import Loader
from tinyclip.data.pairs import open_pairs, open_split
from tinyclip.data.protocol import Pairs
from tinyclip.data.task import RetrievalTask
from tinyclip.data.tasks import tasks_of
from tinyclip.data.texts import open_texts
from tinyclip.data.unpaired import (
    MixedLoader,
    TextLoader,
    UnpairedLoader,
    open_unpaired,
)
from tinyclip.data.views import Recaptioned, Subset
from tinyclip.errors import UserError


def keys(pairs: Pairs | None) -> set[str]:
    assert pairs is not None
    return {pairs.key(i) for i in range(len(pairs))}


@pytest.fixture
def texts(tmp_path: Path) -> Callable[..., TextLoader]:
    """`TextLoader`s of ten texts."""
    (tmp_path / "texts.txt").write_text("\n".join(f"text {i}" for i in range(10)))

    def make(tokenizer: object, **settings: object) -> TextLoader:
        data = Data(texts=str(tmp_path / "texts.txt"))
        chosen = {"seed": 3, "batch": 4, **settings}
        return TextLoader(open_texts(data), tokenizer, **chosen)  # type: ignore[arg-type]

    return make


def test_pictures_that_are_held_out_are_not_among_them(table, tmp_path: Path) -> None:
    data = Data(source=f"csv:{table(40)}", images=f"folder:{tmp_path}", limit=5)
    train, val = open_split(data)
    sources = open_unpaired(data, val, [])
    assert (len(train), len(val)) == (5, 20)
    assert keys(sources.pictures) == {f"{i}.png" for i in range(40)} - keys(val)
    assert keys(train) < keys(sources.pictures)  # those of pairs are welcome
    assert sources.counts == {"images": 20}


def test_a_source_of_nothing_but_held_out_pictures_is_refused(table) -> None:
    file = table(8)
    data = Data(source=f"csv:{file}", val=f"csv:{file}", images=f"csv:{file}")
    with pytest.raises(UserError, match="is held out, to be measured on"):
        open_unpaired(data, open_pairs(Data(source=f"csv:{file}")), [])


def test_of_an_embedded_set_the_training_drawings_alone_are_taken(
    pictograms: Path,
) -> None:
    source = f"parquet:{pictograms}"
    data = Data(source=source, images=source)
    _, val = open_split(data)
    assert keys(open_unpaired(data, val, tasks_of(data)).pictures) == {
        f"set/{i}" for i in range(12)
    }


def test_its_tests_stay_out_of_a_folder_of_such_files_too(pictograms: Path) -> None:
    data = Data(source=f"parquet:{pictograms}", images=f"parquet:{pictograms.parent}")
    _, val = open_split(data)
    pictures = open_unpaired(data, val, tasks_of(data)).pictures
    assert keys(pictures) == {f"pictograms#{i}" for i in range(12)}


def test_of_karpathys_splits_those_to_train_on_alone_are_taken(
    table, tmp_path: Path
) -> None:
    table(6)
    splits = ("train", "restval", "val", "test", "test", "train")
    images = [
        {"filename": f"{i}.png", "split": split, "sentences": [{"raw": f"a {i}"}]}
        for i, split in enumerate(splits)
    ]
    (tmp_path / "x.json").write_text(json.dumps({"images": images}))
    data = Data(source=f"json:{tmp_path}/x.json", images=f"folder:{tmp_path}")
    _, val = open_split(data)
    assert keys(open_unpaired(data, val, []).pictures) == {"0.png", "1.png", "5.png"}


def test_captions_that_are_measured_on_are_not_among_the_texts(
    table, tmp_path: Path
) -> None:
    lines = "\n".join(f"colour {i}" for i in range(40))
    (tmp_path / "texts.txt").write_text(lines)
    data = Data(source=f"csv:{table(40)}", texts=str(tmp_path / "texts.txt"))
    _, val = open_split(data)
    captions = {f"colour {i}" for i in range(40)}
    held_out = {val.captions(i)[0] for i in range(len(val))}
    found = open_unpaired(data, val, []).texts
    assert found is not None
    assert set(found) == captions - held_out
    asked = Recaptioned(val, [f"colour {i}" for i in range(3)])
    tasks = [RetrievalTask("x", Subset(asked, [0, 1, 2]))]
    found = open_unpaired(data, val, tasks).texts
    assert found is not None
    assert set(found) == captions - held_out - {"colour 0", "colour 1", "colour 2"}


def test_fingerprints_are_of_what_there_is(table, tmp_path: Path) -> None:
    data = Data(source=f"csv:{table(8)}", images=f"folder:{tmp_path}")
    _, val = open_split(data)
    assert set(open_unpaired(data, val, []).fingerprints) == {"images"}
    assert open_unpaired(Data(), val, []).fingerprints == {}


def test_texts_of_any_step_in_any_order_are_the_same(texts, tokenizer) -> None:
    forward, backward = texts(tokenizer), texts(tokenizer)
    ahead = [forward.batch(step).texts for step in range(8)]
    behind = [backward.batch(step).texts for step in reversed(range(8))][::-1]
    assert ahead == behind
    seen = [text for batch in ahead[:5] for text in batch]
    assert sorted(seen[:10]) == sorted(seen[10:]) == [f"text {i}" for i in range(10)]
    assert seen[:10] != seen[10:]
    assert texts(tokenizer, seed=4).batch(0).texts != ahead[0]


def test_tokens_and_numbers_are_of_the_texts(texts, tokenizer) -> None:
    batch = texts(tokenizer).batch(1)
    assert torch.equal(batch.tokens_MT, tokenizer(list(batch.texts)))
    assert [f"text {i}" for i in batch.index_M.tolist()] == list(batch.texts)


def test_the_parts_of_processes_are_the_whole(texts, tokenizer) -> None:
    whole = texts(tokenizer).batch(2).texts
    parts = (texts(tokenizer, part=(rank, 2)).batch(2).texts for rank in range(2))
    assert tuple(text for part in parts for text in part) == whole


@pytest.fixture
def mixed(make_pairs, preprocess, tokenizer, texts) -> MixedLoader:
    def loader(count: int, batch: int, broken: tuple[int, ...] = ()) -> Loader:
        pairs = make_pairs(count, broken)
        settings = {"seed": 0, "batch": batch, "max_broken_share": 1.0}
        return Loader(pairs, range(count), preprocess, tokenizer, **settings)

    beside = UnpairedLoader(loader(9, 3, (2, 5)), texts(tokenizer))
    return MixedLoader(loader(6, 2), beside)


def test_a_step_sees_pairs_and_what_has_none(mixed: MixedLoader) -> None:
    batch = mixed.batch(1)
    pictures, texts = batch.unpaired.pictures, batch.unpaired.texts
    assert pictures is not None and texts is not None
    assert (len(batch), len(pictures), len(texts)) == (2, 3, 4)
    alone = mixed.pairs.batch(1)
    assert torch.equal(batch.pixels, alone.pixels)
    assert alone.unpaired == Unpaired()


def test_broken_pictures_are_replaced_and_counted(mixed: MixedLoader) -> None:
    seen = [mixed.batch(step).unpaired.pictures for step in range(3)]
    rows = [row for drawn in seen if drawn for row in drawn.index_N.tolist()]
    assert not {2, 5} & set(rows)
    assert mixed.unpaired.pictures is not None
    assert set(mixed.unpaired.pictures.broken) == {"k2", "k5"}
    assert not mixed.pairs.broken


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_pieces_are_the_batch_again(mixed: MixedLoader, count: int) -> None:
    batch = mixed.batch(0)
    pieces = batch.pieces(count)
    assert len(pieces) == min(count, 2)  # at most as many as pairs

    def together(rows: Callable[[Batch], torch.Tensor]) -> torch.Tensor:
        return torch.cat([rows(piece) for piece in pieces])

    def pictures(piece: Batch) -> UnpairedPictures:
        assert piece.unpaired.pictures is not None
        return piece.unpaired.pictures

    def texts(piece: Batch) -> UnpairedTexts:
        assert piece.unpaired.texts is not None
        return piece.unpaired.texts

    for rows in (
        lambda piece: piece.index_B,
        lambda piece: pictures(piece).index_N,
        lambda piece: pictures(piece).pixels,
        lambda piece: texts(piece).tokens_MT,
    ):
        assert torch.equal(together(rows), rows(batch))
    said = [text for piece in pieces for text in texts(piece).texts]
    assert tuple(said) == texts(batch).texts
