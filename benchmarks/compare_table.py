"""What a comparison comes to: medians over its seeds, and the README's table."""

from __future__ import annotations

import statistics
from typing import Any

COLUMNS = {  # of the table: heading, task
    "dev designer": "dev",
    "unseen groups": "unseen_groups",
    "clip-art R@1": "clipart",
}


def summary(rows: list[dict[str, Any]], baseline: str) -> dict[str, Any]:
    """By name and task: median and range over the seeds, and the median difference to
    the baseline of the same seed."""
    by_cell = {(row["name"], row.get("seed", 0)): row["tasks"] for row in rows}
    medians: dict[str, Any] = {}
    for name in dict.fromkeys(name for name, _ in by_cell):
        seeds = [seed for other, seed in by_cell if other == name]
        medians[name] = {}
        for task in by_cell[name, seeds[0]]:
            cells = [by_cell[name, seed][task] for seed in seeds]
            values = [cell["value"] for cell in cells]
            against = [by_cell[baseline, seed][task]["value"] for seed in seeds]
            retentions = [c["retention"] for c in cells if c["retention"] is not None]
            medians[name][task] = {
                "seeds": len(seeds),
                "value": statistics.median(values),
                "low": min(values),
                "high": max(values),
                "retention": statistics.median(retentions) if retentions else None,
                "over_baseline": statistics.median(
                    mine - theirs for mine, theirs in zip(values, against, strict=True)
                ),
            }
    return medians


def table(report: dict[str, Any], baseline: str) -> str:
    """The README's table: of several seeds their medians, and their range where one
    seed has its 95 % interval."""
    rows, medians = report["rows"], summary(report["rows"], baseline)
    lines = [
        "| at 25 % of the encoder | held-out designer, top-1 (95 %) | retention | "
        + " | ".join(COLUMNS)
        + " | seconds |",
        "|---" * (4 + len(COLUMNS)) + "|",
    ]
    tasks = rows[0]["tasks"]

    def percent(value: float) -> str:
        return f"{100 * value:.1f}"

    figures = [percent(tasks[t]["teacher"]) for t in ("designer", *COLUMNS.values())]
    lines.append(f"| teacher | {figures[0]} | | {' | '.join(figures[1:])} | |")
    for name, of_task in medians.items():
        own_rows = [row for row in rows if row["name"] == name]
        main = of_task["designer"]
        low, high = own_rows[0]["tasks"]["designer"]["ci95"]
        if len(own_rows) > 1:
            low, high = main["low"], main["high"]
        retention = (
            "–" if main["retention"] is None else f"{percent(main['retention'])} %"
        )
        others = " | ".join(percent(of_task[t]["value"]) for t in COLUMNS.values())
        seconds = statistics.median(row["seconds"] for row in own_rows)
        lines.append(
            f"| {name} | {percent(main['value'])} "
            f"({percent(low)} to {percent(high)}) | {retention} | {others} | "
            f"{seconds:.0f} |"
        )
    return "\n".join(lines)
