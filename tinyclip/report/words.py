"""What a report says in words and figures: sentences, tables, commands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ..config.load import as_setting
from ..config.schema import Data
from ..data.task import USUAL, WEAKNESSES
from ..model.figures import is_probe
from ..quoting import as_source, command, python
from ..words import amount, rounded
from .collect import Model, Told, tasks_in, usual

NONE = "–"
ASKING = {  # whose captions ask whose stored pictures: R@1
    "teacher": "teacher asks its own",
    "student_queries": "student asks the teacher's",
    "teacher_queries": "teacher asks the student's",
}


@dataclass(frozen=True)
class Table:
    """Rows of cells; the first cell of each names it.

    Args:
        parts: the numbers of rows that are parts of one before.
    """

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    parts: frozenset[int] = frozenset()


def percent(share: float | None, digits: int = 1) -> str:
    """A share as people read it."""
    return NONE if share is None else f"{100 * share:.{digits}f} %"


def headline(run: Told) -> str:
    """What came out of a run in one sentence, with its uncertainty."""
    if not run.students:
        return f"{run.name} has no finished stage yet."
    last, task = run.students[-1], run.main_task()
    size = (
        f"{percent(last.share)} of the {run.counted} of {run.recipe.teacher} "
        f"({_count(last)})"
    )
    going = "" if run.finished else " So far: the run is not finished."
    measured = last.tasks.get(task or "")
    if measured is None:
        return f"{size} is left; its quality was not measured.{going}"
    name = f"{_metric(measured)} on {task}"
    whole = measured.get("teacher")
    if not whole:
        value = percent(measured["value"])
        sure = _interval(measured["ci95"])
        return f"{size} answers {value} {sure} right: {name}.{going}"
    sure = _interval((measured.get("difference") or {}).get("retention_ci95"))
    return (
        f"{size} keeps {percent(measured['value'] / whole)} {sure} of its teacher's "
        f"{name}: {percent(measured['value'])} in place of {percent(whole)}.{going}"
    )


def _interval(ci95: Sequence[float] | None) -> str:
    """A 95 % interval in words."""
    if ci95 is None:
        return "[no interval]"
    return f"[{percent(ci95[0])} to {percent(ci95[1])}]"


def alarms(run: Told) -> list[str]:
    """A sentence for each task that a student lost."""
    return [
        f"{student.name}, {percent(student.share)} of the {run.counted}, keeps "
        f"{percent(alarm['retention'])} of its teacher's {_metric(alarm)}"
        f"{' above chance' if alarm.get('floor') else ''} on "
        f"{alarm['task']}: {percent(alarm['value'])} in place of "
        f"{percent(alarm['teacher'])}, by chance {percent(alarm['chance'])}."
        for student in reversed(run.students)
        for alarm in student.alarms
    ]


def _count(model: Model) -> str:
    return amount(model.sizes["encoder"], "parameters")


def _metric(task: Mapping[str, Any]) -> str:
    """A metric's name as people say it."""
    known = {
        "top1": "top-1",
        "image_to_text_r1": "picture-to-caption R@1",
        "map": "mAP",
        "right": "right choices",
    }
    metric = str(task["metric"])
    return known.get(metric, metric.replace("_", " "))


def models_table(run: Told) -> Table:
    """A row for the teacher and for every student."""
    rows = []
    for model in run.models:
        certificate = model.certificate
        largest = NONE if certificate is None else f"{certificate['max_abs_diff']:.0e}"
        rows.append(
            (
                model.name,
                percent(model.share),
                rounded(model.sizes["encoder"]),
                rounded(model.sizes["total"]),
                NONE if model.bytes is None else amount(model.bytes, "B"),
                NONE if model.latency is None else f"{model.latency:.3g} ms",
                largest,
            )
        )
    counts = f"share of the {run.counted}", "encoder", "total", "file"
    head = ("model", *counts, "latency", "certificate")
    return Table("Teacher and students", head, tuple(rows))


def tasks_table(run: Told) -> Table | None:
    """A row a task: every model's value with its interval, and what it retains."""
    names = tasks_in([run])
    if not names:
        return None
    rows = []
    for name in names:
        found = [model.tasks.get(name) for model in run.models]
        first = next(task for task in found if task is not None)
        cells = [_cell(task) for task in found]
        rows.append((name, _metric(first), f"{first['n']:,}", *cells))
    head = ("task", "metric", "n", *(model.name for model in run.models))
    return Table("Tasks", head, tuple(rows))


