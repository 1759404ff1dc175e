"""An ablation as Markdown: a table for each choice of data, and the orders."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from comparison.measured import UNSHOWN
from comparison.table import MAIN, in_words, percent

from .entries import NONE

OTHERS = {  # heading, by task
    UNSHOWN: "names not shown",
    "unseen_groups": "unseen groups",
    "clipart": "clip-art R@1",
}
Entry = Mapping[str, Any]


def table(report: Mapping[str, Any]) -> str:
    """All of it."""
    entries = report["summary"]
    parts = []
    for data in dict.fromkeys(entry["data"] for entry in entries):
        own = [entry for entry in entries if entry["data"] == data]
        parts += [f"### {in_words(data).capitalize()}", _results(own, report)]
        if rated := _rates(own, report):
            parts += ["Other learning rates: top-1 on dev (divergence)", rated]
    if report["orders"]:
        parts += ["### CLIP-KD's order", _orders(report)]
    return "\n\n".join(parts) + "\n"


def title(name: str) -> str:
    """As people read it: `mimic+4feature` is `mimic + 4 feature`."""
    if name == NONE:
        return "as inherited, no training"
    return re.sub(r"(^|\+)(\d+(?:\.\d+)?)(?=[a-z])", r"\1\2 ", name).replace("+", " + ")


def main_rows(entries: Sequence[Entry], report: Mapping[str, Any]) -> list[Entry]:
    """The entries at the rate of all, the best on dev first."""
    own = [e for e in entries if e["rate"] in (None, report["rate"])]
    return sorted(
        own,
        key=lambda e: (e["tasks"]["dev"]["mean"], -e["divergence"]["dev"]["mean"]),
        reverse=True,
    )


def _results(entries: Sequence[Entry], report: Mapping[str, Any]) -> str:
    rows = main_rows(entries, report)
    tasks = rows[0]["tasks"]
    others = {task: name for task, name in OTHERS.items() if task in tasks}
    heads = [
        *("losses", "kind", "seeds", "dev top-1", "dev divergence", "designer top-1"),
        *("retention", f"over {title(report['today'])} (95 %)", *others.values()),
        "processor s",
    ]
    whole = [percent(tasks[task]["teacher"]) for task in others]
    teacher = [percent(tasks[task]["teacher"]) for task in ("dev", MAIN)]
    lines = [
        line(heads),
        "|---" * len(heads) + "|",
        line(["teacher", "", "", teacher[0], "0", teacher[1], "", "", *whole, ""]),
    ]
    for entry in rows:
        told = report["about"].get(entry["method"], {})
        lines.append(
            line(
                [
                    title(entry["method"]),
                    told.get("kind", ""),
                    str(len(entry["seeds"])),
                    in_points(entry["tasks"]["dev"]),
                    spelled(entry["divergence"]["dev"], "{:.3f}"),
                    in_points(entry["tasks"][MAIN]),
                    percent(entry["tasks"][MAIN]["retention"]),
                    over_today(entry),
                    *(in_points(entry["tasks"][task]) for task in others),
                    f"{entry['cpu_seconds']:.0f}",
                ]
            )
        )
    return "\n".join(lines)


def line(cells: Sequence[str]) -> str:
    """A row of a table."""
    return f"| {' | '.join(cells)} |"


def spelled(value: Mapping[str, Any], form: str) -> str:
    """Mean ± standard deviation."""
    mean = form.format(value["mean"])
    return mean if value["sd"] is None else f"{mean} ± {form.format(value['sd'])}"


def in_points(task: Mapping[str, Any]) -> str:
    """A share, in per cent."""
    sd = None if task["sd"] is None else 100 * task["sd"]
    return spelled({"mean": 100 * task["mean"], "sd": sd}, "{:.1f}")


def over_today(entry: Entry) -> str:
    """The designer's difference to what is used today, in points."""
    found = entry["over_today"].get(MAIN)
    if found is None:
        return ""
    value, low, high = (100 * found[key] for key in ("value", "low", "high"))
    return f"{value:+.1f} ({low:+.1f} to {high:+.1f})"


def _rates(entries: Sequence[Entry], report: Mapping[str, Any]) -> str:
    """What was looked at at other rates, beside its own."""
    names = {e["method"] for e in entries if e["rate"] not in (None, report["rate"])}
    if not names:
        return ""
    rates = sorted({e["rate"] for e in entries if e["rate"] is not None})
    found = {(e["method"], e["rate"]): e for e in entries}
    lines = [line(["losses", *map(str, rates)]), "|---" * (1 + len(rates)) + "|"]
    for name in sorted(names):
        cells = [found.get((name, rate)) for rate in rates]
        shown = [_on_dev(entry) if entry else "" for entry in cells]
        lines.append(line([title(name), *shown]))
    return "\n".join(lines)


def _on_dev(entry: Entry) -> str:
    """Top-1 and divergence."""
    right, far = entry["tasks"]["dev"], entry["divergence"]["dev"]
    return f"{in_points(right)} ({spelled(far, '{:.3f}')})"


def _orders(report: Mapping[str, Any]) -> str:
    lines = [
        line(["data", "form", "by", "order, the best first", "rank correlation"]),
        "|---" * 5 + "|",
    ]
    for found in report["orders"]:
        data, form = in_words(found["data"]), found["form"]
        lines.append(
            line([data, form, "published", " > ".join(found["published"]), ""])
        )
        for task, own in found["measured"].items():
            order, value = " > ".join(own["order"]), f"{own['correlation']:+.2f}"
            lines.append(line([data, form, task, order, value]))
    return "\n".join(lines)
