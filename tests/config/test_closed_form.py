"""Phases of the closed form: what cannot follow what."""

from __future__ import annotations

import pytest

from tinyclip.config.ladder import check_stage
from tinyclip.config.phases.learn import Learn
from tinyclip.config.place import Place
from tinyclip.config.schema import Stage
from tinyclip.errors import UserError

CHOOSING = Learn(train_weights=False)


def check(phases: str, **more: object) -> None:
    check_stage(Stage(phases=tuple(phases.split()), **more), Place())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("phases", "more"),
    [
        ("rotate allocate inherit solve", {}),
        ("rotate allocate inherit solve distil", {}),
        ("rotate learn inherit solve distil", {"learn": CHOOSING}),
        ("rotate learn inherit distil", {}),
        ("score inherit solve", {}),
        ("rotate distil", {}),
    ],
)
def test_these_phases_work_together(phases: str, more: dict[str, object]) -> None:
    check(phases, **more)


@pytest.mark.parametrize(
    ("phases", "more", "words"),
    [
        ("allocate inherit solve", {}, "Put rotate before it"),
        ("learn inherit", {"learn": Learn(init="carried")}, "Put rotate before it"),
        ("rotate solve", {}, "solve has no cut to make up for"),
        ("learn inherit solve", {}, "learn.train_weights: false"),
        (
            "rotate allocate inherit",
            {"sites": ("dims", "attention_layers")},
            "does not choose among attention_layers",
        ),
    ],
)
def test_these_are_refused_with_what_to_do(
    phases: str, more: dict[str, object], words: str
) -> None:
    with pytest.raises(UserError, match=words):
        check(phases, **more)
