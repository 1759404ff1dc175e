"""The module of all gates of a CLIP."""

from __future__ import annotations

import math

import pytest
import torch

from tinyclip.errors import UserError
from tinyclip.masks.gates import Gates, zscore
from tinyclip.shapes import ClipShape


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_every_unit_has_one_logit_in_a_flat_vector_a_site(
    pico_shape: ClipShape,
) -> None:
    lengths = {name: len(alpha) for name, alpha in Gates(pico_shape).alpha.items()}
    assert lengths == {
        "image_heads": 7,
        "image_ffn": 60,
        "image_embed": 24,
        "text_heads": 6,
        "text_ffn": 44,
        "text_embed": 16,
    }


def test_a_sample_is_split_by_layer(pico_shape: ClipShape) -> None:
    gates = Gates(pico_shape)
    with torch.no_grad():
        gates.alpha["text_ffn"].copy_(
            torch.arange(44.0) - 1e4 * (torch.arange(44) < 24)
        )
    text = gates.sample().text
    assert text is not None
    assert [len(part) for part in text["ffn"]] == [24, 20]
    assert text["ffn"][0].sum() == 0
    assert text["ffn"][1].min() > 0.9


def test_noise_is_a_function_of_the_generator_alone(pico_shape: ClipShape) -> None:
    gates = Gates(pico_shape).init_constant(0.5)
    first, again = gates.sample(seeded(1)), gates.sample(seeded(1))
    other = gates.sample(seeded(2))
    assert torch.equal(first.image.embed_D, again.image.embed_D)
    assert not torch.equal(first.image.embed_D, other.image.embed_D)


def test_sites_that_are_not_gated_are_none(pico_shape: ClipShape) -> None:
    gates = Gates(pico_shape, sites=("ffn",))
    image = gates().image
    assert set(gates.alpha) == {"image_ffn", "text_ffn"}
    assert image.embed_D is None and set(image.units) == {"ffn"}


def test_an_unknown_site_is_named_with_its_neighbour(pico_shape: ClipShape) -> None:
    with pytest.raises(UserError, match="'hedas'.*'heads'"):
        Gates(pico_shape, sites=("hedas",))


def test_clamping_brings_logits_back_to_ln_100(pico_shape: ClipShape) -> None:
    gates = Gates(pico_shape)
    with torch.no_grad():
        gates.alpha["image_ffn"].fill_(9.0)
        gates.alpha["text_heads"].fill_(-9.0)
    gates.clamp_()
    assert gates.alpha["image_ffn"].max().item() == pytest.approx(math.log(100))
    assert gates.alpha["text_heads"].min().item() == pytest.approx(-math.log(100))


def test_a_sample_carries_gradients_to_every_site(pico_shape: ClipShape) -> None:
    gates = Gates(pico_shape).init_constant(0.6)
    sample = gates.sample(seeded(0))
    towers = (sample.image, sample.text)
    total = sum(
        t.embed_D.sum() + sum(map(torch.sum, t["heads"] + t["ffn"])) for t in towers
    )
    total.backward()
    for alpha in gates.alpha.values():
        assert alpha.grad is not None and alpha.grad.abs().sum() > 0


@pytest.mark.parametrize("mean_open", [0.25, 0.5, 0.9])
def test_scores_start_gates_at_the_mean_openness_in_their_order(
    pico_shape: ClipShape, mean_open: float
) -> None:
    gates = Gates(pico_shape)
    scores = {
        name: torch.rand(len(alpha), generator=seeded(3)) ** 3
        for name, alpha in gates.alpha.items()
    }
    gates.init_from_scores(scores, mean_open)
    for name, openness in gates.open_probability().items():
        assert openness.mean().item() == pytest.approx(mean_open, abs=1e-4)
        in_order = openness[scores[name].argsort()]
        assert in_order.diff().min() >= 0
        assert in_order[-1] > in_order[0]


def test_scores_of_another_shape_are_refused(pico_shape: ClipShape) -> None:
    with pytest.raises(UserError, match="24 values for 'image_embed'|7 values"):
        Gates(pico_shape).init_from_scores({"image_heads": torch.ones(3)}, 0.5)


def test_a_z_score_of_equal_scores_is_zero() -> None:
    assert zscore(torch.full((5,), 0.1)).abs().max() == 0
    assert zscore(torch.tensor([1.0, 3.0])).tolist() == [-1.0, 1.0]
