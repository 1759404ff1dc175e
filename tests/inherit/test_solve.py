"""What a cut left, solved anew: never worse than the slice on what it was solved on."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from towers import (  # type: ignore[import-not-found]
    DRAWN,
    Pairs,
    first,
    gaps,
    keep_of,
    noisy,
    plain_shape,
    shapes,
    siglip_shape,
    some_pairs,
    tower_keep,
)

from tinyclip.inherit.rotate import rotate
from tinyclip.inherit.slicing import inherit
from tinyclip.inherit.solve import Ridges, solve
from tinyclip.keep import ClipKeep, Keep, TowerKeep
from tinyclip.model.clip import Clip
from tinyclip.shapes import ClipShape
from tinyclip.sites import LAYERS, SITES

DOUBLE = torch.float64
PAIRS = some_pairs(48, dtype=DOUBLE)
FAMILIES = {"clip": plain_shape(), "siglip": siglip_shape()}
NONE = Ridges(units=1e-9, readers=1e-9, projection=1e-9)
INSIDE = Ridges(units=1e-9, readers=None, projection=None)


@pytest.fixture(params=FAMILIES)
def turned(request: pytest.FixtureRequest) -> Clip:
    return rotate(noisy(FAMILIES[request.param], dtype=DOUBLE), [PAIRS]).model


@torch.no_grad()
def errors(model: Clip, student: Clip, pairs: Pairs) -> tuple[float, float]:
    """The mean square error of features before they are normalised, by tower."""
    pair = [
        (m.encode_image(pairs.pixels), m.encode_text(pairs.tokens_BT))
        for m in (model, student)
    ]
    image, text = (float((a - b).square().mean()) for a, b in zip(*pair, strict=True))
    return image, text


def test_with_everything_kept_nothing_changes(turned: Clip) -> None:
    keep = keep_of(turned.shape, dims=1, ffn=1, embed=1, heads=1)
    solved = solve(turned, keep, [PAIRS])
    before, after = turned.state_dict(), solved.model.state_dict()
    assert list(before) == list(after)
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    assert not solved.lost


@pytest.mark.parametrize("tower", ["image", "text"])
def test_the_other_tower_stays_bit_for_bit(turned: Clip, tower: str) -> None:
    whole = keep_of(turned.shape)
    cut = tower_keep(turned.shape.towers()[tower], dims=0.5, ffn=0.5, embed=0.8)
    student = solve(turned, replace(whole, **{tower: cut}), [PAIRS]).model
    after = student.state_dict()
    for name, value in turned.state_dict().items():
        if not name.startswith(tower):
            assert torch.equal(value, after[name]), name
    assert student.shape.towers()[tower].width < turned.shape.towers()[tower].width


@pytest.mark.parametrize(
    "shares",
    [
        {"ffn": 0.5},
        {"dims": 0.5},
        {"embed": 0.8},
        {"dims": 0.5, "ffn": 0.5, "embed": 0.8},
        {"heads": 0.5, "ffn": 0.75},
        {"heads": 0.5, "dims": 0.5, "ffn": 0.3, "embed": 0.9},
        {"ffn": 0.0},
        {"dims": 0.0},
        {"heads": 0.0},
    ],
    ids=str,
)
def test_it_loses_less_than_the_slice(turned: Clip, shares: dict[str, float]) -> None:
    keep = keep_of(turned.shape, **shares)
    mine = errors(turned, solve(turned, keep, [PAIRS], NONE).model, PAIRS)
    plain = errors(turned, inherit(turned, keep), PAIRS)
    assert all(a < b for a, b in zip(mine, plain, strict=True)), (mine, plain)


@DRAWN
@given(shape=shapes(), seed=st.integers(0, 99), rotated=st.booleans())
def test_any_model_and_any_sites_are_solved(
    shape: ClipShape, seed: int, rotated: bool
) -> None:
    """Blocks without a layer, heads or units; dead layers; a joint embedding that is
    the stream: the shape is the keep's, and everything is a number."""
    model, draw = noisy(shape, seed, DOUBLE), np.random.default_rng(seed)
    if rotated:
        model = rotate(model, [PAIRS]).model
    sites = [site for site in SITES if site not in LAYERS and draw.random() < 0.7]
    keep = keep_of(model.shape, **{site: draw.choice([0.4, 0.9, 1]) for site in sites})
    if "embed" in sites:
        share = {"embed": 0.8}
        keep = ClipKeep(
            image=replace(
                keep.image,
                units={
                    **keep.image.units,
                    **tower_keep(model.shape.image, **share).units,
                },
            ),
            text=replace(
                keep.text,
                units={
                    **keep.text.units,
                    **tower_keep(model.shape.text, **share).units,
                },
            ),
        )
    student = solve(model, keep, [PAIRS]).model
    assert student.shape == keep.cut(model.shape)
    pixels, tokens = PAIRS.pixels[:4], PAIRS.tokens_BT[:4]
    with torch.no_grad():
        assert student.encode_image(pixels).isfinite().all()
        assert student.encode_text(tokens).isfinite().all()


def test_whole_layers_and_blocks_that_go_take_their_units_along(turned: Clip) -> None:
    text = turned.shape.text
    block = TowerKeep(
        {"ffn": (first(0.5, 12),), "dims": (first(0.5, 4),), "embed": (first(0.9, 9),)},
        Keep((1,), 2),
    )
    layers = TowerKeep(
        {
            "attention_layers": (Keep((), 1), Keep((0,), 1)),
            "ffn_layers": (Keep((0,), 1), Keep((), 1)),
            "ffn": (first(0.5, 12), Keep((), 12)),
            "heads": (Keep((), 2), first(1, 2)),
        },
        Keep.everything(2),
    )
    for kept in (block, layers):
        keep = ClipKeep(image=tower_keep(turned.shape.image), text=kept)
        student = solve(turned, keep, [PAIRS], NONE).model
        assert student.shape.text == kept.cut(text)
        mine = errors(turned, student, PAIRS)[1]
        assert mine < errors(turned, inherit(turned, keep), PAIRS)[1]


