"""Learnt words, against the text tower under words that people write."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch.nn import functional as F

from tinyclip.errors import UserError
from tinyclip.evaluation import coop as room
from tinyclip.evaluation.coop import learn_words, prompts_of
from tinyclip.evaluation.few_shots import Shots

NAMES = ("cat", "b")


def plain(texts: list[str]) -> torch.Tensor:
    """One id a word, nothing before it, and 1 for all places after it."""
    ids = [[2 + sum(word.encode()) % 48 for word in text.split()] for text in texts]
    return torch.tensor([(row + [1] * 8)[:8] for row in ids])


def of_loaded(loaded, names=NAMES):
    return prompts_of(loaded.model, loaded.tokenizer, names, "coop")


@pytest.fixture
def siglip(siglip_clip):
    """A tower that sees all tokens and is read at the last."""
    return SimpleNamespace(model=siglip_clip.eval(), tokenizer=plain)


@pytest.fixture(params=["pico_loaded", "siglip"])
def loaded(request):
    return request.getfixturevalue(request.param)


def test_the_words_of_a_prompt_give_what_the_model_says_of_it(loaded) -> None:
    texts = of_loaded(loaded)
    ids = loaded.tokenizer([f"a b c d {name}" for name in NAMES])
    table = loaded.model.text.token_embedding.detach()
    words = table[ids[0, texts.first : texts.first + 4]]
    wanted = loaded.model.encode_text(ids, normalize=True)
    assert torch.allclose(texts.features(words), wanted, atol=1e-6)


def test_other_words_give_other_features(loaded) -> None:
    texts = of_loaded(loaded)
    zeros, others = torch.zeros(4, texts.width), torch.eye(4, texts.width)
    assert not torch.allclose(texts.features(zeros), texts.features(others), atol=1e-3)


def test_names_that_do_not_fit_are_counted(pico_loaded) -> None:
    """Eight tokens: start, four words, two of a name, end."""
    assert of_loaded(pico_loaded, ("cat", "b", "b b")).cut == 0
    assert of_loaded(pico_loaded, ("cat", "b b b", "b b b b b b b b b")).cut == 2


def test_captions_that_are_too_short_are_refused(pico_loaded, monkeypatch) -> None:
    monkeypatch.setattr(room, "WORDS", 6)
    with pytest.raises(UserError, match="learns 6 words .* have room for 8 tokens"):
        of_loaded(pico_loaded)


def test_a_model_that_only_runs_is_refused(make_loaded) -> None:
    loaded = make_loaded([[1.0]], [[1.0]], ["-"])
    with pytest.raises(UserError, match=r"coop: .* only runs \(ONNX\)"):
        of_loaded(loaded)


def test_a_tokenizer_in_which_no_word_is_one_token_is_refused(pico_loaded) -> None:
    def letters(texts: list[str]) -> torch.Tensor:
        ids = [
            [number for byte in text.encode() for number in (byte, 3)] for text in texts
        ]
        return torch.tensor([[1, *row, *[0] * 40][:40] for row in ids])

    with pytest.raises(UserError, match="no word that is one token"):
        prompts_of(pico_loaded.model, letters, NAMES, "coop")


def slope(texts, words: torch.Tensor) -> torch.Tensor:
    words = words.clone().requires_grad_()
    (found,) = torch.autograd.grad(texts.features(words)[:, 0].sum(), [words])
    return found


def test_slopes_are_the_same_where_activations_are_made_twice(
    loaded, monkeypatch
) -> None:
    names = [letter for letter in "abcdefgh"]
    texts = of_loaded(loaded, names)
    words = torch.randn(4, texts.width, generator=torch.Generator().manual_seed(0))
    whole = slope(texts, words)
    monkeypatch.setattr(room, "HELD", 16)
    assert torch.allclose(slope(texts, words), whole, atol=1e-6)
    assert whole.abs().max() > 1e-3


def shots_of(texts) -> Shots:
    """Pictures at the features under words that nobody knows."""
    hidden = torch.randn(4, texts.width, generator=torch.Generator().manual_seed(9))
    with torch.no_grad():
        images = texts.features(hidden)
    return Shots(images, torch.arange(len(images)), images.roll(1, 0), 50.0, 0)


def test_learnt_words_name_the_pictures(pico_loaded) -> None:
    texts = of_loaded(pico_loaded, list("abcdef"))
    shots = shots_of(texts)
    found = learn_words(texts, shots)
    named = (found.images(shots.images_ME) @ found.classes_CE.T).argmax(dim=1)
    assert (named == shots.labels_M).float().mean() > 0.8


def test_the_model_and_the_world_s_randomness_stay_as_they_were(pico_loaded) -> None:
    model = pico_loaded.model.train()
    model.text.projection.requires_grad_(False)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    wanted = {name: p.requires_grad for name, p in model.named_parameters()}
    state = torch.get_rng_state()
    texts = of_loaded(pico_loaded)
    one, two = (learn_words(texts, shots_of(texts)) for _ in range(2))
    assert torch.equal(one.classes_CE, two.classes_CE)
    assert torch.equal(torch.get_rng_state(), state)
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter, before[name])
        assert parameter.grad is None
        assert parameter.requires_grad is wanted[name]
    assert all(module.training for module in model.modules())


def test_half_weights_are_read_in_float32(pico_loaded) -> None:
    words = torch.zeros(4, of_loaded(pico_loaded).width)
    wanted = of_loaded(pico_loaded).features(words)
    pico_loaded.model.bfloat16()
    found = of_loaded(pico_loaded).features(words)
    assert found.dtype == torch.float32
    assert F.cosine_similarity(found, wanted).min() > 0.99
