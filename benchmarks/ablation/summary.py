"""What an ablation comes to: means and deviations over seeds, differences to what is
used today, and two orders beside each other."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from comparison.measured import Hits
from comparison.summary import over, with_concepts_of
from comparison.work import Row
from numpy.typing import NDArray

from .entries import CLIP_KD, ENTRIES, NONE, PUBLISHED, TODAY

WHERE = ("method", "data", "rate")


def summary(
    rows: Sequence[Row],
    concepts: Mapping[str, NDArray[np.int64]],
    unshown: Mapping[str, Hits | None],
) -> list[dict[str, Any]]:
    """An entry a method, choice of data and rate, in the order of the rows.

    Args:
        rows: with the answers of every item.
        concepts: of the items of each task.
        unshown: by data, the designer's items that it has no picture of.
    """
    groups: dict[tuple[Any, ...], dict[int, Row]] = {}
    for row in rows:
        place = tuple(row[key] for key in WHERE)
        groups.setdefault(place, {})[row["seed"]] = row
    return [
        _entry(by_seed, _today(groups, place), concepts, unshown[str(place[1])])
        for place, by_seed in groups.items()
    ]


def _today(
    groups: Mapping[tuple[Any, ...], Mapping[int, Row]], place: tuple[Any, ...]
) -> Mapping[int, Row]:
    """What a place is compared with: today's losses with the same data, at their own
    rate."""
    method, data, _ = place
    if method == TODAY:
        return {}
    found = [own for where, own in groups.items() if where[:2] == (TODAY, data)]
    return found[0] if found else {}


def _entry(
    by_seed: Mapping[int, Row],
    today: Mapping[int, Row],
    concepts: Mapping[str, NDArray[np.int64]],
    unshown: Hits | None,
) -> dict[str, Any]:
    rows = [by_seed[seed] for seed in sorted(by_seed)]
    pairs = [(by_seed[s], today[s]) for s in sorted(by_seed) if s in today]
    first = rows[0]
    return {
        **{key: first[key] for key in WHERE},
        "seeds": sorted(by_seed),
        "tasks": {task: _task(rows, task) for task in first["tasks"]},
        "divergence": {
            task: spread([row["divergence"][task] for row in rows])
            for task in first["divergence"]
        },
        "cpu_seconds": statistics.median(row["cpu_seconds"] for row in rows),
        "over_today": over(pairs, with_concepts_of(concepts, unshown)),
    }


def _task(rows: Sequence[Row], task: str) -> dict[str, Any]:
    cells = [row["tasks"][task] for row in rows]
    found = spread([cell["value"] for cell in cells])
    teacher = cells[0]["teacher"]
    retention = found["mean"] / teacher if teacher else None
    return {**found, "n": cells[0]["n"], "teacher": teacher, "retention": retention}


def spread(values: Sequence[float]) -> dict[str, Any]:
    """Mean and standard deviation (of a sample; None of a single value)."""
    sd = statistics.stdev(values) if len(values) > 1 else None
    return {"mean": statistics.fmean(values), "sd": sd}


def orders(entries: Sequence[Mapping[str, Any]], rate: float) -> list[dict[str, Any]]:
    """CLIP-KD's order and the one found here, by data and by form: beside the student's
    own loss, as there, and alone.

    Args:
        entries: of `summary`.
        rate: of the entries that count.
    """
    found = []
    for data in dict.fromkeys(e["data"] for e in entries):
        here = {e["method"]: e for e in entries if e["data"] == data}
        for form in (CLIP_KD, "alone"):
            names = {_form(name, form): name for name in PUBLISHED}
            known = [name for name in names if _counts(here.get(name), rate)]
            if len(known) < 3:
                continue
            found.append({"data": data, "form": form, **_order(known, names, here)})
    return found


def _form(name: str, form: str) -> str:
    """The entry that has CLIP-KD's objective beside its loss, or by itself."""
    if form == CLIP_KD or name == "contrastive":
        return name
    own = name.removeprefix("contrastive+")
    return "feature" if own == "fd" else own


def _counts(entry: Mapping[str, Any] | None, rate: float) -> bool:
    return entry is not None and entry["rate"] == rate


def _order(
    known: Sequence[str], names: Mapping[str, str], here: Mapping[str, Any]
) -> dict[str, Any]:
    theirs = {name: PUBLISHED[names[name]] for name in known}
    result: dict[str, Any] = {"published": _ranked(theirs), "measured": {}}
    for task in ("dev", "designer"):
        ours = {name: here[name]["tasks"][task]["mean"] for name in known}
        result["measured"][task] = {
            "order": _ranked(ours),
            "correlation": rank_correlation(list(theirs.values()), list(ours.values())),
        }
    return result


def _ranked(values: Mapping[str, float]) -> list[str]:
    return sorted(values, key=lambda name: values[name], reverse=True)


def rank_correlation(one: Sequence[float], other: Sequence[float]) -> float:
    """Spearman's: the correlation of the ranks, equals sharing theirs."""
    ranks = [pd.Series(values, dtype=float).rank() for values in (one, other)]
    return float(ranks[0].corr(ranks[1]))


def about(methods: Sequence[str]) -> dict[str, dict[str, Any]]:
    """What each entry is, for the table."""
    return {
        name: {
            "kind": ENTRIES[name].kind,
            "losses": ENTRIES[name].losses,
            "why": ENTRIES[name].why,
            "settings": dict(ENTRIES[name].settings),
        }
        for name in methods
        if name != NONE
    }
