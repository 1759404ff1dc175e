"""Encoding leaves the model as it was, and does no work twice."""

from __future__ import annotations

import pytest
import torch

from tinyclip.data.views import Recaptioned, Subset
from tinyclip.errors import UserError
from tinyclip.evaluation.features import Encoder, look_together


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
    why = r"no picture can be read:\n  \S+: \w[^(]+ \(.+\)\n"  # the kind, and more
    with pytest.raises(UserError, match=why):
        encoder.pictures(make_pairs([("a",)] * 2, frozenset({0, 1})))


def test_a_view_shows_no_picture_again(encoder, make_pairs) -> None:
    pairs = make_pairs([("a",)] * 6)
    encoder.pictures(Subset(pairs, [4, 1]))
    view = Recaptioned(Subset(pairs, [1, 2, 4]), ["x", "y", "z"])
    assert encoder.pictures(view)[0] == [0, 1, 2]
    assert encoder.model.batches == [2, 1]


def test_a_text_is_encoded_once_whatever_stands_beside_it(encoder) -> None:
    encoder.texts(["a", "b", "a"])
    encoder.texts(["b", "c"])
    assert encoder.model.batches == [2, 1]


@pytest.fixture
def two(make_loaded):
    """Models of other features, which want their pictures alike or not."""

    def make(*preprocesses) -> list[Encoder]:
        loaded = [
            make_loaded([[i, 1.0]] * 9, [[1.0, 0.0]], ["a"])
            for i in range(len(preprocesses))
        ]
        return [
            Encoder(each.model, maker or each.preprocess, each.tokenizer, 4)
            for each, maker in zip(loaded, preprocesses, strict=True)
        ]

    return make


def test_a_picture_is_decoded_once_for_all_models(two, make_pairs, monkeypatch) -> None:
    pairs = make_pairs([("a",)] * 6, frozenset({2}))
    decoded, image = [], pairs.image
    monkeypatch.setattr(pairs, "image", lambda i: decoded.append(i) or image(i))
    encoders = two(None, None, None)
    look_together(encoders, pairs)
    found = [encoder.pictures(pairs) for encoder in encoders]
    assert decoded == [0, 1, 2, 3, 4, 5]
    assert {tuple(whole) for whole, _ in found} == {(0, 1, 3, 4, 5)}
    assert [round(float(each[0, 0]), 3) for _, each in found] == [0.0, 0.707, 0.894]


def test_models_that_want_pictures_alike_share_the_pixels(two, make_pairs) -> None:
    made = []

    def maker(image) -> torch.Tensor:
        made.append(image.getpixel((0, 0))[0])
        return torch.full((3, 1, 1), float(made[-1]))

    look_together(two(maker, maker), make_pairs([("a",)] * 5))
    assert made == [0, 1, 2, 3, 4]


def test_each_model_has_the_pixels_of_its_own_preprocess(two, make_pairs) -> None:
    def other(image) -> torch.Tensor:
        return torch.full((3, 1, 1), 8.0)

    encoders = two(None, other)
    seen = []
    for encoder in encoders:
        encode = encoder.model.encode_image
        encoder.model.encode_image = lambda p, e=encode: seen.append(p[0, 0, 0]) or e(p)
    look_together(encoders, make_pairs([("a",)] * 3))
    assert [each.tolist() for each in seen] == [[0.0], [8.0]]
