"""Tables of what models are weak in, and of what a few labelled pictures give them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..model.figures import OF_SHOTS, is_few_shot, is_probe
from ..model.limits import Part, parts_of
from .collect import Model, Told, tasks_in
from .words import NONE, Table

Tasks = Mapping[str, Mapping[str, Any]]


def probes(model: Model) -> Tasks:
    """The probes that a model was asked."""
    return {name: task for name, task in model.tasks.items() if is_probe(task)}


def probes_table(run: Told) -> Table | None:
    """A row a probe, its parts under it: chance, the teacher, and every student."""
    rows: list[tuple[str, ...]] = []
    under = set()
    for name in tasks_in([run], probes):
        found = [model.tasks.get(name) for model in run.models]
        first, *_ = [task for task in found if task is not None]
        chance = _percent(first.get("chance"))
        rows.append((name, f"{first['n']:,}", chance, *map(_whole, found)))
        for row in _rows_of_parts([_parts(task) for task in found]):
            under.add(len(rows))
            rows.append(row)
    head = ("probe", "n", "by chance", *(model.name for model in run.models))
    return Table("Probes", head, tuple(rows), frozenset(under)) if rows else None


def _rows_of_parts(found: Sequence[dict[str, Part]]) -> Iterator[tuple[str, ...]]:
    """A row a part, of the parts that each model has."""
    for name in dict.fromkeys(name for parts in found for name in parts):
        known = next(parts[name] for parts in found if name in parts)
        items = NONE if known.items is None else f"{known.items:,.0f}"
        cells = (_of_part(parts.get(name)) for parts in found)
        yield name.replace("_", " "), items, _percent(known.chance), *cells


def _parts(task: Mapping[str, Any] | None) -> dict[str, Part]:
    return {} if task is None else {part.name: part for part in parts_of(task)}


def _whole(task: Mapping[str, Any] | None) -> str:
    if task is None:
        return NONE
    chance, change = task.get("chance"), (task.get("difference") or {}).get("ci95")
    guessed = chance is not None and task["ci95"][0] <= chance
    lost = change is not None and change[1] < 0
    return _cell(task["value"], task["ci95"], guessed, lost)


def _of_part(part: Part | None) -> str:
    if part is None:
        return NONE
    return _cell(part.value, (part.low, part.high), part.is_guessed)


def _cell(
    value: float, ci95: Sequence[float], guessed: bool, lost: bool = False
) -> str:
    """A figure, and in a line of its own, where it is narrow, what is to be said of
    it."""
    told = ["by chance"] if guessed else []
    told += ["lost"] if lost else []
    return ", ".join(_together(words) for words in (_interval(value, ci95), *told))


def _together(words: str) -> str:
    """The words without a place where a line may break."""
    return words.replace(" ", "\xa0")


def _interval(value: float, ci95: Sequence[float]) -> str:
    low, high = ci95
    return f"{100 * value:.1f} [{100 * low:.1f}, {100 * high:.1f}]"


def _percent(value: float | None) -> str:
    return NONE if value is None else f"{100 * value:.1f}"


def few_shots(model: Model) -> Tasks:
    """What a model was measured on after it was shown labelled pictures."""
    return {name: task for name, task in model.tasks.items() if is_few_shot(task)}


def shots_table(run: Told) -> Table | None:
    """A row for every model and way to learn, a column for each number of shots."""
    found = [
        (name, model, dict(_figures(model.tasks[name])))
        for name in tasks_in([run], few_shots)
        for model in run.models
        if name in model.tasks
    ]
    if not found:
        return None
    counts = sorted({count for _, _, figures in found for count in figures})
    rows = tuple(
        (name, model.name, *(figures.get(count, NONE) for count in counts))
        for name, model, figures in found
    )
    titles = (f"{n} shot{'' if n == 1 else 's'}" if n else "none" for n in counts)
    return Table("After a few labelled pictures", ("way", "model", *titles), rows)


def _figures(task: Mapping[str, Any]) -> Iterator[tuple[int, str]]:
    """Each number of shots, and what was named right after it; 0 is zero-shot."""
    also, sure = task.get("also") or {}, dict(task.get("intervals") or {})
    values = {**also, task["metric"]: task["value"]}
    sure[task["metric"]] = task["ci95"]
    for name, value in values.items():
        count = OF_SHOTS.fullmatch(name)
        if name in sure and value is not None and (count or name == "zero_shot"):
            yield int(count[1]) if count else 0, _interval(value, sure[name])
