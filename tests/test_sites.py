"""The table of sites, and what leans on it."""

from __future__ import annotations

import pytest

from tinyclip.axes import BLOCK, axes_of
from tinyclip.inherit.slicing import NAME
from tinyclip.masks.gates import Gates
from tinyclip.model.clip import Clip
from tinyclip.shapes import BlockShape, ClipShape
from tinyclip.sites import (
    SITES,
    basis_of,
    in_line,
    keys_of,
    resized,
    units_of,
    width_in_words,
)


def test_gates_draw_their_noise_in_the_order_that_they_always_had(
    siglip_shape: ClipShape,
) -> None:
    assert list(Gates(siglip_shape, pool=True).alpha) == [
        *("image_embed", "image_ffn", "image_heads", "image_pool_ffn"),
        *("image_pool_heads", "text_embed", "text_ffn", "text_heads"),
    ]


@pytest.mark.parametrize("kind", ["pico_clip", "siglip_clip"])
def test_every_parameter_has_a_rule_of_its_own_dimensions(
    kind: str, request: pytest.FixtureRequest
) -> None:
    model: Clip = request.getfixturevalue(kind)
    for name, value in model.named_parameters():
        match = NAME.fullmatch(name)
        if match is None:
            assert name in ("logit_scale", "logit_bias")
            continue
        tower = model.shape.towers()[match[1]]
        assert len(axes_of(tower, match[2], match[3])) == value.ndim, name


def test_a_layer_owns_what_its_gate_folds_into_and_the_units_inside_it() -> None:
    layers = [site for site in SITES.values() if site.owns]
    owned = {n for site in layers for n in BLOCK if n.startswith(site.owns)}
    assert owned == {
        n for n in BLOCK if n not in ("latent", "norm.weight", "norm.bias")
    }
    for layer in layers:
        inside = [site.name for site in SITES.values() if site.layer == layer.name]
        ruled = {
            name
            for name, dimensions in BLOCK.items()
            if any(axis.site in inside for axes in dimensions for axis in axes)
        }
        assert ruled and all(name.startswith(layer.owns) for name in ruled)
        joined = [name for name in BLOCK if name.startswith(layer.joins)]
        assert joined and all(name.startswith(layer.owns) for name in joined)


def test_a_tower_has_the_size_that_it_is_given(siglip_shape: ClipShape) -> None:
    tower = siglip_shape.image
    same = {key: units_of(tower, key) for key in keys_of(tower)}
    assert resized(tower, same) == tower
    small = resized(tower, {"embed": [5], "heads": [1, 2], "pool_ffn": [3]})
    assert small.width == 5
    assert units_of(small, "heads") == (1, 2)
    assert units_of(small, "ffn") == units_of(tower, "ffn")
    assert small.pool_block == BlockShape(
        heads=tower.pool_block.heads, ffn=3, dims=tower.head_width
    )  # type: ignore[union-attr, attr-defined]


def test_a_layer_that_is_gone_is_a_dash_not_a_nought() -> None:
    blocks = [{"heads": 0, "ffn": 4, "attention_layers": 0}, {"heads": 0, "ffn": 9}]
    assert in_line(blocks, "heads") == "– 0"
    assert in_line(blocks, "ffn") == "4 9"


def test_heads_of_fewer_dims_are_told_with_them() -> None:
    gone = {"heads": 0, "ffn": 4, "attention_layers": 0}
    blocks = [{"heads": 4, "ffn": 4, "dims": 24}, {"heads": 3, "ffn": 9}, gone]
    assert in_line(blocks, "heads", 48) == "4×24 3×48 –"
    assert in_line(blocks, "ffn", 48) == "4 9 4"


def test_a_rotated_width_is_told_with_what_it_was() -> None:
    text = {"norm": "rms", "full_width": 192}
    assert width_in_words(95, basis_of(text)) == "95 directions of 192"
    image = {**text, "norm_pre": True}
    assert width_in_words(95, basis_of(image)).endswith("192, behind a stem")
    assert width_in_words(96, basis_of({"norm_pre": True})) == "96"
