"""Sources are told apart, and validation pairs are never trained on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyclip.config.schema import Data
from tinyclip.data.pairs import Subset, open_pairs, open_split, split_validation
from tinyclip.errors import UserError


def refusal(source: str) -> str:
    with pytest.raises(UserError) as caught:
        open_pairs(Data(source=source))
    return str(caught.value)


def test_an_unknown_scheme_gets_the_nearest() -> None:
    assert "Did you mean 'folder'?" in refusal("foldr:x")


def test_a_bare_file_is_told_how_to_be_written() -> None:
    assert "csv:pairs.csv" in refusal("pairs.csv")


def test_a_bare_folder_is_told_how_to_be_written(tmp_path: Path) -> None:
    assert f"folder:{tmp_path}" in refusal(str(tmp_path))


def test_a_scheme_without_a_name_is_refused() -> None:
    assert "Write for example" in refusal("csv:")


def test_an_unknown_builtin_gets_the_nearest() -> None:
    assert "Did you mean 'pictograms'?" in refusal("builtin:pictogram")


class Keys:
    """Pairs of which only keys matter."""

    def __init__(self, keys: list[str]) -> None:
        self.keys = keys

    def __len__(self) -> int:
        return len(self.keys)

    def key(self, i: int) -> str:
        return self.keys[i]


@pytest.mark.parametrize(
    ("count", "held_out"),
    [(0, 0), (1, 0), (2, 1), (150, 75), (250, 100), (10_000, 200), (110_000, 2_000)],
)
def test_two_percent_within_bounds_and_never_over_half(count, held_out) -> None:
    train, val = split_validation(Keys([str(i) for i in range(count)]))
    assert len(val) == held_out
    assert sorted([*train, *val]) == list(range(count))


@settings(deadline=None)  # machines that test are busy
@given(st.permutations([f"{i}.png" for i in range(30)]))
def test_which_pairs_are_held_out_depends_on_keys_not_on_order(keys) -> None:
    def held_out(keys: list[str]) -> set[str]:
        return {keys[i] for i in split_validation(Keys(keys))[1]}

    assert held_out(keys) == held_out(sorted(keys))


def test_most_validation_pairs_stay_when_pairs_are_added() -> None:
    keys = [str(i) for i in range(2000)]
    before = {keys[i] for i in split_validation(Keys(keys[:1900]))[1]}
    after = {keys[i] for i in split_validation(Keys(keys))[1]}
    assert len(before & after) > 85


def test_a_csv_is_split_by_hash(table) -> None:
    data = Data(source=f"csv:{table(10)}")
    train, val = open_split(data)
    keys = [{half.key(i) for i in range(len(half))} for half in (train, val)]
    assert [len(half) for half in keys] == [5, 5]
    assert not keys[0] & keys[1]


def train_keys(file: Path, limit: int | None = None) -> list[str]:
    train, _ = open_split(Data(source=f"csv:{file}", limit=limit))
    return [train.key(i) for i in range(len(train))]


def test_a_limit_takes_some_of_the_pairs_to_train_on_in_their_order(table) -> None:
    file = table(40)
    whole, some, fewer = (train_keys(file, limit) for limit in (None, 12, 5))
    assert (len(whole), len(some), len(fewer)) == (20, 12, 5)
    assert [key for key in whole if key in some] == some != whole[:12]
    assert set(fewer) < set(some)


def test_a_limit_leaves_validation_pairs_and_what_is_below_it(table) -> None:
    data = Data(source=f"csv:{table(10)}", limit=5)
    train, val = open_split(data)
    assert (len(train), len(val)) == (5, 5)
    assert train.fingerprint() == open_split(replace(data, limit=None))[0].fingerprint()


def test_pairs_of_their_own_validate_when_named(table) -> None:
    data = Data(source=f"csv:{table(10)}")
    file = table(3, name="val.csv")
    train, val = open_split(Data(source=data.source, val=f"csv:{file}"))
    assert [val.key(i) for i in range(len(val))] == ["0.png", "1.png", "2.png"]
    # the same pictures are rows of the training file, too
    assert [train.key(i) for i in range(len(train))] == [
        f"{i}.png" for i in range(3, 10)
    ]


def test_validation_pairs_that_are_all_of_the_pairs_are_refused(table) -> None:
    source = f"csv:{table(3)}"
    with pytest.raises(UserError, match="every picture of"):
        open_split(Data(source=source, val=source))


def test_the_embedded_set_validates_on_its_development_split(pictograms) -> None:
    train, val = open_split(Data(source=f"parquet:{pictograms}"))
    assert (len(train), len(val)) == (12, 3)
    assert val.key(0) == "set/12"


def test_a_subset_shows_the_rows_it_names(make_pairs) -> None:
    part = Subset(make_pairs(9), [7, 2])
    assert len(part) == 2
    assert (part.key(0), part.captions(1)) == ("k7", ("one 2", "two 2"))
    assert part.image(0).getpixel((0, 0)) == (7, 0, 0)


def test_a_subset_has_a_fingerprint_of_its_rows(make_pairs) -> None:
    pairs = make_pairs(9)
    prints = {Subset(pairs, rows).fingerprint() for rows in ([1, 2], [2, 1], [1])}
    assert len(prints) == 3


def test_every_scheme_is_offered_when_none_is_near() -> None:
    assert "builtin, csv, folder, hf, json, parquet, pipe, tars, tsv" in refusal(
        "qqq:x"
    )
