"""What the progress lines say."""

from __future__ import annotations

from typing import Any

import pytest

from tinyclip.cli.progress import Lines, Pace, describe, span

PLAN = {
    "stages": [
        {
            "number": 1,
            "phases": {"learn": 10, "distil": 20},
            "flops_per_step": {"learn": 3.0, "distil": 2.0},
        },
        {"number": 2, "phases": {"distil": 5}, "flops_per_step": {"distil": 1.0}},
    ]
}


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def record(step: int, samples: int, **more: Any) -> dict[str, Any]:
    return {"step": step, "samples": samples, "loss": 1.0, **more}


def make() -> tuple[Pace, Clock]:
    clock = Clock()
    pace = Pace(clock)
    pace.plan(PLAN)
    return pace, clock


def test_the_time_left_counts_each_phase_by_its_work() -> None:
    pace, clock = make()
    pace.phase(1, "learn", 0)
    assert pace.left() is None
    clock.now = 12.0
    pace.step(record(4, 32))  # a second an operation
    assert pace.left() == pytest.approx(6 * 3 + 20 * 2 + 5 * 1)
    pace.phase(2, "distil", 3)
    assert pace.left() == pytest.approx(2 * 1)


def test_pairs_a_second_are_those_since_the_last_line() -> None:
    pace, clock = make()
    pace.phase(1, "learn", 0)
    clock.now = 2.0
    pace.step(record(1, 100))
    assert pace.rate is None  # what the first step waited for is not its pace
    clock.now = 6.0
    pace.step(record(3, 300))
    assert pace.rate == 50.0


def test_what_is_not_in_the_plan_has_no_time_left() -> None:
    pace, _ = make()
    pace.phase(0, "teacher features", 0)
    pace.step({"step": 5})
    assert pace.left() is None
    assert describe({"step": 5}, pace) == ""


def test_a_line_has_loss_share_pace_and_time_left() -> None:
    pace, clock = make()
    pace.phase(1, "learn", 0)
    for step, now in ((1, 3.0), (2, 6.0)):
        clock.now = now
        pace.step(record(step, 9 * step))
    words = describe(record(2, 18, p=0.91, q=0.9), pace)
    assert words == "loss 1.000 p 0.910 q 0.900 3 pairs/s run 1:09 left"


def test_a_step_that_is_not_a_number_says_so() -> None:
    assert describe({"step": 1, "loss": None}) == "loss not a number, skipped"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(7, "0:07"), (187, "3:07"), (7500, "2:05:00"), (356_400, "4 d 3 h")],
)
def test_spans(seconds: float, words: str) -> None:
    assert span(seconds) == words


def test_plain_lines_come_once_a_minute_and_at_the_end(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = Clock()
    monkeypatch.setattr("tinyclip.cli.progress.time.monotonic", clock)
    with Lines() as lines:
        lines.plan(PLAN)
        lines.phase(1, "learn", 0, 10)
        for step in range(1, 11):
            clock.now += 25.0
            lines.step(record(step, 8 * step))
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(":")[1].split("/")[0].strip() for line in lines] == [
        "0",
        "3",
        "6",
        "9",
        "10",
    ]
