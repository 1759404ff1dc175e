"""Metadata at the head of a card come back as they were, whatever names they hold."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from huggingface_hub.repocard import REGEX_YAML_BLOCK
from hypothesis import example, given
from hypothesis import strategies as st

from tinyclip.config.front_matter import front_matter, with_front_matter
from tinyclip.errors import UserError

TRAPS = ("\n---\n", "yes", "1e3", "~", " x", "a: b", "\u202eb", "\x85", "\u2028", "<b>")
words = st.one_of(st.text(), st.sampled_from(TRAPS))
leaves = st.one_of(words, st.integers(), st.floats(allow_nan=False))
values = st.dictionaries(words, st.one_of(leaves, st.lists(leaves)), min_size=1)


@given(values, st.text())
@example({"---": "\n---\n<script>"}, "---\n")
def test_the_hub_finds_the_same_values_and_the_same_text(
    told: dict[str, Any], body: str
) -> None:
    text = with_front_matter(told, body)
    block = REGEX_YAML_BLOCK.search(text)
    assert block is not None
    assert yaml.safe_load(block[2]) == told
    assert text[block.end() :] == f"\n{body}"


@given(values)
def test_what_is_written_is_read(told: dict[str, Any]) -> None:
    assert front_matter(with_front_matter(told, "# x"), "card") == told


@given(values)
def test_the_block_is_ascii_without_tags(told: dict[str, Any]) -> None:
    head = with_front_matter(told, "")
    assert head.isascii() and "<" not in head


@pytest.mark.parametrize("word", ["1e3", "0o17", ".5", "012", "=", "2026-01-01"])
def test_what_another_reader_takes_for_a_number_stands_in_quotes(word: str) -> None:
    assert f'x: "{word}"\n' in with_front_matter({"x": word}, "")


def test_a_text_without_metadata_has_none() -> None:
    assert front_matter("# Title\n\n---\nx: y\n---\n", "card") == {}


@pytest.mark.parametrize("block", ["- a", "a: &x [*x]", "a: {", "x"])
def test_metadata_that_are_none_are_refused(block: str) -> None:
    with pytest.raises(UserError, match="card"):
        front_matter(f"---\n{block}\n---\n", "card")