def scores_of(model: Clip, block: int) -> Tensor:
    """Scores of every head for what a block of the image tower reads, their mean over
    keys taken away, which softmax does not see; (B, H, N, N)."""
    read: list[Tensor] = []
    tower = model.image
    hook = tower.blocks[block].norm_1.register_forward_hook(
        lambda _module, _args, out: read.append(out.detach())
    )
    with torch.no_grad():
        tower(PAIRS.pixels)
    hook.remove()
    attention = tower.blocks[block].attention
    split = (attention.heads, attention.dims)
    q, k = (
        layer(read[0]).unflatten(-1, split).transpose(1, 2).detach()
        for layer in (attention.q, attention.k)
    )
    scores = q @ k.transpose(-1, -2)
    return scores - scores.mean(-1, keepdim=True)


def test_dims_are_the_best_so_many_that_there_are(turned: Clip) -> None:
    """The first block alone reads what it did: scores of 2 dims of 5 lose no more than
    the truncated SVD of what they were made of, weighted by what is read."""
    keep = keep_of(turned.shape, dims=0.4)
    student = solve(turned, keep, [PAIRS], INSIDE).model
    sliced = inherit(turned, keep)
    whole = scores_of(turned, 0)
    lost = [float((scores_of(m, 0) - whole).square().sum()) for m in (student, sliced)]
    # queries and keys are taken for independent, and those of the feature weigh more
    assert lost[0] <= lost[1] * 1.05
    rows = written(turned)
    for head in range(2):
        values, small = rows(turned, head), rows(student, head)
        best = np.linalg.svd(values - values.mean(0))[1][2:]
        off = values - small
        off = off - off.mean(0)
        # tokens of the feature weigh more in the moment: near, and never below
        assert np.square(best).sum() <= np.square(off).sum() + 1e-9
        assert np.square(off).sum() <= 1.3 * np.square(best).sum()


def written(model: Clip) -> Callable[[Clip, int], np.ndarray]:
    """What a head of the first block writes for every token that it reads, (R, D)."""
    tower = model.image
    with torch.no_grad():
        read = tower.blocks[0].norm_1(tower.start(PAIRS.pixels), None).flatten(0, 1)

    def rows(of: Clip, head: int) -> np.ndarray:
        attention = of.image.blocks[0].attention
        at = slice(head * attention.dims, (head + 1) * attention.dims)
        values = read @ attention.v.weight[at].T + attention.v.bias[at]
        made: np.ndarray = (values @ attention.out.weight[:, at].T).detach().numpy()
        return made

    return rows


def test_heads_that_stay_read_what_they_read_before(turned: Clip) -> None:
    """The first block's stream is the same, so its readers are those of the slice."""
    heads = tuple(Keep((1,), 2) for _ in range(2))
    whole = keep_of(turned.shape)
    keep = replace(whole, image=TowerKeep({"heads": heads}, whole.image.layers))
    student = solve(turned, keep, [PAIRS], NONE).model
    plain = inherit(turned, keep).image.blocks[0].attention
    attention = student.image.blocks[0].attention
    for name in ("q", "k", "v"):
        mine, theirs = (getattr(layer, name).weight for layer in (attention, plain))
        torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-6)


def test_what_an_ffn_lost_is_told_by_block(turned: Clip) -> None:
    keep = keep_of(turned.shape, ffn=0.5)
    lost = solve(turned, keep, [PAIRS]).lost
    assert set(lost) == {"image", "text"}
    assert all(len(blocks) == 2 for blocks in lost.values())
    assert all(0 < share < 1 for blocks in lost.values() for share in blocks)
    whole = solve(turned, keep_of(turned.shape, ffn=0.0), [PAIRS]).lost
    assert [share for blocks in whole.values() for share in blocks] == [1.0] * 4


def test_gate_values_are_left_out(turned: Clip) -> None:
    keep = keep_of(turned.shape, ffn=0.5)
    halves = tuple(replace(one, scale=(0.5,) * len(one)) for one in keep.image["ffn"])
    soft = replace(keep, image=TowerKeep({"ffn": halves}, keep.image.layers))
    one, two = (solve(turned, k, [PAIRS]).model.state_dict() for k in (keep, soft))
    assert all(torch.equal(value, two[name]) for name, value in one.items())


def test_of_dims_only_their_number_counts(turned: Clip) -> None:
    keep = keep_of(turned.shape, dims=0.4)
    totals = [one.total for one in keep.image["dims"]]
    others = tuple(Keep((total - 2, total - 1), total) for total in totals)
    other = replace(keep, image=TowerKeep({"dims": others}, keep.image.layers))
    one, two = (solve(turned, k, [PAIRS]).model for k in (keep, other))
    assert max(gaps(one, two, PAIRS)) == 0


def test_the_model_is_left_as_it_was(turned: Clip) -> None:
    before = copy.deepcopy(turned.train().state_dict())
    student = solve(turned, keep_of(turned.shape, dims=0.5, embed=0.8), [PAIRS]).model
    assert turned.training and student.training
    assert all(torch.equal(v, before[name]) for name, v in turned.state_dict().items())


def test_without_pairs_nothing_is_solved(turned: Clip) -> None:
    with pytest.raises(ValueError, match="no pairs"):
        solve(turned, keep_of(turned.shape, ffn=0.5), [])
