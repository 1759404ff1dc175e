"""The samples of tars are the same whoever reads them, and none of them twice."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tinyclip.config.schema import Data
from tinyclip.data.loader import Loader
from tinyclip.data.pairs import open_pairs, open_split
from tinyclip.data.tars import TarPairs
from tinyclip.data.tasks import RetrievalTask, tasks_of


def opened(source: str, **settings: object):
    return open_pairs(Data(source=source, **settings))


def test_validation_shards_are_never_trained_on(shards: str, tmp_path: Path) -> None:
    held_out = f"tars:{tmp_path}/01.tar"
    train, val = open_split(Data(source=shards, val=held_out))
    assert (len(train), len(val)) == (8, 4)
    assert {train.captions(i)[0] for i in range(8)} == {
        f"colour {i}" for i in (0, 1, 2, 3, 8, 9, 10, 11)
    }


def test_validation_shards_are_found_among_rows_that_are_left(shards, tmp_path) -> None:
    data = Data(
        source=shards, val=f"tars:{tmp_path}/01.tar", exclude=("00/*", "01/004")
    )
    train, val = open_split(data)
    assert {train.captions(i)[0] for i in range(len(train))} == {
        f"colour {i}" for i in range(8, 12)
    }
    assert len(val) == 3


def test_shards_offer_retrieval(shards: str) -> None:
    (task,) = tasks_of(Data(source=shards))
    assert isinstance(task, RetrievalTask)
    assert len(task.pairs) == 6


def loader(pairs: TarPairs, preprocess, tokenizer, workers: int = 0) -> Loader:
    rows = range(len(pairs))
    return Loader(
        pairs, rows, preprocess, tokenizer, seed=3, batch=5, workers=workers, memory=0
    )


def test_any_number_of_workers_gives_the_same_samples(
    shards, preprocess, tokenizer
) -> None:
    alone, four = (
        loader(opened(shards), preprocess, tokenizer, workers) for workers in (0, 4)
    )
    for step in range(6):
        one, other = alone.batch(step), four.batch(step)
        assert np.array_equal(one.index_B, other.index_B)
        assert np.array_equal(one.pixels, other.pixels)
        assert one.captions == other.captions


def test_a_resumed_run_reads_nothing_of_what_came_before(
    shards, preprocess, tokenizer, monkeypatch
) -> None:
    whole = loader(opened(shards), preprocess, tokenizer)
    before = [whole.batch(step) for step in range(4)]
    asked: list[int] = []
    read = TarPairs.read

    def counted(self: TarPairs, i: int) -> bytes:
        asked.append(i)
        return read(self, i)

    monkeypatch.setattr(TarPairs, "read", counted)
    resumed = loader(opened(shards), preprocess, tokenizer).batch(3)
    assert np.array_equal(resumed.pixels, before[3].pixels)
    assert asked == resumed.index_B.tolist()


def test_every_sample_is_seen_once_an_epoch(shards, preprocess, tokenizer) -> None:
    batches = loader(opened(shards), preprocess, tokenizer)
    rows = [int(i) for step in range(12) for i in batches.batch(step).index_B]
    epochs = [sorted(rows[at : at + 12]) for at in range(0, 60, 12)]
    assert epochs == [list(range(12))] * 5
    assert rows[:12] != rows[12:24]
