"""The tables that `compress` prints: the plan before, the family after."""

from __future__ import annotations

from typing import Any

from rich import box
from rich.table import Table

from ..config.schema import PHASES
from ..model.figures import is_usual
from ..quoting import as_source, python
from ..words import rounded
from .measured import tell_alarms
from .show import percent, show_table, tell


def make_table(title: str, *columns: str) -> Table:
    """An empty table; its first column is words, the others are figures."""
    table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left")
    for number, column in enumerate(columns):
        table.add_column(column, justify="left" if number == 0 else "right")
    return table


def _row(
    name: str,
    entry: dict[str, Any],
    first: str,
    second: str,
    tower: str | None,
    budget: str | None,
) -> list[str]:
    """One model of the final table.

    Args:
        first, second: the tasks that are shown.
        tower: the only one that was compressed; its counts stand for the model's.
        budget: what shares count, where no other column shows it.
    """
    encoder, total = (f"encoder_{tower}", tower) if tower else ("encoder", "total")
    tasks = (entry["metrics"] or {}).get("tasks", {})
    zero_shot, retrieval = tasks.get(first), tasks.get(second)
    cells = [
        name,
        f"{rounded(entry['sizes'][encoder])} ({percent(entry['share']['encoder'])})",
        f"{rounded(entry['sizes'][total])} ({percent(entry['share']['total'])})",
        rounded(entry["bytes"]) + "B" if entry.get("bytes") else "–",
    ]
    if budget:
        cells.append(percent(entry["share"].get(budget)))
    if zero_shot:
        low, high = zero_shot["ci95"]
        cells.append(
            f"{100 * zero_shot['value']:.1f} [{100 * low:.1f}, {100 * high:.1f}]"
        )
        cells.append(percent(zero_shot.get("retention")))
    else:
        cells += ["–", "–"]
    if retrieval:
        also = retrieval.get("also", {})
        at_five = also.get("image_to_text_r5")
        shown = "–" if at_five is None else f"{100 * at_five:.1f}"
        cells.append(f"{100 * retrieval['value']:.1f} / {shown}")
    else:
        cells.append("–")
    latency = (entry["metrics"] or {}).get("latency")
    cells.append(f"{latency['median_ms']:.1f} ms" if latency else "–")
    certificate = entry.get("certificate")
    cells.append(f"{certificate['max_abs_diff']:.0e}" if certificate else "–")
    return cells


def _of_kind(kind: str, task: str, figures: str) -> str:
    """A column's title; a task that is called after its kind is named once."""
    return f"{task if task.startswith(kind) else f'{kind} {task}'} {figures}"


def _first_task(tasks: dict[str, Any], metric: str) -> str:
    """The first task of a kind: the one the table shows; no probe, and none that needs
    labelled pictures."""
    for name, task in tasks.items():
        if metric in task["metric"] and is_usual(task):
            return str(name)
    return ""


def show_summary(report: dict[str, Any]) -> None:
    """Print the family: alarms, then teacher and students, and where they are."""
    for entry in report["students"]:
        alarms = (entry["metrics"] or {}).get("alarms") or []
        tell_alarms(alarms, f"stage {entry['stage']}")
    tasks = (report["teacher"]["metrics"] or {}).get("tasks", {})
    first, second = _first_task(tasks, "top1"), _first_task(tasks, "r1")
    towers = report["towers"]
    tower = towers[0] if len(towers) == 1 else None
    budget = None if report["budget"] in ("encoder", "total") else report["budget"]
    table = make_table(
        f"{report['run']}: {report['teacher']['source']} and its students",
        "model",
        f"{tower} encoder" if tower else "encoder",
        f"{tower} total" if tower else "total",
        "bytes",
        *([f"share of {budget}"] if budget else []),
        _of_kind("zero-shot", first, "top-1 [95 %]") if first else "zero-shot",
        "retention",
        _of_kind("retrieval", second, "R@1 / R@5") if second else "retrieval",
        "latency, 1 image",
        "certificate",
    )
    shown = (first, second, tower, budget)
    whole = {"encoder": 1.0, "total": 1.0, report["budget"]: 1.0}
    table.add_row(*_row("teacher", {**report["teacher"], "share": whole}, *shown))
    for entry in report["students"]:
        table.add_row(*_row(f"stage {entry['stage']}", entry, *shown))
    show_table(table, 160)
    for entry in report["students"]:
        tell(f"stage {entry['stage']}: {entry['model']}{_seen(entry)}")
    last = report["model"]
    tell(
        "\nLoad one: model, preprocess, tokenizer = "
        f"tinyclip.load({python(as_source(last))})"
    )


def _seen(entry: dict[str, Any]) -> str:
    """How much of each kind a student saw, where it was more than pairs."""
    samples = entry.get("samples", {})
    told = (f"{count:,} {kind}" for kind, count in samples.items())
    return f" ({', '.join(told)})" if len(samples) > 1 else ""


def _beside(first: str, counts: dict[str, int]) -> str:
    """Pairs, and below them how many there are of the other kinds."""
    return "\n".join([first, *(f"+ {n:,} {kind}" for kind, n in counts.items())])


def show_plan(plan: dict[str, Any]) -> None:
    """Print what a run would do."""
    counts = [f"{plan['pairs']} training pairs"]
    counts += [f"{count} {kind} beside" for kind, count in plan["unpaired"].items()]
    table = make_table(
        f"{plan['teacher']} on {plan['data']} ({', '.join(counts)})",
        "stage",
        "share",
        "steps",
        "samples",
        "encoder",
        "total (about)",
        "memory (about)",
        "a step (about)",
        "time (about)",
    )
    for stage in plan["stages"]:
        table.add_row(
            str(stage["number"]),
            f"{percent(stage['start'])} → {percent(stage['target'])}",
            work_of(stage),
            _beside(f"{stage['samples']:,}", stage["unpaired"]),
            rounded(stage["params_encoder"]),
            rounded(stage["params_total"]),
            f"{stage['memory_gib']:.1f} GiB",
            step_cost(stage["flops_per_step"], plan["flops_per_second"]),
            duration(stage["seconds"]),
        )
    show_table(table, 140)
    total = duration(sum(stage["seconds"] for stage in plan["stages"]))
    tell(
        f"About {total} here, at {rounded(plan['flops_per_second'])}FLOP/s "
        f"measured on the teacher's forward pass; teacher features are "
        f"{'cached' if plan['cached'] else 'computed at every step'}."
    )
    for sentence in plan["advice"]:
        tell(sentence)


def work_of(stage: dict[str, Any]) -> str:
    """Steps of the phases that train, pairs of those that look, as they run."""
    steps = {name: f"{name} {count}" for name, count in stage["phases"].items()}
    pairs = {name: f"{name} {n:,} pairs" for name, n in stage["looked"].items()}
    said = {**steps, **pairs}
    return ", ".join(said[name] for name in PHASES if name in said) or "none"


def step_cost(flops: dict[str, float], speed: float) -> str:
    """The dearest step of a stage, in work and in time here."""
    if not flops:
        return "–"
    most = max(flops.values())
    seconds = most / speed
    shown = f"{seconds:.2g} s" if seconds < 10 else duration(seconds)
    return f"{rounded(most)}FLOP, {shown}"


def duration(seconds: float) -> str:
    """Seconds as people say them."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    if seconds < 48 * 3600:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 86400:.1f} days"
