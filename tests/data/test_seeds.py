"""Order and numbers are pure functions of what they are asked for."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyclip.data.seeds import Blocks, block_order, number, order


@settings(deadline=None)  # machines that test are busy
@given(st.integers(0, 2**40), st.integers(0, 1000), st.integers(1, 300))
def test_an_order_holds_every_row_once(seed: int, epoch: int, count: int) -> None:
    assert sorted(order(seed, epoch, count)) == list(range(count))


def test_order_is_splitmix_and_never_changes() -> None:
    """A run that is resumed under another numpy must see the same order."""

    def splitmix(x: int) -> int:
        mask = 2**64 - 1
        x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9 & mask
        x = (x ^ (x >> 27)) * 0x94D049BB133111EB & mask
        return x ^ (x >> 31)

    start = number(7, "epoch", 2)
    hashes = [
        splitmix((i * 0x9E3779B97F4A7C15 + start) & (2**64 - 1)) for i in range(50)
    ]
    assert order(7, 2, 50).tolist() == sorted(range(50), key=hashes.__getitem__)


def test_epochs_and_seeds_differ_in_order() -> None:
    orders = {tuple(order(seed, epoch, 64)) for seed in (0, 1) for epoch in (0, 1)}
    assert len(orders) == 4


def test_numbers_do_not_run_parts_together() -> None:
    assert number("ab", "c") != number("a", "bc")


def test_numbers_fit_a_torch_seed() -> None:
    assert all(0 <= number(i) < 2**63 for i in range(200))


blocks = st.lists(st.integers(0, 6), min_size=1, max_size=60)


@settings(deadline=None)
@given(blocks, st.integers(1, 3), st.integers(0, 9))
def test_blocks_are_visited_whole_and_a_few_at_a_time(numbers, together, epoch) -> None:
    rows = block_order(5, epoch, Blocks(np.asarray(numbers), together))
    assert sorted(rows) == list(range(len(numbers)))
    met: list[int] = []  # blocks in the order of their first row
    for row in rows:
        if numbers[row] not in met:
            met.append(numbers[row])
    groups = [set(met[i : i + together]) for i in range(0, len(met), together)]
    window = [next(w for w, g in enumerate(groups) if numbers[r] in g) for r in rows]
    assert window == sorted(window)


def test_block_orders_differ_by_epoch_and_mix_rows() -> None:
    of_blocks = Blocks(np.repeat(np.arange(8), 50), 4)
    one, other = (block_order(0, epoch, of_blocks) for epoch in (0, 1))
    assert not np.array_equal(one, other)
    assert np.array_equal(one, block_order(0, 0, of_blocks))
    assert sorted({int(of_blocks.block_N[row]) for row in one[:200]}) != [0, 1, 2, 3]
    # rows of the first four blocks are shuffled over the first half
    assert len({of_blocks.block_N[row] for row in one[:20]}) == 4
