"""From gates to units: law 2, the order of the gates, ties, layouts, refusals."""

from __future__ import annotations

import time
from typing import Any

import pytest
import torch
from drawn import random_gates  # type: ignore[import-not-found]
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tinyclip import cost
from tinyclip.errors import TinyclipError, UserError
from tinyclip.keep import ClipKeep, Keep, TowerKeep
from tinyclip.masks.choose import choose, choose_by_scores, gates_of
from tinyclip.masks.expected import expected_size
from tinyclip.masks.gates import Gates
from tinyclip.shapes import BlockShape, ClipShape, ImageShape, TextShape

GATES = ("heads", "ffn", "embed")


def make_shape(layers: int, heads: int, head_width: int, ffn: int) -> ClipShape:
    block = BlockShape(heads=heads, ffn=ffn)
    return ClipShape(
        embed_dim=32,
        image=ImageShape(
            width=heads * head_width,
            head_width=head_width,
            blocks=(block,) * layers,
            image_size=32,
            patch_size=16,
        ),
        text=TextShape(
            width=heads * head_width,
            head_width=head_width,
            blocks=(BlockShape(heads=heads, ffn=ffn + 7),) * (layers + 1),
            context_length=8,
            vocab_size=99,
        ),
    )


RANGES = st.sampled_from(
    [(-4.6, 4.6), (-4.6, -4.6), (4.6, 4.6), (-1.0, 3.0), (-4.6, -4)]
)


@settings(max_examples=25, deadline=None)
@given(
    shape=st.builds(
        make_shape,
        layers=st.integers(1, 3),
        heads=st.integers(4, 8),
        head_width=st.sampled_from([8, 16]),
        ffn=st.integers(150, 300),
    ),
    seed=st.integers(0, 2**31),
    around=RANGES,
    target=st.floats(0.12, 1.0),
    budget=st.sampled_from(["encoder", "total"]),
)
def test_the_size_asked_for_is_the_size_given(
    shape: ClipShape,
    seed: int,
    around: tuple[float, float],
    target: float,
    budget: str,
) -> None:
    gates = random_gates(shape, seed, *around)
    cut = choose(gates, target, budget=budget).cut(shape)
    full = cost.size(shape, budget)
    assert cost.size(cut, budget) == pytest.approx(target * full, rel=0.005)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**31), target=st.floats(0.1, 0.95), around=RANGES)
def test_a_uniform_cut_is_a_stock_shape_of_the_size_asked_for(
    seed: int, target: float, around: tuple[float, float]
) -> None:
    shape = make_shape(2, 6, 16, 384)
    cut = choose(random_gates(shape, seed, *around), target, layout="uniform").cut(
        shape
    )
    assert cut.image.is_uniform and cut.text.is_uniform
    size = target * cost.size(shape, "encoder")
    assert cost.size(cut, "encoder") == pytest.approx(size, rel=0.005)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**31), target=st.floats(0.2, 0.9))
def test_no_closed_unit_is_more_open_than_a_kept_one_of_its_site(
    seed: int, target: float
) -> None:
    shape = make_shape(3, 4, 8, 200)
    gates = random_gates(shape, seed, -4.6, 4.6)
    kept = gates_of(choose(gates, target), shape)
    for tower in ("image", "text"):
        part = getattr(kept, tower)
        by_name = {
            "heads": torch.cat(part["heads"]),
            "ffn": torch.cat(part["ffn"]),
            "embed": part.embed_D,
        }
        for site, value in by_name.items():
            alpha = gates.alpha[f"{tower}_{site}"].detach()
            if 0 < (value > 0).sum() < len(value):
                assert alpha[value > 0].min() >= alpha[value == 0].max()


