"""CLIP-Adapter, against NumPy and finite differences."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from tinyclip.evaluation.adapter import Adapter, learn_adapters
from tinyclip.evaluation.few_shots import Shots, cross_entropy

WIDTH = 32
WAYS = [(True, False), (False, True), (True, True)]


def unit(count: int, seed: int, width: int = WIDTH) -> torch.Tensor:
    draw = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(count, width, generator=draw), dim=1)


def made(seed: int = 0) -> Adapter:
    return Adapter(WIDTH, torch.Generator().manual_seed(seed))


def shots_of(per_class: int, seed: int = 0) -> Shots:
    """Pictures of four classes that lie apart, and texts that lie anywhere."""
    centres, labels = unit(4, 5), torch.arange(4).repeat(per_class)
    noise = 0.1 * torch.randn(
        len(labels), WIDTH, generator=torch.Generator().manual_seed(3)
    )
    images = F.normalize(centres[labels] + noise, dim=1)
    return Shots(images, labels, unit(4, 7), 20.0, seed)


def test_without_a_share_of_the_adapter_features_stay_to_the_byte() -> None:
    adapter, features = made(), unit(5, 1)
    adapter.ratio.data.fill_(-math.inf)
    assert torch.equal(adapter(features), F.normalize(features, dim=1))


def test_with_the_whole_share_there_is_the_adapter_alone() -> None:
    adapter, features = made(), unit(5, 1)
    adapter.ratio.data.fill_(math.inf)
    new = np.maximum(features.numpy() @ adapter.down_EH.detach().numpy(), 0)
    new = new @ adapter.up_HE.detach().numpy()
    new /= np.linalg.norm(new, axis=1, keepdims=True)
    assert np.allclose(adapter(features).detach(), new, atol=1e-6)


def test_a_bottleneck_is_a_quarter_as_wide() -> None:
    assert made().down_EH.shape == (WIDTH, WIDTH // 4)


def loss_in_numpy(shots: Shots, down, up, ratio: float) -> float:
    """Mean cross-entropy of adapted pictures, in float64."""
    features = shots.images_ME.double().numpy()
    share = 1 / (1 + np.exp(-ratio))
    mixed = share * np.maximum(features @ down, 0) @ up + (1 - share) * features
    mixed /= np.linalg.norm(mixed, axis=1, keepdims=True)
    logits = shots.scale * mixed @ shots.classes_CE.double().numpy().T
    right = logits[np.arange(len(logits)), shots.labels_M.numpy()]
    return float(np.mean(np.log(np.exp(logits).sum(axis=1)) - right))


def test_slopes_are_finite_differences_of_the_loss() -> None:
    shots = shots_of(2)
    adapter = Adapter(WIDTH, torch.Generator().manual_seed(0)).double()
    loss = cross_entropy(
        adapter(shots.images_ME.double()),
        shots.classes_CE.double(),
        shots.labels_M,
        shots.scale,
    )
    slopes = torch.autograd.grad(loss, [*adapter.parameters()])
    values = [p.detach().numpy().copy() for p in adapter.parameters()]
    assert loss.item() == pytest.approx(loss_in_numpy(shots, *values), abs=1e-10)
    for which, at in ((0, (3, 1)), (1, (2, 7)), (2, ())):
        ends = []
        for step in (1e-6, -1e-6):
            moved = [value.copy() for value in values]
            moved[which][at] += step
            ends.append(loss_in_numpy(shots, *moved))
        wanted = (ends[0] - ends[1]) / 2e-6
        assert slopes[which][at].item() == pytest.approx(wanted, rel=1e-5, abs=1e-9)


@pytest.mark.parametrize(("pictures", "texts"), WAYS)
def test_what_lies_apart_is_told_apart(pictures: bool, texts: bool) -> None:
    shots, fresh = shots_of(4), shots_of(8)
    nearest = (fresh.images_ME @ fresh.classes_CE.T).argmax(dim=1)
    assert (nearest == fresh.labels_M).float().mean() < 0.5  # before
    found = learn_adapters(shots, pictures, texts)
    named = (found.images(fresh.images_ME) @ found.classes_CE.T).argmax(dim=1)
    assert (named == fresh.labels_M).all()


@pytest.mark.parametrize(("pictures", "texts"), WAYS)
def test_only_what_is_asked_for_is_adapted(pictures: bool, texts: bool) -> None:
    shots = shots_of(1)
    found = learn_adapters(shots, pictures, texts)
    kept = torch.equal(found.images(shots.images_ME), shots.images_ME)
    assert kept is not pictures
    assert torch.equal(found.classes_CE, shots.classes_CE) is not texts


def test_the_share_is_learnt() -> None:
    adapter = learn_adapters(shots_of(4), True, False).images
    assert isinstance(adapter, Adapter)
    assert abs(adapter.ratio.item()) > 0.01  # from 0, one half


def test_the_same_shots_give_the_same_bytes_and_no_other_randomness_moves() -> None:
    before = torch.get_rng_state()
    one, two = (learn_adapters(shots_of(2), True, True) for _ in range(2))
    assert torch.equal(one.classes_CE, two.classes_CE)
    other = learn_adapters(shots_of(2, seed=1), True, True)
    assert not torch.equal(one.classes_CE, other.classes_CE)
    assert torch.equal(torch.get_rng_state(), before)
