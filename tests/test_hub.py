"""The hub is asked once, and only when the cache has nothing."""

from __future__ import annotations

import pytest

from tinyclip.errors import UserError
from tinyclip.hub import from_hub, hub_problem


@pytest.mark.parametrize(
    ("cache", "hub", "asked"), [(1, 1, [True]), (0, 1, [True, False])]
)
def test_the_hub_is_asked_only_when_the_cache_has_nothing(
    monkeypatch: pytest.MonkeyPatch, cache: int, hub: int, asked: list[bool]
) -> None:
    monkeypatch.setattr("tinyclip.hub.hub_problem", lambda: None)
    seen: list[bool] = []

    def fetch(cached: bool) -> str:
        seen.append(cached)
        if not (cache if cached else hub):
            raise OSError("not there\nand more lines")
        return "found"

    assert from_hub(fetch, "where", "name", "todo") == "found"
    assert seen == asked


def test_what_the_hub_does_not_have_is_told_in_its_words(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tinyclip.hub.hub_problem", lambda: None)

    def fetch(cached: bool) -> str:
        raise OSError("not there\nand more lines")

    with pytest.raises(UserError) as refused:
        from_hub(fetch, "teacher", "'a/b'", "Name a copy")
    assert str(refused.value) == (
        "teacher: 'a/b' cannot be had from the hub (OSError: not there). Name a copy"
    )


def test_a_hub_that_does_not_answer_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:1")
    assert "http://127.0.0.1:1 does not answer" in str(hub_problem())


def test_a_hub_that_must_not_be_asked_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert hub_problem() == "HF_HUB_OFFLINE is set"
