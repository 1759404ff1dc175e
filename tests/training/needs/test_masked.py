"""Pictures with patches left out."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, cast

import pytest
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from processes import SHAPE, make_batch, phase_of  # type: ignore[import-not-found]

from tinyclip.losses.needs import Masked
from tinyclip.losses.objectives import Weighted
from tinyclip.training.engine import Engine
from tinyclip.training.needs.masked import MaskedPictures
from tinyclip.training.needs.provider import Offered

PATCH = 4


def pictures(share: float, seed: int = 0) -> MaskedPictures:
    offered = Offered(*(cast(Any, None),) * 4, seed=seed)
    return MaskedPictures(Masked(share=share), offered, cast(Weighted, None))


def gone(pixels: torch.Tensor) -> torch.Tensor:
    """Which patches are 0, (B, P·P)."""
    patches = pixels.unfold(2, PATCH, PATCH).unfold(3, PATCH, PATCH)
    return (patches == 0).all(dim=-1).all(dim=-1).all(dim=1).flatten(1)


@pytest.mark.parametrize(("share", "left_out"), [(0.0, 0), (0.5, 8), (0.75, 12)])
def test_the_share_of_patches_is_left_out_and_the_rest_is_as_it_was(
    share: float, left_out: int
) -> None:
    batch = make_batch(SHAPE, 3, 0)
    batch = batch.rows(torch.arange(3))
    wide = torch.randn(3, 3, 18, 18)  # 4 x 4 patches, and 2 pixels left over
    object.__setattr__(batch, "pixels", wide)
    masked = pictures(share).masked(batch, 0, PATCH)
    assert gone(masked[:, :, :16, :16]).sum(1).tolist() == [left_out] * 3
    assert torch.equal(masked[masked != 0], wide[masked != 0])
    assert torch.equal(masked[:, :, 16:], wide[:, :, 16:])


def test_what_is_left_out_follows_from_seed_step_and_pair() -> None:
    batch = make_batch(SHAPE, 6, 0)
    object.__setattr__(batch, "pixels", torch.randn(6, 3, 32, 32))
    whole = pictures(0.5).masked(batch, 3, PATCH)
    part = batch.rows(torch.tensor([4, 1]))
    assert torch.equal(pictures(0.5).masked(part, 3, PATCH), whole[[4, 1]])
    assert not torch.equal(pictures(0.5).masked(batch, 4, PATCH), whole)
    assert not torch.equal(pictures(0.5, seed=1).masked(batch, 3, PATCH), whole)
    assert len(gone(whole).unique(dim=0)) > 3  # each picture its own


def test_a_phase_gives_the_objective_features_of_what_is_left() -> None:
    phase = phase_of("distil", SHAPE, Engine(), {"mfd": 1.0})
    batch = make_batch(SHAPE, 4, 0)
    provider = phase.providers["mfd"]
    features = phase.features(batch, 2)
    masked = provider.masked(batch, 2, SHAPE.image.patch_size).double()
    expected = phase.model.encode_image(masked, normalize=True)
    assert torch.equal(features.more["mfd.masked"], expected)
    assert not torch.equal(features.more["mfd.masked"], features.image_BE)


def test_without_weight_nothing_is_provided() -> None:
    losses: Any = {"mimic": 1.0, "mfd": 0.0}
    phase = phase_of("distil", SHAPE, Engine(), losses)
    assert phase.providers == {}
    assert phase.features(make_batch(SHAPE, 4, 0), 0).more == {}
