"""A foreign tensor and what it is of ours, both ways."""

from __future__ import annotations

import pytest
import torch

from tinyclip.formats.link import Link, layer, packed, to_ours, to_theirs


@pytest.mark.parametrize(
    ("link", "theirs"),
    [
        (Link("t", ("a",)), torch.randn(3, 2)),
        (Link("t", ("a",), turned=True), torch.randn(3, 2)),
        (Link("t", ("a",), lead=2), torch.randn(1, 1, 5)),
        (Link("t", ("a",), lead=1), torch.randn(1)),
        (Link("t", ("a", "b", "c")), torch.randn(6, 2)),
    ],
    ids=["plain", "turned", "axes in front", "a number", "packed"],
)
def test_there_and_back_changes_no_bit(link: Link, theirs: torch.Tensor) -> None:
    ours = to_ours([link], {"t": theirs})
    assert set(ours) == set(link.ours)
    assert torch.equal(to_theirs([link], ours)["t"], theirs)


def test_a_transpose_is_turned_and_a_number_has_no_axis() -> None:
    assert Link("t", ("a",), turned=True).read(torch.zeros(3, 2))["a"].shape == (2, 3)
    assert Link("t", ("a",), lead=1).read(torch.zeros(1))["a"].shape == ()


def test_packed_parts_come_in_their_order() -> None:
    (weight, bias) = packed("ours", "qkv", "theirs.in_")
    assert (weight.theirs, bias.theirs) == ("theirs.in_weight", "theirs.in_bias")
    parts = bias.read(torch.tensor([1.0, 2.0, 3.0]))
    assert [parts[f"ours.{name}.bias"] for name in "qkv"] == [1, 2, 3]


def test_a_layer_is_a_weight_and_a_bias() -> None:
    assert [link.theirs for link in layer("a", "b")] == ["b.weight", "b.bias"]
