"""A trimmed vocabulary writes every text, with the ids of the full one where it can."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer as Backend
from tokenizers import models

from tinyclip.errors import UserError
from tinyclip.tokenizers.load import load_tokenizer
from tinyclip.tokenizers.trimmed import FILE, TrimmedTokenizer

SHORT = 8  # ids a caption: nearly everything is cut
CAPTIONS = st.one_of(
    st.text(max_size=40),
    st.lists(
        st.one_of(
            st.sampled_from("a photo of cats running strawberries über".split()),
            st.text("abcdenrst üé中🙂!<", max_size=9),
        ),
        max_size=12,
    ).map(" ".join),
)
few = settings(max_examples=60, deadline=None)


# what is lost: nothing


@pytest.mark.parametrize("share", [0.0, 0.3])
@few
@given(caption=CAPTIONS)
@example("")
@example("🙂 strawberries 中文 ﬁ\x00 quickly!! " * 3)
@example("<eos> </s> <end_of_text> <0x41> ▁ ## [SEP] cats")
def test_mapped_ids_spell_the_text_of_the_full_ids(
    small: Any, kind: str, share: float, caption: str
) -> None:
    tokenizer = small.trimmed(kind, share)
    ids = tokenizer.full_ids(tokenizer(caption))[0].tolist()
    expected = small.full(kind)(caption)[0].tolist()
    assert small.decode(small.full(kind), ids) == small.decode(
        small.full(kind), expected
    )


@few
@given(caption=CAPTIONS)
def test_what_was_kept_has_its_own_id_and_the_rest_at_least_one(
    small: Any, kind: str, caption: str
) -> None:
    tokenizer, expected = small.trimmed(kind), small.full(kind)(caption)[0].tolist()
    kept = set(tokenizer.kept)
    spelt: list[int] = []
    for number in expected:
        pieces = tokenizer.pieces.split(number, kept)
        assert number not in kept or pieces == (number,)
        spelt += pieces
    ids = tokenizer.full_ids(tokenizer(caption))[0].tolist()
    assert ids == spelt[: len(ids)]  # what is left over is padding


@few
@given(caption=CAPTIONS)
def test_an_unknown_token_stands_only_where_the_full_tokenizer_has_one(
    small: Any,
    caption: str,
) -> None:
    tokenizer = small.trimmed("unigram without bytes")
    unknown = small.full("unigram without bytes").hf.unk_token_id
    ids = tokenizer.full_ids(tokenizer(caption))
    expected = small.full("unigram without bytes")(caption).eq(unknown).sum()
    assert ids.eq(unknown).sum() == expected


# the layout of a caption


@few
@given(caption=CAPTIONS)
@example("")
@example("bicycles " * 9)
def test_a_caption_is_cut_ended_and_padded_as_the_full_tokenizer_does(
    small: Any, kind: str, caption: str
) -> None:
    tokenizer = small.trimmed(kind, length=SHORT)
    ids = tokenizer.full_ids(tokenizer(caption))[0].tolist()
    # the same caption, uncut: specials around the ids of its text
    uncut = small.trimmed(kind)
    whole = uncut.full_ids(uncut(caption))[0].tolist()
    pad = whole[-1]
    while whole and whole[-1] == pad:
        whole.pop()
    # SigLIP's end is its padding; the others' stands before it
    end = pad if kind.startswith("unigram") else whole.pop()
    expected = [*whole[: SHORT - 1], end]
    assert ids == expected + [pad] * (SHORT - len(expected))


def test_the_largest_clip_id_is_the_end_of_text(small: Any) -> None:
    ids = small.trimmed("clip", length=SHORT)(["", "strawberries", "cat " * 50])
    end = small.trimmed("clip", length=SHORT).vocab_size - 1
    assert ids.max(dim=1).values.tolist() == [end] * 3
    assert ids[2, -1] == end


def test_a_tokenizer_that_pads_on_the_left_is_refused(small: Any) -> None:
    tokenizer = small.hf(small.gemma(), SHORT, pad_token="<pad>", padding_side="left")
    with pytest.raises(UserError, match="padding_side is left"):
        TrimmedTokenizer(tokenizer, [])


def test_a_tokenizer_without_a_vocabulary_file_is_refused() -> None:
    class Slow:  # as sentencepiece's own in transformers
        context_length, vocab_size = SHORT, 10

    with pytest.raises(UserError, match="a Slow, which has no tokenizer.json"):
        TrimmedTokenizer(Slow(), [])  # type: ignore[arg-type]


def test_a_model_without_pieces_is_refused(small: Any) -> None:
    backend = Backend(models.WordLevel({"<pad>": 0, "a": 1}, unk_token="<pad>"))
    with pytest.raises(UserError, match="a WordLevel model"):
        TrimmedTokenizer(small.hf(backend, SHORT, pad_token="<pad>"), [])


def test_an_id_that_does_not_exist_is_refused(small: Any) -> None:
    with pytest.raises(ValueError, match="id 8192 does not exist"):
        TrimmedTokenizer(small.full("clip"), [8192])


# the model directory


def test_a_saved_tokenizer_loads_as_the_same(
    small: Any, kind: str, tmp_path: Path
) -> None:
    tokenizer = small.trimmed(kind, length=SHORT)
    tokenizer.save(tmp_path)
    spec = json.loads(json.dumps(tokenizer.to_dict()))
    again = load_tokenizer(tmp_path, spec)
    texts = ["", "strawberries 中", "a photo of cats"]
    assert again.vocab_size == tokenizer.vocab_size < small.full(kind).vocab_size
    assert torch.equal(again(texts), tokenizer(texts))


DAMAGES: dict[str, Callable[[list[int]], Any]] = {
    "no list of kept ids": lambda kept: {"kept": "all"},
    "cannot be read": lambda kept: None,
    "does not exist": lambda kept: {"kept": [*kept, 99999]},
    "are not the": lambda kept: {"kept": kept[1:]},
}


@pytest.mark.parametrize("message", DAMAGES)
def test_damaged_kept_ids_are_a_user_error(
    small: Any, message: str, tmp_path: Path
) -> None:
    tokenizer = small.trimmed("clip", length=SHORT)
    tokenizer.save(tmp_path)
    content = DAMAGES[message](list(tokenizer.kept))
    (tmp_path / FILE).unlink()
    if content is not None:
        (tmp_path / FILE).write_text(json.dumps(content))
    with pytest.raises(UserError, match=message):
        load_tokenizer(tmp_path, tokenizer.to_dict())


def test_settings_that_lack_a_key_are_a_user_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="vocab_size"):
        load_tokenizer(tmp_path, {"kind": "trimmed", "file": FILE})
