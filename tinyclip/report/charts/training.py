"""How a run was trained: gates, size, losses, rates, over the pairs that it saw."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..chart import INK, Chart, as_percent, drawing, panels, style
from ..collect import Told

WIDTH, HEIGHT = 7.2, 1.9
Line = Mapping[str, Any]
Pieces = list[tuple[list[float], list[float]]]  # a line that a phase interrupts


def _pieces(steps: Sequence[Line], key: str, part: str | None = None) -> Pieces:
    """Values over pairs seen, a piece for each phase of each stage that has them.

    Args:
        part: of a value that is a table.
    """
    pieces = []
    for _, lines in groupby(steps, lambda line: (line["stage"], line["phase"])):
        found = [
            (float(line["samples"]), float(value))
            for line in lines
            if (value := _value(line, key, part)) is not None
        ]
        if found:
            xs, ys = zip(*found, strict=True)
            pieces.append((list(xs), list(ys)))
    return pieces


def _value(line: Line, key: str, part: str | None) -> Any:
    value = line.get(key)
    return (value or {}).get(part) if part is not None else value


def _draw(axes: Axes, pieces: Pieces, number: int, label: str) -> None:
    how = {**style(number), "marker": None}
    for place, (xs, ys) in enumerate(pieces):
        # a phase of one line of metrics is a point
        marker = "." if len(xs) == 1 else None
        shown = label if place == 0 else None
        axes.plot(xs, ys, label=shown, **{**how, "marker": marker})


def _legend(axes: Axes) -> None:
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.05), fontsize=9)


def _stages(axes: Sequence[Axes], steps: Sequence[Line]) -> None:
    """A line where each stage but the first begins."""
    begins: dict[int, float] = {}
    for line in steps:
        begins.setdefault(line["stage"], float(line["samples"]))
    for one in axes:
        for stage, samples in begins.items():
            if stage > min(begins):
                one.axvline(samples, color=INK, linewidth=0.6, linestyle=":")
    axes[-1].set_xlabel("pairs seen")


def _figure(rows: int) -> tuple[Figure, list[Axes]]:
    figure, axes = panels(rows, 1, WIDTH, HEIGHT, sharex=True)
    return figure, [row[0] for row in axes]


def gates(run: Told) -> Chart | None:
    """How open the gates of each site are on average; None where none were learned."""
    names: dict[str, None] = {}
    for line in run.steps:
        names.update(dict.fromkeys(line.get("open") or {}))
    if not names:
        return None
    with drawing("gates"):
        figure, (axes,) = _figure(1)
        figure.set_size_inches(WIDTH, 2.6)
        for number, name in enumerate(names):
            pieces = _pieces(run.steps, "open", name)
            _draw(axes, pieces, number, name.replace("_", " "))
        axes.set_ylim(0, 1.03)
        axes.set_ylabel("mean openness")
        as_percent(axes.yaxis)
        _legend(axes)
        _stages([axes], run.steps)
    ends = _ends(run.steps, names)
    return Chart(
        "gates",
        "How the gates opened and closed",
        f"Mean probability that a unit stays, by site, over the pairs seen, of "
        f"{run.name}. At the end of each stage: {ends}.",
        "The mean over all units of a site of the probability that the unit stays. "
        "Each stage starts from what the one before it left.",
        figure,
    )


def _ends(steps: Sequence[Line], names: Mapping[str, None]) -> str:
    told = []
    lines = [line for line in steps if line.get("open")]
    for stage, group in groupby(lines, lambda line: line["stage"]):
        last = list(group)[-1]["open"]
        shares = ", ".join(
            f"{name.replace('_', ' ')} {100 * last[name]:.0f} %"
            for name in names
            if name in last
        )
        told.append(f"stage {stage} {shares}")
    return "; ".join(told)


def budget(run: Told) -> Chart | None:
    """The size that the gates stand for against the one that is asked for, and both
    multipliers; None where no phase pushed on a size."""
    steps = [line for line in run.steps if line.get("q") is not None]
    if not steps:
        return None
    with drawing("budget"):
        figure, axes = _figure(3)
        for number, (key, label) in enumerate((("p", "p, reached"), ("q", "q, asked"))):
            _draw(axes[0], _pieces(steps, key), number, label)
        as_percent(axes[0].yaxis)
        axes[0].set_ylabel("share")
        _legend(axes[0])
        for one, key, label in ((axes[1], "lambda", "λ"), (axes[2], "beta", "β")):
            _draw(one, _pieces(steps, key), 0, label)
            one.set_ylabel(label, rotation=0, labelpad=14, va="center")
        _stages(axes, steps)
    last = steps[-1]
    return Chart(
        "budget",
        "The size that was asked for, and how hard",
        f"Expected share p against the asked share q, and the multipliers λ and β, "
        f"of {run.name}. At the end p is {100 * last['p']:.1f} %, q "
        f"{100 * last['q']:.1f} %, λ {last['lambda']:.3g}, β {last['beta']:.3g}.",
        "The penalty is λ(p − q) + β(p − q)²; both multipliers climb as long as p is "
        "above q.",
        figure,
    )


def losses(run: Told) -> Chart | None:
    """Every objective's value, and the learning rate; None of a run that trained
    nothing."""
    if not run.steps:
        return None
    names = list(dict.fromkeys(_parts(run.steps)))
    with drawing("losses"):
        figure, axes = _figure(2)
        figure.set_size_inches(WIDTH, 5.0)
        _draw(axes[0], _pieces(run.steps, "loss"), 0, "loss")
        for number, name in enumerate(names, start=1):
            _draw(axes[0], _pieces(run.steps, "parts", name), number, name)
        axes[0].set_ylabel("loss and its parts")
        if _spread(run.steps):
            axes[0].set_yscale("log")
        _legend(axes[0])
        _draw(axes[1], _pieces(run.steps, "lr"), 0, "rate")
        axes[1].set_ylabel("learning rate")
        _stages(axes, run.steps)
    last = run.steps[-1]
    loss = last.get("loss")
    return Chart(
        "losses",
        "Losses and rates",
        f"Loss, its parts and the learning rate over the pairs seen, of {run.name}: "
        f"{'no number' if loss is None else f'{loss:.3g}'} at the end, after "
        f"{last['samples']:,} pairs.",
        "Parts are as each objective gives them, before they are weighed.",
        figure,
    )


def _parts(steps: Sequence[Line]) -> Iterator[str]:
    """The objectives, without what they log beside themselves, in their order."""
    for line in steps:
        for name in line.get("parts") or {}:
            if "." not in name and not name.endswith("_kl"):
                yield name


def _spread(steps: Sequence[Line]) -> bool:
    """Whether losses are positive and of different sizes: then logarithms tell more."""
    values = [
        value
        for line in steps
        for value in (line.get("loss"), *(line.get("parts") or {}).values())
        if value is not None
    ]
    return bool(values) and min(values) > 0 and max(values) > 20 * min(values)