def test_gates_that_met_the_budget_keep_the_numbers_they_expect() -> None:
    shape = make_shape(3, 8, 16, 400)
    gates = Gates(shape)
    with torch.no_grad():  # decided gates: the expectation is a count
        for index, alpha in enumerate(gates.alpha.values()):
            alpha.fill_(-1e3)
            alpha[: len(alpha) * (5 + index % 3) // 8] = 1e3
    full = cost.size(shape, "encoder")
    keep = choose(gates, float(expected_size(gates).detach()) / full)
    for name, openness in gates.open_probability().items():
        tower, site = name.split("_")
        assert sum(map(len, keep.towers()[tower][site])) == openness.sum()


def test_a_small_correction_moves_ffn_units_and_nothing_else() -> None:
    shape = make_shape(3, 8, 16, 400)
    gates = Gates(shape)
    with torch.no_grad():  # decided gates, which no common shift moves
        for alpha in gates.alpha.values():
            alpha.fill_(-1e3)
            alpha[: len(alpha) // 2] = 1e3
    expected = float(expected_size(gates).detach())
    units = 40 * (2 * 64 + 1)  # a unit's column, row and bias
    full = cost.size(shape, "encoder")
    keep = choose(gates, (expected + units) / full)
    kept = {
        f"{name}_{site}": sum(map(len, tower[site]))
        for name, tower in keep.towers().items()
        for site in ("heads", "ffn")
    }
    assert (len(keep.image["embed"][0]), len(keep.text["embed"][0])) == (64, 64)
    assert (kept["image_heads"], kept["text_heads"]) == (12, 16)
    moved = kept["image_ffn"] - 600 + kept["text_ffn"] - 814
    assert moved == pytest.approx(40, abs=3)  # within 0.05 %


def test_kept_units_carry_their_hardened_gate() -> None:
    shape = make_shape(2, 4, 8, 200)
    gates = random_gates(shape, 5, -4.6, 4.6)
    embed = choose(gates, 0.5).image["embed"][0]
    hard = gates.hardened_values()["image_embed"]
    assert embed.scale == tuple(hard[list(embed.kept)].double().tolist())
    assert min(embed.scale) >= 0.05 - 1e-8


def test_equal_gates_empty_all_layers_alike() -> None:
    shape = make_shape(3, 8, 8, 300)
    cut = choose(Gates(shape).init_constant(0.7), 0.5).cut(shape)
    heads = [block.heads for block in cut.image.blocks]
    ffn = [block.ffn for block in cut.image.blocks]
    assert max(heads) - min(heads) <= 1
    assert max(ffn) - min(ffn) <= 1


def test_the_same_gates_always_give_the_same_keep() -> None:
    shape = make_shape(2, 4, 8, 200)
    gates = random_gates(shape, 5, -1, 1)
    with torch.no_grad():
        for alpha in gates.alpha.values():
            alpha.copy_(alpha.round())  # many ties
    assert choose(gates, 0.4) == choose(gates, 0.4)


def test_a_layer_may_die_when_its_gates_say_so() -> None:
    shape = make_shape(3, 4, 8, 300)
    gates = Gates(shape).init_constant(0.8)
    with torch.no_grad():
        gates.alpha["image_heads"][4:8] = -4.6
        gates.alpha["image_ffn"][:300] = -4.6
    cut = choose(gates, 0.5).cut(shape)
    assert cut.image.blocks[1].heads == 0
    assert cut.image.blocks[0].ffn == 0


@pytest.mark.parametrize("sites", [("ffn",), ("heads", "ffn"), ("ffn", "embed")])
def test_sites_that_are_not_gated_stay_whole(sites: tuple[str, ...]) -> None:
    shape = make_shape(2, 6, 8, 400)
    keep = choose(Gates(shape, sites=sites), 0.7)
    for name, tower in shape.towers().items():
        whole = TowerKeep.everything(tower)
        for site in set(GATES) - set(sites):
            assert keep.towers()[name][site] == whole[site]
    size = 0.7 * cost.size(shape, "encoder")
    assert cost.size(keep.cut(shape), "encoder") == pytest.approx(size, rel=0.005)


def test_the_target_is_a_share_of_the_reference() -> None:
    shape = make_shape(2, 6, 8, 400)
    reference = 2 * cost.size(shape, "encoder")
    cut = choose(Gates(shape), 0.25, reference=reference).cut(shape)
    assert cost.size(cut, "encoder") == pytest.approx(0.25 * reference, rel=0.005)


def test_scores_keep_the_best_units_and_scale_nothing() -> None:
    shape = make_shape(2, 4, 8, 300)
    scores = {name: alpha.detach() for name, alpha in Gates(shape).alpha.items()}
    scores["image_ffn"] = torch.arange(600.0) ** 3  # a heavy tail changes no number
    keep = choose_by_scores(shape, scores, 0.5)
    first, second = keep.image["ffn"]
    assert len(second) == 300 and 0 < len(first) < 300
    assert first.kept == tuple(range(300 - len(first), 300))
    assert first.scale is None
    shares = [len(keep.image["embed"][0]) / 32, len(keep.text["embed"][0]) / 32]
    assert shares[0] == pytest.approx(shares[1], abs=3 / 32)


def test_scores_of_one_site_leave_the_others_whole() -> None:
    shape = make_shape(2, 4, 8, 300)
    scores = {name: alpha.detach() for name, alpha in Gates(shape).alpha.items()}
    keep = choose_by_scores(shape, scores, 0.8, sites=("ffn",))
    assert keep.image["embed"][0] == Keep.everything(32)


def test_a_target_below_the_smallest_model_names_the_smallest_size() -> None:
    shape = make_shape(2, 4, 8, 200)
    with pytest.raises(UserError, match="with ffn gated, the smallest size is"):
        choose(Gates(shape, sites=("ffn",)), 0.05)


def test_units_too_coarse_for_the_target_name_the_nearest_sizes() -> None:
    shape = make_shape(1, 4, 8, 200)
    with pytest.raises(UserError, match=r"nearest sizes are [\d,]+ .* and [\d,]+"):
        choose(Gates(shape, sites=("heads",)), 0.93)


def test_more_than_the_model_has_is_refused() -> None:
    shape = make_shape(1, 4, 8, 200)
    with pytest.raises(UserError, match="more than the model has"):
        choose(Gates(shape), 1.0, reference=2 * cost.size(shape, "encoder"))


@pytest.mark.parametrize("target", [0.0, -1.0, 1.5, float("nan")])
def test_a_target_that_is_no_share_is_refused(target: float) -> None:
    with pytest.raises(UserError, match="is no share"):
        choose(Gates(make_shape(1, 4, 8, 20)), target)


def test_a_uniform_layout_without_embed_gates_is_refused_when_heads_must_go() -> None:
    shape = make_shape(2, 4, 8, 200)
    with pytest.raises(UserError, match="embed is not gated"):
        choose(Gates(shape, sites=("heads", "ffn")), 0.2, layout="uniform")


def test_a_ragged_model_with_whole_heads_cannot_become_uniform(
    pico_shape: ClipShape,
) -> None:
    with pytest.raises(UserError, match="cannot be uniform"):
        choose(Gates(pico_shape, sites=("ffn", "embed")), 0.8, layout="uniform")


def test_gates_that_are_not_numbers_stop_the_run() -> None:
    gates = Gates(make_shape(1, 4, 8, 20))
    with torch.no_grad():
        gates.alpha["text_ffn"][3] = float("nan")
    with pytest.raises(TinyclipError, match="text_ffn"):
        choose(gates, 0.5)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**31), target=st.floats(0.1, 1.0))
