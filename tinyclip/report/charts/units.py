"""What is left of every layer: heads, dims, FFN units, channels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from ...sites import DIMS, GROUPS, Group, keys_of, units_of
from ..chart import Chart, drawing, panels
from ..collect import Model, Told

MAP = "cividis"  # the same order of light and dark for who sees no colour
DARK = 0.5  # below this share a cell is dark, and its number white
WIDE = 24  # layers of which numbers fit


def units(run: Told) -> Chart | None:
    """A panel a site that some student has fewer of: layers from left to right, models
    from top to bottom; None where none has, or where the teacher's shape is unknown."""
    models = [model for model in run.models if model.shape is not None]
    if run.teacher.shape is None or len(models) < 2:
        return None
    groups = [group for group in GROUPS.values() if _shrinks(models, group)]
    if not groups:
        return None
    columns = 2 if len(groups) > 1 else 1
    rows = -(-len(groups) // columns)
    with drawing("units"):
        height = 0.75 + 0.27 * len(models)
        figure, axes = panels(rows, columns, 4.6, height)
        flat = [one for row in axes for one in row]
        for one, group in zip(flat, groups, strict=False):
            _panel(one, models, group)
        for one in flat[len(groups) :]:
            one.set_visible(False)
    last = models[-1]
    told = "; ".join(f"{_title(g)}: {_in_words(last, g)}" for g in groups)
    return Chart(
        "units",
        "What is left of every layer",
        f"Units by layer of {run.name}. Of {last.name} ({100 * last.share:.3g} %): "
        f"{told}.",
        "Numbers count the units; yellow is all of the teacher's, dark blue none. "
        "Layers go from the input on the left to the output on the right.",
        figure,
    )


def _counts(model: Model, group: Group) -> NDArray[np.float64]:
    assert model.shape is not None
    tower = model.shape.towers()[group.tower]
    if group.key not in keys_of(tower):
        return np.zeros(0)
    return np.array([float(n) for n in units_of(tower, group.key)])


def _shrinks(models: Sequence[Model], group: Group) -> bool:
    """Whether a student has fewer of them than the teacher."""
    first, *others = (_counts(model, group) for model in models)
    return any(len(n) == len(first) and bool((n < first).any()) for n in others)


def _panel(axes: Axes, models: Sequence[Model], group: Group) -> None:
    counts = [_counts(model, group) for model in models]
    whole = np.maximum(counts[0], 1)
    shares = np.array([n / whole for n in counts])
    axes.grid(False)
    axes.pcolormesh(shares, cmap=MAP, vmin=0, vmax=1, edgecolors="white", linewidth=0.5)
    axes.invert_yaxis()
    names = [f"{m.name}, {100 * m.share:.3g} %" for m in models]
    axes.set_yticks(np.arange(len(models)) + 0.5, names)
    layers = np.arange(len(whole))
    every = max(1, len(layers) // 12)
    ticks = layers[::every] if group.site.in_block else layers[:0]
    axes.set_xticks(ticks + 0.5, [str(layer + 1) for layer in ticks])
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.set_title(_title(group), loc="left")
    if len(layers) > WIDE:
        return
    for row, (numbers, parts) in enumerate(zip(counts, shares, strict=True)):
        for layer, (number, part) in enumerate(zip(numbers, parts, strict=True)):
            colour = "white" if part < DARK else "black"
            place = layer + 0.5, row + 0.5
            axes.text(
                *place, f"{number:.0f}", ha="center", va="center", color=colour, size=8
            )


def _title(group: Group) -> str:
    unit = "dims of each head" if group.site == DIMS else f"{group.site.unit}s"
    where = " by layer" if group.site.in_block else ""
    return f"{group.tower} {group.part} {unit}{where}".replace("  ", " ")


def _in_words(model: Model, group: Group) -> str:
    return " ".join(f"{number:.0f}" for number in _counts(model, group))
