"""Near pictures that join a batch, and captions with words swapped."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from made import MadeTokens, made_loader  # type: ignore[import-not-found]
from torch import Tensor
from torch.nn import functional as F

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from processes import SHAPE, make_batch, phase_of  # type: ignore[import-not-found]

from tinyclip.data.swapped import swapped
from tinyclip.data.tokens import TokenStore
from tinyclip.losses.needs import Hard
from tinyclip.losses.objectives import Weighted
from tinyclip.training.engine import Engine
from tinyclip.training.needs.hard import HardPairs
from tinyclip.training.needs.provider import Offered
from tinyclip.training.teacher.cached import CachedTeacher

COUNT = 9


def features() -> Tensor:
    draw = torch.Generator().manual_seed(4)
    return F.normalize(torch.randn(COUNT, 6, generator=draw), dim=-1)


def hard(joining: int = 1, seed: int = 0, nearest: int = 3, **how: Any) -> HardPairs:
    loader = made_loader(SHAPE, COUNT, 4, **how)
    loader.tokens = TokenStore(MadeTokens(12, 1000))  # so many that swaps are seen
    rows = {row: row for row in range(COUNT)}
    near = features()
    cached = CachedTeacher(near[:, None], near, rows, {}, torch.tensor(1.0))
    offered = Offered(Engine(), loader, cached, cast(Any, None), seed=seed)
    need = Hard(joining=joining, nearest=nearest)
    return HardPairs(need, offered, cast(Weighted, None))


def three_nearest(row: int) -> list[int]:
    similar = features() @ features()[row]
    similar[row] = -2
    order: list[int] = similar.argsort(descending=True)[:3].tolist()
    return order


def batch() -> Any:
    return made_loader(SHAPE, COUNT, 4).batch(0)


def test_those_that_join_are_among_the_three_nearest() -> None:
    seen = set()
    for step in range(12):
        rows_BP = hard().drawn(batch(), step).rows_BP
        assert rows_BP[:, 0].tolist() == batch().index_B.tolist()
        for row, other in rows_BP.tolist():
            assert other in three_nearest(row)
            seen.add((row, other))
    assert len(seen) == 4 * 3  # each of the three in its turn


def test_all_three_join_where_they_are_asked_for() -> None:
    rows_BP = hard(3).drawn(batch(), 0).rows_BP
    for row, *others in rows_BP.tolist():
        assert sorted(others) == sorted(three_nearest(row))


def test_their_pixels_and_captions_are_those_of_the_loader() -> None:
    provider = hard(2, augmentations=1)
    drawn = provider.drawn(batch(), 5)
    loader = provider.loader
    flat = drawn.rows_BP[:, 1:].flatten().tolist()
    for place, row in enumerate(flat):
        assert torch.equal(drawn.pixels[place], loader.sample(row))
        texts = list(loader.pairs.captions(row))
        ids = loader.tokens(texts)
        assert any(torch.equal(drawn.tokens[place], one) for one in ids)


def test_captions_are_swapped_where_they_can_be() -> None:
    provider = hard()
    one = batch()
    drawn = provider.drawn(one, 0)
    for pair, text in enumerate(one.captions):
        can_be = swapped(text, 0) is not None
        assert bool(drawn.swaps_BP[pair, 0]) == can_be
        own = one.tokens_BT[pair], drawn.swapped_NT[2 * pair]
        if can_be:
            assert sorted(own[1].tolist()) != own[1].tolist()
            plain = provider.loader.tokens([text])[0]
            assert sorted(own[1].tolist()) == sorted(plain.tolist())
            assert not torch.equal(own[1], plain)
    assert 0 < int(drawn.swaps_BP.sum()) < drawn.swaps_BP.numel()


def test_a_swap_that_the_text_tower_does_not_read_is_none() -> None:
    provider = hard()
    provider.loader.tokens = TokenStore(MadeTokens(1, 1000))
    assert not provider.drawn(batch(), 0).swaps_BP.any()


def test_all_follows_from_seed_step_and_pair() -> None:
    whole, one = hard(2, augmentations=3).drawn(batch(), 7), batch()
    part = hard(2, augmentations=3).drawn(one.rows(torch.tensor([2, 1])), 7)
    assert torch.equal(part.rows_BP, whole.rows_BP[[2, 1]])
    assert torch.equal(part.swaps_BP, whole.swaps_BP[[2, 1]])
    for name, of_each in (("pixels", 2), ("tokens", 2), ("swapped_NT", 3)):
        grouped = getattr(whole, name).unflatten(0, (4, of_each))
        expected = grouped[[2, 1]].flatten(0, 1)
        assert torch.equal(getattr(part, name), expected), name
    for other in (hard(2, 1).drawn(one, 7), hard(2).drawn(one, 8)):
        assert not torch.equal(other.rows_BP, whole.rows_BP)


def test_what_cannot_be_read_is_counted_and_the_next_joins() -> None:
    """Broken pictures that the cache did not know of."""
    row = int(batch().index_B[0])
    broken = tuple(three_nearest(row)[:2])
    provider = hard(2, broken=broken)
    (found,) = [
        own for own in provider.drawn(batch(), 0).rows_BP.tolist() if own[0] == row
    ]
    assert found == [row, three_nearest(row)[2], -1]
    assert {f"key{other}" for other in broken} <= set(provider.loader.broken)


def test_what_is_missing_has_no_picture_and_no_swap() -> None:
    row = int(batch().index_B[0])
    provider = hard(1, broken=tuple(three_nearest(row)))
    drawn = provider.drawn(batch().rows(torch.tensor([0])), 0)
    assert drawn.rows_BP.tolist() == [[row, -1]]
    assert not drawn.pixels.any()
    assert drawn.swaps_BP[0, 1] == 0


def test_a_batch_is_drawn_once_for_student_and_teacher(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    provider, calls = hard(), []
    draw = provider._draw

    def counted(one: Any, step: int) -> Any:
        calls.append(step)
        return draw(one, step)

    monkeypatch.setattr(provider, "_draw", counted)
    one = batch()
    for step in (0, 0, 1):
        provider.drawn(one, step)
    provider.drawn(one.rows(torch.tensor([1])), 1)
    assert calls == [0, 1, 1]


def test_a_phase_encodes_what_joins() -> None:
    phase = phase_of("distil", SHAPE, Engine(), {"negclip": {"joining": 2}})
    one = make_batch(SHAPE, 4, 0)
    mine, (theirs,) = phase.features(one, 3), phase.teacher_features(one, 3)
    drawn = phase.providers["negclip"].drawn(one, 3)
    expected = phase.model.encode_image(drawn.pixels.double(), normalize=True)
    torch.testing.assert_close(mine.more["negclip.images"].flatten(0, 1), expected)
    texts = phase.model.encode_text(drawn.tokens, normalize=True)
    torch.testing.assert_close(mine.more["negclip.texts"].flatten(0, 1), texts)
    texts = phase.model.encode_text(drawn.swapped_NT, normalize=True)
    torch.testing.assert_close(mine.more["negclip.swapped"].flatten(0, 1), texts)
    assert torch.equal(theirs.more["negclip.rows"], drawn.rows_BP)
    assert torch.equal(theirs.more["negclip.swaps"], drawn.swaps_BP)
