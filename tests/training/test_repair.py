"""The map of a repair: its loss against NumPy in float64, what it learns, how much of
it is taken."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tinyclip.training import repair as room
from tinyclip.training.repair import (
    PULL,
    Frozen,
    Scale,
    Strength,
    at_strength,
    best,
    fit,
    repair_loss,
    weighed,
)

E, B, M = 5, 7, 6
ROWS = np.array([0, 1, 2, 3, 2, 5, 6])  # two pairs have the same caption
Floats = NDArray[np.float64]
SCALES = {
    "softmax": Scale(torch.tensor(4.0, dtype=torch.float64)),
    "sigmoid": Scale(
        torch.tensor(4.0, dtype=torch.float64), torch.tensor(-2.0, dtype=torch.float64)
    ),
}


def unit(values: Floats) -> Floats:
    made: Floats = values / np.linalg.norm(values, axis=1, keepdims=True)
    return made


def drawn() -> tuple[Floats, ...]:
    """A map, and features of pictures, captions and swapped captions."""
    draw = np.random.default_rng(0)
    features = [unit(draw.normal(size=(n, E))) for n in (B, B, M)]
    return np.eye(E) + 0.3 * draw.normal(size=(E, E)), *features


def reference(
    map_EE: Floats, image: Floats, text: Floats, swapped: Floats, scale: Scale
) -> float:
    """From definition, a row at a time."""
    a = float(scale.scale)
    text, swapped = unit(text @ map_EE), unit(swapped @ map_EE)
    others = [[j for j in range(B) if j == i or ROWS[j] != ROWS[i]] for i in range(B)]
    total = 0.0
    for i in range(B):
        columns = np.concatenate([text[others[i]], swapped])
        own = others[i].index(i)
        logits = a * columns @ image[i]
        if scale.bias is not None:
            signs = np.where(np.arange(len(columns)) == own, 1.0, -1.0)
            total += np.log1p(np.exp(-signs * (logits + float(scale.bias)))).sum()
            continue
        back = a * image[others[i]] @ text[i]
        total += (np.log(np.exp(logits).sum()) - logits[own]) / 2
        total += (np.log(np.exp(back).sum()) - back[own]) / 2
    return float(total / B + PULL * np.square(map_EE - np.eye(E)).sum())


def ours(map_EE: torch.Tensor, scale: Scale) -> torch.Tensor:
    features = [torch.from_numpy(each) for each in drawn()[1:]]
    return repair_loss(map_EE, *features, torch.from_numpy(ROWS), scale)


@pytest.mark.parametrize("kind", SCALES)
def test_the_loss_is_the_reference_s(kind: str) -> None:
    map_EE, *features = drawn()
    wanted = reference(map_EE, *features, SCALES[kind])
    assert float(ours(torch.from_numpy(map_EE), SCALES[kind])) == pytest.approx(wanted)


@pytest.mark.parametrize("kind", SCALES)
def test_the_gradient_is_the_reference_s_difference(kind: str) -> None:
    map_EE, *features = drawn()
    taken = torch.from_numpy(map_EE).requires_grad_()
    ours(taken, SCALES[kind]).backward()
    wanted, step = np.zeros((E, E)), 1e-5
    for place in np.ndindex(E, E):
        moved = np.zeros((E, E))
        moved[place] = step
        above = reference(map_EE + moved, *features, SCALES[kind])
        below = reference(map_EE - moved, *features, SCALES[kind])
        wanted[place] = (above - below) / (2 * step)
    assert taken.grad is not None
    np.testing.assert_allclose(taken.grad, wanted, atol=1e-8)


def planted(count: int = 60, seed: int = 0) -> Frozen:
    """Captions that have all of their picture, and their swapped forms, turned by one
    rotation: cosines do not show it, and a map does."""
    draw = torch.Generator().manual_seed(seed)

    def noise(rows: int) -> torch.Tensor:
        made = torch.randn(rows, 8, generator=draw)
        return made / made.norm(dim=1, keepdim=True)

    turn = torch.linalg.qr(
        torch.eye(8)
        + 0.6 * torch.randn(8, 8, generator=torch.Generator().manual_seed(9))
    ).Q
    image, other = noise(count), noise(count)
    swapped = image + 0.8 * other
    swapped /= swapped.norm(dim=1, keepdim=True)
    rows = torch.arange(count)
    there = torch.ones(count, dtype=torch.bool)
    return Frozen(image, image @ turn, swapped @ turn, rows, rows, there)


SCALE = Scale(torch.tensor(10.0))


def test_it_learns_what_no_cosine_shows() -> None:
    found = weighed(planted(seed=1), fit(planted(), SCALE, 200, 0))
    assert found[0].right < 0.8 and found[0].recall < 0.5
    assert found[-1].right > 0.9 and found[-1].recall > 0.8


def test_a_model_with_a_bias_learns_as_well() -> None:
    scale = Scale(torch.tensor(10.0), torch.tensor(-10.0))  # as SigLIP starts
    found = weighed(planted(seed=1), fit(planted(), scale, 200, 0))
    assert found[-1].right > 0.9 and found[-1].recall > 0.8


def test_the_same_seed_is_the_same_map_and_another_is_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(room, "BATCH", 16)
    one, same, other = (fit(planted(), SCALE, 5, seed) for seed in (0, 0, 1))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_a_picture_whose_captions_cannot_be_had_is_passed_over() -> None:
    frozen = planted()
    fewer = Frozen(
        frozen.image_NE,
        *(each[10:] for each in (frozen.text_KE, frozen.swapped_KE, frozen.owner_K)),
        *(each[10:] for each in (frozen.caption_K, frozen.there_K)),
    )
    assert fit(fewer, SCALE, 3, 0).isfinite().all()


def test_no_strength_is_the_identity_to_the_bit_and_all_of_it_the_map() -> None:
    map_EE = fit(planted(), SCALE, 2, 0)
    assert torch.equal(at_strength(map_EE, 0.0), torch.eye(8))
    torch.testing.assert_close(at_strength(map_EE, 1.0), map_EE)


def tried(*figures: tuple[float, float]) -> list[Strength]:
    return [Strength(0.25 * i, *each) for i, each in enumerate(figures)]


@pytest.mark.parametrize(
    ("figures", "strength"),
    [
        ([(0.5, 0.4), (0.6, 0.4), (0.7, 0.5)], 0.5),
        ([(0.5, 0.4), (0.6, 0.4), (0.7, 0.3)], 0.25),
        ([(0.5, 0.4), (0.6, 0.3), (0.7, 0.3)], 0.0),
        ([(0.5, 0.4), (0.4, 0.5), (0.3, 0.6)], 0.0),
        ([(0.5, 0.4), (0.6, 0.4), (0.6, 0.5)], 0.25),
    ],
)
def test_most_right_is_taken_of_those_that_find_no_less(
    figures: list[tuple[float, float]], strength: float
) -> None:
    assert best(tried(*figures)).strength == strength


def test_ties_are_not_right() -> None:
    frozen = planted(20)
    same: dict[str, Any] = {**vars(frozen), "swapped_KE": frozen.text_KE}
    assert all(each.right == 0 for each in weighed(Frozen(**same), torch.eye(8)))
