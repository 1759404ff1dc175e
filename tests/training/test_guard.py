"""Steps that went wrong are counted; a loss that runs away is noticed."""

from __future__ import annotations

import math

from tinyclip.training.guard import GRACE, LOWER, WINDOW, Guard


def make(patience: int = 3) -> Guard:
    return Guard(max_skipped=0.1, factor=5.0, patience=patience)


def calm(guard: Guard, steps: int = WINDOW, loss: float = 1.0) -> int:
    for step in range(1, steps + 1):
        assert guard.see(step, loss, True) is None
    return steps


def test_a_few_skipped_steps_are_counted_and_borne() -> None:
    guard = make()
    for step in range(1, GRACE + 1):
        assert guard.see(step, math.nan, False) is None
    assert guard.skipped == GRACE


def test_more_than_the_share_of_skipped_steps_is_too_much() -> None:
    guard = make()
    words = [guard.see(step, math.nan, False) for step in range(1, GRACE + 2)]
    assert words[-1] is not None and "not a number" in words[-1]
    late = make()
    late.skipped = 20
    assert late.see(1000, math.nan, False) is None  # 21 of 1000 is under a tenth


def test_a_loss_far_above_its_median_for_some_steps_has_run_away() -> None:
    guard = make()
    step = calm(guard)
    assert guard.see(step + 1, 6.0, True) is None
    assert guard.see(step + 2, 6.0, True) is None
    words = guard.see(step + 3, 6.0, True)
    assert words is not None and "5 times its running median" in words


def test_a_single_peak_is_forgiven() -> None:
    guard = make()
    step = calm(guard)
    for k in range(1, 9):
        assert guard.see(step + k, 6.0 if k % 3 else 1.0, True) is None


def test_the_beginning_has_no_median_yet() -> None:
    guard = make()
    assert all(guard.see(step, 10.0**step, True) is None for step in range(1, 20))


def test_the_learning_rate_is_lower_after_going_back() -> None:
    guard = make()
    assert guard.lr_share == 1.0
    guard.gone_back()
    assert guard.lr_share == LOWER


def test_a_resumed_guard_goes_on_where_it_was() -> None:
    guard = make()
    step = calm(guard)
    guard.see(step + 1, 6.0, True)
    again = make()
    again.load(guard.to_dict())
    assert again == guard
    assert again.recent.maxlen == WINDOW
