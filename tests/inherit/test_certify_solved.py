"""What turns and what is solved is certified, and a run that lost digits stops."""

from __future__ import annotations

import pytest
import torch
from towers import (  # type: ignore[import-not-found]
    keep_of,
    noisy,
    plain_shape,
    siglip_shape,
    some_pairs,
)

from tinyclip.errors import TinyclipError
from tinyclip.inherit.certify import certify_same, certify_solved
from tinyclip.inherit.rotate import rotate
from tinyclip.inherit.solve import Ridges, solve
from tinyclip.model.clip import Clip

FAMILIES = {"clip": plain_shape(), "siglip": siglip_shape()}


@pytest.fixture(params=FAMILIES)
def turned(request: pytest.FixtureRequest) -> Clip:
    return rotate(noisy(FAMILIES[request.param]), [some_pairs(48)]).model


def test_a_solve_in_float32_is_that_in_float64(turned: Clip) -> None:
    pairs, keep = some_pairs(64, 3), keep_of(turned.shape, dims=0.5, ffn=0.5, embed=0.8)
    stated = certify_solved(turned, keep, pairs, Ridges())
    assert set(stated) == {"max_abs_diff", "image", "text", "n"}
    assert 0 < stated["max_abs_diff"] <= 1e-3 and stated["n"] == 64


def test_a_solve_that_lost_its_digits_stops_the_run(
    turned: Clip, monkeypatch: pytest.MonkeyPatch
) -> None:
    def rough(given: Clip, *args: object) -> object:
        solved = solve(given, *args)  # type: ignore[arg-type]
        if given.logit_scale.dtype == torch.float32:
            with torch.no_grad():
                solved.model.text.projection += 0.05
        return solved

    monkeypatch.setattr("tinyclip.inherit.certify.solve", rough)
    keep = keep_of(turned.shape, dims=0.5, ffn=0.5)
    with pytest.raises(TinyclipError, match="lost its digits"):
        certify_solved(turned, keep, some_pairs(8), Ridges())


def test_a_rotated_model_that_differs_stops_the_run() -> None:
    model = noisy(plain_shape())
    turned, pairs = rotate(model, [some_pairs(9)]).model, some_pairs(64)
    stated = certify_same(model, turned, pairs.pixels, pairs.tokens_BT)
    assert stated["max_abs_diff"] == max(stated["image"], stated["text"]) <= 1e-5
    with torch.no_grad():
        turned.image.projection[0, 0] += 0.01
    with pytest.raises(TinyclipError, match="rotated model's"):
        certify_same(model, turned, pairs.pixels, pairs.tokens_BT)
