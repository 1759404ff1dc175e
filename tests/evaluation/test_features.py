"""Encoding leaves the model as it was, and does no work twice."""

from __future__ import annotations

import pytest
import torch

from tinyclip.errors import UserError
from tinyclip.evaluation.features import Encoder


@pytest.fixture
def encoder(make_loaded):
    loaded = make_loaded([[3.0, 4.0]] * 10, [[0.0, 2.0]] * 10, [*"abcdefghij"])
    return Encoder(loaded.model, loaded.preprocess, loaded.tokenizer, batch=4)


def test_the_model_is_evaluated_in_eval_mode_without_gradients(
    encoder, make_pairs
) -> None:
    encoder.model.train()
    encoder.pictures(make_pairs([("a",)]))
    assert encoder.model.seen == (False, False, False)


def test_every_part_s_mode_is_restored(encoder, make_pairs) -> None:
    encoder.model.train()
    encoder.model.part.eval()
    encoder.pictures(make_pairs([("a",)]))
    assert (encoder.model.training, encoder.model.part.training) == (True, False)


def test_the_mode_is_restored_after_a_failure(encoder, make_pairs) -> None:
    encoder.model.train()
    with pytest.raises(IndexError):
        encoder.pictures(make_pairs([("a",)] * 11))
    assert encoder.model.training


def test_features_have_length_one(encoder, make_pairs) -> None:
    _, images_NE = encoder.pictures(make_pairs([("a",)] * 5))
    assert torch.allclose(images_NE, torch.tensor([[0.6, 0.8]]).expand(5, 2))
    assert torch.equal(encoder.texts(["a"]), torch.tensor([[0.0, 1.0]]))


def test_half_precision_weights_give_float32_features(encoder, make_pairs) -> None:
    encoder.model.half()
    assert encoder.pictures(make_pairs([("a",)]))[1].dtype == torch.float32


def test_batches_are_no_larger_than_asked(encoder, make_pairs) -> None:
    encoder.pictures(make_pairs([("a",)] * 9))
    assert encoder.model.batches == [4, 4, 1]


def test_pictures_and_texts_are_encoded_once(encoder, make_pairs) -> None:
    pairs = make_pairs([("a",)] * 3)
    for _ in range(2):
        encoder.pictures(pairs)
        encoder.texts(["a", "b"])
    assert encoder.model.batches == [3, 2]


def test_other_pairs_are_not_taken_for_known_ones(encoder, make_pairs) -> None:
    assert len(encoder.pictures(make_pairs([("a",)] * 3))[0]) == 3
    assert len(encoder.pictures(make_pairs([("a",)] * 2))[0]) == 2


def test_a_source_without_a_whole_picture_is_refused(encoder, make_pairs) -> None:
    with pytest.raises(UserError, match="no picture can be read"):
        encoder.pictures(make_pairs([("a",)] * 2, frozenset({0, 1})))
