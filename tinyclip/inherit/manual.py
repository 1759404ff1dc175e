"""Inheritance by hand, as the original does it: no importance at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from ..config.schema import Manual
from ..errors import UserError
from ..keep import ClipKeep, Keep, TowerKeep
from ..masks.budget import Goal, ragged_counts
from ..masks.sites import layout, site_name
from ..masks.uniform import uniform_counts
from ..shapes import ClipShape, TowerShape


def manual_keep(
    shape: ClipShape, target: float, reference: int, budget: str, manual: Manual
) -> ClipKeep:
    """Evenly spaced layers, and leading or evenly spaced units of every site.

    All sites shrink by the same factor, which meets the budget within 0.5 %. A model
    whose layers are alike, with heads that fill its width, stays like that.

    Args:
        target: wanted size as a share of `reference`, a size in `budget`.
        manual: how many layers stay, and which units.

    Raises:
        UserError: more layers are asked for than there are, or the size is out of
            reach.
    """
    layers = {
        name: _layers(name, tower, getattr(manual, f"{name}_layers"))
        for name, tower in shape.towers().items()
    }
    shallow = _shallow(shape, layers)
    units = layout(shallow)
    goal = Goal(shallow, target * reference, budget, tuple(units))
    # gates that are all alike: every site keeps the same share
    logits = {name: np.zeros(sum(widths)) for name, widths in units.items()}
    uniform = all(tower.is_uniform for tower in shallow.towers().values())
    counts = (uniform_counts if uniform else ragged_counts)(goal, logits)

    def keeps(name: str, site: str) -> tuple[Keep, ...]:
        key = site_name(name, site)
        numbers = apportion(counts[key], units[key])
        return tuple(
            Keep(pick_units(number, total, manual.units), total)
            for number, total in zip(numbers, units[key], strict=True)
        )

    def tower(name: str) -> TowerKeep:
        embed, heads, ffn = (keeps(name, site) for site in ("embed", "heads", "ffn"))
        return TowerKeep(embed=embed[0], heads=heads, ffn=ffn, layers=layers[name])

    return ClipKeep(image=tower("image"), text=tower("text"))


def _shallow(shape: ClipShape, layers: Mapping[str, Keep]) -> ClipShape:
    """The shape with only the layers that stay."""
    return shape.with_towers(
        **{
            name: replace(old, blocks=tuple(old.blocks[i] for i in layers[name].kept))
            for name, old in shape.towers().items()
        }
    )


def pick_units(count: int, total: int, how: str) -> tuple[int, ...]:
    """`count` of `total` indices: the leading ones, or evenly spaced."""
    if how == "leading":
        return tuple(range(count))
    return tuple(int(i) for i in (np.arange(count) + 0.5) * total / max(1, count))


def apportion(count: int, totals: Sequence[int]) -> list[int]:
    """`count` units over layers in proportion to their widths (largest remainders)."""
    whole = sum(totals)
    if whole == 0:
        return [0] * len(totals)
    shares = [count * total / whole for total in totals]
    numbers = [int(share) for share in shares]
    by_rest = sorted(range(len(totals)), key=lambda i: (numbers[i] - shares[i], i))
    for i in by_rest[: count - sum(numbers)]:
        numbers[i] += 1
    return numbers


def _layers(name: str, tower: TowerShape, count: int | None) -> Keep:
    """Evenly spaced layers, the first and the last among them."""
    total = len(tower.blocks)
    if count is None:
        return Keep.everything(total)
    if count > total:
        raise UserError(
            f"manual.{name}_layers",
            f"{count} layers of the {total} that there are",
            f"Give 1 to {total}",
        )
    places = np.rint(np.linspace(0, total - 1, count)) if count > 1 else [total - 1]
    return Keep(tuple(int(place) for place in places), total)