def test_pico_models_meet_the_budget_or_say_why(seed: int, target: float) -> None:
    shape = make_shape(1, 2, 4, 12)
    gates = random_gates(shape, seed, -4.6, 4.6)
    try:
        cut = choose(gates, target).cut(shape)
    except UserError as error:
        assert "nearest sizes" in str(error) or "out of reach" in str(error)
        assume(False)
    size = target * cost.size(shape, "encoder")
    assert cost.size(cut, "encoder") == pytest.approx(size, rel=0.005)


@pytest.mark.parametrize(
    ("budget", "layout", "round_to"),
    [("encoder", "ragged", 1), ("total", "ragged", 8), ("macs", "uniform", 8)],
)
def test_a_large_model_is_chosen_in_seconds(
    budget: str, layout: Any, round_to: int
) -> None:
    block, small = BlockShape(heads=16, ffn=4096), BlockShape(heads=12, ffn=3072)
    shape = ClipShape(
        embed_dim=768,
        image=ImageShape(
            width=1024,
            head_width=64,
            blocks=(block,) * 24,
            image_size=224,
            patch_size=14,
        ),
        text=TextShape(
            width=768,
            head_width=64,
            blocks=(small,) * 12,
            context_length=77,
            vocab_size=49408,
        ),
    )
    gates = random_gates(shape, 0, -4.6, 4.6)
    start = time.process_time()
    choose(gates, 0.5, budget=budget, layout=layout, round_to=round_to)
    assert time.process_time() - start < 4  # 0.2 s on a free core


def test_gates_of_a_keep_are_its_scales_and_zeros(pico_shape: ClipShape) -> None:
    image = TowerKeep(
        {
            "embed": (Keep((0, 2), 24, (0.5, 1.0)),),
            "heads": (Keep((), 3),),
            "ffn": (Keep((27,), 28),),
        },
        Keep((1,), 2),
    )
    keep = ClipKeep(image=image, text=TowerKeep.everything(pico_shape.text))
    gates = gates_of(keep, pico_shape, dtype=torch.float64)
    assert gates.image.embed_D[:3].tolist() == [0.5, 0.0, 1.0]
    assert gates.image.embed_D[3:].sum() == 0
    assert gates.image["heads"][1].tolist() == [0.0] * 3
    assert gates.image["ffn"][1].nonzero().tolist() == [[27]]
    # the layers of the block that is dropped are closed
    for site in ("attention_layers", "ffn_layers"):
        assert [float(gate) for gate in gates.image[site]] == [0.0, 1.0]
    assert gates.text.embed_D.tolist() == [1.0] * 16


def test_a_keep_of_another_shape_has_no_gates(pico_shape: ClipShape) -> None:
    keep = ClipKeep.everything(make_shape(1, 2, 4, 12))
    with pytest.raises(ValueError, match="does not fit"):
        gates_of(keep, pico_shape)
