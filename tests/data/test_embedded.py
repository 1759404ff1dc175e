"""The table of embedded sets: each is there, and an entry is all that another needs."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tinyclip.config.schema import Data
from tinyclip.data import embedded
from tinyclip.data.embedded import EMBEDDED, Embedded, Finding, Naming
from tinyclip.data.pairs import open_pairs, open_split
from tinyclip.data.pictograms import NEEDED
from tinyclip.data.tasks import RetrievalTask, ZeroShotTask, tasks_of
from tinyclip.errors import UserError


@pytest.mark.parametrize("name", sorted(EMBEDDED))
def test_a_set_has_a_file_with_what_its_tasks_ask_for(name: str) -> None:
    about = EMBEDDED[name]
    columns = set(pq.read_schema(about.path).names)
    assert {"image", *NEEDED} <= columns
    assert {m.column for m in about.measures if isinstance(m, Naming)} <= columns
    rows = pq.read_table(about.path, columns=["split", "kind"]).to_pylist()
    splits = {(row["split"], row["kind"]) for row in rows}
    assert {(measure.split, measure.kind) for measure in about.measures} <= splits
    if (composing := about.composing) is not None:
        column = composing.column
        rows = pq.read_table(about.path, columns=["split", "kind", column]).to_pylist()
        place = composing.split, composing.kind
        shown = {r[column] for r in rows if (r["split"], r["kind"]) == place}
        assert {*composing.things} <= shown
        assert len({*composing.things}) == len(composing.things)
    assert about.validation is None or about.validation in {
        split for split, _ in splits
    }


@pytest.fixture
def planted(tmp_path: Path, picture, monkeypatch) -> None:
    """A second set, of fewer columns: ten rows to train on and four to test on."""
    rows = [
        {
            "key": f"p/{i}",
            "image": picture((i, 0, 0)),
            "captions": [f"one {i}", f"uno {i}"],
            "split": "train" if i < 10 else "test",
            "kind": "photo",
            "colour": f"red-{i % 2}",
        }
        for i in range(14)
    ]
    (tmp_path / "builtin").mkdir()
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "builtin" / "photos.parquet")
    measures = (
        Finding("photos", "test", "photo"),
        Naming("hue", "test", "photo", "colour"),
    )
    monkeypatch.setitem(EMBEDDED, "photos", Embedded("photos.parquet", measures))
    monkeypatch.setattr(embedded, "files", lambda _: tmp_path)


@pytest.mark.usefixtures("planted")
def test_an_entry_of_the_table_is_a_source_with_tasks() -> None:
    data = Data(source="builtin:photos")
    retrieval, named = tasks_of(data)
    assert isinstance(retrieval, RetrievalTask)
    assert isinstance(named, ZeroShotTask)
    assert (retrieval.name, len(retrieval.pairs)) == ("photos", 4)
    assert retrieval.pairs.captions(0) == ("one 10", "uno 10")
    assert (named.name, named.classes) == ("hue", ("red 0", "red 1"))
    assert named.labels == (0, 1, 0, 1)
    assert retrieval.pairs is named.pairs
    assert len(open_pairs(data)) == 10


@pytest.mark.usefixtures("planted")
def test_without_a_validation_split_some_training_pairs_are_held_out() -> None:
    train, held_out = open_split(Data(source="builtin:photos"))
    keys = {pairs.key(i) for pairs in (train, held_out) for i in range(len(pairs))}
    assert len(train) + len(held_out) == len(keys) == 10


@pytest.mark.usefixtures("planted")
def test_a_set_that_is_not_embedded_gets_the_nearest() -> None:
    with pytest.raises(UserError, match="Did you mean 'photos'?"):
        open_pairs(Data(source="builtin:fotos"))