def fidelity_table(run: Told) -> Table | None:
    """Whether the last student answers what its teacher does, right or wrong, and
    whether either one's index serves the other."""
    if not run.students:
        return None
    rows = []
    for name, task in usual(run.students[-1]).items():
        alike, index = task.get("fidelity"), task.get("index")
        if alike is None and index is None:
            continue
        alike, gap = alike or {}, task.get("modality_gap") or {}
        rows.append(
            (
                name,
                percent(alike.get("top1_agreement")),
                _figure(alike.get("kl")),
                _figure(alike.get("cka_images")),
                _figure(alike.get("cka_texts")),
                *(_recall(index, who) for who in ASKING),
                f"{_figure(gap.get('value'))} ({_figure(gap.get('teacher'))})",
            )
        )
    alike_in = "same answer", "KL, nats", "CKA, pictures", "CKA, texts"
    head = ("task", *alike_in, *ASKING.values(), "modality gap (teacher)")
    return Table(f"Like its teacher? {run.students[-1].name}", head, tuple(rows))


def _figure(value: float | None) -> str:
    return NONE if value is None else f"{value:.3g}"


def _recall(index: Mapping[str, Any] | None, who: str) -> str:
    """Captions' own pictures that are found first."""
    return percent(((index or {}).get(who) or {}).get("text_to_image_r1"))


def _cell(task: Mapping[str, Any] | None) -> str:
    if task is None:
        return NONE
    low, high = task["ci95"]
    value = f"{100 * task['value']:.1f} [{100 * low:.1f}, {100 * high:.1f}]"
    kept = task.get("retention")
    return value if kept is None else f"{value}, {percent(kept, 0)}"


def sizes_table(runs: Sequence[Told]) -> Table | None:
    """Students of several runs, matched by the share that is left of the teacher."""
    if len(runs) < 2:
        return None
    shares = sorted(
        {_rounded(student) for run in runs for student in run.students}, reverse=True
    )
    rows = []
    for share in shares:
        cells = [_at(run, share) for run in runs]
        rows.append((percent(share, 0), *cells))
    head = ("share left", *(f"{run.name}: {run.main_task() or NONE}" for run in runs))
    return Table("Side by side, matched by size", head, tuple(rows))


def _rounded(student: Model) -> float:
    """Its share in whole percent: what budgets leave differs in the digits after."""
    return round(student.share, 2)


def _at(run: Told, share: float) -> str:
    found = [student for student in run.students if _rounded(student) == share]
    return _cell(found[0].tasks.get(run.main_task() or "")) if found else NONE


def origins_table(run: Told) -> Table:
    """What a run was made of, and on what."""
    recipe, plan, environment = run.recipe, run.plan, run.environment
    rows = [
        ("teacher", recipe.teacher),
        ("data", f"{recipe.data.source}, {plan['pairs']:,} pairs to train on"),
        ("recipe", recipe.name),
        ("seed", str(recipe.seed)),
        ("pairs seen", f"{max((line['samples'] for line in run.steps), default=0):,}"),
        ("phases", "; ".join(_phases(run))),
    ]
    rows += [(f"fingerprint, {k}", v) for k, v in plan["fingerprints"].items()]
    for key in ("device", "platform", "python", "threads", "world_size"):
        if key in environment:
            rows.append((key.replace("_", " "), str(environment[key])))
    libraries = environment.get("libraries", {})
    rows.append(("libraries", ", ".join(f"{k} {v}" for k, v in libraries.items())))
    return Table("Where it comes from", ("what", "which"), tuple(rows))


def _phases(run: Told) -> list[str]:
    return [
        f"stage {number}: {', '.join(stage.phases)}"
        for number, stage in enumerate(run.recipe.stages, start=1)
    ]


def skipped_table(run: Told) -> Table | None:
    """Samples that no step saw, by why."""
    if not run.skipped:
        return None
    rows = tuple((kind, f"{count:,}") for kind, count in sorted(run.skipped.items()))
    return Table("Samples that were skipped", ("why", "samples"), rows)


def commands(run: Told) -> list[tuple[str, str]]:
    """Lines to paste: what each does, and the line."""
    if not run.students:
        return []
    folder = run.students[-1].folder or str(run.path)
    load = f"model, preprocess, tokenizer = tinyclip.load({python(as_source(folder))})"
    return [
        ("Load the smallest in Python", load),
        (
            "Export it for transformers",
            command("export", as_source(folder), to="huggingface", out="exported"),
        ),
        _measuring(run, as_source(folder)),
        ("See its widths", command("inspect", as_source(folder))),
    ]


def _measuring(run: Told, folder: str) -> tuple[str, str]:
    """Measuring it again: on the probes too, where its data has captions to make them
    of."""
    data, plain = asdict(run.recipe.data), asdict(Data(source=""))
    source = data.pop("source")
    settings = [
        as_setting(f"data.{name}", value)
        for name, value in data.items()
        if value != plain[name]
    ]
    tasks = run.students[-1].tasks.values()
    captioned = any(is_probe(t) or "image_to_text" in t["metric"] for t in tasks)
    groups = f"{USUAL},{WEAKNESSES}" if captioned else None
    about = " and what it is weak in" if captioned else ""
    line = command("evaluate", folder, data=source, set=settings, tasks=groups)
    return f"Measure how good it is{about}", line
