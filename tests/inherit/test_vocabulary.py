"""Trimming drops rows of the token embedding and nothing else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

import tinyclip
from tinyclip import cost
from tinyclip.errors import UserError
from tinyclip.inherit.vocabulary import kept_from_file, kept_ids, trim, trim_text
from tinyclip.model.clip import Clip
from tinyclip.model.store import Loaded, load_model, save_model
from tinyclip.tokenizers.clip import ClipTokenizer
from tinyclip.tokenizers.trimmed import TrimmedTokenizer

MERGES = Path(tinyclip.__file__).parent / "formats/builtin/pictoclip/bpe_8192.txt.gz"
CAPTIONS = ("a photo of a cat", "red houses!", "", "two dogs 中", "a dog " * 9)


@pytest.fixture(scope="module")
def tokenizer() -> ClipTokenizer:
    return ClipTokenizer(MERGES.read_bytes(), 8)


@pytest.fixture
def loaded(pico_loaded: Loaded, tokenizer: ClipTokenizer) -> Loaded:
    """A pico model with a vocabulary of 8,192 ids."""
    shape = pico_loaded.model.shape
    text = replace(shape.text, vocab_size=8192)
    model = Clip(shape.with_towers(text=text)).init_weights(0).eval()
    return replace(pico_loaded, model=model, tokenizer=tokenizer)


def with_eos(loaded: Loaded) -> Loaded:
    shape = loaded.model.shape
    text = replace(shape.text, pool="eos", eos_id=8191)
    model = Clip(shape.with_towers(text=text)).init_weights(0).eval()
    return replace(loaded, model=model)


# choosing


def test_the_used_ids_the_bytes_the_specials_and_the_way_to_them_are_kept(
    tokenizer: ClipTokenizer,
) -> None:
    encoder, merges = tokenizer.encoder, list(tokenizer.bpe_ranks)
    used = set(tokenizer(["cat", "mountain"]).unique().tolist())
    todo, expected = list(used), {*range(512), 8190, 8191}
    while todo:
        number = todo.pop()
        expected.add(number)
        if 512 <= number < 8190:
            todo += [encoder[part] for part in merges[number - 512]]
    assert kept_ids(tokenizer, ["cat", "mountain"]) == tuple(sorted(expected))
    assert len(expected) > 514 + len(used - {*range(512), 8190, 8191})


def test_captions_are_read_in_one_pass_a_chunk_at_a_time(
    tokenizer: ClipTokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tinyclip.inherit.vocabulary.CHUNK", 2)
    ahead = []
    captions = iter(CAPTIONS)

    class Watched:
        vocab_size, context_length = tokenizer.vocab_size, tokenizer.context_length

        def __call__(self, texts: list[str]) -> torch.Tensor:
            ahead.append(len(texts))
            return tokenizer(texts)

    watched = Watched()
    monkeypatch.setattr(
        "tinyclip.inherit.vocabulary.pieces_of",
        lambda _: TrimmedTokenizer(tokenizer, []).pieces,
    )
    assert kept_ids(watched, captions) == kept_ids(tokenizer, CAPTIONS)  # type: ignore[arg-type]
    assert ahead[:3] == [2, 2, 1]


def test_a_file_of_captions_keeps_what_the_captions_keep(
    tokenizer: ClipTokenizer, tmp_path: Path
) -> None:
    path = tmp_path / "words.txt"
    path.write_text("a photo of a cat\nred houses!\n", encoding="utf-8")
    expected = kept_ids(tokenizer, ["a photo of a cat", "red houses!"])
    assert kept_from_file(path, tokenizer) == expected


def test_each_line_of_a_file_is_a_caption_without_its_ends(
    tokenizer: ClipTokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "tinyclip.inherit.vocabulary.kept_ids", lambda _, lines: tuple(lines)
    )
    path = tmp_path / "words.txt"
    path.write_bytes("\ufeffa cat\r\n\n  red houses!\ndöner".encode())
    assert kept_from_file(path, tokenizer) == ("a cat", "red houses!", "döner")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"cat\n\xff\xfe\ndog\n", r"words\.txt:2: is not UTF-8"),
        (b"cat\ndog\nd\xc3", r"words\.txt:3: is not UTF-8"),
        (b"\n  \n", "holds no caption and no word"),
        (None, r"cannot be read \(No such file"),
    ],
)
def test_a_file_that_is_no_list_of_captions_is_a_user_error(
    tokenizer: ClipTokenizer, tmp_path: Path, content: bytes | None, message: str
) -> None:
    path = tmp_path / "words.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=message):
        kept_from_file(path, tokenizer)


# cutting


@pytest.mark.parametrize("pool", ["argmax", "eos"])
def test_text_features_of_captions_made_of_kept_ids_are_the_same_to_the_bit(
    loaded: Loaded, pool: str
) -> None:
    loaded = loaded if pool == "argmax" else with_eos(loaded)
    small = trim(loaded, kept_ids(loaded.tokenizer, CAPTIONS))
    assert small.model.shape.text.vocab_size == small.tokenizer.vocab_size < 1000
    with torch.no_grad():
        expected = loaded.model.encode_text(loaded.tokenizer(CAPTIONS))
        assert torch.equal(small.model.encode_text(small.tokenizer(CAPTIONS)), expected)


def test_a_caption_with_other_ids_is_encoded_as_its_kept_pieces_are(
    loaded: Loaded,
) -> None:
    small = trim(loaded, kept_ids(loaded.tokenizer, ["a cat"]))
    ids = small.tokenizer("a mountain")
    assert isinstance(small.tokenizer, TrimmedTokenizer)
    with torch.no_grad():
        expected = loaded.model.encode_text(small.tokenizer.full_ids(ids))
        assert torch.equal(small.model.encode_text(ids), expected)


def test_nothing_but_the_token_embedding_changes(loaded: Loaded) -> None:
    kept = kept_ids(loaded.tokenizer, CAPTIONS)
    before = {name: value.clone() for name, value in loaded.model.state_dict().items()}
    small = trim_text(loaded.model, kept).state_dict()
    for name, value in loaded.model.state_dict().items():
        assert torch.equal(value, before[name])  # the model is left as it is
        rows = value[list(kept)] if name == "text.token_embedding" else value
        assert torch.equal(small[name], rows)
    small["text.position"].zero_()
    assert loaded.model.text.position.any()


def test_shares_count_what_trimming_saved(loaded: Loaded) -> None:
    small = trim(loaded, kept_ids(loaded.tokenizer, CAPTIONS))
    full, left = cost.sizes(loaded.model.shape), cost.sizes(small.model.shape)
    assert small.config["teacher_sizes"] == full
    assert small.config["sizes"] == left
    assert small.config["share"]["total"] == left["total"] / full["total"] < 0.5
    assert small.config["share"]["encoder"] == 1
    assert small.config["provenance"] == loaded.config["provenance"]


def test_a_trimmed_model_saves_loads_and_makes_the_same_features(
    loaded: Loaded, tmp_path: Path
) -> None:
    small = trim(with_eos(loaded), kept_ids(loaded.tokenizer, CAPTIONS))
    save_model(
        tmp_path / "model",
        *small,
        provenance=small.config["provenance"],
        teacher_sizes=small.config["teacher_sizes"],
    )
    again = load_model(tmp_path / "model")
    texts = [*CAPTIONS, "a strawberry 🙂"]
    assert again.config["share"]["total"] < 0.5
    with torch.no_grad():
        expected = small.model.encode_text(small.tokenizer(texts))
        assert torch.equal(again.model.encode_text(again.tokenizer(texts)), expected)


def test_a_trimmed_model_can_be_trimmed_again(loaded: Loaded) -> None:
    once = trim(loaded, kept_ids(loaded.tokenizer, CAPTIONS))
    twice = trim(once, kept_ids(once.tokenizer, CAPTIONS[:2]))
    direct = trim(loaded, kept_ids(loaded.tokenizer, CAPTIONS[:2]))
    assert twice.tokenizer.vocab_size < once.tokenizer.vocab_size
    assert twice.tokenizer.kept == direct.tokenizer.kept  # type: ignore[attr-defined]
    for name, value in direct.model.state_dict().items():
        assert torch.equal(twice.model.state_dict()[name], value)
    assert twice.config["teacher_sizes"] == direct.config["teacher_sizes"]


def test_the_id_that_the_pool_looks_for_stays_and_has_its_new_number(
    loaded: Loaded,
) -> None:
    shape = loaded.model.shape
    text = replace(shape.text, pool="eos", eos_id=7000)  # no special of the tokenizer
    model = Clip(shape.with_towers(text=text)).eval()
    small = trim(replace(loaded, model=model), kept_ids(loaded.tokenizer, ["cat"]))
    assert isinstance(small.tokenizer, TrimmedTokenizer)
    assert small.tokenizer.kept[small.model.shape.text.eos_id or 0] == 7000


@pytest.mark.parametrize(
    ("kept", "message"),
    [
        ((3, 2, 8191), "ascending"),
        ((), "at least one"),
        ((1, 8192), "not one of the model's 8192"),
        ((1, 2), "end-of-text, 8191, must be kept"),
    ],
)
def test_ids_that_cannot_be_cut_out_are_refused(
    loaded: Loaded, kept: tuple[int, ...], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        trim_text(with_eos(loaded).model, kept)
