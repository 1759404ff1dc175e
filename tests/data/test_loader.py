"""A batch depends on seed and step, and on nothing that happened before."""

from __future__ import annotations

import time
from collections import Counter

import pytest
import torch

from tinyclip.data.batch import Batch
from tinyclip.data.loader import Loader
from tinyclip.errors import UserError


@pytest.fixture
def make(make_pairs, preprocess, tokenizer):
    def build(count: int = 10, broken: tuple[int, ...] = (), **settings) -> Loader:
        chosen = {"seed": 0, "batch": 4, "max_broken_share": 1.0, **settings}
        pairs = make_pairs(count, broken)
        rows = chosen.pop("rows", range(count))
        return Loader(pairs, rows, preprocess, tokenizer, **chosen)

    return build


def same(one: Batch, other: Batch) -> bool:
    return one.captions == other.captions and all(
        torch.equal(getattr(one, name), getattr(other, name))
        for name in ("index_B", "augmentation_B", "pixels", "tokens_BT")
    )


def rows(loader: Loader, steps: range) -> list[int]:
    return [int(row) for step in steps for row in loader.batch(step).index_B]


def test_any_step_in_any_order_is_the_same_batch(make) -> None:
    forward, backward = make(broken=(3, 4)), make(broken=(3, 4))
    ahead = [forward.batch(step) for step in range(12)]
    behind = [backward.batch(step) for step in reversed(range(12))][::-1]
    assert all(same(one, other) for one, other in zip(ahead, behind, strict=True))


def test_a_step_asked_for_alone_is_the_same_batch(make) -> None:
    used = make(augmentations=3)
    for step in range(9):
        used.batch(step)
    assert same(used.batch(5), make(augmentations=3).batch(5))


def test_each_epoch_sees_every_row_once(make) -> None:
    # 10 rows in batches of 4: five batches are two epochs, one batch straddles
    seen = rows(make(), range(5))
    assert sorted(seen[:10]) == sorted(seen[10:]) == list(range(10))
    assert seen[:10] != seen[10:]


def test_another_seed_is_another_order(make) -> None:
    assert rows(make(seed=1), range(2)) != rows(make(seed=2), range(2))


def test_only_the_rows_named_are_seen(make) -> None:
    assert set(rows(make(rows=[1, 5, 7, 9]), range(8))) == {1, 5, 7, 9}


def test_pixels_and_tokens_belong_to_the_row(make) -> None:
    batch = make(40).batch(3)
    assert batch.pixels[:, 0, 0, 0].tolist() == batch.index_B.tolist()
    for row, caption, ids in zip(
        batch.index_B, batch.captions, batch.tokens_BT, strict=True
    ):
        assert caption in (f"one {int(row)}", f"two {int(row)}")
        assert ids.tolist() == [len(caption), sum(caption.encode())]


def test_captions_are_drawn_anew_each_epoch(make) -> None:
    loader = make(4)
    drawn = {
        (int(row), caption.split()[0])
        for batch in (loader.batch(step) for step in range(20))
        for row, caption in zip(batch.index_B, batch.captions, strict=True)
    }
    assert len(drawn) == 8


def test_a_broken_row_is_replaced_by_the_next_whole_one(make) -> None:
    seen = Counter(rows(make(broken=(3, 4)), range(5)))
    assert seen == {**dict.fromkeys((0, 1, 2, 6, 7, 8, 9), 2), 5: 6}


def test_the_row_after_the_last_is_the_first(make) -> None:
    assert Counter(rows(make(broken=(9,)), range(5)))[0] == 4


def test_broken_rows_are_entered_with_their_reason(make) -> None:
    loader = make(broken=(3,))
    rows(loader, range(5))
    assert loader.broken == {"k3": ("truncated", "row 3")}


def test_a_broken_row_is_opened_once(make) -> None:
    loader = make(broken=(3,), memory=0)
    rows(loader, range(5))
    assert loader.pairs.opened == 21  # twenty samples and the broken one


def test_too_many_broken_rows_stop_with_the_first_ten(make) -> None:
    loader = make(50, broken=tuple(range(25)), max_broken_share=0.4)
    with pytest.raises(UserError) as caught:
        rows(loader, range(13))
    message = str(caught.value)
    assert "21 of" in message
    assert message.count("truncated") == 10
    assert "and 11 more" in message


