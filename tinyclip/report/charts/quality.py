"""Quality against size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes

from ..chart import COLOURS, INK, Chart, as_percent, drawing, panels, style
from ..collect import Model, Told, tasks_in

COLUMNS, MOST = 3, 9
WIDTH, HEIGHT = 3.3, 2.7


def quality(runs: Sequence[Told]) -> Chart | None:
    """A panel a task: every model's value with its interval over its share, one line a
    run; None where nothing was measured."""
    names = tasks_in(runs)[:MOST]
    if not names:
        return None
    columns = min(COLUMNS, len(names))
    rows = -(-len(names) // columns)
    with drawing("quality"):
        width = max(WIDTH, 6.0 / columns)
        figure, axes = panels(rows, columns, width, HEIGHT)
        flat = [one for row in axes for one in row]
        for one, name in zip(flat, names, strict=False):
            _panel(one, name, runs)
        for one in flat[len(names) :]:
            one.set_visible(False)
        for row in axes:
            row[0].set_ylabel("answered right")
        for one in axes[-1]:
            one.set_xlabel(f"share of the {runs[0].counted}")
        if len(runs) > 1:
            handles, labels = flat[0].get_legend_handles_labels()
            figure.legend(
                handles, labels, loc="outside upper left", ncols=min(3, len(runs))
            )
    told = "; ".join(_in_words(run, names[0]) for run in runs)
    return Chart(
        "quality",
        "Quality against size",
        f"Share of items answered right against the share that is left of the "
        f"teacher, by task. {names[0]}: {told}.",
        "Bars are 95 % intervals; dashed: the teacher; dotted: chance.",
        figure,
    )


def _panel(axes: Axes, name: str, runs: Sequence[Told]) -> None:
    shares: set[float] = set()
    for number, run in enumerate(runs):
        models = [model for model in run.models if name in model.tasks]
        if not models:
            continue
        x = [model.share for model in models]
        y = [model.tasks[name]["value"] for model in models]
        axes.errorbar(
            x, y, yerr=_bars(models, name), label=run.name, capsize=3, **style(number)
        )
        if name in run.teacher.tasks:
            value = run.teacher.tasks[name]["value"]
            colour = COLOURS[number % len(COLOURS)] if len(runs) > 1 else INK
            axes.axhline(value, linestyle="--", linewidth=1, color=colour)
        shares.update(x)
    chance = [
        m.tasks[name].get("chance") for r in runs for m in r.models if name in m.tasks
    ]
    if chance and chance[0]:
        axes.axhline(chance[0], linestyle=":", linewidth=1, color=INK)
    axes.set_title(name, loc="left")
    axes.set_xscale("log")
    axes.set_ylim(bottom=0)
    as_percent(axes.yaxis)
    axes.set_xticks(sorted(shares), [f"{100 * x:.3g} %" for x in sorted(shares)])
    axes.set_xticks([], minor=True)


def _bars(models: Sequence[Model], name: str) -> Any:
    """How far the intervals reach below and above the values."""
    tasks = [model.tasks[name] for model in models]
    low = [max(0.0, task["value"] - task["ci95"][0]) for task in tasks]
    high = [max(0.0, task["ci95"][1] - task["value"]) for task in tasks]
    return [low, high]


def _in_words(run: Told, name: str) -> str:
    values = ", ".join(
        f"{model.name} ({100 * model.share:.3g} %) {100 * task['value']:.1f} %"
        for model in run.models
        if (task := model.tasks.get(name))
    )
    return f"{run.name}: {values}"
