"""A comparison as Markdown: an overview, and a table for each place in the grid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .measured import UNSHOWN

MAIN = "designer"
COLUMNS = {  # heading, by task
    "dev": "dev",
    UNSHOWN: "not shown",
    "unseen_groups": "unseen groups",
    "clipart": "clip-art R@1",
}
NONE = "–"


def table(report: Mapping[str, Any]) -> str:
    """All of it."""
    entries = report["summary"]
    parts = [overview(entries, report["titles"])]
    for where in places(entries):
        parts += [heading(where), place(entries, where, report)]
    return "\n\n".join(parts) + "\n"


def places(entries: Sequence[Mapping[str, Any]]) -> list[tuple[float, str, int]]:
    """Where anything was measured: target, data, steps."""
    found = {(e["target"], e["data"], e["steps"]) for e in entries}
    return sorted(found, key=lambda where: (where[1] == "all", -where[0], where[2]))


def heading(where: tuple[float, str, int]) -> str:
    target, data, steps = where
    training = f"{steps} steps" if steps else "no training"
    return f"### {100 * target:g} % of the encoder, {in_words(data)}, {training}"


def in_words(data: str) -> str:
    """A choice of data, as a sentence says it."""
    return {
        "all": "all pictures",
        "1000": "1,000 pictures",
        "emoji": "1,000 pictures without clip art",
    }.get(data, data)


def percent(value: float | None) -> str:
    return NONE if value is None else f"{100 * value:.1f}"


def overview(entries: Sequence[Mapping[str, Any]], titles: Mapping[str, str]) -> str:
    """Retention of the held-out designer, a row a method and a column a place."""
    where = places(entries)
    by_cell = {
        (e["method"], e["target"], e["data"], e["steps"]): e["tasks"] for e in entries
    }
    heads = [f"{100 * t:g} %, {data}, {steps}" for t, data, steps in where]
    lines = [
        "Retention of the held-out designer's top-1, %, by share of the encoder, data "
        "and steps:",
        "",
        "| method | " + " | ".join(heads) + " |",
        "|---" * (1 + len(heads)) + "|",
    ]
    for method in dict.fromkeys(e["method"] for e in entries):
        cells = [by_cell.get((method, *place), {}).get(MAIN) for place in where]
        shown = [percent(cell["retention"]) if cell else "" for cell in cells]
        lines.append(f"| {titles[method]} | " + " | ".join(shown) + " |")
    return "\n".join(lines)


def place(
    entries: Sequence[Mapping[str, Any]],
    where: tuple[float, str, int],
    report: Mapping[str, Any],
) -> str:
    """Every method at one place: medians over seeds, their range, and the designer's
    difference to the baseline with its 95 % interval."""
    own = [e for e in entries if (e["target"], e["data"], e["steps"]) == where]
    tasks = own[0]["tasks"]
    others = {task: name for task, name in COLUMNS.items() if task in tasks}
    title = report["titles"].get(report["baseline"], report["baseline"])
    lines = [
        f"| method | encoder | held-out designer (range) | retention | over {title} "
        f"(95 %) | {' | '.join(others.values())} | processor s |",
        "|---" * (6 + len(others)) + "|",
    ]
    whole = " | ".join(percent(tasks[task]["teacher"]) for task in others)
    lines.append(
        f"| teacher | 100.0 | {percent(tasks[MAIN]['teacher'])} | | | {whole} | |"
    )
    for entry in own:
        main = entry["tasks"][MAIN]
        value = percent(main["value"])
        if len(entry["seeds"]) > 1:
            value += f" ({percent(main['low'])} to {percent(main['high'])})"
        rest = " | ".join(percent(entry["tasks"][task]["value"]) for task in others)
        lines.append(
            f"| {report['titles'][entry['method']]} | "
            f"{percent(entry['share_encoder'])} | {value} | "
            f"{percent(main['retention'])} | {over(entry)} | {rest} | "
            f"{entry['cpu_seconds']:.0f} |"
        )
    return "\n".join(lines)


def over(entry: Mapping[str, Any]) -> str:
    """The designer's difference to the baseline, in points."""
    difference = entry["over_baseline"].get(MAIN)
    if difference is None:
        return ""
    value, low, high = (100 * difference[key] for key in ("value", "low", "high"))
    return f"{value:+.1f} ({low:+.1f} to {high:+.1f})"
