"""A smaller student's units are some of those that the larger one kept."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tinyclip.goal import SizeGoal
from tinyclip.inherit.nested import Room
from tinyclip.keep import ClipKeep
from tinyclip.masks.allocate import allocate
from tinyclip.masks.choose import choose_by_scores, gates_of
from tinyclip.model.clip import Clip
from tinyclip.shapes import ClipShape
from tinyclip.sites import GROUPS, LAYERS, SITES, units_of

SITE_SETS = [
    ("dims", "ffn", "embed"),
    ("heads", "ffn", "embed"),
    ("heads", "ffn", "embed", "attention_layers", "ffn_layers"),
]


def scores_of(shape: ClipShape, seed: int = 0) -> dict[str, Any]:
    """Random figures for every unit of the blocks and towers."""
    generator = torch.Generator().manual_seed(seed)
    towers = shape.towers()
    return {
        name: torch.rand(
            sum(units_of(towers[group.tower], group.key)), generator=generator
        ).double()
        for name, group in GROUPS.items()
        if not group.part and group.site.name in SITES
    }


def opened(keep: ClipKeep, shape: ClipShape) -> dict[str, torch.Tensor]:
    """Which units are open, by tower and site, all blocks."""
    gates = gates_of(keep, shape)
    return {
        f"{tower}_{key}": torch.cat([*part]) > 0
        for tower, towers in (("image", gates.image), ("text", gates.text))
        for key, part in towers.units.items()
    }


def goal(shape: ClipShape, target: float, **settings: Any) -> SizeGoal:
    return SizeGoal.of(target, **settings).against(shape)


def member(
    shape: ClipShape, target: float, sites: Any, larger: ClipKeep | None = None
) -> ClipKeep:
    """A choice in the room that a larger one left."""
    room = Room.of(shape, scores_of(shape), larger)
    choice = choose_by_scores if set(sites) & set(LAYERS) else allocate
    wanted = goal(shape, target)
    return room.whole(choice(room.shape, room.scores, wanted, sites=sites))


@pytest.mark.parametrize("sites", SITE_SETS)
def test_every_unit_of_a_member_is_one_of_the_next_larger(
    sites: tuple[str, ...], pico_clip: Clip
) -> None:
    shape, larger = pico_clip.shape, None
    for target in (0.8, 0.6, 0.45):
        keep = member(shape, target, sites, larger)
        assert goal(shape, target).share(keep.cut(shape)) == pytest.approx(
            target, rel=0.005
        )
        if larger is not None:
            outer, inner = opened(larger, shape), opened(keep, shape)
            for name, open_U in inner.items():
                assert not (open_U & ~outer.get(name, torch.ones_like(open_U))).any()
        larger = keep


def test_a_room_holds_the_scores_of_what_was_kept_and_the_sum_of_the_rest(
    pico_clip: Clip,
) -> None:
    shape = pico_clip.shape
    keep, scores = member(shape, 0.6, SITE_SETS[0]), scores_of(shape)
    room = Room.of(shape, scores, keep)
    open_U = opened(keep, shape)["image_ffn"]
    assert torch.equal(room.scores["image_ffn"], scores["image_ffn"][open_U])
    gone = scores["image_ffn"].numpy()[~open_U.numpy()].sum()
    assert room.gone["image_ffn"] == pytest.approx(gone)
    assert room.gone["image_heads"] == 0


def test_a_room_without_a_larger_student_is_the_whole_model(pico_clip: Clip) -> None:
    room = Room.of(pico_clip.shape, scores_of(pico_clip.shape))
    keep = ClipKeep.everything(pico_clip.shape)
    assert room.shape == pico_clip.shape
    assert room.whole(keep) is keep


def test_a_keep_of_another_shape_makes_no_room(
    pico_clip: Clip, siglip_clip: Clip
) -> None:
    other = member(siglip_clip.shape, 0.6, SITE_SETS[0])
    with pytest.raises(ValueError, match="of another shape|blocks where"):
        Room.of(pico_clip.shape, scores_of(pico_clip.shape), other)