def test_as_many_broken_rows_as_allowed_do_not_stop(make) -> None:
    rows(make(50, broken=tuple(range(20)), max_broken_share=0.4), range(13))


def test_a_large_set_stops_long_before_its_end(make) -> None:
    loader = make(100_000, broken=tuple(range(0, 100_000, 2)), max_broken_share=0.01)
    with pytest.raises(UserError, match=r"of 10\d pictures"):
        rows(loader, range(100))


def test_bad_luck_among_the_first_rows_does_not_stop(make) -> None:
    """Three of 111 are 2.7 %, yet no proof of more than 1 %."""
    first = rows(make(10_000), range(30))
    loader = make(
        10_000, broken=tuple(first[i] for i in (5, 50, 110)), max_broken_share=0.01
    )
    assert len(rows(loader, range(30))) == 120


def test_no_broken_row_is_allowed_when_the_share_is_none(make) -> None:
    with pytest.raises(UserError, match="1 of"):
        rows(make(broken=(3,), max_broken_share=0.0), range(3))


def test_nothing_but_broken_rows_stops_even_if_all_are_allowed(make) -> None:
    with pytest.raises(UserError, match="10 of 10"):
        make(broken=tuple(range(10))).batch(0)


def test_fewer_pairs_than_a_batch_are_refused(make) -> None:
    with pytest.raises(UserError, match="3 pairs to train on, and one batch is 4"):
        make(3)


def test_one_augmentation_is_the_plain_picture(make) -> None:
    batch = make().batch(0)
    assert batch.augmentation_B.tolist() == [0] * 4


def test_augmentations_are_drawn_by_epoch(make) -> None:
    loader = make(augmentations=3)
    drawn = {
        (int(row), int(a))
        for batch in (loader.batch(step) for step in range(60))
        for row, a in zip(batch.index_B, batch.augmentation_B, strict=True)
    }
    assert len(drawn) == 30


def test_an_augmentation_has_a_seed_and_a_crop_of_its_own(make) -> None:
    loader = make(augmentations=3, crop=0.5)
    values = [float(loader.sample(6, a)[0, 0, 0]) - 6 - 5.0 for a in range(3)]
    assert len(set(values)) == 3
    assert all(0 <= value < 1 for value in values)


def test_a_picture_is_opened_once_while_memory_lasts(make) -> None:
    loader = make()
    rows(loader, range(10))
    assert loader.pairs.opened == 10


def test_memory_is_bounded(make) -> None:
    loader = make(100, memory=2 * 64 * 12 - 1)  # one block of 64 pictures, not two
    rows(loader, range(50))
    assert loader.pairs.opened == 200 - 64  # 64 of the second hundred were held


def test_a_caption_is_tokenised_once(make, tokenizer) -> None:
    rows(make(), range(40))
    assert max(Counter(tokenizer.asked).values()) == 1


@pytest.mark.parametrize("workers", [1, 3])
def test_threads_change_nothing(make, workers: int) -> None:
    settings = {"broken": (3, 4), "augmentations": 2}
    threaded, plain = make(workers=workers, **settings), make(**settings)
    assert all(same(threaded.batch(step), plain.batch(step)) for step in range(6))
    assert threaded.broken == plain.broken


def test_threads_do_not_augment_at_once(make, preprocess, monkeypatch) -> None:
    """torchvision draws its crops from the one generator of the process."""
    inside, most = [], []

    def augmented(image, seed, crop):
        inside.append(seed)
        most.append(len(inside))
        time.sleep(0.001)
        inside.remove(seed)
        return preprocess(image)

    monkeypatch.setattr(preprocess, "augmented", augmented)
    make(40, batch=20, workers=4, augmentations=2).batch(0)
    assert max(most) == 1


def test_a_row_is_whole_or_counted(make) -> None:
    loader = make(broken=(3,))
    assert torch.equal(loader.whole(2, 0), loader.sample(2))
    assert loader.broken == {}
    assert loader.whole(3, 0) is None
    assert loader.broken == {"k3": ("truncated", "row 3")}
    opened = loader.pairs.opened
    assert loader.whole(3, 0) is None
    assert loader.pairs.opened == opened  # it is known


@pytest.mark.parametrize("workers", [0, 3])
def test_threads_give_what_is_made_of_each_in_its_order(make, workers: int) -> None:
    loader = make(workers=workers)
    assert list(loader.each(lambda i: -i, range(50))) == [-i for i in range(50)]
